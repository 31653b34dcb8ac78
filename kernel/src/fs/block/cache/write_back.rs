//! Writing back: what is dirty goes to the disk, in ascending runs, several at a time.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use toro_core::Instant;
use toro_core::driver::block::BlockError;

use super::blocks::Since;
use super::{Cache, DELAY};
use crate::fs::block::error::DiskError;
use crate::fs::block::queue::Ticket;
use crate::fs::block::volume::Transfer;

/// The longest run.
const RUN: usize = 256 << 10;
/// How many runs are on their way at a time.
const DEPTH: usize = 4;

/// A run on its way.
struct Sent {
    ticket: Ticket,
    blocks: Vec<(u64, Since)>,
}

impl Cache {
    /// Waits until so many more blocks may be dirty.
    pub(super) fn make_room(&self, blocks: u64) -> Result<(), DiskError> {
        let is_full = || {
            let state = self.state.borrow();
            let dirty = state.blocks.dirty.len() + state.blocks.writing.len();
            dirty > 0 && dirty as u64 + blocks > self.most_dirty as u64
        };
        while is_full() {
            let result = self.write_back(u64::MAX);
            while is_full() && !self.state.borrow().blocks.writing.is_empty() {
                self.changed.wait();
            }
            // Those that stay because the disk will not have them count, but what fits is still taken. Without an error there
            // was room, and others that waited for it have taken it.
            if is_full() {
                result?;
            }
        }
        Ok(())
    }

    /// Writes all blocks to the disk that have been dirty since the write number `limit` at the latest, each once, and waits
    /// for that. Those that cannot be written stay dirty.
    pub(super) fn write_back(&self, limit: u64) -> Result<(), DiskError> {
        let mut sent = VecDeque::new();
        let mut outcome = Ok(());
        let mut next = 0;
        loop {
            let run = self.state.borrow().blocks.next_run(next, (RUN / self.block).max(1) as u64, limit);
            let Some(run) = run else { break };
            let Ok(run) = run else {
                // Somebody else is writing it: perhaps we are, further back.
                match sent.pop_front() {
                    Some(first) => outcome = outcome.and(self.settle(first)),
                    None => self.changed.wait(),
                }
                continue;
            };
            match self.send_run(run, limit) {
                Ok((end, more)) => {
                    next = end;
                    sent.extend(more);
                }
                Err((end, error)) => {
                    next = end;
                    outcome = outcome.and(Err(error));
                }
            }
            while sent.len() >= DEPTH {
                let Some(first) = sent.pop_front() else { break };
                outcome = outcome.and(self.settle(first));
            }
        }
        for sent in sent {
            outcome = outcome.and(self.settle(sent));
        }
        self.state.borrow_mut().trouble = outcome.err().map(|_| self.volume.now());
        outcome
    }

    /// Sends the first blocks of a run to the disk; where to go on.
    fn send_run(&self, run: Range<u64>, limit: u64) -> Result<(u64, Option<Sent>), (u64, DiskError)> {
        let failed = |error| (run.end, error);
        let least = self.bytes_in(&(run.start..run.start + 1));
        // This may wait, and the world may change.
        let mut buffer = self.volume.buffer_up_to(self.bytes_in(&run), least).map_err(failed)?;
        let most = (buffer.len() / self.block).max(1) as u64;
        let mut state = self.state.borrow_mut();
        let Some(Ok(run)) = state.blocks.next_run(run.start, most, limit) else {
            // All of it is written by now, or on its way.
            return Ok((run.start, None));
        };
        buffer.set_len(self.bytes_in(&run)).map_err(|_| failed(DiskError::OutOfMemory))?;
        let mut blocks = Vec::with_capacity((run.end - run.start) as usize);
        for (number, bytes) in run.clone().zip(buffer.chunks_mut(self.block)) {
            let Some(since) = state.blocks.dirty.remove(&number) else { continue };
            if let Some(block) = state.blocks.get(number) {
                bytes.copy_from_slice(block);
            }
            state.blocks.writing.insert(number, since);
            blocks.push((number, since));
        }
        drop(state);
        match self.volume.start(Transfer::Write, run.start * self.stride(), buffer) {
            Ok(ticket) => Ok((run.end, Some(Sent { ticket, blocks }))),
            Err(refused) => {
                self.take_back(&blocks);
                Err((run.end, refused.result.err().unwrap_or(DiskError::Dead)))
            }
        }
    }

    /// Waits for a run. If it fails, its blocks are tried one by one.
    fn settle(&self, sent: Sent) -> Result<(), DiskError> {
        let Sent { ticket, blocks } = sent;
        let result = ticket.wait().result;
        match result {
            Ok(()) => {
                let mut state = self.state.borrow_mut();
                state.written += 1;
                for (number, _) in &blocks {
                    state.blocks.writing.remove(number);
                }
            }
            Err(_) => self.take_back(&blocks),
        }
        self.changed.announce();
        if blocks.len() < 2 || result.is_ok() {
            return result;
        }
        let mut outcome = Ok(());
        for (number, since) in blocks {
            // Unless somebody else has begun to write it.
            let next = self.state.borrow().blocks.next_run(number, 1, since.sequence);
            if next != Some(Ok(number..number + 1)) {
                continue;
            }
            let result = match self.send_run(number..number + 1, since.sequence) {
                Ok((_, sent)) => sent.map_or(Ok(()), |sent| self.settle(sent)),
                Err((_, error)) => Err(error),
            };
            outcome = outcome.and(result);
        }
        outcome
    }

    /// Blocks that were not written are dirty as before.
    fn take_back(&self, blocks: &[(u64, Since)]) {
        let mut state = self.state.borrow_mut();
        for &(number, since) in blocks {
            state.blocks.writing.remove(&number);
            // The older of the two writes counts.
            state.blocks.dirty.insert(number, since);
        }
    }

    pub(super) fn flush(&self) -> Result<(), DiskError> {
        // Writes past the cache that are on their way have not returned, so what they add is not meant. What they replace is
        // waited for like other blocks.
        let limit = self.state.borrow().sequence;
        let mut outcome = Ok(());
        // A second time for what somebody else tried to write and could not.
        for _ in 0..2 {
            outcome = self.write_back(limit);
            while self.state.borrow().blocks.is_writing_since(limit) {
                self.changed.wait();
            }
            if !self.state.borrow().blocks.is_dirty_since(limit) {
                outcome = Ok(());
                break;
            }
        }
        // Whatever could be written shall be stable all the same.
        let written = self.state.borrow().written;
        let has_cache = self.volume.disk().is_none_or(|disk| disk.has_cache);
        if has_cache && self.state.borrow().stable < written {
            self.volume.flush()?;
        }
        let mut state = self.state.borrow_mut();
        state.stable = state.stable.max(written);
        if state.blocks.is_dirty_since(limit) { outcome.and(Err(BlockError::Failed.into())) } else { outcome }
    }

    pub(super) fn tend(&self) {
        match self.due() {
            None => self.soiled.wait(),
            Some(due) if self.volume.now() < due => drop(self.soiled.wait_until(due)),
            Some(_) => {
                if let Err(error) = self.write_back(u64::MAX) {
                    log::error!("block: writing back: {error}; the next flush tries again");
                }
            }
        }
    }

    /// When the oldest dirty block should go, or, where that has failed, be tried again.
    fn due(&self) -> Option<Instant> {
        let state = self.state.borrow();
        let oldest = state.blocks.dirty.values().map(|since| since.at).min()?;
        Some(oldest.max(state.trouble.unwrap_or(oldest)).saturating_add(DELAY))
    }
}
