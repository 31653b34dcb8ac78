//! How a driver reaches the registers of a device: [`Transport`], over PCI or memory-mapped.
//!
//! A transport moves words between the driver and the device's registers; the *order* in which they must move is
//! known to [`init`](crate::init) alone. The trait is object-safe, so that a driver may be compiled once for
//! `Box<dyn Transport>` or for one concrete transport.
//!
//! | transport | specification | constructor |
//! |---|---|---|
//! | [`PciTransport`] | VIRTIO 1.3 §4.1, modern devices | from configuration space and mapped BARs |
//! | [`LegacyPciTransport`] | §4.1.4.10, legacy devices | likewise |
//! | [`TransitionalPci`] | whichever of the two the device speaks | likewise |
//! | [`MmioTransport`] | §4.2, version 2 | from a register block |
//! | [`LegacyMmioTransport`] | §4.2.4, version 1 | likewise |
//! | [`TransitionalMmio`] | whichever of the two the device speaks | likewise |

mod error;
mod mmio;
mod mmio_legacy;
mod order;
mod pci;
mod pci_legacy;
mod transitional;
mod types;

use core::fmt;

use toro_core::driver::DeviceFault;
use toro_core::{Deadline, Registers};

pub use self::error::TransportError;
pub use self::mmio::{MmioTransport, Probe};
pub use self::mmio_legacy::LegacyMmioTransport;
pub use self::pci::{Interrupts, PciTransport};
pub use self::pci_legacy::LegacyPciTransport;
pub use self::transitional::{Transitional, TransitionalMmio, TransitionalPci};
pub use self::types::{
    DeviceType, Doorbell, DoorbellContent, Interface, InterruptStatus, PCI_VENDOR, QueueIndex, QueueSizing,
    RingAddresses, SharedMemory, Signalling,
};
use crate::features::FeatureBits;
use crate::status::DeviceStatus;

/// Access to the registers of one device.
///
/// Duties of an implementer: a call makes exactly the register accesses that it stands for; `reset` and
/// `reset_queue` return `Ok` only when the device has confirmed that it is reset, because memory is reused on the
/// strength of it; waits are bounded by the deadline given.
///
/// Where a transport is [`Sync`], the queues of its device may have owners on several cores, which share it: then
/// `notify`, `signalling`, `acknowledge_interrupt`, `status`, `config` and `config_generation` do what they say
/// whatever the others do meanwhile. All else has one caller at a time.
pub trait Transport {
    /// Which type of device it is; read once, when the transport was made.
    fn device_type(&self) -> DeviceType;

    /// Which interface its registers speak; known when the transport was made.
    fn interface(&self) -> Interface;

    /// The ring and transport features that can be used through these registers. What the device offers beyond them
    /// is not accepted.
    fn ring_features(&self) -> FeatureBits;

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

    /// Reads the offered features, as many bits as the interface has.
    fn device_features(&mut self) -> FeatureBits;

    /// Writes the accepted features, as many bits as the interface has. Queues are set up according to them.
    fn set_driver_features(&mut self, accepted: FeatureBits);

    /// The largest size that a queue may have, as the device says it; 0 if there is no such queue.
    fn max_queue_size(&mut self, queue: QueueIndex) -> u16;

    /// Tells the device where a queue is, and starts it.
    ///
    /// # Errors
    ///
    /// The device does not have the queue, has it in use already, or does not take what was written. It may know
    /// the addresses all the same, until it is reset, unless the error is [`TransportError::NoSuchQueue`].
    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError>;

    /// Stops a queue and waits until the device confirms: it does not use the queue's memory any more. Asked for only
    /// where [`RING_RESET`](FeatureBits::RING_RESET) was negotiated.
    ///
    /// # Errors
    ///
    /// [`TransportError::TimedOut`] if the device does not confirm in time; the memory stays the device's.
    fn reset_queue(&mut self, queue: QueueIndex, deadline: Deadline) -> Result<(), TransportError>;

    /// Tells the device that a queue has new buffers, its available index having become `available`: one store.
    fn notify(&self, doorbell: Doorbell, available: u16);

    /// Reads why the device interrupted, and tells it that this is known. Where each event has a message of its
    /// own (MSI-X), there is nothing to read and both are reported.
    ///
    /// # Errors
    ///
    /// [`DeviceFault::Gone`] if the register reads as all ones.
    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault>;

    /// How queues interrupt; known when the transport was made.
    fn signalling(&self) -> Signalling;

    /// The device-specific configuration.
    fn config(&self) -> &dyn Registers;

    /// A number that changes when the configuration does; `None` if the interface has none.
    fn config_generation(&self) -> Option<u32>;

    /// The region of shared memory with this id; `None` if there is none, or its description makes no sense.
    fn shared_memory(&self, id: u8) -> Option<SharedMemory>;
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

impl fmt::Debug for dyn Transport + Send + Sync + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({:?})", self.device_type())
    }
}

macro_rules! forward_transport {
    ($($target:ty),*) => {$(
        impl<T: Transport + ?Sized> Transport for $target {
            fn device_type(&self) -> DeviceType { (**self).device_type() }
            fn interface(&self) -> Interface { (**self).interface() }
            fn ring_features(&self) -> FeatureBits { (**self).ring_features() }
            fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> { (**self).reset(deadline) }
            fn status(&self) -> DeviceStatus { (**self).status() }
            fn set_status(&mut self, status: DeviceStatus) { (**self).set_status(status) }
            fn device_features(&mut self) -> FeatureBits { (**self).device_features() }
            fn set_driver_features(&mut self, accepted: FeatureBits) { (**self).set_driver_features(accepted) }
            fn max_queue_size(&mut self, queue: QueueIndex) -> u16 { (**self).max_queue_size(queue) }
            fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
                (**self).enable_queue(queue, rings)
            }
            fn reset_queue(&mut self, queue: QueueIndex, deadline: Deadline) -> Result<(), TransportError> {
                (**self).reset_queue(queue, deadline)
            }
            #[inline]
            fn notify(&self, doorbell: Doorbell, available: u16) { (**self).notify(doorbell, available) }
            fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
                (**self).acknowledge_interrupt()
            }
            fn signalling(&self) -> Signalling { (**self).signalling() }
            fn config(&self) -> &dyn Registers { (**self).config() }
            fn config_generation(&self) -> Option<u32> { (**self).config_generation() }
            fn shared_memory(&self, id: u8) -> Option<SharedMemory> { (**self).shared_memory(id) }
        }
    )*};
}
forward_transport!(&mut T);
#[cfg(feature = "alloc")]
forward_transport!(alloc::boxed::Box<T>);

/// Reads several fields, or a wide one, of the device configuration as they were at one moment (VIRTIO 1.3
/// §2.5.1): `read` is called again while the generation changes around it or, where the interface has no generation
/// (§2.5.4), until it gives the same twice in a row.
///
/// # Errors
///
/// [`TransportError::UnstableConfiguration`] after 64 attempts.
pub fn read_config<T: Transport + ?Sized, V: PartialEq>(
    transport: &T,
    read: impl Fn(&dyn Registers) -> V,
) -> Result<V, TransportError> {
    const ATTEMPTS: u32 = 64;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let before = transport.config_generation();
        let value = read(transport.config());
        let is_consistent = match before {
            Some(_) => transport.config_generation() == before,
            None => last.as_ref() == Some(&value),
        };
        if is_consistent {
            return Ok(value);
        }
        last = Some(value);
    }
    Err(TransportError::UnstableConfiguration)
}

/// What a register says about a reset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResetProgress {
    /// It is confirmed.
    Done,
    /// Not yet.
    Underway,
    /// It reads as all ones: there is no device.
    Gone,
}

/// Waits until a reset is confirmed.
fn wait_for(deadline: Deadline, progress: impl Fn() -> ResetProgress) -> Result<(), TransportError> {
    let mut last = ResetProgress::Underway;
    let looked = deadline.wait_until(|| {
        last = progress();
        last != ResetProgress::Underway
    });
    match (looked, last) {
        (Ok(()), ResetProgress::Done) => Ok(()),
        (_, ResetProgress::Gone) => Err(TransportError::Gone),
        _ => Err(TransportError::TimedOut),
    }
}

/// Resets a device: `request` asks for it, `progress` says how far it is.
///
/// A device whose first queue is in use afterwards is reset once more; if that does not help, the queue is refused
/// when it is set up.
fn reset_until(
    deadline: Deadline,
    request: impl Fn(),
    progress: impl Fn() -> ResetProgress,
    is_queue_in_use: impl Fn() -> bool,
) -> Result<(), TransportError> {
    request();
    wait_for(deadline, &progress)?;
    if is_queue_in_use() {
        request();
        wait_for(deadline, progress)?;
    }
    Ok(())
}

/// The number of a legacy queue's first page.
fn page_number(queue: QueueIndex, rings: &RingAddresses) -> Result<u32, TransportError> {
    let address = rings.descriptors.get();
    if address == 0 || !address.is_multiple_of(4096) {
        return Err(TransportError::QueueRefused(queue));
    }
    u32::try_from(address / 4096).map_err(|_| TransportError::AddressTooHigh(queue))
}
