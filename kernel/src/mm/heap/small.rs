//! The small blocks of one core: slabs by class, and a few that are empty.
//!
//! ```text
//!   class      0         1      ...    19
//!   current    slab      slab          -         blocks are taken here
//!   partial    slab <-> slab           -         the next current ones: those with room
//!
//!   spares     4 KiB: slab -> slab    16 KiB: slab        empty, of no class
//! ```
//!
//! A slab all of whose blocks are free leaves its class, unless it is the current one. It becomes a spare, for whichever
//! class needs one next, or goes back to the frame allocator where there are [`SPARE_BYTES`] of spares already. So a core
//! hoards at most that for each of the two sizes and one slab for each class, and only a core whose use of memory grows
//! or shrinks by more than that takes the frame allocator's lock.

use core::cell::Cell;
use core::ptr::NonNull;

use super::class::{CLASSES, Class, SMALL};
use super::machine::Machine;
use super::slab::{Slab, State};

/// The most that is kept of spares of either size.
pub const SPARE_BYTES: usize = 64 * 1024;

/// Slabs of one class.
struct Bin {
    current: Cell<Option<NonNull<Slab>>>,
    /// The first of the list.
    partial: Cell<Option<NonNull<Slab>>>,
}

/// Slabs of one size of which no block is out, linked by their first word.
struct Spares {
    first: Cell<Option<NonNull<Spare>>>,
    count: Cell<usize>,
}

struct Spare {
    next: Option<NonNull<Spare>>,
}

/// The slabs of one core.
///
/// Invariants: every slab that is reachable from here is live and this core's; a slab is in its class's bin as its state
/// says: `Current` as `current`, `Partial` once in the list; a spare is an allocated run of frames of which nobody has a
/// block.
pub struct SmallHeap {
    bins: [Bin; CLASSES],
    spares: [Spares; 2],
}

impl SmallHeap {
    /// A heap without slabs.
    pub const fn new() -> Self {
        Self {
            bins: [const { Bin { current: Cell::new(None), partial: Cell::new(None) } }; CLASSES],
            spares: [const { Spares { first: Cell::new(None), count: Cell::new(0) } }; 2],
        }
    }

    /// Takes a block from the current slab of `class`, if that has one. With its size.
    #[inline(always)]
    pub fn take(&self, class: Class) -> Option<(NonNull<u8>, usize)> {
        let slab = self.bins[class.index()].current.get()?;
        // SAFETY: a live slab of this core (type invariant).
        let slab = unsafe { slab.as_ref() };
        Some((slab.take()?, slab.block_size()))
    }

    /// Makes another slab current, in place of one that has no block left. False where there is no memory for one.
    pub fn refill(&self, class: Class, machine: &impl Machine) -> bool {
        let bin = &self.bins[class.index()];
        let next = match bin.partial.get() {
            Some(slab) => {
                self.unlink(slab);
                // SAFETY: a live slab of this core (type invariant).
                unsafe { slab.as_ref() }.promote();
                slab
            }
            None => {
                let Some(memory) = self.memory_for_slab(class, machine) else { return false };
                // SAFETY: of a slab's size and so aligned, and exclusively ours, as both sources of it promise.
                unsafe { Slab::create(memory, class, machine.core()) }
            }
        };
        if let Some(full) = bin.current.replace(Some(next)) {
            // SAFETY: a live slab of this core (type invariant).
            unsafe { full.as_ref() }.fill();
        }
        true
    }

    /// Takes a block back. Returns its size.
    ///
    /// # Safety
    ///
    /// `block` is a block of `slab` that is out, and `slab` one of this core; the caller gives the block up.
    #[inline(always)]
    pub unsafe fn put(&self, block: NonNull<u8>, slab: NonNull<Slab>, machine: &impl Machine) -> usize {
        // SAFETY: a slab of which a block is out is live, and this one is our own, by this function's contract.
        let header = unsafe { slab.as_ref() };
        let size = header.block_size();
        // SAFETY: the block is out of this slab and given up, by this function's contract.
        if unsafe { header.put(block) } {
            self.settle(slab, machine);
        }
        size
    }

    /// Gives spares, and current slabs of which every block is free, back to the frame allocator.
    #[cold]
    pub fn release(&self, machine: &impl Machine) {
        for bin in &self.bins {
            // SAFETY: a live slab of this core (type invariant).
            let is_unused = |slab: &NonNull<Slab>| unsafe { slab.as_ref() }.is_unused();
            if let Some(slab) = bin.current.get().filter(is_unused) {
                bin.current.set(None);
                // SAFETY: live until given back below, and no longer reachable from here.
                let size = unsafe { slab.as_ref() }.class().slab_size();
                // SAFETY: every block is free and the slab is in no list; it was allocated as a run of this size.
                unsafe { machine.free_frames(slab.cast(), size) };
            }
        }
        for class in [Class::holding(1), Class::holding(SMALL)] {
            while let Some(memory) = self.spares(class).pop() {
                // SAFETY: a run of frames of which nobody has a block, and no longer a spare.
                unsafe { machine.free_frames(memory, class.slab_size()) };
            }
        }
    }

    /// Sees to a slab whose count of frees has run out.
    #[cold]
    #[inline(never)]
    fn settle(&self, slab: NonNull<Slab>, machine: &impl Machine) {
        // SAFETY: live, as `put` was just called on it; a current one never gets here, and only here others end.
        let header = unsafe { slab.as_ref() };
        let class = header.class();
        match header.state() {
            State::Current => unreachable!("a current slab counts one more than the blocks that are out"),
            State::Full => {
                header.open();
                self.link(slab);
            }
            State::Partial => {
                self.unlink(slab);
                let memory = slab.cast();
                if self.spares(class).count.get() * class.slab_size() < SPARE_BYTES {
                    // SAFETY: every block is free and the slab is in no list, so the memory is nobody's but ours.
                    unsafe { self.spares(class).push(memory) };
                } else {
                    // SAFETY: as above; it came from the frame allocator as a run of this size.
                    unsafe { machine.free_frames(memory, class.slab_size()) };
                }
            }
        }
    }

    /// Memory of a slab's size and so aligned, which nobody uses.
    fn memory_for_slab(&self, class: Class, machine: &impl Machine) -> Option<NonNull<u8>> {
        let size = class.slab_size();
        self.spares(class).pop().or_else(|| machine.allocate_frames(size, size))
    }

    fn spares(&self, class: Class) -> &Spares {
        &self.spares[usize::from(class.slab_size() != Class::holding(1).slab_size())]
    }

    /// Puts a partial slab at the head of its class's list.
    fn link(&self, slab: NonNull<Slab>) {
        // SAFETY: a live slab of this core: callers got it from a bin, or from a block that is out.
        let header = unsafe { slab.as_ref() };
        let list = &self.bins[header.class().index()].partial;
        let next = list.replace(Some(slab));
        header.previous.set(None);
        header.next.set(next);
        if let Some(next) = next {
            // SAFETY: in the list, hence live (type invariant).
            unsafe { next.as_ref() }.previous.set(Some(slab));
        }
    }

    /// Takes a partial slab out of its class's list.
    fn unlink(&self, slab: NonNull<Slab>) {
        // SAFETY: in the list, hence live (type invariant).
        let header = unsafe { slab.as_ref() };
        let (previous, next) = (header.previous.take(), header.next.take());
        if let Some(next) = next {
            // SAFETY: in the list, hence live (type invariant).
            unsafe { next.as_ref() }.previous.set(previous);
        }
        match previous {
            // SAFETY: in the list, hence live (type invariant).
            Some(previous) => unsafe { previous.as_ref() }.next.set(next),
            None => self.bins[header.class().index()].partial.set(next),
        }
    }
}

impl Spares {
    /// # Safety
    ///
    /// `memory` is valid for writes, aligned to frames, and the caller gives it up.
    unsafe fn push(&self, memory: NonNull<u8>) {
        let spare = memory.cast::<Spare>();
        // SAFETY: valid and aligned, by this function's contract.
        unsafe { spare.write(Spare { next: self.first.get() }) };
        self.first.set(Some(spare));
        self.count.set(self.count.get() + 1);
    }

    fn pop(&self) -> Option<NonNull<u8>> {
        let spare = self.first.get()?;
        // SAFETY: `push` wrote it, and nobody has had the memory since.
        self.first.set(unsafe { spare.as_ref() }.next);
        self.count.set(self.count.get() - 1);
        Some(spare.cast())
    }
}
