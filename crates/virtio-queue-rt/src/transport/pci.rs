//! Modern virtio over PCI (VIRTIO 1.3 §4.1).
//!
//! The device describes its register blocks by vendor capabilities, each a range of a BAR:
//!
//! ```text
//!   capability  [0] 0x09  [2] length  [3] kind  [4] BAR  [8] offset  [12] length  [16] notify multiplier
//!   kinds       1 common configuration   2 notification   3 interrupt status   4 device configuration
//!               8 shared memory, with the upper halves of offset and length at [16] and [20]
//! ```
//!
//! Capabilities are data from the device: one that is too short, names no usable BAR, or reaches beyond it is
//! passed over, and of each kind the first usable one counts, in the device's order of preference (§4.1.4.1).
//!
//! Registers behind the oldest form of the common configuration are there if its length reaches them; the features
//! that need them are accepted only then.

mod blocks;
mod signals;

use toro_core::driver::DeviceFault;
use toro_core::io::{ReadOnly, ReadWrite, Reg, Registers, Window};
use toro_core::pci::{self, ConfigSpace};
use toro_core::{BusAddr, Deadline};

pub(super) use self::blocks::has_virtio_capability;
use self::blocks::{IsrBlock, NotifyBlock, Regions, find_blocks};
pub use self::signals::Interrupts;
pub(super) use self::signals::{Signals, enable};
use super::{
    DeviceType, Doorbell, DoorbellContent, Interface, InterruptStatus, PCI_VENDOR, QueueIndex, ResetProgress,
    RingAddresses, SharedMemory, Signalling, Transport, TransportError, reset_until, wait_for,
};
use crate::features::FeatureBits;
use crate::status::DeviceStatus;

const DEVICE_FEATURE_SELECT: Reg<u32, ReadWrite> = Reg::at(0x00);
const DEVICE_FEATURE: Reg<u32, ReadOnly> = Reg::at(0x04);
const DRIVER_FEATURE_SELECT: Reg<u32, ReadWrite> = Reg::at(0x08);
const DRIVER_FEATURE: Reg<u32, ReadWrite> = Reg::at(0x0c);
const CONFIG_MSIX_VECTOR: Reg<u16, ReadWrite> = Reg::at(0x10);
const NUM_QUEUES: Reg<u16, ReadOnly> = Reg::at(0x12);
const DEVICE_STATUS: Reg<u8, ReadWrite> = Reg::at(0x14);
const CONFIG_GENERATION: Reg<u8, ReadOnly> = Reg::at(0x15);
const QUEUE_SELECT: Reg<u16, ReadWrite> = Reg::at(0x16);
const QUEUE_SIZE: Reg<u16, ReadWrite> = Reg::at(0x18);
const QUEUE_MSIX_VECTOR: Reg<u16, ReadWrite> = Reg::at(0x1a);
const QUEUE_ENABLE: Reg<u16, ReadWrite> = Reg::at(0x1c);
const QUEUE_NOTIFY_OFF: Reg<u16, ReadOnly> = Reg::at(0x1e);
const QUEUE_DESC: usize = 0x20;
const QUEUE_DRIVER: usize = 0x28;
const QUEUE_DEVICE: usize = 0x30;
const QUEUE_NOTIF_CONFIG_DATA: Reg<u16, ReadOnly> = Reg::at(0x38);
const QUEUE_RESET: Reg<u16, ReadWrite> = Reg::at(0x3a);
/// The part of the common configuration that every device has.
const COMMON_LEN: usize = 0x38;

/// A modern virtio-pci device.
#[derive(Debug)]
pub struct PciTransport<R> {
    common: Window<R>,
    notify: NotifyBlock<R>,
    isr: IsrBlock<R>,
    /// Empty (of length 0) if the device has no configuration of its own.
    config: Window<R>,
    regions: Regions,
    device_type: DeviceType,
    signals: Signals,
    /// What the driver accepted last: it decides what a notification tells.
    accepted: FeatureBits,
}

/// The device type of a virtio function, and its PCI device id.
pub(super) fn identify(config: &dyn ConfigSpace) -> Result<(DeviceType, u16), TransportError> {
    if config.read16(pci::VENDOR_ID) != PCI_VENDOR {
        return Err(TransportError::NotVirtio("another PCI vendor"));
    }
    let id = config.read16(pci::DEVICE_ID);
    let device_type = DeviceType::from_pci_device_id(id).ok_or(TransportError::NotVirtio("not a virtio device id"))?;
    Ok((device_type, id))
}

/// What a status register of one byte says about a reset.
pub(super) fn reset_progress(status: u8) -> ResetProgress {
    match status {
        0 => ResetProgress::Done,
        u8::MAX => ResetProgress::Gone,
        _ => ResetProgress::Underway,
    }
}

impl<R: Registers + Clone> PciTransport<R> {
    /// Takes charge of a function: finds its registers, enables decoding and bus mastering, and sets its interrupts
    /// up.
    ///
    /// `bars` are the mapped BARs, by number.
    ///
    /// # Errors
    ///
    /// [`TransportError::NotVirtio`] for another vendor or device; [`TransportError::Missing`] if a register block
    /// that every modern device has is absent or unusable, or messages were given and there is no usable MSI-X.
    pub fn new(
        config: &dyn ConfigSpace,
        bars: &[Option<R>; 6],
        interrupts: Interrupts<'_>,
    ) -> Result<Self, TransportError> {
        let (device_type, _) = identify(config)?;
        let blocks = find_blocks(config, bars);
        let common = blocks.common.ok_or(TransportError::Missing("common configuration"))?;
        let notify = blocks.notify.ok_or(TransportError::Missing("notification registers"))?;
        let isr = blocks.isr.ok_or(TransportError::Missing("interrupt status register"))?;
        let device_config = match blocks.device {
            Some(window) => window,
            None => empty(bars).ok_or(TransportError::Missing("BAR"))?,
        };
        enable(config, interrupts);
        let signals = Signals::new(config, bars, interrupts)?;
        Ok(Self {
            common,
            notify,
            isr,
            config: device_config,
            regions: blocks.regions,
            device_type,
            signals,
            accepted: FeatureBits::EMPTY,
        })
    }

    fn write_address(&self, offset: usize, address: BusAddr) {
        self.common.write32(offset, address.get() as u32);
        self.common.write32(offset + 4, (address.get() >> 32) as u32);
    }

    /// Whether the common configuration is long enough for a register.
    fn has(&self, register_end: usize) -> bool {
        self.common.len() >= register_end
    }

    /// The offset in the notification block at which a queue, which is selected, is notified, and with what, as
    /// checked as it can be (§4.1.4.4).
    fn doorbell(&self, queue: QueueIndex) -> Result<Doorbell, TransportError> {
        let units = u32::from(QUEUE_NOTIFY_OFF.read(&self.common));
        let offset = units.checked_mul(self.notify.multiplier).ok_or(TransportError::BadDoorbell(queue))?;
        let (content, width) = match self.accepted.contains(FeatureBits::NOTIFICATION_DATA) {
            true => (DoorbellContent::QueueAndIndex, 4),
            false => (DoorbellContent::Queue, 2),
        };
        if !self.notify.has(offset, width) {
            return Err(TransportError::BadDoorbell(queue));
        }
        let doorbell = Doorbell::new(queue, offset).with_content(content);
        Ok(match self.accepted.contains(FeatureBits::NOTIF_CONFIG_DATA) {
            true => doorbell.with_value(QUEUE_NOTIF_CONFIG_DATA.read(&self.common)),
            false => doorbell,
        })
    }
}

/// A window without registers, for a device without configuration.
fn empty<R: Registers + Clone>(bars: &[Option<R>; 6]) -> Option<Window<R>> {
    Window::new(bars.iter().flatten().next()?.clone(), 0, 0)
}

impl<R: Registers + Clone> Transport for PciTransport<R> {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn interface(&self) -> Interface {
        Interface::Modern
    }

    fn ring_features(&self) -> FeatureBits {
        let mut missing = FeatureBits::EMPTY;
        if !self.has(QUEUE_RESET.end()) {
            missing |= FeatureBits::RING_RESET;
        }
        if !self.has(QUEUE_NOTIF_CONFIG_DATA.end()) {
            missing |= FeatureBits::NOTIF_CONFIG_DATA;
        }
        if !self.notify.is_wide() {
            missing |= FeatureBits::NOTIFICATION_DATA;
        }
        FeatureBits::RING & !missing
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        let common = &self.common;
        reset_until(
            deadline,
            || DEVICE_STATUS.write(common, 0),
            || reset_progress(DEVICE_STATUS.read(common)),
            || {
                QUEUE_SELECT.write(common, 0);
                QUEUE_ENABLE.read(common) != 0
            },
        )?;
        self.signals.map_config(&self.common, CONFIG_MSIX_VECTOR);
        Ok(())
    }

    fn status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(DEVICE_STATUS.read(&self.common))
    }

    fn set_status(&mut self, status: DeviceStatus) {
        DEVICE_STATUS.write(&self.common, status.bits());
    }

    fn device_features(&mut self) -> FeatureBits {
        let word = |select| {
            DEVICE_FEATURE_SELECT.write(&self.common, select);
            u64::from(DEVICE_FEATURE.read(&self.common))
        };
        FeatureBits::from_bits(word(0) | word(1) << 32)
    }

    fn set_driver_features(&mut self, accepted: FeatureBits) {
        self.accepted = accepted;
        for (select, word) in [accepted.bits() as u32, (accepted.bits() >> 32) as u32].into_iter().enumerate() {
            DRIVER_FEATURE_SELECT.write(&self.common, select as u32);
            DRIVER_FEATURE.write(&self.common, word);
        }
    }

    fn max_queue_size(&mut self, queue: QueueIndex) -> u16 {
        if queue.0 >= NUM_QUEUES.read(&self.common) {
            return 0;
        }
        QUEUE_SELECT.write(&self.common, queue.0);
        QUEUE_SIZE.read(&self.common)
    }

    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
        let max = self.max_queue_size(queue);
        if max == 0 {
            return Err(TransportError::NoSuchQueue(queue));
        }
        if rings.size > max || QUEUE_ENABLE.read(&self.common) != 0 {
            return Err(TransportError::QueueRefused(queue));
        }
        QUEUE_SIZE.write(&self.common, rings.size);
        if QUEUE_SIZE.read(&self.common) != rings.size {
            return Err(TransportError::QueueRefused(queue));
        }
        self.write_address(QUEUE_DESC, rings.descriptors);
        self.write_address(QUEUE_DRIVER, rings.available);
        self.write_address(QUEUE_DEVICE, rings.used);
        self.signals.map_queue(&self.common, QUEUE_MSIX_VECTOR, queue)?;
        let doorbell = self.doorbell(queue)?;
        QUEUE_ENABLE.write(&self.common, 1);
        if QUEUE_ENABLE.read(&self.common) != 1 {
            return Err(TransportError::QueueRefused(queue));
        }
        Ok(doorbell)
    }

    fn reset_queue(&mut self, queue: QueueIndex, deadline: Deadline) -> Result<(), TransportError> {
        if !self.has(QUEUE_RESET.end()) {
            return Err(TransportError::NotNegotiated(FeatureBits::RING_RESET));
        }
        QUEUE_SELECT.write(&self.common, queue.0);
        QUEUE_RESET.write(&self.common, 1);
        // Both read 0 when it is done (§4.1.4.3.1).
        wait_for(deadline, || match (QUEUE_RESET.read(&self.common), QUEUE_ENABLE.read(&self.common)) {
            (0, 0) => ResetProgress::Done,
            (u16::MAX, u16::MAX) => ResetProgress::Gone,
            _ => ResetProgress::Underway,
        })
    }

    #[inline]
    fn notify(&self, doorbell: Doorbell, available: u16) {
        let word = doorbell.word(available);
        match doorbell.content {
            DoorbellContent::Queue => self.notify.write16(doorbell.offset, word as u16),
            DoorbellContent::QueueAndIndex => self.notify.write32(doorbell.offset, word),
        }
    }

    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        self.signals.acknowledge(|| self.isr.take())
    }

    fn signalling(&self) -> Signalling {
        self.signals.signalling()
    }

    fn config(&self) -> &dyn Registers {
        &self.config
    }

    fn config_generation(&self) -> Option<u32> {
        Some(u32::from(CONFIG_GENERATION.read(&self.common)))
    }

    fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        self.regions.get(id)
    }
}
