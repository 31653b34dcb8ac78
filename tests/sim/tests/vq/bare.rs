//! A transport without registers, of whatever interface a test needs.

use std::sync::{Arc, Mutex, MutexGuard};

use toro_core::driver::DeviceFault;
use toro_core::{Deadline, Registers};
use virtio_queue_rt::transport::{
    Interface, InterruptStatus, RingAddresses, SharedMemory, Signalling, Transport, TransportError,
};
use virtio_queue_rt::{DeviceStatus, DeviceType, Doorbell, FeatureBits, QueueIndex};
use virtio_sim::QueueSetup;

/// What the driver has told the device.
#[derive(Debug, Default)]
pub struct Told {
    pub accepted: FeatureBits,
    pub queue: QueueSetup,
}

/// The driver's end; the test keeps a clone.
#[derive(Clone, Debug)]
pub struct Bare {
    pub interface: Interface,
    pub offered: FeatureBits,
    pub size: u16,
    told: Arc<Mutex<Told>>,
    status: Arc<Mutex<DeviceStatus>>,
}

impl Bare {
    pub fn new(interface: Interface, offered: u64, size: u16) -> Self {
        let offered = FeatureBits::from_bits(offered);
        let status = Arc::new(Mutex::new(DeviceStatus::empty()));
        Self { interface, offered, size, told: Arc::default(), status }
    }

    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no test panics with it")
    }
}

impl Transport for Bare {
    fn device_type(&self) -> DeviceType {
        DeviceType(4)
    }
    fn interface(&self) -> Interface {
        self.interface
    }
    fn ring_features(&self) -> FeatureBits {
        match self.interface {
            Interface::Modern => FeatureBits::RING,
            Interface::Legacy { .. } => FeatureBits::RING_LEGACY,
        }
    }
    fn reset(&mut self, _: Deadline) -> Result<(), TransportError> {
        *self.status.lock().expect("no test panics with it") = DeviceStatus::empty();
        *self.told() = Told::default();
        Ok(())
    }
    fn status(&self) -> DeviceStatus {
        *self.status.lock().expect("no test panics with it")
    }
    fn set_status(&mut self, status: DeviceStatus) {
        *self.status.lock().expect("no test panics with it") = status;
    }
    fn device_features(&mut self) -> FeatureBits {
        self.offered
    }
    fn set_driver_features(&mut self, accepted: FeatureBits) {
        self.told().accepted = accepted;
    }
    fn max_queue_size(&mut self, queue: QueueIndex) -> u16 {
        if queue.0 == 3 { self.size } else { 0 }
    }
    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
        let mut told = self.told();
        told.queue = QueueSetup {
            size: rings.size,
            descriptors: rings.descriptors.get(),
            available: rings.available.get(),
            used: rings.used.get(),
            is_ready: true,
            ..QueueSetup::default()
        };
        Ok(Doorbell::new(queue, 0))
    }
    fn reset_queue(&mut self, _: QueueIndex, _: Deadline) -> Result<(), TransportError> {
        Ok(())
    }
    fn notify(&self, _: Doorbell, _: u16) {}
    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        Ok(InterruptStatus::NONE)
    }
    fn signalling(&self) -> Signalling {
        Signalling::Polled
    }
    fn config(&self) -> &dyn Registers {
        unreachable!("these tests read no configuration")
    }
    fn config_generation(&self) -> Option<u32> {
        None
    }
    fn shared_memory(&self, _: u8) -> Option<SharedMemory> {
        None
    }
}
