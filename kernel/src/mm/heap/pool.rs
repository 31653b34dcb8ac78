//! The pool: blocks between a kilobyte and [`LARGE`](super::class::LARGE) of one core, by
//! [talc](https://docs.rs/talc).
//!
//! ```text
//!   extent, whole granules            extent
//!   | talc's bins | block | gap | block |     | block | block | gap |
//! ```
//!
//! talc knows the gaps by size, merges what is freed, and grows and shrinks blocks in place. It is fed with extents as
//! it runs dry: the first is as small as can be, the following as large as the pool is already, up to a limit, so that a
//! core that needs little has little. Extents are not taken back, as blocks are scattered over them.

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;

use talc::{ErrOnOom, Span, Talc};

use super::machine::Machine;
use super::owner::GRANULE;

/// The largest extent that is not for a request that needs more.
const MAX_EXTENT: usize = 1024 * 1024;
/// An extent that is larger than necessary takes no more than this part of what is free.
const MAX_SHARE: usize = 16;
/// Room for talc's own records next to a request: its bins, a tag at the start and one behind each block.
const RECORDS: usize = 2 * 1024;

/// The pool of one core.
pub struct Pool {
    talc: RefCell<Talc<ErrOnOom>>,
    /// Bytes in extents.
    size: Cell<usize>,
}

impl Pool {
    /// A pool without memory.
    pub const fn new() -> Self {
        Self { talc: RefCell::new(Talc::new(ErrOnOom)), size: Cell::new(0) }
    }

    /// Bytes that the pool has taken from the frame allocator.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.size.get()
    }

    /// Allocates a block of `layout`, if there is room in the extents.
    ///
    /// # Safety
    ///
    /// The size is not zero.
    pub unsafe fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the size is not zero, by this function's contract.
        unsafe { self.talc.borrow_mut().malloc(layout) }.ok()
    }

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this pool, allocated or last resized with the size of `layout`; the caller gives it up.
    pub unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: a live block with this layout, by this function's contract.
        unsafe { self.talc.borrow_mut().free(block, layout) }
    }

    /// Resizes a block in place, if possible.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this pool with `layout`; `new_size` is not zero.
    pub unsafe fn resize(&self, block: NonNull<u8>, layout: Layout, new_size: usize) -> bool {
        let mut talc = self.talc.borrow_mut();
        if new_size > layout.size() {
            // SAFETY: a live block with this layout, by this function's contract; the new size is the larger one.
            unsafe { talc.grow_in_place(block, layout, new_size) }.is_ok()
        } else {
            // SAFETY: as above; the new size is not zero and not the larger one.
            unsafe { talc.shrink(block, layout, new_size) };
            true
        }
    }

    /// Adds an extent in which `layout` has room. False where there is no memory for it.
    #[cold]
    pub fn grow(&self, layout: Layout, machine: &impl Machine) -> bool {
        let least = (layout.size() + layout.align() + RECORDS).next_multiple_of(GRANULE);
        let share = (machine.free_memory() / MAX_SHARE) & !(GRANULE - 1);
        let wished = self.size.get().min(MAX_EXTENT).min(share).max(least);
        let extent = [wished, least].into_iter().find_map(|size| Some((machine.allocate_frames(size, GRANULE)?, size)));
        let Some((start, size)) = extent else { return false };
        if !machine.owners().record(start.addr().get(), size, machine.core()) {
            // SAFETY: allocated just now, and not used.
            unsafe { machine.free_frames(start, size) };
            return false;
        }
        let span = Span::from_base_size(start.as_ptr(), size);
        // SAFETY: the memory is valid for reads and writes and exclusively ours, as the machine promises for what has
        // been allocated; it is never freed.
        let claimed = unsafe { self.talc.borrow_mut().claim(span) };
        debug_assert!(claimed.is_ok(), "a granule is enough for talc's records");
        self.size.set(self.size.get() + size);
        true
    }
}
