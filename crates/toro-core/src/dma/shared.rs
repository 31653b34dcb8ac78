//! [`SharedRegion`]: memory that the CPU and a device use at the same time.
//!
//! A ring is written by one side while the other reads it. In Rust's terms that is a data race for any plain
//! access, so a region gives out references to atomics only; a device is one more thread that stores to them.
//!
//! A region is addressed in units of the cell asked for: `region.at::<AtomicU16>(3)` is the fourth 16-bit word.
//! The check is one comparison; an index out of range, which only our own code can produce, is a panic.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use super::memory::{Dma, DmaBlock, OutOfDmaMemory};
use crate::addr::BusAddr;

mod sealed {
    /// # Safety
    ///
    /// Made of atomics only, without padding, at most 16-byte aligned, and every bit pattern is valid.
    pub unsafe trait Cell {}
}

/// What a shared region can be seen as: atomics, and arrays of them.
pub trait SharedCell: sealed::Cell + Sync + 'static {}
impl<C: sealed::Cell + Sync + 'static> SharedCell for C {}

// SAFETY: an atomic of a primitive.
unsafe impl sealed::Cell for AtomicU8 {}
// SAFETY: an atomic of a primitive.
unsafe impl sealed::Cell for AtomicU16 {}
// SAFETY: an atomic of a primitive.
unsafe impl sealed::Cell for AtomicU32 {}
// SAFETY: an atomic of a primitive.
unsafe impl sealed::Cell for AtomicU64 {}
// SAFETY: an array has no padding and the alignment of its element.
unsafe impl<C: sealed::Cell, const N: usize> sealed::Cell for [C; N] {}

/// The alignment of every region, in bytes: a page, so that no ring shares one with anything else.
const ALIGN: usize = 4096;

/// A zeroed piece of memory that both sides use at once.
///
/// # Leaking
///
/// Dropping a region frees its memory. Whoever has told a device about it must not drop it before the device has
/// been reset, but leak it ([`core::mem::forget`]).
pub struct SharedRegion {
    /// Invariant: at least `size` bytes, aligned to `ALIGN`, reached through atomics only.
    base: NonNull<u8>,
    size: usize,
    bus: BusAddr,
    memory: Dma,
    block_size: usize,
}

// SAFETY: the region is reached through atomics only.
unsafe impl Send for SharedRegion {}
// SAFETY: as above.
unsafe impl Sync for SharedRegion {}

impl SharedRegion {
    /// A zeroed region of at least `size` bytes, aligned to 4,096.
    ///
    /// # Errors
    ///
    /// [`OutOfDmaMemory`] if the platform has no such memory.
    pub fn new(memory: Dma, size: usize) -> Result<Self, OutOfDmaMemory> {
        let size = size.max(1).checked_next_multiple_of(16).ok_or(OutOfDmaMemory)?;
        let block = memory.allocate(size, ALIGN).ok_or(OutOfDmaMemory)?;
        Ok(Self { base: block.cpu(), size, bus: block.bus(), memory, block_size: block.size() })
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Its first byte, valid as long as the region is, to be reached through atomics only.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The bus address of the byte at `offset`.
    ///
    /// # Panics
    ///
    /// If `offset` lies beyond the region.
    pub fn bus_addr(&self, offset: usize) -> BusAddr {
        assert!(offset < self.size, "offset {offset} in a region of {} bytes", self.size);
        self.bus.offset(offset as u64)
    }

    /// The cell at `index`, counted in cells from the start of the region.
    ///
    /// # Panics
    ///
    /// If it lies beyond the region.
    #[inline(always)]
    pub fn at<C: SharedCell>(&self, index: usize) -> &C {
        const { assert!(align_of::<C>() <= 16 && size_of::<C>() > 0) };
        assert!(index < self.size / size_of::<C>());
        // SAFETY: `(index + 1) * size_of::<C>() <= size`, so it is in bounds.
        let cell = unsafe { self.base.cast::<C>().add(index) };
        // SAFETY:
        // - in bounds: as above;
        // - aligned: the base to a page, and the size of a cell is a multiple of its alignment;
        // - initialised: the platform's memory is zeroed, and any bit pattern is a valid cell;
        // - aliasing: the region is reached through atomics only, which permit concurrent writers;
        // - alive: the reference borrows the region.
        unsafe { cell.as_ref() }
    }
}

impl Drop for SharedRegion {
    fn drop(&mut self) {
        // SAFETY: the block as it was allocated in `new`.
        let block = unsafe { DmaBlock::new(self.base, self.bus, self.block_size) };
        // SAFETY: from `allocate` of the same source; references into it borrow `self`, which goes now; devices
        // have been reset or never knew it, as the type demands of whoever told them.
        unsafe { self.memory.release(block) };
    }
}

impl fmt::Debug for SharedRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedRegion({} bytes at {:?})", self.size, self.bus)
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::dma::testing::Heap;

    #[test]
    fn cells_of_different_width_are_views_of_the_same_bytes() {
        let memory = Heap::default().leak();
        let region = SharedRegion::new(memory, 64).expect("the heap has 64 bytes");
        region.at::<AtomicU64>(1).store(u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]), Ordering::Relaxed);
        assert_eq!(region.at::<AtomicU8>(10).load(Ordering::Relaxed), 3);
        assert_eq!(region.at::<[AtomicU64; 2]>(0)[1].load(Ordering::Relaxed).to_le_bytes()[7], 8);
        assert_eq!(region.bus_addr(10).get() - region.bus_addr(0).get(), 10);
        drop(region);
        assert_eq!(memory.blocks.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_cell_behind_the_end_is_a_panic() {
        let memory = Heap::default().leak();
        let region = SharedRegion::new(memory, 64).expect("the heap has 64 bytes");
        let last = region.at::<AtomicU32>(15).load(Ordering::Relaxed);
        assert_eq!(last, 0);
        let beyond = catch_unwind(AssertUnwindSafe(|| region.at::<AtomicU32>(16).load(Ordering::Relaxed)));
        assert!(beyond.is_err());
    }
}
