//! The registers of a modern function.

use super::PciModel;
use crate::device::{Device, QueueSetup};

impl PciModel {
    fn set(&self, change: impl FnOnce(&mut QueueSetup)) {
        self.device.with_queue(|queue, _| {
            assert!(!queue.is_ready, "PCI-13: queue registers written after queue_enable");
            change(queue);
        });
    }

    pub(super) fn modern_read(&self, offset: usize, width: usize) -> u32 {
        let device = &self.device;
        match (offset, width) {
            (0x00, 4) => device.state().feature_select,
            (0x04, 4) => device.read_features(),
            (0x08, 4) => device.state().driver_select,
            (0x10, 2) => {
                let vector = device.state().config_vector;
                device.vector_reads(vector).into()
            }
            (0x12, 2) => device.state().queues.len() as u32,
            (0x14, 1) => device.read_status().into(),
            (0x15, 1) => device.generation() & 0xff,
            (0x18, 2) => {
                let max = device.selected_max();
                let size = device.with_queue(|queue, lies| match queue.size {
                    0 => max,
                    size if lies.wrong_size => size / 2,
                    size => size,
                });
                size.unwrap_or(0).into()
            }
            (0x1a, 2) => {
                let vector = device.with_queue(|queue, _| queue.vector).unwrap_or(0xffff);
                device.vector_reads(vector).into()
            }
            (0x1c, 2) => device.with_queue(|queue, lies| queue.is_ready && !lies.never_ready).unwrap_or(false).into(),
            (0x1e, 2) => {
                let state = device.state();
                if state.lies.far_doorbell { 0xffff } else { state.queue_select.into() }
            }
            (0x38, 2) => {
                let queue = device.state().queue_select;
                Device::notify_data(queue).into()
            }
            (0x3a, 2) => device.is_queue_resetting().into(),
            (0x1000, 1) => self.take_interrupt().into(),
            (0x2000..0x3000, _) => device.read_config(offset - 0x2000, width),
            (0x4000.., _) => self.table_read(offset - 0x4000),
            _ => panic!("a read of {width} bytes at {offset:#x}"),
        }
    }

    pub(super) fn modern_write(&self, offset: usize, width: usize, value: u32) {
        let device = &self.device;
        let low = |address: &mut u64| *address = (*address & !0xffff_ffff) | u64::from(value);
        let high = |address: &mut u64| *address = (*address & 0xffff_ffff) | u64::from(value) << 32;
        match (offset, width) {
            (0x00, 4) => device.state().feature_select = value,
            (0x08, 4) => device.state().driver_select = value,
            (0x0c, 4) => device.write_features(value),
            (0x10, 2) => {
                self.check_vector(value as u16);
                device.state().config_vector = value as u16;
            }
            (0x14, 1) => device.write_status(value as u8),
            (0x16, 2) => device.state().queue_select = value as u16,
            (0x18, 2) => {
                assert!(value.is_power_of_two(), "PCI-12");
                self.set(|queue| queue.size = value as u16);
            }
            (0x1a, 2) => {
                self.check_vector(value as u16);
                self.set(|queue| queue.vector = value as u16);
            }
            (0x1c, 2) => {
                assert_eq!(value, 1, "PCI-14: queue_enable is only ever set");
                device.with_queue(|queue, _| {
                    assert!(queue.size != 0 && queue.used != 0, "PCI-13: enabled before it is configured");
                    queue.is_ready = true;
                });
            }
            (0x20, 4) => self.set(|queue| low(&mut queue.descriptors)),
            (0x24, 4) => self.set(|queue| high(&mut queue.descriptors)),
            (0x28, 4) => self.set(|queue| low(&mut queue.available)),
            (0x2c, 4) => self.set(|queue| high(&mut queue.available)),
            (0x30, 4) => self.set(|queue| low(&mut queue.used)),
            (0x34, 4) => self.set(|queue| high(&mut queue.used)),
            (0x3a, 2) => device.start_queue_reset(value),
            (0x2000..0x3000, _) => device.write_config(offset - 0x2000, width, value),
            (0x3000..0x4000, _) => {
                device.kick(value, Some(width));
                let state = device.state();
                let queue = *state.kicks.last().expect("it was just kicked");
                let place = usize::from(queue) * state.multiplier as usize;
                assert_eq!(offset - 0x3000, place, "PCI-24: the wrong doorbell");
            }
            (0x4000.., 4) => self.table_write(offset - 0x4000, value),
            _ => panic!("PCI-11: a write of {width} bytes at {offset:#x}"),
        }
    }
}
