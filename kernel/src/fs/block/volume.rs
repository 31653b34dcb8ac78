//! [`Volume`]: a run of sectors of a disk, as the core that owns the disk sees it, and nothing beyond.

use alloc::rc::Rc;

use toro_core::driver::block::{BlockLimits, BlockOperation, COMMAND_BYTES, Disk as DiskState, SECTOR};
use toro_core::{DmaBuf, Instant};

use super::buffers::{Buffers, LONGEST_BUFFER};
use super::error::DiskError;
use super::queue::{Finished, Queue, Ticket};
use crate::fs::scheduler::Event;

/// Where a volume lies on its disk. Nothing that goes through it reaches a sector outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    first: u64,
    sectors: u64,
}

impl Window {
    /// A whole disk, however large it is at the moment: whether a sector is on it is for its driver to say.
    pub const WHOLE: Self = Self { first: 0, sectors: u64::MAX / SECTOR as u64 };

    /// `sectors` sectors from `first` on; `None` if the sum is more than any disk has.
    pub const fn new(first: u64, sectors: u64) -> Option<Self> {
        match first.checked_add(sectors) {
            Some(end) if end <= u64::MAX / SECTOR as u64 => Some(Self { first, sectors }),
            _ => None,
        }
    }

    /// The first sector of the disk that is in it.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// How many sectors are in it while its disk has `capacity`. A part of a disk keeps its bounds, even if they are no
    /// longer on the disk.
    pub const fn sectors(self, capacity: u64) -> u64 {
        if self.sectors == Self::WHOLE.sectors { capacity } else { self.sectors }
    }

    /// Whether there is a sector that is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first < other.first + other.sectors && other.first < self.first + self.sectors
    }

    /// The sector of the disk at which `count` sectors begin, the first of which is number `sector` of this window.
    pub const fn place(self, sector: u64, count: u64) -> Option<u64> {
        match sector.checked_add(count) {
            Some(end) if end <= self.sectors => Some(self.first + sector),
            _ => None,
        }
    }
}

/// What is asked of a volume, in sectors of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// From disk to memory.
    Read,
    /// From memory to disk.
    Write,
}

/// The operation of the disk for a transfer of a buffer to or from sector `sector` of `window`.
///
/// # Errors
///
/// [`DiskError::Misplaced`] for what is empty, not in whole blocks, or not inside.
pub fn operation(
    transfer: Transfer,
    window: Window,
    block_size: u32,
    sector: u64,
    bytes: usize,
) -> Result<BlockOperation, DiskError> {
    let sector = window.place(sector, (bytes / SECTOR) as u64).ok_or(DiskError::Misplaced)?;
    let block = u64::from(block_size).max(SECTOR as u64);
    let is_whole = (bytes as u64).is_multiple_of(block) && (sector * SECTOR as u64).is_multiple_of(block);
    match transfer {
        _ if bytes == 0 || !is_whole => Err(DiskError::Misplaced),
        Transfer::Read => Ok(BlockOperation::Read { sector }),
        Transfer::Write => Ok(BlockOperation::Write { sector }),
    }
}

/// A buffer for a command that has no data of its own.
pub fn command_buffer(buffers: &Buffers) -> Result<DmaBuf, DiskError> {
    buffers.take(COMMAND_BYTES).ok_or(DiskError::OutOfMemory)
}

/// A run of sectors of a disk of this core.
#[derive(Clone)]
pub struct Volume {
    queue: Rc<Queue>,
    unit: u8,
    window: Window,
    buffers: Rc<Buffers>,
}

impl Volume {
    /// The part `window` of the disk that is unit `unit` of the queue's device.
    pub fn new(queue: Rc<Queue>, unit: u8, window: Window, buffers: Rc<Buffers>) -> Self {
        Self { queue, unit, window, buffers }
    }

    /// How many sectors it has, as far as is known now.
    pub fn sectors(&self) -> u64 {
        self.window.sectors(self.disk().map_or(0, |disk| disk.sectors))
    }

    /// Asks the device whether it has changed.
    pub fn refresh(&self) {
        self.queue.refresh();
    }

    /// The disk that it is on, as it is now; none if it is gone.
    pub fn disk(&self) -> Option<DiskState> {
        self.queue.disk(self.unit)
    }

    /// What the device can take.
    pub fn limits(&self) -> BlockLimits {
        self.queue.limits()
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.queue.scheduler().now()
    }

    /// A new event to wait for.
    pub fn event(&self) -> Rc<dyn Event> {
        self.queue.scheduler().event()
    }

    /// A buffer. Waits for one while all are in use.
    ///
    /// # Errors
    ///
    /// [`DiskError::OutOfMemory`] if there is none for long, or ever, of this length.
    pub fn buffer(&self, bytes: usize) -> Result<DmaBuf, DiskError> {
        self.buffers.take_in_time(bytes, self.queue.scheduler())
    }

    /// A buffer of this length or, where memory is short, one that is shorter by some halves, but no shorter than `least`.
    ///
    /// # Errors
    ///
    /// As [`buffer`](Self::buffer).
    pub fn buffer_up_to(&self, bytes: usize, least: usize) -> Result<DmaBuf, DiskError> {
        let mut wanted = bytes.min(LONGEST_BUFFER);
        while wanted > least {
            if let Some(buffer) = self.buffers.take(wanted) {
                return Ok(buffer);
            }
            wanted = (wanted / 2 / least * least).max(least);
        }
        self.buffer(wanted)
    }

    /// Reads or writes a buffer.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and the buffer.
    pub fn start(&self, transfer: Transfer, sector: u64, buffer: DmaBuf) -> Result<Ticket, Finished> {
        let block = self.disk().map_or(SECTOR as u32, |disk| disk.block_size);
        match operation(transfer, self.window, block, sector, buffer.len()) {
            Ok(operation) => Ok(self.queue.submit(self.unit, operation, Some(buffer))),
            Err(error) => Err(Finished { buffer: Some(buffer), result: Err(error) }),
        }
    }

    /// Makes stable what was written and has completed. Waits for that.
    ///
    /// # Errors
    ///
    /// The device's.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.queue.submit(self.unit, BlockOperation::Flush, None).wait().result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_a_window_can_be_named() {
        let window = Window::new(63, 100).expect("a disk may have 163 sectors");
        assert_eq!(window.place(0, 100), Some(63));
        assert_eq!(window.place(99, 1), Some(162));
        assert_eq!(window.place(100, 0), Some(163), "nothing at the end");
        for (sector, count) in [(0, 101), (100, 1), (99, 2), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
            assert_eq!(window.place(sector, count), None, "{sector} {count}");
        }
        assert_eq!(Window::new(u64::MAX, 1), None);
        assert_eq!(Window::new(0, u64::MAX / 512 + 1), None, "more bytes than can be counted");
    }

    #[test]
    fn windows_overlap_where_they_share_a_sector() {
        let window = |first, sectors| Window::new(first, sectors).expect("small");
        assert!(window(10, 5).overlaps(window(14, 1)) && window(14, 1).overlaps(window(10, 5)));
        assert!(!window(10, 5).overlaps(window(15, 1)) && !window(15, 1).overlaps(window(10, 5)));
    }

    #[test]
    fn transfers_are_in_whole_blocks_of_the_disk() {
        let window = Window::new(8, 64).expect("small");
        let of = |block, sector, bytes| operation(Transfer::Read, window, block, sector, bytes);
        assert_eq!(of(512, 1, 512), Ok(BlockOperation::Read { sector: 9 }));
        assert_eq!(of(4096, 8, 4096), Ok(BlockOperation::Read { sector: 16 }));
        for (block, sector, bytes) in [(512, 0, 0), (512, 0, 100), (4096, 0, 512), (4096, 1, 4096), (512, 64, 512)] {
            assert_eq!(of(block, sector, bytes), Err(DiskError::Misplaced), "{block} {sector} {bytes}");
        }
    }
}
