//! From what a bus hands out to a transport, for drivers that take either kind.

use alloc::boxed::Box;
use core::num::NonZeroU16;

use toro_core::driver::{AttachError, DeviceId, Location, Resources};

use crate::transport::{DeviceType, Interrupts, PCI_VENDOR, QueueIndex, Transport};
// What devices are opened with.
#[cfg(not(feature = "legacy"))]
use crate::transport::{MmioTransport as Mmio, PciTransport as Pci};
#[cfg(feature = "legacy")]
use crate::transport::{TransitionalMmio as Mmio, TransitionalPci as Pci};

/// A transport of any kind, for a driver that is compiled once. The owners of several queues can share it.
pub type BoxedTransport = Box<dyn Transport + Send + Sync>;

/// Whether the id is that of a virtio device of this type.
pub fn matches(id: &DeviceId, device_type: DeviceType) -> bool {
    match *id {
        DeviceId::Pci { vendor, device, .. } => {
            vendor == PCI_VENDOR && DeviceType::from_pci_device_id(device) == Some(device_type)
        }
        DeviceId::VirtioMmio { device_type: found } => found == device_type.0,
        _ => false,
    }
}

/// Splits resources into the transport, modern where the device is and legacy where it is not (with the feature `legacy`), and
/// what the platform provides, for a driver that makes one object of the device: all its queues interrupt the first owner.
///
/// # Errors
///
/// [`AttachError::Resources`]: what is missing, or that the device is of another type.
pub fn open(resources: Resources, device_type: DeviceType) -> Result<Opened, AttachError> {
    open_divided(Resources { owners: NonZeroU16::MIN, ..resources }, device_type, |_| 0)
}

/// As [`open`], for a driver that divides the queues of the device among as many owners as the platform wishes:
/// `owner_of` says whose a queue is, and the queue interrupts that one, or nobody if there is no such owner.
///
/// # Errors
///
/// As `open`.
pub fn open_divided(
    resources: Resources,
    device_type: DeviceType,
    owner_of: fn(QueueIndex) -> u16,
) -> Result<Opened, AttachError> {
    let Resources { location, memory, clock, owners } = resources;
    let transport: BoxedTransport = match location {
        Location::Pci(function) => {
            let messages = function.messages.get(..owners.get().into()).unwrap_or(&function.messages);
            let interrupts = Interrupts::Assigned { messages, of_queue: owner_of };
            Box::new(Pci::new(&*function.config, &function.bars, interrupts)?)
        }
        Location::Mmio(device) => Box::new(Mmio::new(device.registers)?),
        _ => return Err(AttachError::Resources("neither PCI nor memory-mapped registers")),
    };
    if transport.device_type() != device_type {
        return Err(AttachError::Resources("another device type"));
    }
    Ok(Opened { transport, memory, clock, owners })
}

/// See [`open`].
pub struct Opened {
    /// The device's registers.
    pub transport: BoxedTransport,
    /// The platform's memory.
    pub memory: toro_core::Dma,
    /// The platform's clock.
    pub clock: &'static dyn toro_core::Clock,
    /// How many owners the device may be divided among.
    pub owners: NonZeroU16,
}

impl core::fmt::Debug for Opened {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Opened({:?})", self.transport.device_type())
    }
}
