//! Memory-mapped registers, version 2 (VIRTIO 1.3 §4.2).
//!
//! ```text
//!   0x000 magic   0x004 version  0x008 device type  0x00c vendor
//!   0x010 offered features, 32 at a time, selected by 0x014     0x020 accepted ones, by 0x024
//!   0x030 queue select   0x034 largest size   0x038 size   0x044 ready   0x050 notify
//!   0x060 interrupt status   0x064 acknowledge   0x070 status
//!   0x080 descriptors   0x090 available   0x0a0 used
//!   0x0ac shared memory select   0x0b0 its length   0x0b8 its address   0x0c0 queue reset
//!   0x0fc generation   0x100 device configuration
//! ```
//!
//! Control registers are accessed by aligned 32-bit words only; some devices ignore anything else.

use toro_core::driver::DeviceFault;
use toro_core::io::{ReadOnly, ReadWrite, Reg, Registers, Window, WriteOnly};
use toro_core::{BusAddr, Deadline};

use super::{
    DeviceType, Doorbell, DoorbellContent, Interface, InterruptStatus, QueueIndex, ResetProgress, RingAddresses,
    SharedMemory, Signalling, Transport, TransportError, reset_until, wait_for,
};
use crate::features::FeatureBits;
use crate::status::DeviceStatus;

const MAGIC: Reg<u32, ReadOnly> = Reg::at(0x000);
const VERSION: Reg<u32, ReadOnly> = Reg::at(0x004);
const DEVICE_ID: Reg<u32, ReadOnly> = Reg::at(0x008);
pub(super) const DEVICE_FEATURES: Reg<u32, ReadOnly> = Reg::at(0x010);
pub(super) const DEVICE_FEATURES_SELECT: Reg<u32, WriteOnly> = Reg::at(0x014);
pub(super) const DRIVER_FEATURES: Reg<u32, WriteOnly> = Reg::at(0x020);
pub(super) const DRIVER_FEATURES_SELECT: Reg<u32, WriteOnly> = Reg::at(0x024);
pub(super) const QUEUE_SELECT: Reg<u32, WriteOnly> = Reg::at(0x030);
pub(super) const QUEUE_SIZE_MAX: Reg<u32, ReadOnly> = Reg::at(0x034);
pub(super) const QUEUE_SIZE: Reg<u32, WriteOnly> = Reg::at(0x038);
const QUEUE_READY: Reg<u32, ReadWrite> = Reg::at(0x044);
pub(super) const QUEUE_NOTIFY: Reg<u32, WriteOnly> = Reg::at(0x050);
const INTERRUPT_STATUS: Reg<u32, ReadOnly> = Reg::at(0x060);
const INTERRUPT_ACK: Reg<u32, WriteOnly> = Reg::at(0x064);
pub(super) const STATUS: Reg<u32, ReadWrite> = Reg::at(0x070);
const QUEUE_DESCRIPTORS: usize = 0x080;
const QUEUE_AVAILABLE: usize = 0x090;
const QUEUE_USED: usize = 0x0a0;
const SHM_SELECT: Reg<u32, WriteOnly> = Reg::at(0x0ac);
const SHM_LEN: usize = 0x0b0;
const SHM_BASE: usize = 0x0b8;
const QUEUE_RESET: Reg<u32, ReadWrite> = Reg::at(0x0c0);
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
    /// What the driver accepted last: it decides what a notification tells.
    accepted: FeatureBits,
}

/// What is behind a virtio-mmio register block, read without disturbing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A device that [`MmioTransport`] can drive.
    Modern(DeviceType),
    /// A legacy device (version 1), for [`LegacyMmioTransport`](super::LegacyMmioTransport).
    Legacy(DeviceType),
    /// An empty slot: nothing to report.
    Empty,
    /// Not virtio-mmio registers at all.
    Unknown,
}

impl Probe {
    /// Why a transport cannot drive this.
    pub(super) fn refusal(self) -> TransportError {
        TransportError::NotVirtio(match self {
            Self::Modern(_) => "the registers are of the modern version",
            Self::Legacy(_) => "the registers are of the legacy version",
            Self::Empty => "the slot is empty",
            Self::Unknown => "no virtio-mmio registers",
        })
    }
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
            other => return Err(other.refusal()),
        };
        let config = config_window(&registers)?;
        Ok(Self { control: registers, config, device_type, accepted: FeatureBits::EMPTY })
    }

    fn write_address(&self, offset: usize, address: BusAddr) {
        self.control.write32(offset, address.get() as u32);
        self.control.write32(offset + 4, (address.get() >> 32) as u32);
    }
}

/// The device configuration: all that is behind the control registers.
pub(super) fn config_window<R: Registers + Clone>(registers: &R) -> Result<Window<R>, TransportError> {
    let missing = TransportError::Missing("device configuration");
    let len = registers.len().checked_sub(CONFIG).ok_or(missing)?;
    Window::new(registers.clone(), CONFIG, len).ok_or(missing)
}

/// Resets the device, of either version; `is_queue_in_use` looks at a queue afterwards.
pub(super) fn reset<R: Registers>(
    control: &R,
    deadline: Deadline,
    is_queue_in_use: impl Fn(&R) -> bool,
) -> Result<(), TransportError> {
    let progress = || match STATUS.read(control) {
        0 => ResetProgress::Done,
        u32::MAX => ResetProgress::Gone,
        _ => ResetProgress::Underway,
    };
    reset_until(deadline, || STATUS.write(control, 0), progress, || is_queue_in_use(control))
}

/// Reads the status of a device of either version. One that is gone has every bit set.
pub(super) fn status<R: Registers>(control: &R) -> DeviceStatus {
    DeviceStatus::from_bits_retain(STATUS.read(control) as u8)
}

/// Reads why a device of either version interrupted, and acknowledges it.
pub(super) fn acknowledge<R: Registers>(control: &R) -> Result<InterruptStatus, DeviceFault> {
    // Only bits 0 and 1 mean anything, and no other may be acknowledged (§4.2.2.2).
    let status = INTERRUPT_STATUS.read(control);
    if status == u32::MAX {
        return Err(DeviceFault::Gone);
    }
    let pending = status & 3;
    if pending != 0 {
        INTERRUPT_ACK.write(control, pending);
    }
    Ok(InterruptStatus::from_bits(pending))
}

impl<R: Registers + Clone> Transport for MmioTransport<R> {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn interface(&self) -> Interface {
        Interface::Modern
    }

    fn ring_features(&self) -> FeatureBits {
        // Only PCI has a register for what a notification shall hold.
        FeatureBits::RING & !FeatureBits::NOTIF_CONFIG_DATA
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        reset(&self.control, deadline, |control| {
            QUEUE_SELECT.write(control, 0);
            QUEUE_READY.read(control) != 0
        })
    }

    fn status(&self) -> DeviceStatus {
        status(&self.control)
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
        self.accepted = accepted;
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
        let content = match self.accepted.contains(FeatureBits::NOTIFICATION_DATA) {
            true => DoorbellContent::QueueAndIndex,
            false => DoorbellContent::Queue,
        };
        Ok(Doorbell::new(queue, QUEUE_NOTIFY.offset() as u32).with_content(content))
    }

    fn reset_queue(&mut self, queue: QueueIndex, deadline: Deadline) -> Result<(), TransportError> {
        QUEUE_SELECT.write(&self.control, u32::from(queue.0));
        QUEUE_RESET.write(&self.control, 1);
        // Both read 0 when it is done (§4.2.2.1).
        wait_for(deadline, || match (QUEUE_RESET.read(&self.control), QUEUE_READY.read(&self.control)) {
            (0, 0) => ResetProgress::Done,
            (u32::MAX, u32::MAX) => ResetProgress::Gone,
            _ => ResetProgress::Underway,
        })
    }

    #[inline]
    fn notify(&self, doorbell: Doorbell, available: u16) {
        QUEUE_NOTIFY.write(&self.control, doorbell.word(available));
    }

    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        acknowledge(&self.control)
    }

    fn signalling(&self) -> Signalling {
        Signalling::Line
    }

    fn config(&self) -> &dyn Registers {
        &self.config
    }

    fn config_generation(&self) -> Option<u32> {
        Some(CONFIG_GENERATION.read(&self.control))
    }

    fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        SHM_SELECT.write(&self.control, u32::from(id));
        let wide = |at| u64::from(self.control.read32(at)) | u64::from(self.control.read32(at + 4)) << 32;
        let (len, address) = (wide(SHM_LEN), wide(SHM_BASE));
        // All ones in either: there is no such region (§4.2.2).
        if len == u64::MAX || address == u64::MAX || !address.is_multiple_of(4096) {
            return None;
        }
        SharedMemory::new(address, len)
    }
}
