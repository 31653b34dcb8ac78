//! The ports of a legacy function.

use super::PciModel;

/// What pages are counted in, and what used rings are aligned to.
const PAGE: u32 = 4096;

impl PciModel {
    /// Where the device's configuration starts: it moves when MSI-X is switched (PCI-29).
    fn legacy_config(&self) -> usize {
        if self.config.has_msix() { 0x18 } else { 0x14 }
    }

    pub(super) fn legacy_read(&self, offset: usize, width: usize) -> u32 {
        let device = &self.device;
        let config = self.legacy_config();
        match (offset, width) {
            (0x00, 4) => {
                device.state().feature_select = 0;
                device.read_features()
            }
            (0x08, 4) => device.queue_page(PAGE),
            (0x0c, 2) => device.selected_max().into(),
            (0x12, 1) => device.read_status().into(),
            (0x13, 1) => self.take_interrupt().into(),
            (0x14, 2) if config == 0x18 => {
                let vector = device.state().config_vector;
                device.vector_reads(vector).into()
            }
            (0x16, 2) if config == 0x18 => {
                let vector = device.with_queue(|queue, _| queue.vector).unwrap_or(0xffff);
                device.vector_reads(vector).into()
            }
            (_, _) if offset >= config => device.read_config(offset - config, width),
            _ => panic!("PCI-29: a read of {width} bytes at port {offset:#x}"),
        }
    }

    pub(super) fn legacy_write(&self, offset: usize, width: usize, value: u32) {
        let device = &self.device;
        let has_vectors = self.config.has_msix();
        match (offset, width) {
            (0x04, 4) => {
                device.state().driver_select = 0;
                device.write_features(value);
            }
            (0x08, 4) => {
                let max = device.selected_max();
                assert_ne!(max, 0, "PCI-28: an absent queue is placed");
                device.with_queue(|queue, _| queue.size = max);
                device.place_queue(value, PAGE, PAGE);
            }
            (0x0e, 2) => device.state().queue_select = value as u16,
            (0x10, 2) => device.kick(value, Some(2)),
            (0x12, 1) => device.write_status(value as u8),
            (0x14, 2) if has_vectors => {
                self.check_vector(value as u16);
                device.state().config_vector = value as u16;
            }
            (0x16, 2) if has_vectors => {
                self.check_vector(value as u16);
                device.with_queue(|queue, _| {
                    assert!(!queue.is_ready, "the vector of a queue in use is changed");
                    queue.vector = value as u16;
                });
            }
            (_, _) if offset >= self.legacy_config() => {
                device.write_config(offset - self.legacy_config(), width, value);
            }
            _ => panic!("PCI-29: a write of {width} bytes at port {offset:#x}"),
        }
    }
}
