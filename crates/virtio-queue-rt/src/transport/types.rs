//! The words in which drivers and transports talk: device types, queues, rings, doorbells.

use toro_core::BusAddr;

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

/// Which of the two interfaces of VIRTIO a device's registers speak (VIRTIO 1.3 §1.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// That of VIRTIO 1.0 and later: VERSION_1 is negotiated, everything is little-endian.
    Modern,
    /// That of before: no FEATURES_OK, rings in one block, everything but PCI registers in the guest's byte order.
    Legacy {
        /// What the used ring is aligned to in a queue's block, in bytes: a power of two of at most 4,096.
        queue_align: u16,
        /// Who chooses the size of queues.
        sizing: QueueSizing,
    },
}

/// Who chooses how many descriptors a queue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueSizing {
    /// The driver, up to what the device says.
    Chosen,
    /// The device: the driver takes it as it is.
    Fixed,
}

/// Where the three parts of a split virtqueue are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingAddresses {
    /// Number of descriptors: a power of two, at most 32,768.
    pub size: u16,
    /// The descriptor table, aligned to 16 bytes. In the legacy layout the block begins here, aligned to 4,096.
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
    /// What names the queue: its index, or what the device wants instead (NOTIF_CONFIG_DATA).
    pub(crate) value: u16,
    pub(crate) content: DoorbellContent,
    queue: QueueIndex,
}

/// What a notification tells the device (VIRTIO 1.3 §2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorbellContent {
    /// Which queue: 16 bits over PCI.
    Queue,
    /// Which queue, and where its available index stands, in 32 bits (NOTIFICATION_DATA).
    QueueAndIndex,
}

impl Doorbell {
    /// A doorbell at `offset` of the transport's notification registers, which is told the index of its queue.
    pub const fn new(queue: QueueIndex, offset: u32) -> Self {
        Self { offset, value: queue.0, content: DoorbellContent::Queue, queue }
    }

    /// The same, told `value` in place of the index of its queue (§4.1.5.2.1).
    pub const fn with_value(self, value: u16) -> Self {
        Self { value, ..self }
    }

    /// The same, told something else besides.
    pub const fn with_content(self, content: DoorbellContent) -> Self {
        Self { content, ..self }
    }

    /// Which queue it is for.
    pub const fn queue(self) -> QueueIndex {
        self.queue
    }

    /// The offset that it was made with.
    pub const fn offset(self) -> u32 {
        self.offset
    }

    /// What else than the queue it tells.
    pub const fn content(self) -> DoorbellContent {
        self.content
    }

    /// The word to write when the available index has become `available`: the queue in the low half, and with
    /// [`DoorbellContent::QueueAndIndex`] the index in the high one, whose top bit is the ring's wrap counter.
    #[inline]
    pub const fn word(self, available: u16) -> u32 {
        match self.content {
            DoorbellContent::Queue => self.value as u32,
            DoorbellContent::QueueAndIndex => self.value as u32 | (available as u32) << 16,
        }
    }
}

/// How the queues of a device interrupt: among how many owners they can be divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalling {
    /// Not at all: whoever has a queue looks by himself.
    Polled,
    /// All by the same line, whose cause one owner alone can read and acknowledge.
    Line,
    /// By so many messages, at least one, each of which may interrupt another core.
    Messages(u16),
}

/// Why a device interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct InterruptStatus {
    /// Some queue may have used buffers.
    pub queues: bool,
    /// The configuration may have changed.
    pub configuration: bool,
}

impl InterruptStatus {
    /// Nothing: the interrupt was another device's.
    pub const NONE: Self = Self { queues: false, configuration: false };

    /// Of an interrupt status register (§4.1.4.5, §4.2.2); bits without a meaning are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { queues: bits & 1 != 0, configuration: bits & 2 != 0 }
    }
}

/// A range of memory that a device shares with its driver (VIRTIO 1.3 §2.10), such as virtio-fs's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedMemory {
    /// Its physical address. It is not mapped; that is the platform's to do.
    pub address: u64,
    /// Its length in bytes, not 0. `address + len` does not overflow.
    pub len: u64,
}

impl SharedMemory {
    /// The region with this address and length; `None` if it is empty or goes beyond the last address.
    pub fn new(address: u64, len: u64) -> Option<Self> {
        (len > 0 && address.checked_add(len).is_some()).then_some(Self { address, len })
    }
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

    #[test]
    fn vq_35_notification_data_is_the_queue_and_the_available_index_with_its_wrap() {
        let plain = Doorbell::new(QueueIndex(3), 0);
        let telling = plain.with_content(DoorbellContent::QueueAndIndex);
        assert_eq!(plain.word(0x8005), 3);
        for index in [0_u16, 5, 0x7fff, 0x8000, 0xffff] {
            let expected = 3 | u32::from(index & 0x7fff) << 16 | u32::from(index >> 15) << 31;
            assert_eq!(telling.word(index), expected);
        }
        assert_eq!(telling.with_value(9).word(1), 0x1_0009);
        assert_eq!(telling.with_value(9).queue(), QueueIndex(3));
    }
}
