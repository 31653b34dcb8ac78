//! What a mount has done: counters that tell whether bytes were copied on their way.
//!
//! Counting is a plain addition, as all of a mount belongs to one core.

use core::cell::Cell;

/// What a mount has done since it was mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes of files that applications were given.
    pub bytes_read: u64,
    /// Bytes of files that applications gave, and that were written.
    pub bytes_written: u64,
    /// Bytes of files that the processor copied from one place in memory to another.
    pub bytes_copied: u64,
    /// READs that were sent.
    pub reads: u64,
    /// Reads that were answered from memory.
    pub cache_hits: u64,
}

/// The counters of a mount.
#[derive(Default)]
pub(super) struct Counters {
    bytes_read: Cell<u64>,
    bytes_written: Cell<u64>,
    bytes_copied: Cell<u64>,
    reads: Cell<u64>,
    cache_hits: Cell<u64>,
}

fn add(counter: &Cell<u64>, count: usize) {
    counter.set(counter.get().wrapping_add(count as u64));
}

impl Counters {
    pub(super) fn count_read(&self, bytes: usize) {
        add(&self.bytes_read, bytes);
    }

    pub(super) fn count_written(&self, bytes: usize) {
        add(&self.bytes_written, bytes);
    }

    pub(super) fn count_copied(&self, bytes: usize) {
        add(&self.bytes_copied, bytes);
    }

    pub(super) fn count_request(&self) {
        add(&self.reads, 1);
    }

    /// Counts a read of so many bytes that was answered from memory, which takes a copy.
    pub(super) fn count_hit(&self, bytes: usize) {
        add(&self.cache_hits, 1);
        add(&self.bytes_read, bytes);
        add(&self.bytes_copied, bytes);
    }

    pub(super) fn get(&self) -> Statistics {
        Statistics {
            bytes_read: self.bytes_read.get(),
            bytes_written: self.bytes_written.get(),
            bytes_copied: self.bytes_copied.get(),
            reads: self.reads.get(),
            cache_hits: self.cache_hits.get(),
        }
    }
}
