//! Writing: into the cache, or past it through what it has.

use alloc::vec::Vec;
use core::ops::Range;

use toro_core::driver::block::SECTOR;

use super::blocks::Since;
use super::{Cache, LARGE, Policy};
use crate::fs::block::error::DiskError;
use crate::fs::block::volume::Transfer;

/// How often a block is read that is forgotten again before it can be written.
const TRIES: usize = 3;

impl Cache {
    pub(super) fn write_piece(&self, sector: u64, data: &[u8]) -> Result<(), DiskError> {
        let range = self.range(sector, data.len());
        let is_whole = data.len() == self.bytes_in(&range);
        if data.len() >= LARGE && is_whole {
            return self.write_past(sector, data, range);
        }
        // One that the cache may keep.
        let most = (LARGE / self.block).max(1) * self.block;
        if is_whole && data.len() > most {
            let (first, rest) = data.split_at(most);
            self.write_piece(sector, first)?;
            return self.write_piece(sector + (most / SECTOR) as u64, rest);
        }
        self.make_room(range.end - range.start)?;
        while self.is_locked(&range) {
            self.wait_for(&range);
            // Others have written meanwhile.
            self.make_room(range.end - range.start)?;
        }
        if !is_whole && !self.state.borrow().blocks.has(range.start) {
            let _lock = self.lock(range.clone());
            self.bring(sector, &range)?;
            self.keep(sector, data, range)?;
        } else {
            self.keep(sector, data, range)?;
        }
        if self.policy == Policy::WriteThrough { self.write_back(u64::MAX) } else { Ok(()) }
    }

    /// Reads a locked block that is written in part, and sees to it that it may become dirty.
    fn bring(&self, sector: u64, range: &Range<u64>) -> Result<(), DiskError> {
        for _ in 0..TRIES {
            self.fetch(sector, &mut [], range.clone())?;
            // Others have written meanwhile; while they are waited for, the block may be forgotten.
            self.make_room(1)?;
            if self.state.borrow().blocks.has(range.start) {
                break;
            }
        }
        Ok(())
    }

    /// Puts data into blocks, which are here or written as a whole.
    fn keep(&self, sector: u64, data: &[u8], range: Range<u64>) -> Result<(), DiskError> {
        let since = self.now();
        let mut state = self.state.borrow_mut();
        let was_clean = state.blocks.dirty.is_empty();
        for number in range {
            let length = self.bytes_in(&(number..number + 1));
            let (here, there) = self.overlap(sector, data.len(), number, length);
            match state.blocks.get(number) {
                Some(block) => block[here].copy_from_slice(&data[there]),
                None if here.len() == length => {
                    state.blocks.put(number, &data[there]).ok_or(DiskError::OutOfMemory)?;
                }
                None => return Err(DiskError::OutOfMemory),
            }
            state.blocks.soil(number, since);
        }
        drop(state);
        if was_clean {
            self.soiled.announce();
        }
        Ok(())
    }

    /// The number and the time of a new write.
    fn now(&self) -> Since {
        let mut state = self.state.borrow_mut();
        state.sequence += 1;
        Since { sequence: state.sequence, at: self.volume.now() }
    }

    /// Writes whole blocks past the cache, and through those that are here.
    fn write_past(&self, sector: u64, data: &[u8], range: Range<u64>) -> Result<(), DiskError> {
        self.wait_for(&range);
        let _lock = self.lock(range.clone());
        // No copy of old contents may come after these.
        while self.state.borrow().blocks.writing.range(range.clone()).next().is_some() {
            self.changed.wait();
        }
        let since = self.now();
        self.state.borrow_mut().direct += 1;
        let mut here = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            for (number, bytes) in range.zip(data.chunks(self.block)) {
                if let Some(block) = state.blocks.get(number) {
                    block.copy_from_slice(bytes);
                    let since = state.blocks.dirty.remove(&number).unwrap_or(since);
                    state.blocks.writing.insert(number, since);
                    here.push(number);
                }
            }
        }
        let result = self.send(sector, data);
        let mut state = self.state.borrow_mut();
        state.direct -= 1;
        state.written += 1;
        for number in here {
            // What could not be written is tried again like any other block.
            if let (Some(since), true) = (state.blocks.writing.remove(&number), result.is_err()) {
                state.blocks.soil(number, since);
            }
        }
        drop(state);
        self.changed.announce();
        result
    }

    /// Writes to the disk, and waits for it.
    fn send(&self, sector: u64, data: &[u8]) -> Result<(), DiskError> {
        let mut at = sector;
        let mut rest = data;
        while !rest.is_empty() {
            let mut buffer = self.volume.buffer_up_to(rest.len(), self.block)?;
            let length = buffer.len().min(rest.len());
            let (piece, behind) = rest.split_at(length);
            buffer.set_len(length).map_err(|_| DiskError::OutOfMemory)?;
            buffer.copy_from_slice(piece);
            let ticket = self.volume.start(Transfer::Write, at, buffer);
            ticket.map_or_else(|refused| refused, |ticket| ticket.wait()).result?;
            at += (length / SECTOR) as u64;
            rest = behind;
        }
        Ok(())
    }
}
