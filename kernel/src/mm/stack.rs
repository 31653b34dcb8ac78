//! Thread stacks, each above a guard.
//!
//! ```text
//!   one slot of the stack window
//!   |  guard: 16 KiB, never mapped  |  stack, RW, grows down  <--- top |  next slot's guard ...
//! ```
//!
//! A function whose frame is larger than a page touches every page of it on entry (stack probes are part of the
//! target), so an overflow always hits the guard and becomes a page fault that names the thread, instead of damage.
//! Four guard pages cost nothing but addresses.
//!
//! A stack that is dropped keeps its frames and goes to a small pool of the core that drops it, as most threads are
//! alike. Beyond that pool's limit it goes to one that all cores share: a core that makes threads for others finds there
//! what those have dropped. When both are full it is unmapped; its frames and its addresses are used again, by any core,
//! when no core can have the mapping in its cache any more (see `tlb.rs`): the core that dropped it looks when it makes a
//! thread, when it has nothing else to do, and when the heap finds no memory. Only new addresses come from a part of the
//! window that is the core's own.
//!
//! The pools of all cores together keep an eighth of all memory at most.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

use super::frame::FrameAllocator;
use super::page_table::Access;
use super::{PAGE_SIZE, tlb, with_address_space, with_frames};
use crate::arch::core_index;
use crate::arch::core_local::MAX_CORES;
use crate::arch::smp;
use crate::core_local;

/// First address of the stack window.
const WINDOW: u64 = 0xFFFF_9000_0000_0000;
/// First address behind the stack window, 16 TiB further on.
const WINDOW_END: u64 = 0xFFFF_A000_0000_0000;
/// A core's part of it.
const SHARE: u64 = (WINDOW_END - WINDOW) / MAX_CORES as u64;
/// Unmapped bytes under each stack.
pub const GUARD_SIZE: u64 = 4 * PAGE_SIZE;
const _: () = assert!(GUARD_SIZE >= PAGE_SIZE, "stack probes touch every page, so the guard has to have one");
/// Stacks that are kept ready with their memory: by each core, and by all together.
const POOL_LIMIT: usize = 64;
const SHARED_LIMIT: usize = 128;
/// The part of all memory that the cores' own pools may keep, and as much again the shared one.
const SHARE_OF_MEMORY: u64 = 16;

/// What cores leave to each other.
struct Shared {
    /// Mapped stacks without an owner.
    pool: Vec<Range<u64>>,
    /// Unmapped ranges without an owner, which no core can see.
    vacant: Vec<Range<u64>>,
}

/// Held for a look; taken before the locks of page tables and frames.
static SHARED: spin::Mutex<Shared> = spin::Mutex::new(Shared { pool: Vec::new(), vacant: Vec::new() });

/// Takes a range of `size` bytes out of `ranges`.
fn take(ranges: &mut Vec<Range<u64>>, size: u64) -> Option<Range<u64>> {
    let place = ranges.iter().rposition(|range| range.end - range.start == size)?;
    Some(ranges.swap_remove(place))
}

/// A stack that has been unmapped, but perhaps not everywhere yet.
struct Retired {
    range: Range<u64>,
    frames: Vec<u64>,
    generation: u64,
}

/// What a core knows about stacks that are not in use.
struct Recycler {
    /// How much of the core's part of the window has been given out.
    used: u64,
    /// Mapped stacks without an owner.
    pool: Vec<Range<u64>>,
    /// Unmapped stacks that some core may still see, in the order of their generations.
    retired: VecDeque<Retired>,
}

core_local! {
    static RECYCLER: RefCell<Recycler> =
        RefCell::new(Recycler { used: 0, pool: Vec::new(), retired: VecDeque::new() });
}

impl Recycler {
    /// Unmaps a stack; its frames and addresses come back by [`reclaim`](Self::reclaim).
    fn retire(&mut self, range: Range<u64>) {
        let frames = unmap(&range);
        self.retired.push_back(Retired { range, frames, generation: tlb::begin() });
    }

    /// Takes back what no core can see any more. True if that was any.
    fn reclaim(&mut self) -> bool {
        let before = self.retired.len();
        while let Some(stack) = self.retired.pop_front_if(|stack| tlb::has_passed(stack.generation)) {
            with_frames(|frames| stack.frames.iter().for_each(|&frame| frames.free(frame, 1)));
            SHARED.lock().vacant.push(stack.range);
        }
        self.retired.len() < before
    }

    /// Addresses for a stack of `size` bytes above its guard.
    fn addresses(&mut self, size: u64) -> Option<Range<u64>> {
        if let Some(range) = take(&mut SHARED.lock().vacant, size) {
            return Some(range);
        }
        let start = self.used.checked_add(GUARD_SIZE)?;
        let end = start.checked_add(size).filter(|&end| end <= SHARE)?;
        self.used = end;
        let base = WINDOW + SHARE * core_index() as u64;
        Some(base + start..base + end)
    }
}

/// A mapped stack with one owner.
///
/// Invariant: `range` is page-aligned, mapped read-write, above [`GUARD_SIZE`] unmapped bytes, and no other `Stack` has
/// any of it.
pub struct Stack {
    range: Range<u64>,
}

impl Stack {
    /// A stack of at least `size` bytes, or `None` where memory or addresses have run out.
    pub fn allocate(size: usize) -> Option<Self> {
        let size = (size as u64).max(PAGE_SIZE).checked_next_multiple_of(PAGE_SIZE)?;
        let mut recycler = RECYCLER.get().borrow_mut();
        recycler.reclaim();
        let pooled = take(&mut recycler.pool, size).or_else(|| take(&mut SHARED.lock().pool, size));
        if let Some(range) = pooled {
            return Some(Self { range });
        }
        let range = recycler.addresses(size)?;
        if !map(&range) {
            // What stacks in the pools hold may be enough.
            let pools = [core::mem::take(&mut recycler.pool), core::mem::take(&mut SHARED.lock().pool)];
            pools.into_iter().flatten().for_each(|range| recycler.retire(range));
            recycler.reclaim();
            if !map(&range) {
                SHARED.lock().vacant.push(range);
                return None;
            }
        }
        Some(Self { range })
    }

    /// The addresses that the stack may use.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let mut recycler = RECYCLER.get().borrow_mut();
        let most = with_frames(|frames| frames.all_frames()) as u64 * PAGE_SIZE / SHARE_OF_MEMORY;
        let in_share = (most / (self.range.end - self.range.start)) as usize;
        if recycler.pool.len() < POOL_LIMIT.min(in_share / smp::count()) {
            return recycler.pool.push(self.range.clone());
        }
        let mut shared = SHARED.lock();
        if shared.pool.len() < SHARED_LIMIT.min(in_share) {
            return shared.pool.push(self.range.clone());
        }
        drop(shared);
        recycler.retire(self.range.clone());
        recycler.reclaim();
    }
}

/// Gives the memory of this core's unmapped stacks back, as far as no core can see it any more. True if that was any.
pub(crate) fn reclaim() -> bool {
    // The heap asks for it too, perhaps for something in here.
    let Ok(mut recycler) = RECYCLER.get().try_borrow_mut() else { return false };
    recycler.reclaim()
}

/// Maps every page of `range` to a frame of its own. False where there are not enough frames; nothing is mapped then.
fn map(range: &Range<u64>) -> bool {
    if with_frames(|frames| frames.free_frames() as u64) < (range.end - range.start) / PAGE_SIZE {
        return false;
    }
    let mut page = range.start;
    let is_mapped = with_address_space(|space, frames| {
        while page < range.end {
            let Some((frame, count)) = longest_run(frames, ((range.end - page) / PAGE_SIZE) as usize) else {
                return false;
            };
            let end = page + count as u64 * PAGE_SIZE;
            if space.map(page, frame, end - page, Access::ReadWrite, frames).is_err() {
                // Part of it may be mapped.
                (page..end).step_by(PAGE_SIZE as usize).for_each(|page| _ = space.unmap_page(page));
                frames.free(frame, count);
                return false;
            }
            page = end;
        }
        true
    });
    if !is_mapped {
        // Nobody has used them, so no core has seen them.
        let frames_of_rest = unmap(&(range.start..page));
        with_frames(|frames| frames_of_rest.into_iter().for_each(|frame| frames.free(frame, 1)));
    }
    is_mapped
}

/// Takes `most` frames that follow each other, or where there are not so many in one piece half of that, and so on; the
/// address of the first, and their number. One search and one walk through the tables are then enough for most stacks.
fn longest_run(frames: &mut FrameAllocator<'_>, most: usize) -> Option<(u64, usize)> {
    core::iter::successors(Some(most), |count| Some(count / 2))
        .take_while(|&count| count > 0)
        .find_map(|count| Some((frames.allocate(count, 1)?, count)))
}

/// Unmaps every page of `range`, all of which are mapped, on this core; gives the frames.
fn unmap(range: &Range<u64>) -> Vec<u64> {
    let mut frames = Vec::with_capacity(((range.end - range.start) / PAGE_SIZE) as usize);
    with_address_space(|space, _| {
        frames.extend(range.clone().step_by(PAGE_SIZE as usize).filter_map(|page| space.unmap_page(page)));
    });
    frames
}
