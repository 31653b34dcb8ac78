//! Memory-mapped registers, version 1: the legacy interface (VIRTIO 1.3 §4.2.4).
//!
//! ```text
//!   0x000 magic   0x004 version  0x008 device type  0x00c vendor
//!   0x010 offered features, selected by 0x014      0x020 accepted ones, by 0x024      0x028 page size
//!   0x030 queue select   0x034 largest size   0x038 size   0x03c alignment   0x040 page number   0x050 notify
//!   0x060 interrupt status   0x064 acknowledge   0x070 status   0x100 device configuration
//! ```
//!
//! A queue is one block of memory, named by the number of its first page; writing that number starts the queue, and
//! reading it tells whether the queue is in use. The registers that the version does not have are never touched.
//!
//! There are 32 features: a device of this version that offers more, VERSION_1 among them, contradicts itself, and
//! the others are not looked at.

use toro_core::Deadline;
use toro_core::driver::DeviceFault;
use toro_core::io::{ReadWrite, Reg, Registers, Window, WriteOnly};

use super::mmio::{self, MmioTransport, Probe};
use super::order::GuestOrder;
use super::{
    DeviceType, Doorbell, Interface, InterruptStatus, QueueIndex, QueueSizing, RingAddresses, SharedMemory, Signalling,
    Transport, TransportError, page_number,
};
use crate::features::FeatureBits;
use crate::status::DeviceStatus;

const GUEST_PAGE_SIZE: Reg<u32, WriteOnly> = Reg::at(0x028);
const QUEUE_ALIGN: Reg<u32, WriteOnly> = Reg::at(0x03c);
const QUEUE_PFN: Reg<u32, ReadWrite> = Reg::at(0x040);

/// What pages are counted in, and what the used ring is aligned to.
const PAGE: u16 = 4096;

/// A virtio-mmio device of version 1.
#[derive(Debug)]
pub struct LegacyMmioTransport<R> {
    control: R,
    config: GuestOrder<Window<R>>,
    device_type: DeviceType,
}

impl<R: Registers + Clone> LegacyMmioTransport<R> {
    /// Takes charge of the device behind these registers.
    ///
    /// # Errors
    ///
    /// [`TransportError::NotVirtio`] if there is no device, or none of version 1.
    pub fn new(registers: R) -> Result<Self, TransportError> {
        let device_type = match MmioTransport::probe(&registers) {
            Probe::Legacy(device_type) => device_type,
            other => return Err(other.refusal()),
        };
        let config = mmio::config_window(&registers)?;
        Ok(Self { control: registers, config: GuestOrder(config), device_type })
    }

    fn select(&self, queue: QueueIndex) {
        mmio::QUEUE_SELECT.write(&self.control, u32::from(queue.0));
    }
}

impl<R: Registers + Clone> Transport for LegacyMmioTransport<R> {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn interface(&self) -> Interface {
        Interface::Legacy { queue_align: PAGE, sizing: QueueSizing::Chosen }
    }

    fn ring_features(&self) -> FeatureBits {
        FeatureBits::RING_LEGACY
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        mmio::reset(&self.control, deadline, |control| {
            mmio::QUEUE_SELECT.write(control, 0);
            QUEUE_PFN.read(control) != 0
        })?;
        // Before any queue, and after whatever a reset may forget.
        GUEST_PAGE_SIZE.write(&self.control, u32::from(PAGE));
        Ok(())
    }

    fn status(&self) -> DeviceStatus {
        mmio::status(&self.control)
    }

    fn set_status(&mut self, status: DeviceStatus) {
        mmio::STATUS.write(&self.control, u32::from(status.bits()));
    }

    fn device_features(&mut self) -> FeatureBits {
        mmio::DEVICE_FEATURES_SELECT.write(&self.control, 0);
        FeatureBits::from_bits(u64::from(mmio::DEVICE_FEATURES.read(&self.control)))
    }

    fn set_driver_features(&mut self, accepted: FeatureBits) {
        mmio::DRIVER_FEATURES_SELECT.write(&self.control, 0);
        mmio::DRIVER_FEATURES.write(&self.control, accepted.bits() as u32);
    }

    fn max_queue_size(&mut self, queue: QueueIndex) -> u16 {
        self.select(queue);
        u16::try_from(mmio::QUEUE_SIZE_MAX.read(&self.control)).unwrap_or(u16::MAX)
    }

    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
        let page = page_number(queue, rings)?;
        self.select(queue);
        if QUEUE_PFN.read(&self.control) != 0 {
            return Err(TransportError::QueueRefused(queue));
        }
        match mmio::QUEUE_SIZE_MAX.read(&self.control) {
            0 => return Err(TransportError::NoSuchQueue(queue)),
            max if u32::from(rings.size) > max => return Err(TransportError::QueueRefused(queue)),
            _ => {}
        }
        mmio::QUEUE_SIZE.write(&self.control, u32::from(rings.size));
        QUEUE_ALIGN.write(&self.control, u32::from(PAGE));
        QUEUE_PFN.write(&self.control, page);
        if QUEUE_PFN.read(&self.control) != page {
            return Err(TransportError::QueueRefused(queue));
        }
        Ok(Doorbell::new(queue, mmio::QUEUE_NOTIFY.offset() as u32))
    }

    fn reset_queue(&mut self, _: QueueIndex, _: Deadline) -> Result<(), TransportError> {
        Err(TransportError::NotNegotiated(FeatureBits::RING_RESET))
    }

    #[inline]
    fn notify(&self, doorbell: Doorbell, available: u16) {
        mmio::QUEUE_NOTIFY.write(&self.control, doorbell.word(available));
    }

    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        mmio::acknowledge(&self.control)
    }

    fn signalling(&self) -> Signalling {
        Signalling::Line
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
