//! A modern virtio-pci function: configuration space with capabilities, and one BAR.
//!
//! ```text
//!   BAR 4   0x0000 common   0x1000 interrupt status   0x2000 device   0x3000 notify   0x4000 MSI-X table
//! ```

use std::sync::{Arc, Mutex};

use toro_core::Registers;
use toro_core::pci::ConfigSpace;

use crate::device::{Device, QueueSetup};

/// Bytes between the doorbells of two queues.
const MULTIPLIER: u32 = 4;

/// The function's configuration space: 256 bytes that a test may set.
#[derive(Debug, Clone)]
pub struct PciConfig {
    bytes: Arc<Mutex<[u8; 256]>>,
}

impl PciConfig {
    /// Overwrites some bytes.
    pub fn set(&self, offset: usize, bytes: &[u8]) {
        self.bytes.lock().expect("no test panics with it")[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

impl ConfigSpace for PciConfig {
    fn read32(&self, offset: u16) -> u32 {
        let bytes = self.bytes.lock().expect("no test panics with it");
        let at = usize::from(offset);
        bytes.get(at..at + 4).map_or(u32::MAX, |word| u32::from_le_bytes(word.try_into().expect("four bytes")))
    }

    fn write32(&self, offset: u16, value: u32) {
        self.set(usize::from(offset), &value.to_le_bytes());
    }

    fn write16(&self, offset: u16, value: u16) {
        self.set(usize::from(offset), &value.to_le_bytes());
    }
}

/// The function's BAR.
#[derive(Debug, Clone)]
pub struct PciModel {
    /// The device behind it.
    pub device: Device,
    /// The MSI-X table.
    pub table: Arc<Mutex<[u32; 64]>>,
}

impl PciModel {
    /// A function, with its configuration space and its BARs.
    pub fn new(device: Device) -> (PciConfig, [Option<PciModel>; 6]) {
        let config = PciConfig { bytes: Arc::new(Mutex::new([0; 256])) };
        config.set(0x00, &0x1af4_u16.to_le_bytes());
        config.set(0x02, &(0x1040 + device.state().device_type as u16).to_le_bytes());
        config.set(0x06, &[0x10, 0]);
        config.set(0x34, &[0x40]);
        config.set(0x40, &capability(0x50, 1, 4, 0, 0x38));
        config.set(0x50, &capability(0x60, 3, 4, 0x1000, 1));
        config.set(0x60, &capability(0x70, 4, 4, 0x2000, 0x1000));
        let mut notify = capability(0x90, 2, 4, 0x3000, 0x1000).to_vec();
        notify[2] = 20;
        notify.extend(MULTIPLIER.to_le_bytes());
        config.set(0x70, &notify);
        // MSI-X: 4 vectors, table in BAR 4.
        config.set(0x90, &[0x11, 0, 3, 0]);
        config.set(0x94, &(0x4000_u32 | 4).to_le_bytes());
        let model = Self { device, table: Arc::new(Mutex::new([0; 64])) };
        (config, [None, None, None, None, Some(model), None])
    }

    fn set(&self, change: impl FnOnce(&mut QueueSetup)) {
        self.device.with_queue(|queue, _| {
            assert!(!queue.is_ready, "PCI-13: queue registers written after queue_enable");
            change(queue);
        });
    }
}

/// The bytes of a vendor capability.
pub fn capability(next: u8, kind: u8, bar: u8, offset: u32, len: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..5].copy_from_slice(&[0x09, next, 16, kind, bar]);
    bytes[8..12].copy_from_slice(&offset.to_le_bytes());
    bytes[12..].copy_from_slice(&len.to_le_bytes());
    bytes
}

impl Registers for PciModel {
    fn len(&self) -> usize {
        0x5000
    }

    fn read8(&self, offset: usize) -> u8 {
        match offset {
            0x14 => self.device.read_status(),
            0x15 => self.device.generation() as u8,
            0x2000..0x3000 => self.device.read_config(offset - 0x2000, 1) as u8,
            _ => panic!("an 8-bit read at {offset:#x}"),
        }
    }

    fn read16(&self, offset: usize) -> u16 {
        match offset {
            0x10 => {
                if self.device.state().lies.no_vector {
                    0xffff
                } else {
                    0
                }
            }
            0x12 => self.device.state().queues.len() as u16,
            0x18 => {
                let max = self.device.selected_max();
                self.device
                    .with_queue(|queue, lies| match queue.size {
                        0 => max,
                        size if lies.wrong_size => size / 2,
                        size => size,
                    })
                    .unwrap_or(0)
            }
            0x1a => {
                self.device.with_queue(|queue, lies| if lies.no_vector { 0xffff } else { queue.vector }).unwrap_or(0)
            }
            0x1c => {
                let ready = self.device.with_queue(|queue, lies| queue.is_ready && !lies.never_ready);
                u16::from(ready.unwrap_or(false))
            }
            0x1e => {
                let state = self.device.state();
                if state.lies.far_doorbell { 0xffff } else { state.queue_select }
            }
            0x2000..0x3000 => self.device.read_config(offset - 0x2000, 2) as u16,
            _ => panic!("a 16-bit read at {offset:#x}"),
        }
    }

    fn read32(&self, offset: usize) -> u32 {
        match offset {
            0x04 => self.device.read_features(),
            0x2000..0x3000 => self.device.read_config(offset - 0x2000, 4),
            0x4000..0x4100 => self.table.lock().expect("no test panics with it")[(offset - 0x4000) / 4],
            _ => panic!("a 32-bit read at {offset:#x}"),
        }
    }

    fn write8(&self, offset: usize, value: u8) {
        match offset {
            0x14 => self.device.write_status(value),
            _ => panic!("PCI-11: an 8-bit write at {offset:#x}"),
        }
    }

    fn write16(&self, offset: usize, value: u16) {
        match offset {
            0x10 => {}
            0x16 => self.device.state().queue_select = value,
            0x18 => {
                assert!(value.is_power_of_two(), "PCI-12");
                self.set(|queue| queue.size = value);
            }
            0x1a => self.set(|queue| queue.vector = value),
            0x1c => {
                assert_eq!(value, 1, "PCI-14: queue_enable is only ever set");
                self.device.with_queue(|queue, _| queue.is_ready = true);
            }
            0x3000..0x4000 => {
                assert_eq!(offset - 0x3000, usize::from(value) * MULTIPLIER as usize, "PCI-24: the wrong doorbell");
                self.device.kick(value);
            }
            _ => panic!("PCI-11: a 16-bit write at {offset:#x}"),
        }
    }

    fn write32(&self, offset: usize, value: u32) {
        let low = |address: &mut u64| *address = (*address & !0xffff_ffff) | u64::from(value);
        let high = |address: &mut u64| *address = (*address & 0xffff_ffff) | u64::from(value) << 32;
        match offset {
            0x00 => self.device.state().feature_select = value,
            0x08 => self.device.state().driver_select = value,
            0x0c => self.device.write_features(value),
            0x20 => self.set(|queue| low(&mut queue.descriptors)),
            0x24 => self.set(|queue| high(&mut queue.descriptors)),
            0x28 => self.set(|queue| low(&mut queue.available)),
            0x2c => self.set(|queue| high(&mut queue.available)),
            0x30 => self.set(|queue| low(&mut queue.used)),
            0x34 => self.set(|queue| high(&mut queue.used)),
            0x4000..0x4100 => self.table.lock().expect("no test panics with it")[(offset - 0x4000) / 4] = value,
            _ => panic!("PCI-11: a 32-bit write at {offset:#x}"),
        }
    }
}
