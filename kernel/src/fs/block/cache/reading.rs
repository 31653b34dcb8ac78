//! Reading: what is here is copied, what is not is read from the disk and mostly kept.

use core::ops::Range;

use toro_core::driver::block::SECTOR;

use super::{AHEAD, Cache, LARGE};
use crate::fs::block::error::DiskError;
use crate::fs::block::volume::Transfer;

impl Cache {
    pub(super) fn read_piece(&self, sector: u64, out: &mut [u8]) -> Result<(), DiskError> {
        let range = self.range(sector, out.len());
        self.wait_for(&range);
        let is_sequential = self.state.borrow().next_read == sector;
        self.state.borrow_mut().next_read = sector + (out.len() / SECTOR) as u64;
        let Some(first_missing) = self.copy_out(sector, out, range.clone()) else { return Ok(()) };
        let ahead = if is_sequential && out.len() < LARGE { self.ahead(&range) } else { range.end };
        let _lock = self.lock(range.start..ahead);
        let mut next = first_missing;
        while let Some(missing) = self.next_missing(next, range.end, ahead) {
            next = missing.end;
            self.fetch(sector, out, missing)?;
        }
        Ok(())
    }

    /// Copies what is here to `out`; the first block that is not.
    fn copy_out(&self, sector: u64, out: &mut [u8], range: Range<u64>) -> Option<u64> {
        let mut state = self.state.borrow_mut();
        let mut first_missing = None;
        for number in range {
            match state.blocks.get(number) {
                Some(block) => {
                    let (here, there) = self.overlap(sector, out.len(), number, block.len());
                    out[there].copy_from_slice(&block[here]);
                }
                None => first_missing = first_missing.or(Some(number)),
            }
        }
        first_missing
    }

    /// Which bytes of block `number`, which is `length` long, and of a transfer from `sector` on are the same.
    pub(super) fn overlap(
        &self,
        sector: u64,
        bytes: usize,
        number: u64,
        length: usize,
    ) -> (Range<usize>, Range<usize>) {
        let (start, block_start) = (sector * SECTOR as u64, number * self.block as u64);
        let first = start.max(block_start);
        let end = (start + bytes as u64).min(block_start + length as u64).max(first);
        let relative = |to: u64| (first - to) as usize..(end - to) as usize;
        (relative(block_start), relative(start))
    }

    /// How far to read for somebody who reads on and on: up to a block that is here or locked, or the end.
    fn ahead(&self, range: &Range<u64>) -> u64 {
        let limit = (range.start + (AHEAD / self.block) as u64).min(self.sectors.get().div_ceil(self.stride()));
        let is_free = |&number: &u64| !self.state.borrow().blocks.has(number) && !self.is_locked(&(number..number + 1));
        (range.end..limit).take_while(is_free).last().map_or(range.end, |last| last + 1)
    }

    /// The next run of blocks that are not here and begin before `end`; it may go on to `ahead`.
    fn next_missing(&self, from: u64, end: u64, ahead: u64) -> Option<Range<u64>> {
        let state = self.state.borrow();
        let first = (from..end).find(|&number| !state.blocks.has(number))?;
        let last = (first..ahead).take_while(|&number| !state.blocks.has(number)).last()?;
        Some(first..last + 1)
    }

    /// Reads locked blocks that are not here, gives the reader its part, and keeps them unless the reader wants much.
    pub(super) fn fetch(&self, sector: u64, out: &mut [u8], range: Range<u64>) -> Result<(), DiskError> {
        let mut next = range.start;
        while next < range.end {
            let buffer =
                self.volume.buffer_up_to(self.bytes_in(&(next..range.end)), self.bytes_in(&(next..next + 1)))?;
            let count = (buffer.len().div_ceil(self.block) as u64).max(1);
            let ticket = self.volume.start(Transfer::Read, next * self.stride(), buffer);
            let finished = ticket.map_or_else(|refused| refused, |ticket| ticket.wait());
            finished.result?;
            let buffer = finished.buffer.ok_or(DiskError::Dead)?;
            let mut state = self.state.borrow_mut();
            for (number, bytes) in (next..).zip(buffer.chunks(self.block)) {
                let (here, there) = self.overlap(sector, out.len(), number, bytes.len());
                if !here.is_empty() {
                    out[there].copy_from_slice(&bytes[here]);
                }
                if out.len() < LARGE {
                    // Without room for it, it is read again when it is wanted again.
                    let _ = state.blocks.put(number, bytes);
                }
            }
            next += count;
        }
        Ok(())
    }
}
