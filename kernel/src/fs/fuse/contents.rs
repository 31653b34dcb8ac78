//! What files hold, remembered for as long as the attributes hold that it was read under.
//!
//! ```text
//!   attributes asked for      READ answered                    attributes run out
//!   |-------------------------|--------------------------------|-----------------> time
//!                             [ contents may be handed out     ]
//!
//!   file of 150 KiB   [ 64 KiB: here ][ not here ][ 22 KiB: here ]      pieces, each as it came with one READ
//! ```
//!
//! A server that gives attributes a lifetime allows a client to believe the size and the time of modification for so
//! long. Contents that were read within that time and are dropped at its end are never older than what their
//! attributes are allowed to be, so a reader sees both from the same span of time. They are dropped earlier when
//! attributes arrive that differ (which is what AUTO_INVAL_DATA promises), when the file is opened anew and the server does
//! not say that they may stay (FU-SEM-9), when the file is changed from here, and when their memory is wanted. A server that
//! gives no lifetime, or wants a file read past all caches, gets every READ.
//!
//! # What is worth it
//!
//! Files of up to a quarter of the cache, so that one that is longer than all of it does not push everything else out while
//! it is read once from end to end. A read of a few bytes of such a file asks for the whole piece that they are in; reads of
//! 64 KiB and more go straight into the reader's memory and are not remembered, which would be a
//! copy.
//!
//! The pieces have memory of their own: buffers that devices reach are scarce. The oldest piece goes first. A mount with a
//! cache of 0 bytes remembers nothing.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use toro_core::Instant;

use super::node::FuseNode;

/// Bytes of a piece.
pub const PIECE: usize = 64 * 1024;

/// The part of the cache that one file may take.
const SHARE: usize = 4;

/// Files up to this length may take all of it.
pub const SHORT: usize = 32 * 1024;

/// How many entries the queue may have before those that are gone are swept out of it.
const SWEEP: usize = 1024;

/// What is remembered of one file.
pub struct Contents {
    /// How long the file is.
    size: usize,
    until: Instant,
    /// As many as the file has.
    pieces: RefCell<Vec<Option<Box<[u8]>>>>,
    used: Rc<Cell<usize>>,
}

impl Contents {
    /// Whether they may still be handed out.
    pub fn hold(&self, now: Instant) -> bool {
        now < self.until
    }

    /// How many bytes a read of up to `length` bytes from `offset` on gets, if all of them are here.
    pub fn covers(&self, offset: u64, length: usize) -> Option<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.size);
        let end = start.saturating_add(length).min(self.size);
        let pieces = self.pieces.borrow();
        let wanted = pieces.get(start / PIECE..end.div_ceil(PIECE)).unwrap_or_default();
        (start == end || wanted.iter().all(Option::is_some)).then_some(end - start)
    }

    /// Reads like that, if all is here.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> Option<usize> {
        let count = self.covers(offset, buffer.len())?;
        let read = self.read_part(buffer.get_mut(..count)?, offset);
        (read == count).then_some(count)
    }

    /// Reads as many bytes from `offset` on as are here without a gap.
    pub fn read_part(&self, buffer: &mut [u8], offset: u64) -> usize {
        let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut read = 0;
        let pieces = self.pieces.borrow();
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let piece = pieces.get(at / PIECE).and_then(Option::as_deref);
            let from = piece.and_then(|piece| piece.get(at % PIECE..)).unwrap_or_default();
            let part = from.len().min(rest.len());
            let (Some(to), Some(from)) = (rest.get_mut(..part), from.get(..part)) else { break };
            if part == 0 {
                break;
            }
            to.copy_from_slice(from);
            read += part;
            at += part;
        }
        read
    }

    fn put(&self, index: usize, bytes: &[u8]) -> bool {
        let mut pieces = self.pieces.borrow_mut();
        let Some(place) = pieces.get_mut(index) else { return false };
        let old = place.replace(bytes.into()).map_or(0, |old| old.len());
        self.used.set((self.used.get() + bytes.len()).saturating_sub(old));
        true
    }

    fn take(&self, index: usize) {
        let taken = self.pieces.borrow_mut().get_mut(index).and_then(Option::take);
        self.used.set(self.used.get().saturating_sub(taken.map_or(0, |bytes| bytes.len())));
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        let bytes: usize = self.pieces.get_mut().iter().flatten().map(|bytes| bytes.len()).sum();
        self.used.set(self.used.get().saturating_sub(bytes));
    }
}

/// All contents that a mount remembers, within a bound.
pub struct ContentsCache {
    /// The pieces, from the oldest to the newest.
    queue: RefCell<VecDeque<(Weak<Contents>, usize)>>,
    used: Rc<Cell<usize>>,
    limit: usize,
}

impl ContentsCache {
    /// A cache of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { queue: RefCell::default(), used: Rc::default(), limit }
    }

    /// How many bytes are remembered.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether a file of this length is remembered, when it is read.
    pub fn takes(&self, size: u64) -> bool {
        let longest = (self.limit / SHARE).max(SHORT.min(self.limit));
        (1..=longest as u64).contains(&size)
    }

    /// Remembers what was read at `offset` of `node`, a file of `size` bytes, until then; whether it did. It does if this is a
    /// whole piece of a file that it takes.
    pub fn remember(&self, node: &FuseNode, offset: u64, bytes: &[u8], size: u64, until: Instant) -> bool {
        let Ok(size_here) = usize::try_from(size) else { return false };
        let Ok(offset) = usize::try_from(offset) else { return false };
        let is_piece = offset.is_multiple_of(PIECE) && bytes.len() == PIECE.min(size_here.saturating_sub(offset));
        if bytes.is_empty() || !is_piece || !self.takes(size) {
            return false;
        }
        let known = node.contents().filter(|known| known.size == size_here);
        let contents = known.unwrap_or_else(|| {
            let pieces = RefCell::new((0..size_here.div_ceil(PIECE)).map(|_| None).collect());
            Rc::new(Contents { size: size_here, until, pieces, used: Rc::clone(&self.used) })
        });
        contents.take(offset / PIECE);
        // What was known of the file before, if it is no part of this, makes room first.
        node.set_contents(Some(Rc::clone(&contents)));
        while self.used.get() + bytes.len() > self.limit {
            let Some((oldest, index)) = self.queue.borrow_mut().pop_front() else { return false };
            if let Some(oldest) = oldest.upgrade() {
                oldest.take(index);
            }
        }
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= SWEEP {
            // Once around: those that are left keep their order.
            for _ in 0..queue.len() {
                if let Some(entry) = queue.pop_front_if(|(contents, _)| contents.strong_count() > 0) {
                    queue.push_back(entry);
                } else {
                    queue.pop_front();
                }
            }
        }
        queue.push_back((Rc::downgrade(&contents), offset / PIECE));
        contents.put(offset / PIECE, bytes)
    }
}
