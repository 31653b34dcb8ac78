//! From what a bus hands out to a transport, for drivers that take either kind.

use alloc::boxed::Box;

use toro_core::driver::{AttachError, DeviceId, Location, Resources};

use crate::transport::{DeviceType, Interrupts, PCI_VENDOR, TransitionalMmio, TransitionalPci, Transport};

/// A transport of any kind, for a driver that is compiled once.
pub type BoxedTransport = Box<dyn Transport + Send>;

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

/// Splits resources into the transport, modern where the device is and legacy where it is not, and what the platform
/// provides.
///
/// # Errors
///
/// [`AttachError::Resources`]: what is missing, or that the device is of another type.
pub fn open(resources: Resources, device_type: DeviceType) -> Result<Opened, AttachError> {
    let transport: BoxedTransport = match resources.location {
        Location::Pci(function) => {
            let interrupts = Interrupts::Messages(&function.messages);
            Box::new(TransitionalPci::new(&*function.config, &function.bars, interrupts)?)
        }
        Location::Mmio(device) => Box::new(TransitionalMmio::new(device.registers)?),
        _ => return Err(AttachError::Resources("neither PCI nor memory-mapped registers")),
    };
    if transport.device_type() != device_type {
        return Err(AttachError::Resources("another device type"));
    }
    Ok(Opened { transport, memory: resources.memory, clock: resources.clock })
}

/// See [`open`].
pub struct Opened {
    /// The device's registers.
    pub transport: BoxedTransport,
    /// The platform's memory.
    pub memory: toro_core::Dma,
    /// The platform's clock.
    pub clock: &'static dyn toro_core::Clock,
}

impl core::fmt::Debug for Opened {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Opened({:?})", self.transport.device_type())
    }
}
