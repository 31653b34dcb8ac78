//! Memory-mapped registers, version 2 (VIRTIO 1.3 §4.2).
//!
//! ```text
//!   0x000 magic   0x004 version  0x008 device type  0x00c vendor
//!   0x010 offered features, 32 at a time, selected by 0x014     0x020 accepted ones, by 0x024
//!   0x030 queue select   0x034 largest size   0x038 size   0x044 ready   0x050 notify
//!   0x060 interrupt status   0x064 acknowledge   0x070 status
//!   0x080 descriptors   0x090 available   0x0a0 used   0x0fc generation   0x100 device configuration
//! ```
//!
//! Control registers are accessed by aligned 32-bit words only; some devices ignore anything else.

use toro_core::driver::DeviceFault;
use toro_core::io::{ReadOnly, ReadWrite, Reg, Registers, Window, WriteOnly};
use toro_core::{BusAddr, Deadline};

use super::{
    DeviceType, Doorbell, Interface, InterruptStatus, QueueIndex, RingAddresses, SharedMemory, Transport,
    TransportError,
};
use crate::features::FeatureBits;
use crate::status::DeviceStatus;

const MAGIC: Reg<u32, ReadOnly> = Reg::at(0x000);
const VERSION: Reg<u32, ReadOnly> = Reg::at(0x004);
const DEVICE_ID: Reg<u32, ReadOnly> = Reg::at(0x008);
const DEVICE_FEATURES: Reg<u32, ReadOnly> = Reg::at(0x010);
const DEVICE_FEATURES_SELECT: Reg<u32, WriteOnly> = Reg::at(0x014);
const DRIVER_FEATURES: Reg<u32, WriteOnly> = Reg::at(0x020);
const DRIVER_FEATURES_SELECT: Reg<u32, WriteOnly> = Reg::at(0x024);
const QUEUE_SELECT: Reg<u32, WriteOnly> = Reg::at(0x030);
const QUEUE_SIZE_MAX: Reg<u32, ReadOnly> = Reg::at(0x034);
const QUEUE_SIZE: Reg<u32, WriteOnly> = Reg::at(0x038);
const QUEUE_READY: Reg<u32, ReadWrite> = Reg::at(0x044);
const QUEUE_NOTIFY: Reg<u32, WriteOnly> = Reg::at(0x050);
const INTERRUPT_STATUS: Reg<u32, ReadOnly> = Reg::at(0x060);
const INTERRUPT_ACK: Reg<u32, WriteOnly> = Reg::at(0x064);
const STATUS: Reg<u32, ReadWrite> = Reg::at(0x070);
const QUEUE_DESCRIPTORS: usize = 0x080;
const QUEUE_AVAILABLE: usize = 0x090;
const QUEUE_USED: usize = 0x0a0;
const CONFIG_GENERATION: Reg<u32, ReadOnly> = Reg::at(0x0fc);
const CONFIG: usize = 0x100;

/// "virt", as a little-endian word.
const MAGIC_VALUE: u32 = 0x7472_6976;

/// A modern virtio-mmio device.
#[derive(Debug)]
pub struct MmioTransport<R> {
    control: R,
    config: Window<R>,
    device_type: DeviceType,
}

/// What is behind a virtio-mmio register block, read without disturbing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A device that [`MmioTransport`] can drive.
    Modern(DeviceType),
    /// A legacy device (version 1).
    Legacy(DeviceType),
    /// An empty slot: nothing to report.
    Empty,
    /// Not virtio-mmio registers at all.
    Unknown,
}

impl MmioTransport<()> {
    /// Looks what is there: magic, version and device id, and nothing behind them if the slot is empty (§4.2.3.1).
    pub fn probe<R: Registers + ?Sized>(registers: &R) -> Probe {
        if registers.len() < CONFIG || MAGIC.read(registers) != MAGIC_VALUE {
            return Probe::Unknown;
        }
        let version = VERSION.read(registers);
        if !matches!(version, 1 | 2) {
            return Probe::Unknown;
        }
        match (version, DEVICE_ID.read(registers)) {
            (_, 0) => Probe::Empty,
            (1, id) => Probe::Legacy(DeviceType(id)),
            (_, id) => Probe::Modern(DeviceType(id)),
        }
    }
}

impl<R: Registers + Clone> MmioTransport<R> {
    /// Takes charge of the device behind these registers.
    ///
    /// # Errors
    ///
    /// [`TransportError::NotVirtio`] if there is no device, or none of version 2.
    pub fn new(registers: R) -> Result<Self, TransportError> {
        let device_type = match MmioTransport::probe(&registers) {
            Probe::Modern(device_type) => device_type,
            Probe::Legacy(_) => return Err(TransportError::NotVirtio("the registers are of the legacy version")),
            Probe::Empty => return Err(TransportError::NotVirtio("the slot is empty")),
            Probe::Unknown => return Err(TransportError::NotVirtio("no virtio-mmio registers")),
        };
        let config = Window::new(registers.clone(), CONFIG, registers.len() - CONFIG)
            .ok_or(TransportError::Missing("device configuration"))?;
        Ok(Self { control: registers, config, device_type })
    }

    fn write_address(&self, offset: usize, address: BusAddr) {
        self.control.write32(offset, address.get() as u32);
        self.control.write32(offset + 4, (address.get() >> 32) as u32);
    }
}

impl<R: Registers + Clone> Transport for MmioTransport<R> {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn interface(&self) -> Interface {
        Interface::Modern
    }

    fn ring_features(&self) -> FeatureBits {
        let missing = FeatureBits::RING_RESET | FeatureBits::NOTIFICATION_DATA | FeatureBits::NOTIF_CONFIG_DATA;
        FeatureBits::RING & !missing
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        STATUS.write(&self.control, 0);
        deadline.wait_until(|| STATUS.read(&self.control) == 0).map_err(|_| TransportError::TimedOut)
    }

    fn status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(STATUS.read(&self.control) as u8)
    }

    fn set_status(&mut self, status: DeviceStatus) {
        STATUS.write(&self.control, u32::from(status.bits()));
    }

    fn device_features(&mut self) -> FeatureBits {
        let word = |select| {
            DEVICE_FEATURES_SELECT.write(&self.control, select);
            u64::from(DEVICE_FEATURES.read(&self.control))
        };
        FeatureBits::from_bits(word(0) | word(1) << 32)
    }

    fn set_driver_features(&mut self, accepted: FeatureBits) {
        for (select, word) in [accepted.bits() as u32, (accepted.bits() >> 32) as u32].into_iter().enumerate() {
            DRIVER_FEATURES_SELECT.write(&self.control, select as u32);
            DRIVER_FEATURES.write(&self.control, word);
        }
    }

    fn max_queue_size(&mut self, queue: QueueIndex) -> u16 {
        QUEUE_SELECT.write(&self.control, u32::from(queue.0));
        u16::try_from(QUEUE_SIZE_MAX.read(&self.control)).unwrap_or(u16::MAX)
    }

    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
        QUEUE_SELECT.write(&self.control, u32::from(queue.0));
        if QUEUE_READY.read(&self.control) != 0 {
            return Err(TransportError::QueueRefused(queue));
        }
        let max = QUEUE_SIZE_MAX.read(&self.control);
        if max == 0 {
            return Err(TransportError::NoSuchQueue(queue));
        }
        if u32::from(rings.size) > max {
            return Err(TransportError::QueueRefused(queue));
        }
        QUEUE_SIZE.write(&self.control, u32::from(rings.size));
        self.write_address(QUEUE_DESCRIPTORS, rings.descriptors);
        self.write_address(QUEUE_AVAILABLE, rings.available);
        self.write_address(QUEUE_USED, rings.used);
        QUEUE_READY.write(&self.control, 1);
        if QUEUE_READY.read(&self.control) != 1 {
            return Err(TransportError::QueueRefused(queue));
        }
        Ok(Doorbell::new(queue, QUEUE_NOTIFY.offset() as u32))
    }

    fn reset_queue(&mut self, _: QueueIndex, _: Deadline) -> Result<(), TransportError> {
        Err(TransportError::NotNegotiated(FeatureBits::RING_RESET))
    }

    #[inline]
    fn notify(&self, doorbell: Doorbell, available: u16) {
        QUEUE_NOTIFY.write(&self.control, doorbell.word(available));
    }

    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        // Only bits 0 and 1 mean anything, and no other may be acknowledged (§4.2.2.2).
        let status = INTERRUPT_STATUS.read(&self.control);
        if status == u32::MAX {
            return Err(DeviceFault::Gone);
        }
        let pending = status & 3;
        if pending != 0 {
            INTERRUPT_ACK.write(&self.control, pending);
        }
        Ok(InterruptStatus::from_bits(pending))
    }

    fn config(&self) -> &dyn Registers {
        &self.config
    }

    fn config_generation(&self) -> Option<u32> {
        Some(CONFIG_GENERATION.read(&self.control))
    }

    fn shared_memory(&self, _: u8) -> Option<SharedMemory> {
        None
    }
}
