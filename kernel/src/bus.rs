//! Finding devices, and making ready what their drivers need.
//!
//! ```text
//!   pci           buses from 0, through bridges --> DeviceId::Pci        + config space, BARs, an MSI message
//!   pci_tree      which functions there are
//!   lines         the interrupt lines of PCI functions without messages
//!   ide           what a PCI IDE controller has outside of PCI: ports, interrupt lines
//!   virtio_mmio   command line and ACPI         --> DeviceId::VirtioMmio + registers, a routed interrupt line
//!   owners        the command line or the application says which cores shall own a device
//! ```
//!
//! A bus hands out [`Resources`](toro_core::driver::Resources) for a device only when a driver wants it: registers
//! are mapped and interrupts routed then, not before.

#[cfg(target_os = "none")]
mod device;
#[cfg(target_os = "none")]
mod ide;
#[cfg(target_os = "none")]
mod lines;
pub(crate) mod owners;
#[cfg(target_os = "none")]
pub(crate) mod pci;
pub(crate) mod pci_tree;
pub(crate) mod virtio_mmio;

#[cfg(target_os = "none")]
pub(crate) use device::{BusError, Found, resources};
#[cfg(target_os = "none")]
pub(crate) use owners::Owners;
