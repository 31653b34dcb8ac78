//! The bus master of a channel.

use super::channel::{Channel, DRQ, Work};
use super::transfer::Direction;

/// Status bits.
pub(super) const ACTIVE: u8 = 1 << 0;
pub(super) const ERROR: u8 = 1 << 1;
pub(super) const INTR: u8 = 1 << 2;
/// The firmware's notes: which drives are set up for DMA.
const NOTES: u8 = 3 << 5;
const START: u8 = 1 << 0;
const TO_MEMORY: u8 = 1 << 3;
/// A table is read no further than this.
const ENTRIES: usize = 512;

/// Its registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Master {
    pub(super) command: u8,
    pub(super) status: u8,
    pub(super) table: u32,
}

impl Default for Master {
    /// As the firmware leaves it.
    fn default() -> Self {
        Self { command: 0, status: NOTES, table: 0 }
    }
}

impl Channel {
    pub(super) fn read_master(&mut self, offset: usize) -> u8 {
        if self.lies.gone {
            return u8::MAX;
        }
        match offset {
            0 => self.master.command,
            2 => {
                let lies = &self.lies;
                let is_late = lies.late_master_error && self.master.command & START == 0;
                let lie = if lies.master_error || is_late { ERROR } else { 0 };
                let lie = lie | if lies.active_stuck { ACTIVE } else { 0 };
                self.master.status | lie | self.lies.master_bits
            }
            _ => u8::MAX,
        }
    }

    pub(super) fn table(&self) -> u32 {
        self.master.table
    }

    pub(super) fn set_table(&mut self, table: u32) {
        self.must(self.master.command & START == 0, "AT-17: the table's address changes while the master runs");
        self.must(table.is_multiple_of(4), "the table is not aligned");
        self.master.table = table;
    }

    pub(super) fn write_master(&mut self, offset: usize, value: u8) {
        match offset {
            0 => {
                let was_running = self.master.command & START != 0;
                self.master.command = value & (START | TO_MEMORY);
                if value & START == 0 {
                    // What is under way is waited for.
                    if was_running && matches!(self.work, Work::Dma { .. }) {
                        self.dma();
                    }
                    self.master.status &= !ACTIVE;
                } else if !was_running {
                    self.must(
                        matches!(self.work, Work::Dma { .. } | Work::Pending) || self.lies.any(),
                        "AT-17: the master is started before the command",
                    );
                    self.master.status |= ACTIVE;
                    if self.is_quick() {
                        self.dma();
                    }
                }
            }
            2 => {
                self.must(value & NOTES == self.master.status & NOTES, "AT-17: the firmware's notes are lost");
                let kept = self.master.status & !(value & (ERROR | INTR)) & !NOTES;
                self.master.status = kept | (value & NOTES);
            }
            _ => self.must(false, "a byte of the table's address is written"),
        }
    }

    /// The regions of the table, and how many bytes they have; up to what a command has asked for.
    fn regions(&self) -> Vec<(u64, usize)> {
        let mut regions = Vec::new();
        for index in 0..ENTRIES as u64 {
            let entry = self.memory.at(u64::from(self.master.table) + 8 * index, 8).cast::<[u8; 8]>();
            // SAFETY: the table lies in memory that the driver has set aside for it, and it writes none of it while a
            // command runs.
            let [a, b, c, d, e, f, _, flags] = unsafe { entry.as_ptr().read_volatile() };
            let (address, count) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]));
            let count = if count == 0 { 0x1_0000 } else { usize::from(count) };
            let ends_in = (u64::from(address) + count as u64 - 1) >> 16;
            self.must(address.is_multiple_of(2) && count.is_multiple_of(2), "AT-20: a region begins or ends odd");
            self.must(ends_in == u64::from(address) >> 16, "AT-20: a region crosses a multiple of 64 KiB");
            regions.push((address.into(), count));
            if flags & 0x80 != 0 {
                return regions;
            }
        }
        self.must(false, "AT-20: the table has no end");
        regions
    }

    /// Moves the data of the command that waits for it, if the master has been started.
    pub(super) fn dma(&mut self) {
        let is_broken = self.lies.busy || self.lies.no_dma || self.lies.active_stuck || self.lies.master_error;
        if self.master.command & START == 0 || is_broken {
            return;
        }
        let Work::Dma { direction, mut buffer, lba, code } = std::mem::replace(&mut self.work, Work::None) else {
            return;
        };
        let is_in = self.master.command & TO_MEMORY != 0;
        self.must(is_in == (direction == Direction::In), "AT-17: the direction is the wrong one");
        let regions = self.regions();
        let described: usize = regions.iter().map(|(_, count)| count).sum();
        self.must(described == buffer.len(), "AT-19: the table does not describe the command's data");
        let failing = self.failing(code, lba, buffer.len());
        let whole = failing.map_or(buffer.len(), |(bad, _)| (bad - lba) as usize * self.block_size());
        let mut at = 0;
        for (address, count) in regions {
            let count = count.min(whole - at);
            if count == 0 {
                continue;
            }
            let memory = self.memory.at(address, count).as_ptr();
            let bytes = buffer[at..at + count].as_mut_ptr();
            let (from, to) = match direction {
                Direction::In => (bytes, memory),
                Direction::Out => (memory, bytes),
            };
            // SAFETY: memory that the driver has lent to the device until the command ends, and a buffer of as many bytes.
            unsafe { from.copy_to_nonoverlapping(to, count) };
            at += count;
        }
        if direction == Direction::Out {
            self.store(lba, &buffer[..at]);
        }
        if let Some((bad, error)) = failing {
            self.master.status &= !ACTIVE;
            return self.fail(error, bad);
        }
        if described <= buffer.len() && !self.lies.stays_active {
            self.master.status &= !ACTIVE;
        }
        if described < buffer.len() {
            // As QEMU: over, without a word.
            return self.be_ready();
        }
        self.done();
        if self.lies.extra_drq {
            self.status |= DRQ;
        }
    }

    /// Whether it has been started, and not stopped since.
    pub fn is_started(&self) -> bool {
        self.master.command & START != 0
    }

    /// What has to be true when a DMA command is written.
    pub(super) fn must_be_prepared(&self, direction: Direction) {
        let lies = self.lies.any();
        let is_in = self.master.command & TO_MEMORY != 0;
        self.must(self.master.status & (ERROR | INTR) == 0 || lies, "AT-17: ERROR and INTR are those of before");
        self.must(is_in == (direction == Direction::In), "AT-17: the direction is not said before the command");
    }
}
