//! Buffers in a few sizes, from pools that grow on demand.
//!
//! ```text
//!   1 KiB    requests, and replies without bulk data
//!   4 KiB    small files, pages of directories
//!   64 KiB, 1 MiB    bulk data
//! ```
//!
//! A class grows by a whole pool at a time, as long as the bytes of all classes stay below the bound.

use alloc::vec::Vec;

use toro_core::{Dma, DmaBuf, DmaPool};

/// Size of the buffers of a class, and how many a pool of it has.
const CLASSES: [(usize, usize); 4] = [(1 << 10, 64), (4 << 10, 16), (64 << 10, 4), (1 << 20, 1)];

/// The largest buffer there is.
pub(crate) const LARGEST: usize = 1 << 20;

/// See the module.
pub(crate) struct Buffers {
    memory: Dma,
    classes: [Vec<DmaPool>; CLASSES.len()],
    /// Bytes that may still be allocated.
    left: usize,
}

impl Buffers {
    pub(crate) fn new(memory: Dma, most_bytes: usize) -> Self {
        Self { memory, classes: [const { Vec::new() }; CLASSES.len()], left: most_bytes }
    }

    /// A buffer of the smallest class that holds `size` bytes, with that length.
    pub(crate) fn take(&mut self, size: usize) -> Option<DmaBuf> {
        let class = CLASSES.iter().position(|&(bytes, _)| size <= bytes)?;
        let mut buffer = match self.classes[class].iter_mut().find_map(DmaPool::take) {
            Some(buffer) => buffer,
            None => self.grow(class)?,
        };
        buffer.set_len(size).ok()?;
        Some(buffer)
    }

    #[cold]
    fn grow(&mut self, class: usize) -> Option<DmaBuf> {
        let (size, count) = CLASSES[class];
        let left = self.left.checked_sub(size * count)?;
        let mut pool = DmaPool::new(self.memory, count, size).ok()?;
        self.left = left;
        let buffer = pool.take();
        self.classes[class].push(pool);
        buffer
    }

    /// Takes a buffer back without an atomic operation where it is from the first pool of its class, as most are.
    pub(crate) fn recycle(&mut self, buffer: DmaBuf) {
        let size = buffer.total_capacity();
        let class = CLASSES.iter().position(|&(bytes, _)| size == bytes);
        match class.and_then(|class| self.classes[class].first_mut()) {
            Some(pool) => pool.recycle(buffer),
            None => drop(buffer),
        }
    }
}
