//! [`Transitional`]: a device of either interface behind one type, without an allocator.

use toro_core::Deadline;
use toro_core::driver::DeviceFault;
use toro_core::io::Registers;
use toro_core::pci::ConfigSpace;

use super::{
    DeviceType, Doorbell, Interface, InterruptStatus, Interrupts, LegacyMmioTransport, LegacyPciTransport,
    MmioTransport, PciTransport, Probe, QueueIndex, RingAddresses, SharedMemory, Signalling, Transport, TransportError,
    pci,
};
use crate::features::FeatureBits;
use crate::status::DeviceStatus;

/// A transport for the modern interface, or one for the legacy interface.
#[derive(Debug)]
pub enum Transitional<M, L> {
    /// The device speaks the modern interface, whether or not it has the other as well.
    Modern(M),
    /// It speaks the legacy interface only.
    Legacy(L),
}

/// A virtio-mmio device of either version.
pub type TransitionalMmio<R> = Transitional<MmioTransport<R>, LegacyMmioTransport<R>>;

/// A virtio-pci device of either interface.
pub type TransitionalPci<R> = Transitional<PciTransport<R>, LegacyPciTransport<R>>;

impl<R: Registers + Clone> TransitionalMmio<R> {
    /// Takes charge of the device behind these registers, by their version.
    ///
    /// # Errors
    ///
    /// [`TransportError::NotVirtio`] if there is no device.
    pub fn new(registers: R) -> Result<Self, TransportError> {
        match MmioTransport::probe(&registers) {
            Probe::Modern(_) => MmioTransport::new(registers).map(Self::Modern),
            Probe::Legacy(_) => LegacyMmioTransport::new(registers).map(Self::Legacy),
            other => Err(other.refusal()),
        }
    }
}

impl<R: Registers + Clone> TransitionalPci<R> {
    /// Takes charge of a function: by its capabilities, or by its legacy registers if it has no virtio capability at
    /// all (VIRTIO 1.3 §4.1.5.1.1). One whose capabilities are unusable is not taken for a legacy device.
    ///
    /// # Errors
    ///
    /// See [`PciTransport::new`] and [`LegacyPciTransport::new`].
    pub fn new(
        config: &dyn ConfigSpace,
        bars: &[Option<R>; 6],
        interrupts: Interrupts<'_>,
    ) -> Result<Self, TransportError> {
        let (_, id) = pci::identify(config)?;
        if id >= 0x1040 || pci::has_virtio_capability(config) {
            PciTransport::new(config, bars, interrupts).map(Self::Modern)
        } else {
            LegacyPciTransport::new(config, bars, interrupts).map(Self::Legacy)
        }
    }
}

macro_rules! either {
    ($this:ident, $device:ident => $call:expr) => {
        match $this {
            Self::Modern($device) => $call,
            Self::Legacy($device) => $call,
        }
    };
}

impl<M: Transport, L: Transport> Transport for Transitional<M, L> {
    fn device_type(&self) -> DeviceType {
        either!(self, device => device.device_type())
    }

    fn interface(&self) -> Interface {
        either!(self, device => device.interface())
    }

    fn ring_features(&self) -> FeatureBits {
        either!(self, device => device.ring_features())
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        either!(self, device => device.reset(deadline))
    }

    fn status(&self) -> DeviceStatus {
        either!(self, device => device.status())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        either!(self, device => device.set_status(status));
    }

    fn device_features(&mut self) -> FeatureBits {
        either!(self, device => device.device_features())
    }

    fn set_driver_features(&mut self, accepted: FeatureBits) {
        either!(self, device => device.set_driver_features(accepted));
    }

    fn max_queue_size(&mut self, queue: QueueIndex) -> u16 {
        either!(self, device => device.max_queue_size(queue))
    }

    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
        either!(self, device => device.enable_queue(queue, rings))
    }

    fn reset_queue(&mut self, queue: QueueIndex, deadline: Deadline) -> Result<(), TransportError> {
        either!(self, device => device.reset_queue(queue, deadline))
    }

    #[inline]
    fn notify(&self, doorbell: Doorbell, available: u16) {
        either!(self, device => device.notify(doorbell, available));
    }

    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        either!(self, device => device.acknowledge_interrupt())
    }

    fn signalling(&self) -> Signalling {
        either!(self, device => device.signalling())
    }

    fn config(&self) -> &dyn Registers {
        either!(self, device => device.config())
    }

    fn config_generation(&self) -> Option<u32> {
        either!(self, device => device.config_generation())
    }

    fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        either!(self, device => device.shared_memory(id))
    }
}
