//! How a driver reaches the registers of a device: [`Transport`], over PCI or memory-mapped.
//!
//! A transport moves words between the driver and the device's registers; the *order* in which they must move is
//! known to [`init`](crate::init) alone. The trait is object-safe, so that a driver may be compiled once for
//! `Box<dyn Transport>` or for one concrete transport.
//!
//! | transport | specification | constructor |
//! |---|---|---|
//! | [`PciTransport`] | VIRTIO 1.3 §4.1, modern devices | from configuration space and mapped BARs |
//! | [`MmioTransport`] | VIRTIO 1.3 §4.2, version 2 | from a register block |

mod mmio;
mod pci;

use core::fmt;

pub use mmio::{MmioTransport, Probe};
pub use pci::PciTransport;
use toro_core::{BusAddr, Deadline, Registers};

use crate::features::FeatureBits;
use crate::status::DeviceStatus;

/// A device type number (VIRTIO 1.3 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceType(pub u32);

impl DeviceType {
    /// Network device.
    pub const NETWORK: Self = Self(1);
    /// Block device.
    pub const BLOCK: Self = Self(2);
    /// File system device.
    pub const FILE_SYSTEM: Self = Self(26);

    /// The PCI device id of the modern form of this device type, under vendor [`PCI_VENDOR`].
    pub const fn pci_device_id(self) -> u16 {
        0x1040 + self.0 as u16
    }

    /// The device type behind a PCI device id, transitional ids included; `None` if it is not a virtio id.
    pub const fn from_pci_device_id(id: u16) -> Option<Self> {
        Some(Self(match id {
            0x1000 => 1,
            0x1001 => 2,
            0x1002 => 5,
            0x1003 => 3,
            0x1004 => 8,
            0x1005 => 4,
            0x1009 => 9,
            0x1041..=0x107f => id as u32 - 0x1040,
            _ => return None,
        }))
    }
}

/// The PCI vendor id of virtio devices.
pub const PCI_VENDOR: u16 = 0x1af4;

/// The number of a queue of a device, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueIndex(pub u16);

/// Where the three parts of a split virtqueue are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingAddresses {
    /// Number of descriptors: a power of two, at most 32,768.
    pub size: u16,
    /// The descriptor table, aligned to 16 bytes.
    pub descriptors: BusAddr,
    /// The available ring (the "driver area"), aligned to 2 bytes.
    pub available: BusAddr,
    /// The used ring (the "device area"), aligned to 4 bytes.
    pub used: BusAddr,
}

/// What to write where so that the device looks at a queue: found once, used for every notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// Offset in the transport's notification registers.
    pub(crate) offset: u32,
    /// The queue's index.
    pub(crate) queue: u16,
}

impl Doorbell {
    /// For a transport of another crate: what it will be given in [`Transport::notify`].
    pub const fn new(queue: QueueIndex, offset: u32) -> Self {
        Self { offset, queue: queue.0 }
    }

    /// Which queue it is for.
    pub const fn queue(self) -> QueueIndex {
        QueueIndex(self.queue)
    }

    /// The offset that it was made with.
    pub const fn offset(self) -> u32 {
        self.offset
    }
}

/// Why a device interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct InterruptStatus {
    /// Some queue may have used buffers.
    pub queues: bool,
    /// The configuration may have changed.
    pub configuration: bool,
}

/// Access to the registers of one device.
///
/// Duties of an implementer: a call makes exactly the register accesses that it stands for; `reset` returns `Ok`
/// only when the device has confirmed that it is reset, because memory is reused on the strength of it; waits are
/// bounded by the deadline given.
pub trait Transport {
    /// Which type of device it is; read once, when the transport was made.
    fn device_type(&self) -> DeviceType;

    /// Resets the device and waits until it confirms (status reads 0). All that was set up is forgotten.
    ///
    /// # Errors
    ///
    /// [`TransportError::TimedOut`] if the device does not confirm in time.
    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError>;

    /// Reads the status field.
    fn status(&self) -> DeviceStatus;

    /// Writes the status field.
    fn set_status(&mut self, status: DeviceStatus);

    /// Reads the offered features, all 64 bits.
    fn device_features(&mut self) -> FeatureBits;

    /// Writes the accepted features, all 64 bits.
    fn set_driver_features(&mut self, accepted: FeatureBits);

    /// The largest size that a queue may have, as the device says it; 0 if there is no such queue.
    fn max_queue_size(&mut self, queue: QueueIndex) -> u16;

    /// Tells the device where a queue is, and starts it.
    ///
    /// # Errors
    ///
    /// The device does not have the queue, has it in use already, or does not take what was written. It may know
    /// the addresses all the same, until it is reset.
    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError>;

    /// Tells the device that a queue has new buffers: one store.
    fn notify(&self, doorbell: Doorbell);

    /// Reads why the device interrupted, and tells it that this is known. Where each event has a message of its
    /// own (MSI-X), there is nothing to read and both are reported.
    fn acknowledge_interrupt(&self) -> InterruptStatus;

    /// The device-specific configuration.
    fn config(&self) -> &dyn Registers;

    /// A number that changes when the configuration does.
    fn config_generation(&self) -> u32;
}

impl fmt::Debug for dyn Transport + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({:?})", self.device_type())
    }
}

impl fmt::Debug for dyn Transport + Send + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({:?})", self.device_type())
    }
}

macro_rules! forward_transport {
    ($($target:ty),*) => {$(
        impl<T: Transport + ?Sized> Transport for $target {
            fn device_type(&self) -> DeviceType { (**self).device_type() }
            fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> { (**self).reset(deadline) }
            fn status(&self) -> DeviceStatus { (**self).status() }
            fn set_status(&mut self, status: DeviceStatus) { (**self).set_status(status) }
            fn device_features(&mut self) -> FeatureBits { (**self).device_features() }
            fn set_driver_features(&mut self, accepted: FeatureBits) { (**self).set_driver_features(accepted) }
            fn max_queue_size(&mut self, queue: QueueIndex) -> u16 { (**self).max_queue_size(queue) }
            fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
                (**self).enable_queue(queue, rings)
            }
            #[inline]
            fn notify(&self, doorbell: Doorbell) { (**self).notify(doorbell) }
            fn acknowledge_interrupt(&self) -> InterruptStatus { (**self).acknowledge_interrupt() }
            fn config(&self) -> &dyn Registers { (**self).config() }
            fn config_generation(&self) -> u32 { (**self).config_generation() }
        }
    )*};
}
forward_transport!(&mut T);
#[cfg(feature = "alloc")]
forward_transport!(alloc::boxed::Box<T>);

/// What can go wrong between driver and registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// The registers are not those of a virtio device that this transport can drive.
    NotVirtio(&'static str),
    /// A capability or register block that every device must have is missing or unusable.
    Missing(&'static str),
    /// The device did not answer in time.
    TimedOut,
    /// The device has no such queue.
    NoSuchQueue(QueueIndex),
    /// The queue is in use, or did not take its configuration.
    QueueRefused(QueueIndex),
    /// The place to notify the queue lies outside the device's registers.
    BadDoorbell(QueueIndex),
    /// The device has no interrupt vector left for the queue.
    NoVector(QueueIndex),
    /// The configuration changed each time it was read.
    UnstableConfiguration,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVirtio(why) => write!(f, "not a usable virtio device: {why}"),
            Self::Missing(what) => write!(f, "the device has no usable {what}"),
            Self::TimedOut => f.write_str("the device did not answer in time"),
            Self::NoSuchQueue(queue) => write!(f, "the device has no queue {}", queue.0),
            Self::QueueRefused(queue) => write!(f, "queue {} did not take its configuration", queue.0),
            Self::BadDoorbell(queue) => write!(f, "queue {} is to be notified outside the device's registers", queue.0),
            Self::NoVector(queue) => write!(f, "queue {} got no interrupt vector", queue.0),
            Self::UnstableConfiguration => f.write_str("the configuration changes faster than it can be read"),
        }
    }
}

impl core::error::Error for TransportError {}

/// Reads several fields, or a wide one, of the device configuration as they were at one moment (VIRTIO 1.3
/// §2.5.1): `read` is called again while the generation changes around it.
///
/// # Errors
///
/// [`TransportError::UnstableConfiguration`] after 64 attempts.
pub fn read_config<T: Transport + ?Sized, V>(
    transport: &T,
    read: impl Fn(&dyn Registers) -> V,
) -> Result<V, TransportError> {
    const ATTEMPTS: u32 = 64;
    for _ in 0..ATTEMPTS {
        let before = transport.config_generation();
        let value = read(transport.config());
        if transport.config_generation() == before {
            return Ok(value);
        }
    }
    Err(TransportError::UnstableConfiguration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_1_pci_2_device_ids_name_device_types() {
        assert_eq!(DeviceType::from_pci_device_id(0x1041), Some(DeviceType::NETWORK));
        assert_eq!(DeviceType::from_pci_device_id(0x1000), Some(DeviceType::NETWORK));
        assert_eq!(DeviceType::from_pci_device_id(0x105a), Some(DeviceType::FILE_SYSTEM));
        for not_virtio in [0x1040, 0x0fff, 0x1080, 0x100a, 0] {
            assert_eq!(DeviceType::from_pci_device_id(not_virtio), None);
        }
        assert_eq!(DeviceType::FILE_SYSTEM.pci_device_id(), 0x105a);
    }
}
