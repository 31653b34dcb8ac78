//! Legacy virtio over PCI (VIRTIO 1.3 §4.1.4.10): one block of ports, in BAR 0.
//!
//! ```text
//!   0x00 offered features   0x04 accepted ones   0x08 page number of a queue   0x0c its size   0x0e queue select
//!   0x10 notify             0x12 status          0x13 interrupt status: reading it clears it
//!   0x14 vector for configuration changes        0x16 vector of a queue        while MSI-X is enabled, else nothing
//!   0x14 or 0x18 device configuration
//! ```
//!
//! A queue is one block of memory, of as many descriptors as the device says, named by the number of its first page.
//! Writing that number starts the queue; reading it tells whether the queue is in use.

use toro_core::Deadline;
use toro_core::driver::DeviceFault;
use toro_core::io::{ReadClears, ReadOnly, ReadWrite, Reg, Registers, Window, WriteOnly};
use toro_core::pci::ConfigSpace;

use super::order::GuestOrder;
use super::pci::{self, Interrupts, Signals};
use super::{
    DeviceType, Doorbell, Interface, InterruptStatus, QueueIndex, QueueSizing, RingAddresses, SharedMemory, Signalling,
    Transport, TransportError, page_number, reset_until,
};
use crate::features::FeatureBits;
use crate::status::DeviceStatus;

const DEVICE_FEATURES: Reg<u32, ReadOnly> = Reg::at(0x00);
const DRIVER_FEATURES: Reg<u32, ReadWrite> = Reg::at(0x04);
const QUEUE_ADDRESS: Reg<u32, ReadWrite> = Reg::at(0x08);
const QUEUE_SIZE: Reg<u16, ReadOnly> = Reg::at(0x0c);
const QUEUE_SELECT: Reg<u16, ReadWrite> = Reg::at(0x0e);
const QUEUE_NOTIFY: Reg<u16, WriteOnly> = Reg::at(0x10);
const DEVICE_STATUS: Reg<u8, ReadWrite> = Reg::at(0x12);
const ISR: Reg<u8, ReadClears> = Reg::at(0x13);
const CONFIG_MSIX_VECTOR: Reg<u16, ReadWrite> = Reg::at(0x14);
const QUEUE_MSIX_VECTOR: Reg<u16, ReadWrite> = Reg::at(0x16);

/// What the used ring is aligned to.
const ALIGN: u16 = 4096;

/// A legacy virtio-pci device.
#[derive(Debug)]
pub struct LegacyPciTransport<R> {
    ports: R,
    config: GuestOrder<Window<R>>,
    device_type: DeviceType,
    signals: Signals,
}

impl<R: Registers + Clone> LegacyPciTransport<R> {
    /// Takes charge of a function by its legacy registers: enables decoding and bus mastering, and sets its
    /// interrupts up.
    ///
    /// `bars` are the mapped BARs, by number. Transitional functions have these registers, too; whoever can drive
    /// both takes the modern ones.
    ///
    /// # Errors
    ///
    /// [`TransportError::NotVirtio`] for another vendor or device, or one that has no legacy form;
    /// [`TransportError::Missing`] if the registers are not there, or messages were given and there is no usable
    /// MSI-X.
    pub fn new(
        config: &dyn ConfigSpace,
        bars: &[Option<R>; 6],
        interrupts: Interrupts<'_>,
    ) -> Result<Self, TransportError> {
        let (device_type, id) = pci::identify(config)?;
        if id >= 0x1040 {
            return Err(TransportError::NotVirtio("not a device id of legacy devices"));
        }
        let missing = TransportError::Missing("legacy registers");
        let ports = bars[0].clone().filter(|ports| ports.len() >= 0x18).ok_or(missing)?;
        pci::enable(config, interrupts);
        let signals = Signals::new(config, bars, interrupts)?;
        let start = if signals.has_messages() { 0x18 } else { 0x14 };
        let device_config = Window::new(ports.clone(), start, ports.len() - start).ok_or(missing)?;
        Ok(Self { ports, config: GuestOrder(device_config), device_type, signals })
    }

    fn select(&self, queue: QueueIndex) {
        QUEUE_SELECT.write(&self.ports, queue.0);
    }
}

impl<R: Registers + Clone> Transport for LegacyPciTransport<R> {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn interface(&self) -> Interface {
        Interface::Legacy { queue_align: ALIGN, sizing: QueueSizing::Fixed }
    }

    fn ring_features(&self) -> FeatureBits {
        FeatureBits::RING_LEGACY
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        let ports = &self.ports;
        reset_until(
            deadline,
            || DEVICE_STATUS.write(ports, 0),
            || pci::reset_progress(DEVICE_STATUS.read(ports)),
            || {
                QUEUE_SELECT.write(ports, 0);
                QUEUE_ADDRESS.read(ports) != 0
            },
        )?;
        self.signals.map_config(ports, CONFIG_MSIX_VECTOR);
        Ok(())
    }

    fn status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(DEVICE_STATUS.read(&self.ports))
    }

    fn set_status(&mut self, status: DeviceStatus) {
        DEVICE_STATUS.write(&self.ports, status.bits());
    }

    fn device_features(&mut self) -> FeatureBits {
        FeatureBits::from_bits(u64::from(DEVICE_FEATURES.read(&self.ports)))
    }

    fn set_driver_features(&mut self, accepted: FeatureBits) {
        DRIVER_FEATURES.write(&self.ports, accepted.bits() as u32);
    }

    fn max_queue_size(&mut self, queue: QueueIndex) -> u16 {
        self.select(queue);
        QUEUE_SIZE.read(&self.ports)
    }

    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
        let page = page_number(queue, rings)?;
        match self.max_queue_size(queue) {
            0 => return Err(TransportError::NoSuchQueue(queue)),
            size if size != rings.size => return Err(TransportError::QueueRefused(queue)),
            _ => {}
        }
        if QUEUE_ADDRESS.read(&self.ports) != 0 {
            return Err(TransportError::QueueRefused(queue));
        }
        // The vector before the address, which starts the queue.
        self.signals.map_queue(&self.ports, QUEUE_MSIX_VECTOR, queue)?;
        QUEUE_ADDRESS.write(&self.ports, page);
        if QUEUE_ADDRESS.read(&self.ports) != page {
            return Err(TransportError::QueueRefused(queue));
        }
        Ok(Doorbell::new(queue, QUEUE_NOTIFY.offset() as u32))
    }

    fn reset_queue(&mut self, _: QueueIndex, _: Deadline) -> Result<(), TransportError> {
        Err(TransportError::NotNegotiated(FeatureBits::RING_RESET))
    }

    #[inline]
    fn notify(&self, doorbell: Doorbell, available: u16) {
        QUEUE_NOTIFY.write(&self.ports, doorbell.word(available) as u16);
    }

    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        self.signals.acknowledge(|| ISR.take(&self.ports))
    }

    fn signalling(&self) -> Signalling {
        self.signals.signalling()
    }

    fn config(&self) -> &dyn Registers {
        &self.config
    }

    fn config_generation(&self) -> Option<u32> {
        None
    }

    fn shared_memory(&self, _: u8) -> Option<SharedMemory> {
        None
    }
}
