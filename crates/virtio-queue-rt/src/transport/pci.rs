//! Modern virtio over PCI (VIRTIO 1.3 §4.1).
//!
//! The device describes its register blocks by vendor capabilities, each a range of a BAR:
//!
//! ```text
//!   capability  [0] 0x09  [2] length  [3] kind  [4] BAR  [8] offset  [12] length  [16] notify multiplier
//!   kinds       1 common configuration   2 notification   3 interrupt status   4 device configuration
//! ```
//!
//! Capabilities are data from the device: one that is too short, names no usable BAR, or reaches beyond it is
//! passed over, and of each kind the first usable one counts, in the device's order of preference (§4.1.4.1).
//!
//! Interrupts are MSI-X messages, so that none has to be acknowledged. With one message all queues share it;
//! with more, the first is for configuration changes and queue *n* has number *n* + 1, or the last.

use toro_core::driver::DeviceFault;
use toro_core::io::{ReadOnly, ReadWrite, Reg, Registers, Window};
use toro_core::pci::capability::{VENDOR_SPECIFIC, capabilities};
use toro_core::pci::msix::{MsiMessage, MsiX};
use toro_core::pci::{self, Command, ConfigSpace};
use toro_core::{BusAddr, Deadline};

use super::{
    DeviceType, Doorbell, Interface, InterruptStatus, PCI_VENDOR, QueueIndex, RingAddresses, SharedMemory, Transport,
    TransportError,
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
/// The part of the common configuration that every device has.
const COMMON_LEN: usize = 0x38;

const NO_VECTOR: u16 = 0xffff;

/// How a PCI function is to interrupt.
#[derive(Clone, Copy, Debug)]
pub enum Interrupts<'a> {
    /// Not at all: the driver looks by itself.
    Polled,
    /// By its interrupt line (INTx), which it may share with other functions.
    Line,
    /// By MSI-X messages. With one, all events share it; with more, the first is for configuration changes and
    /// queue *n* has number *n* + 1, or the last. None at all is as [`Polled`](Self::Polled).
    Messages(&'a [MsiMessage]),
}

/// A modern virtio-pci device.
#[derive(Debug)]
pub struct PciTransport<R> {
    common: Window<R>,
    notify: Window<R>,
    /// Bytes per unit of `queue_notify_off`; 0 if all queues share one place.
    notify_multiplier: u32,
    /// Empty (of length 0) if the device has no configuration of its own.
    config: Window<R>,
    device_type: DeviceType,
    /// Vectors in use; 0 if the device is polled only.
    vectors: u16,
}

impl<R: Registers + Clone> PciTransport<R> {
    /// Takes charge of a function: finds its registers, enables decoding and bus mastering, and sets its MSI-X
    /// table up with these messages, of which there may be none.
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
        if config.read16(pci::VENDOR_ID) != PCI_VENDOR {
            return Err(TransportError::NotVirtio("another PCI vendor"));
        }
        let device_type = DeviceType::from_pci_device_id(config.read16(pci::DEVICE_ID))
            .ok_or(TransportError::NotVirtio("not a virtio device id"))?;
        let blocks = find_blocks(config, bars);
        let common = blocks.common.ok_or(TransportError::Missing("common configuration"))?;
        let (notify, notify_multiplier) = blocks.notify.ok_or(TransportError::Missing("notification registers"))?;
        if !blocks.has_isr {
            return Err(TransportError::Missing("interrupt status register"));
        }
        let device_config = match blocks.device {
            Some(window) => window,
            None => empty(bars).ok_or(TransportError::Missing("BAR"))?,
        };
        pci::enable(
            config,
            Command::MEMORY_SPACE | Command::IO_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE,
        );
        let mut transport = Self { common, notify, notify_multiplier, config: device_config, device_type, vectors: 0 };
        if let Interrupts::Messages(messages) = interrupts
            && !messages.is_empty()
        {
            let mut msix = MsiX::enable(config, bars).ok_or(TransportError::Missing("MSI-X table"))?;
            let vectors = usize::from(msix.vectors()).min(messages.len());
            for (vector, message) in messages.iter().take(vectors).enumerate() {
                msix.set(vector as u16, *message).ok_or(TransportError::Missing("MSI-X vector"))?;
            }
            transport.vectors = vectors as u16;
        }
        Ok(transport)
    }

    fn write_address(&self, offset: usize, address: BusAddr) {
        self.common.write32(offset, address.get() as u32);
        self.common.write32(offset + 4, (address.get() >> 32) as u32);
    }

    fn vector_for(&self, queue: QueueIndex) -> u16 {
        match self.vectors {
            0 => NO_VECTOR,
            vectors => queue.0.saturating_add(1).min(vectors - 1),
        }
    }

    /// The offset in the notification block at which a queue is notified, as checked as it can be (§4.1.4.4).
    fn doorbell(&self, queue: QueueIndex) -> Result<Doorbell, TransportError> {
        let units = u32::from(QUEUE_NOTIFY_OFF.read(&self.common));
        let offset = units.checked_mul(self.notify_multiplier).ok_or(TransportError::BadDoorbell(queue))?;
        let end = (offset as usize).checked_add(2).ok_or(TransportError::BadDoorbell(queue))?;
        if end > self.notify.len() || !offset.is_multiple_of(2) {
            return Err(TransportError::BadDoorbell(queue));
        }
        Ok(Doorbell::new(queue, offset))
    }
}

/// The blocks found so far: the first usable of each kind.
struct Blocks<R> {
    common: Option<Window<R>>,
    notify: Option<(Window<R>, u32)>,
    has_isr: bool,
    device: Option<Window<R>>,
}

fn find_blocks<R: Registers + Clone>(config: &dyn ConfigSpace, bars: &[Option<R>; 6]) -> Blocks<R> {
    let mut blocks = Blocks { common: None, notify: None, has_isr: false, device: None };
    for capability in capabilities(config).filter(|capability| capability.id == VENDOR_SPECIFIC) {
        let at = capability.offset;
        let cap_len = u16::from(config.read8(at + 2));
        let kind = config.read8(at + 3);
        let needed = if kind == 2 { 20 } else { 16 };
        if cap_len < needed || at + needed > 256 {
            continue;
        }
        let Some(Some(bar)) = bars.get(usize::from(config.read8(at + 4))) else { continue };
        let offset = config.read32(at + 8) as usize;
        let len = config.read32(at + 12) as usize;
        if kind == 3 {
            blocks.has_isr |= len >= 1 && offset.checked_add(len).is_some_and(|end| end <= bar.len());
            continue;
        }
        let Some(window) = Window::new(bar.clone(), offset, len) else { continue };
        match kind {
            1 if len >= COMMON_LEN => _ = blocks.common.get_or_insert(window),
            2 if len >= 2 => {
                let multiplier = config.read32(at + 16);
                if multiplier == 0 || multiplier.is_multiple_of(2) {
                    _ = blocks.notify.get_or_insert((window, multiplier));
                }
            }
            4 if len >= 1 => _ = blocks.device.get_or_insert(window),
            _ => {}
        }
    }
    blocks
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
        let missing = FeatureBits::RING_RESET | FeatureBits::NOTIFICATION_DATA | FeatureBits::NOTIF_CONFIG_DATA;
        FeatureBits::RING & !missing
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        DEVICE_STATUS.write(&self.common, 0);
        deadline.wait_until(|| DEVICE_STATUS.read(&self.common) == 0).map_err(|_| TransportError::TimedOut)?;
        if self.vectors > 0 {
            // A reset forgets the mapping. A device that has no vector for configuration changes is still usable.
            CONFIG_MSIX_VECTOR.write(&self.common, 0);
            let _ = CONFIG_MSIX_VECTOR.read(&self.common);
        }
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
        let vector = self.vector_for(queue);
        if vector != NO_VECTOR {
            QUEUE_MSIX_VECTOR.write(&self.common, vector);
            if QUEUE_MSIX_VECTOR.read(&self.common) != vector {
                return Err(TransportError::NoVector(queue));
            }
        }
        let doorbell = self.doorbell(queue)?;
        QUEUE_ENABLE.write(&self.common, 1);
        if QUEUE_ENABLE.read(&self.common) != 1 {
            return Err(TransportError::QueueRefused(queue));
        }
        Ok(doorbell)
    }

    fn reset_queue(&mut self, _: QueueIndex, _: Deadline) -> Result<(), TransportError> {
        Err(TransportError::NotNegotiated(FeatureBits::RING_RESET))
    }

    #[inline]
    fn notify(&self, doorbell: Doorbell, available: u16) {
        self.notify.write16(doorbell.offset as usize, doorbell.word(available) as u16);
    }

    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        Ok(InterruptStatus { queues: true, configuration: true })
    }

    fn config(&self) -> &dyn Registers {
        &self.config
    }

    fn config_generation(&self) -> Option<u32> {
        Some(u32::from(CONFIG_GENERATION.read(&self.common)))
    }

    fn shared_memory(&self, _: u8) -> Option<SharedMemory> {
        None
    }
}
