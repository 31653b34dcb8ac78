//! Machines as their monitors describe them to a guest, byte for byte, and what the kernel makes of each.
//!
//! ```text
//!   build               memory, tables, AML and start information, as a monitor lays them out
//!   firecracker         registers in memory or PCI, no firmware, no power-off
//!   cloud_hypervisor    PCI, no firmware, a register for power-off and reset
//!   qemu                pc, q35 and microvm, with their firmware's tables as far as they matter for power
//! ```
//!
//! Neither Firecracker nor Cloud Hypervisor runs without hardware virtualisation. What their guests see is known, so the
//! kernel's own code reads that here: which memory there is, which processors, interrupt controllers, devices and lines, and
//! how the machine ends. Addresses and values are those that the monitors use.

mod build;
mod cloud_hypervisor;
mod firecracker;
mod qemu;
