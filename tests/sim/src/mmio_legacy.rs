//! A virtio-mmio register block, version 1, that fails the test on a forbidden access.

use toro_core::Registers;

use crate::device::Device;

/// The legacy registers of a device (MIO-17, MIO-18): aligned 32-bit accesses below 0x100, only to registers of that
/// version, and queues set up in its order.
#[derive(Debug, Clone)]
pub struct LegacyMmioModel {
    /// The device behind them.
    pub device: Device,
    /// What the magic register reads.
    pub magic: u32,
}

impl LegacyMmioModel {
    /// Shows a device. What it offers beyond the first 32 features is not seen.
    pub fn new(device: Device) -> Self {
        device.state().is_legacy = true;
        Self { device, magic: 0x7472_6976 }
    }

    fn page_size(&self) -> u32 {
        match self.device.state().page_size {
            // A device may well be asked before the driver says it; all pages are 0 then.
            0 => 4096,
            size => size,
        }
    }
}

impl Registers for LegacyMmioModel {
    fn len(&self) -> usize {
        0x200
    }

    fn read8(&self, offset: usize) -> u8 {
        assert!(offset >= 0x100, "MIO-5: an 8-bit read of a control register");
        self.device.read_config(offset - 0x100, 1) as u8
    }

    fn read16(&self, offset: usize) -> u16 {
        assert!(offset >= 0x100, "MIO-5: a 16-bit read of a control register");
        self.device.read_config(offset - 0x100, 2) as u16
    }

    fn read32(&self, offset: usize) -> u32 {
        if self.device.state().lies.gone {
            return u32::MAX;
        }
        match offset {
            0x000 => self.magic,
            0x004 => 1,
            0x008 => self.device.state().device_type,
            0x00c => 0,
            // The second word is 0, as QEMU says it.
            0x010 => {
                let select = self.device.state().feature_select;
                if select == 0 { self.device.read_features() } else { 0 }
            }
            0x034 => u32::from(self.device.selected_max()),
            0x040 => self.device.queue_page(self.page_size()),
            0x060 => self.device.state().interrupt,
            0x070 => u32::from(self.device.read_status()),
            0x100.. => self.device.read_config(offset - 0x100, 4),
            _ => panic!("MIO-18: a read of register {offset:#x}"),
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
            0x028 => {
                let mut state = self.device.state();
                assert!(value.is_power_of_two() && state.page_size == 0, "MIO-17: the page size, once");
                // One that a lying device has in use by itself has no size.
                let is_placed = state.queues.iter().any(|queue| queue.is_ready && queue.size != 0);
                assert!(!is_placed, "MIO-17: the page size, before any queue");
                state.page_size = value;
            }
            0x030 => {
                let mut state = self.device.state();
                (state.queue_select, state.queue_align) = (value as u16, 0);
            }
            0x038 => {
                assert!(value <= u32::from(self.device.selected_max()), "MIO-7: larger than the device's maximum");
                self.device.with_queue(|queue, _| queue.size = value as u16);
            }
            0x03c => {
                assert!(value.is_power_of_two(), "MIO-17: the alignment");
                self.device.state().queue_align = value;
            }
            0x040 => {
                let (page_size, align) = self.device.legacy_layout();
                let size = self.device.with_queue(|queue, _| queue.size).unwrap_or(0);
                assert!(value == 0 || page_size != 0 && align != 0 && size != 0, "MIO-17: something comes before");
                self.device.place_queue(value, page_size, align);
            }
            0x050 => self.device.kick(value, None),
            0x064 => self.device.acknowledge(value),
            0x070 => self.device.write_status(value as u8),
            _ => panic!("MIO-18: a write to register {offset:#x}"),
        }
    }
}
