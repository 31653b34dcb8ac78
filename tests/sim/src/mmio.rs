//! A virtio-mmio register block, version 2, that fails the test on a forbidden access.

use toro_core::Registers;

use crate::device::{Device, QueueSetup};

/// The registers of a device (MIO-5: aligned 32-bit accesses below 0x100, and only to registers that exist).
#[derive(Debug, Clone)]
pub struct MmioModel {
    /// The device behind them.
    pub device: Device,
    /// What the magic, version registers read.
    pub magic: u32,
    /// The version register.
    pub version: u32,
}

impl MmioModel {
    /// Shows a device.
    pub fn new(device: Device) -> Self {
        Self { device, magic: 0x7472_6976, version: 2 }
    }

    fn set(&self, change: impl FnOnce(&mut QueueSetup)) {
        self.device.with_queue(|queue, _| {
            assert!(!queue.is_ready, "MIO-8: queue registers written while the queue is ready");
            change(queue);
        });
    }
}

fn low(address: &mut u64, value: u32) {
    *address = (*address & !0xffff_ffff) | u64::from(value);
}

fn high(address: &mut u64, value: u32) {
    *address = (*address & 0xffff_ffff) | u64::from(value) << 32;
}

impl Registers for MmioModel {
    fn len(&self) -> usize {
        0x200
    }

    fn read8(&self, offset: usize) -> u8 {
        if self.device.state().lies.gone {
            return u8::MAX;
        }
        assert!(offset >= 0x100, "MIO-5: an 8-bit access to a control register");
        self.device.read_config(offset - 0x100, 1) as u8
    }

    fn read16(&self, offset: usize) -> u16 {
        if self.device.state().lies.gone {
            return u16::MAX;
        }
        assert!(offset >= 0x100, "MIO-5: a 16-bit access to a control register");
        self.device.read_config(offset - 0x100, 2) as u16
    }

    fn read32(&self, offset: usize) -> u32 {
        if self.device.state().lies.gone {
            return u32::MAX;
        }
        match offset {
            0x000 => self.magic,
            0x004 => self.version,
            0x008 => self.device.state().device_type,
            0x00c => 0,
            0x010 => self.device.read_features(),
            0x034 => u32::from(self.device.selected_max()),
            0x044 => {
                let ready = self.device.with_queue(|queue, lies| queue.is_ready && !lies.never_ready);
                u32::from(ready.unwrap_or(false))
            }
            0x060 => self.device.state().interrupt,
            0x070 => u32::from(self.device.read_status()),
            0x0b0 => self.device.selected_memory().0 as u32,
            0x0b4 => (self.device.selected_memory().0 >> 32) as u32,
            0x0b8 => self.device.selected_memory().1 as u32,
            0x0bc => (self.device.selected_memory().1 >> 32) as u32,
            0x0c0 => u32::from(self.device.is_queue_resetting()),
            0x0fc => self.device.generation(),
            0x100.. => self.device.read_config(offset - 0x100, 4),
            _ => panic!("MIO-5: a read of register {offset:#x}"),
        }
    }

    fn write8(&self, offset: usize, value: u8) {
        assert!(offset >= 0x100, "an 8-bit write to a control register");
        self.device.write_config(offset - 0x100, 1, value.into());
    }

    fn write16(&self, offset: usize, _: u16) {
        panic!("CFG: a 16-bit write to {offset:#x}");
    }

    fn write32(&self, offset: usize, value: u32) {
        match offset {
            0x014 => self.device.state().feature_select = value,
            0x020 => self.device.write_features(value),
            0x024 => self.device.state().driver_select = value,
            0x030 => self.device.state().queue_select = value as u16,
            0x038 => self.set(|queue| queue.size = value as u16),
            0x044 => {
                let max = self.device.selected_max();
                self.device.with_queue(|queue, _| {
                    assert_eq!(value, 1, "MIO-9: a queue is only ever started");
                    assert!(queue.size <= max, "MIO-7: larger than the device's maximum");
                    queue.is_ready = true;
                });
            }
            0x050 => self.device.kick(value, None),
            0x064 => self.device.acknowledge(value),
            0x070 => self.device.write_status(value as u8),
            0x080 => self.set(|queue| low(&mut queue.descriptors, value)),
            0x084 => self.set(|queue| high(&mut queue.descriptors, value)),
            0x090 => self.set(|queue| low(&mut queue.available, value)),
            0x094 => self.set(|queue| high(&mut queue.available, value)),
            0x0a0 => self.set(|queue| low(&mut queue.used, value)),
            0x0a4 => self.set(|queue| high(&mut queue.used, value)),
            0x0ac => self.device.state().shm_select = value,
            0x0c0 => self.device.start_queue_reset(value),
            _ => panic!("MIO-5: a write to register {offset:#x}"),
        }
    }
}
