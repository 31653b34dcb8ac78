//! [`Buffers`]: memory for what is read and written, in pools that grow to a bound.
//!
//! There is a list of pools for each size. Who asks for more than the pools have makes another one, as large as all of
//! that size before it together, so there are few of them however many buffers there are. A buffer is returned by dropping
//! it, on whatever core. Pools stay: a disk that once had many requests in flight will have them again.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use toro_core::{Dma, DmaBuf, DmaPool};

use super::error::DiskError;
use crate::fs::scheduler::Scheduler;

/// Bytes in the buffers of each class.
const SIZES: [usize; 7] = [512, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// The longest buffer.
pub const LONGEST_BUFFER: usize = SIZES[SIZES.len() - 1];
/// About how large the first pool of a class is.
const FIRST_POOL: usize = 128 << 10;
/// How long to wait before looking for a buffer again, and for how long in all.
const SHORTAGE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(10);

/// Buffers for the threads of one core.
pub struct Buffers {
    memory: Dma,
    /// Bytes that may still be allocated.
    budget: Cell<usize>,
    classes: RefCell<[Vec<DmaPool>; SIZES.len()]>,
}

impl Buffers {
    /// No buffers yet, and at most `budget` bytes ever.
    pub fn new(memory: Dma, budget: usize) -> Self {
        Self { memory, budget: Cell::new(budget), classes: RefCell::default() }
    }

    /// A buffer of this length, with whatever its last user left in it; `None` while there is no memory, and if it is
    /// longer than [`LONGEST_BUFFER`].
    pub fn take(&self, bytes: usize) -> Option<DmaBuf> {
        let class = SIZES.iter().position(|&size| size >= bytes)?;
        let mut classes = self.classes.borrow_mut();
        let (pools, &size) = (classes.get_mut(class)?, SIZES.get(class)?);
        let mut buffer = match pools.iter_mut().rev().find_map(DmaPool::take) {
            Some(buffer) => buffer,
            None => self.grow(pools, size)?,
        };
        buffer.set_len(bytes).ok()?;
        Some(buffer)
    }

    /// As [`take`](Self::take), but waits for a buffer while all are in use.
    ///
    /// # Errors
    ///
    /// [`DiskError::OutOfMemory`] if there is none for long, or ever, of this length.
    pub fn take_in_time(&self, bytes: usize, scheduler: &dyn Scheduler) -> Result<DmaBuf, DiskError> {
        if let Some(buffer) = self.take(bytes) {
            return Ok(buffer);
        }
        let deadline = scheduler.now().saturating_add(PATIENCE);
        let event = scheduler.event();
        while bytes <= LONGEST_BUFFER && scheduler.now() < deadline {
            // Whoever lets go of a buffer, on whatever core, tells nobody.
            event.wait_until(scheduler.now().saturating_add(SHORTAGE));
            if let Some(buffer) = self.take(bytes) {
                return Ok(buffer);
            }
        }
        Err(DiskError::OutOfMemory)
    }

    /// Makes another pool, and takes a buffer out of it.
    fn grow(&self, pools: &mut Vec<DmaPool>, size: usize) -> Option<DmaBuf> {
        let before: usize = pools.iter().map(DmaPool::count).sum();
        let wanted = before.max(FIRST_POOL / size).max(1);
        let affordable = wanted.min(self.budget.get() / size);
        // A pool of one, if there is no room for a large one.
        for count in [affordable, 1] {
            if count == 0 || count * size > self.budget.get() {
                return None;
            }
            let Ok(mut pool) = DmaPool::new(self.memory, count, size) else { continue };
            self.budget.set(self.budget.get() - count * size);
            let buffer = pool.take();
            pools.push(pool);
            return buffer;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::fuse::tests::memory::Heap;

    #[test]
    fn pools_grow_to_their_bound_and_serve_again() {
        let buffers = Buffers::new(&Heap, 1 << 20);
        let all: Vec<_> = core::iter::from_fn(|| buffers.take(4096)).collect();
        assert_eq!(all.len(), 256);
        assert!(buffers.classes.borrow()[1].len() <= 6, "each pool is as large as those before it");
        drop(all);
        assert!(buffers.take(4096).is_some() && buffers.take(512).is_none(), "the bound is for all sizes");
        let all: Vec<_> = core::iter::from_fn(|| buffers.take(4000)).collect();
        assert_eq!((all.len(), all[0].len()), (256, 4000));
    }

    #[test]
    fn a_buffer_is_as_long_as_was_asked_for() {
        let buffers = Buffers::new(&Heap, 16 << 20);
        for bytes in [1, 512, 513, 4096, 70_000, LONGEST_BUFFER] {
            assert_eq!(buffers.take(bytes).map(|buffer| buffer.len()), Some(bytes));
        }
        assert!(buffers.take(LONGEST_BUFFER + 1).is_none());
    }
}
