//! The heap of one core.
//!
//! Everything here runs on the core that the heap belongs to. Threads do not change inside an allocation and do not move
//! to other cores, and interrupt handlers do not allocate: nothing here needs a lock or an atomic operation. What comes
//! from other cores comes through the inbox.
//!
//! # When the inbox is emptied
//!
//! Before a class that has run out of blocks gets another slab, and before the pool is asked for a block: what others gave back
//! is used first. And whenever the core's loop [collects](LocalHeap::collect), so that a core that allocates nothing
//! does not keep what the others no longer need.
//!
//! # Counting
//!
//! [`allocated`](LocalHeap::allocated) is what this core has given out and not got back yet: a block that another core
//! freed counts until it has been collected. It is a sum of blocks' sizes, not of requests' sizes. Requests that get frames
//! of their own are not in it; no core owns them.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use super::class::{Class, GRAIN, Route};
use super::machine::Machine;
use super::owner::NOBODY;
use super::pool::Pool;
use super::slab::Slab;
use super::small::SmallHeap;

/// The heap of one core.
pub struct LocalHeap {
    /// Number of the core, or [`NOBODY`] while this heap has no memory: then no block is its own.
    core: Cell<u8>,
    /// Bytes of blocks that are out.
    allocated: Cell<usize>,
    small: SmallHeap,
    pool: Pool,
}

impl LocalHeap {
    /// A heap that has nothing yet.
    pub const fn new() -> Self {
        Self { core: Cell::new(NOBODY), allocated: Cell::new(0), small: SmallHeap::new(), pool: Pool::new() }
    }

    /// Bytes of this core's blocks that are out, see the module.
    #[inline]
    pub fn allocated(&self) -> usize {
        self.allocated.get()
    }

    /// Allocates a block of `layout`; `None` where memory has run out.
    ///
    /// # Safety
    ///
    /// The size is not zero. `machine` is the one of this heap's core, as in every call.
    #[inline]
    pub unsafe fn allocate(&self, layout: Layout, machine: &impl Machine) -> Option<NonNull<u8>> {
        if let Some((block, size)) = Class::of_usual(layout).and_then(|class| self.small.take(class)) {
            self.allocated.set(self.allocated.get() + size);
            return Some(block);
        }
        // SAFETY: this function's contract.
        unsafe { self.allocate_unusual(layout, machine) }
    }

    /// Frees a block, whichever core it belongs to.
    ///
    /// # Safety
    ///
    /// `block` was allocated with `layout` by a heap of this machine, or last resized to it, is live, and is given up by the
    /// caller.
    #[inline]
    pub unsafe fn free(&self, block: NonNull<u8>, layout: Layout, machine: &impl Machine) {
        if let Some(class) = Class::of_usual(layout) {
            let slab = Slab::of(block, class);
            // SAFETY: the caller has a block of this slab, as the class depends on the layout alone.
            if unsafe { Slab::owner(slab) } == self.core.get() {
                // SAFETY: a live block of a slab of ours, given up by the caller.
                let size = unsafe { self.small.put(block, slab, machine) };
                self.allocated.set(self.allocated.get() - size);
                return;
            }
        }
        // SAFETY: this function's contract.
        unsafe { self.free_unusual(block, layout, machine) };
    }

    /// Resizes a block, in place or by moving what is in it; `None`, with the block as it was, where memory has run out.
    ///
    /// # Safety
    ///
    /// `block` was allocated with `layout`, or last resized to it, and is live. `new_size` is not zero, and rounded up to the
    /// alignment does not exceed `isize::MAX`. If the answer is another block, the caller has given this one up.
    pub unsafe fn resize(
        &self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
        machine: &impl Machine,
    ) -> Option<NonNull<u8>> {
        // SAFETY: the caller vouches for the size, and an existing layout has a valid alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let is_resized = match (Route::of(layout), Route::of(new_layout)) {
            (Route::Small(old), Route::Small(new)) => old == new,
            (Route::Pool(old), Route::Pool(new)) => {
                let layout = pool_layout(old, layout.align());
                // SAFETY: a live block of the pool with this layout, and the new size is not zero.
                unsafe { self.resize_pooled(block, layout, new, machine) }
            }
            // SAFETY: a run of frames that the caller owns; what is cut off it gives up.
            (Route::Frames, Route::Frames) => unsafe { machine.resize_frames(block, layout.size(), new_size) },
            _ => false,
        };
        if is_resized {
            return Some(block);
        }
        // SAFETY: the caller guarantees that the size is not zero.
        let new = unsafe { self.allocate(new_layout, machine) }?;
        // SAFETY: both blocks are at least that long, live, and distinct because both are live.
        unsafe { new.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
        // SAFETY: a live block with this layout, which the caller gives up for the new one.
        unsafe { self.free(block, layout, machine) };
        Some(new)
    }

    /// Frees the blocks that other cores have sent.
    #[inline]
    pub fn collect(&self, machine: &impl Machine) {
        let core = self.core.get();
        if core == NOBODY {
            // No block is ours, so none can be sent to us.
            return;
        }
        let inbox = machine.inbox(core);
        if !inbox.is_empty() {
            inbox.take_all().for_each(|(block, route)| {
                // SAFETY: others send only what is this core's, with its route, and have given it up.
                unsafe { self.free_own(block, route, machine) }
            });
        }
    }

    /// Gives memory that is in reserve back to the frame allocator.
    #[cold]
    pub fn release(&self, machine: &impl Machine) {
        self.collect(machine);
        self.small.release(machine);
    }

    /// Bytes that the pool has taken for good.
    #[cfg(test)]
    pub fn pool_size(&self) -> usize {
        self.pool.size()
    }

    /// As [`allocate`](Self::allocate), for everything but a usual block of a class that has one.
    ///
    /// # Safety
    ///
    /// As for `allocate`.
    #[inline(never)]
    unsafe fn allocate_unusual(&self, layout: Layout, machine: &impl Machine) -> Option<NonNull<u8>> {
        match Route::of(layout) {
            Route::Small(class) => self.allocate_small(class, machine),
            // SAFETY: the pool's size is not smaller than the layout's, which is not zero.
            Route::Pool(size) => unsafe { self.allocate_pooled(pool_layout(size, layout.align()), machine) },
            Route::Frames => self.allocate_frames(layout, machine),
        }
    }

    fn allocate_small(&self, class: Class, machine: &impl Machine) -> Option<NonNull<u8>> {
        self.core.set(machine.core());
        self.collect(machine);
        let take = || self.small.take(class);
        let take_from_next = || self.small.refill(class, machine).then(take).flatten();
        let (block, size) = take().or_else(take_from_next).or_else(|| {
            self.release(machine);
            // By now others may have sent something.
            take().or_else(take_from_next)
        })?;
        self.allocated.set(self.allocated.get() + size);
        Some(block)
    }

    /// # Safety
    ///
    /// The size is not zero.
    unsafe fn allocate_pooled(&self, layout: Layout, machine: &impl Machine) -> Option<NonNull<u8>> {
        self.core.set(machine.core());
        self.collect(machine);
        // SAFETY: the size is not zero.
        let block = unsafe { self.pool.allocate(layout) }.or_else(|| {
            if !self.pool.grow(layout, machine) {
                self.release(machine);
                if !self.pool.grow(layout, machine) {
                    return None;
                }
            }
            // SAFETY: the size is not zero.
            unsafe { self.pool.allocate(layout) }
        })?;
        self.allocated.set(self.allocated.get() + layout.size());
        Some(block)
    }

    fn allocate_frames(&self, layout: Layout, machine: &impl Machine) -> Option<NonNull<u8>> {
        machine.allocate_frames(layout.size(), layout.align()).or_else(|| {
            self.release(machine);
            machine.allocate_frames(layout.size(), layout.align())
        })
    }

    /// As [`free`](Self::free), for everything but a usual block of this core.
    ///
    /// # Safety
    ///
    /// As for `free`.
    #[inline(never)]
    unsafe fn free_unusual(&self, block: NonNull<u8>, layout: Layout, machine: &impl Machine) {
        let route = Route::of(layout);
        let owner = match route {
            // SAFETY: the caller has a block of this slab, as the route depends on the layout alone.
            Route::Small(class) => unsafe { Slab::owner(Slab::of(block, class)) },
            Route::Pool(_) => machine.owners().owner(block.addr().get()),
            Route::Frames => {
                // SAFETY: `allocate` got it from the machine, as the route depends on the layout alone.
                return unsafe { machine.free_frames(block, layout.size()) };
            }
        };
        if owner == self.core.get() {
            // SAFETY: a live block of this heap with this route, given up by the caller.
            unsafe { self.free_own(block, route, machine) };
        } else {
            // SAFETY: a live block of that core with this route, given up by the caller.
            unsafe { machine.inbox(owner).push(block, route) };
        }
    }

    /// Frees a block of this heap.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this heap with this route, and given up by the caller.
    unsafe fn free_own(&self, block: NonNull<u8>, route: Route, machine: &impl Machine) {
        let size = match route {
            // SAFETY: a live block of a slab of ours, by this function's contract.
            Route::Small(class) => unsafe { self.small.put(block, Slab::of(block, class), machine) },
            Route::Pool(size) => {
                // SAFETY: a live block of our pool, by this function's contract; talc does not ask for the alignment.
                unsafe { self.pool.free(block, pool_layout(size, GRAIN)) };
                size as usize
            }
            Route::Frames => unreachable!("frames are no core's"),
        };
        self.allocated.set(self.allocated.get() - size);
    }

    /// Resizes a block of the pool in place, if it is ours and there is room.
    ///
    /// # Safety
    ///
    /// `block` is a live block with this layout of some core's pool; `new_size` is not zero.
    unsafe fn resize_pooled(&self, block: NonNull<u8>, layout: Layout, new_size: u32, machine: &impl Machine) -> bool {
        let new_size = new_size as usize;
        if machine.owners().owner(block.addr().get()) != self.core.get() {
            return false;
        }
        // SAFETY: a live block of our pool with this layout; the new size is not zero.
        if !unsafe { self.pool.resize(block, layout, new_size) } {
            return false;
        }
        self.allocated.set(self.allocated.get() - layout.size() + new_size);
        true
    }
}

/// The layout of a block as the pool knows it.
fn pool_layout(size: u32, align: usize) -> Layout {
    Layout::from_size_align(size as usize, align).expect("a size and an alignment of less than LARGE, from a layout")
}
