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
//! A stack that is dropped keeps its frames and goes to a small pool, as most threads are alike; beyond the pool's limit
//! frames go back and only the range of addresses is kept for the next stack of that size.

use alloc::vec::Vec;
use core::ops::Range;

use super::page_table::Access;
use super::{PAGE_SIZE, with_address_space, with_frames};

/// First address of the stack window.
const WINDOW: u64 = 0xFFFF_9000_0000_0000;
/// First address behind the stack window, 16 TiB further on.
const WINDOW_END: u64 = 0xFFFF_A000_0000_0000;
/// Unmapped bytes under each stack.
pub const GUARD_SIZE: u64 = 4 * PAGE_SIZE;
const _: () = assert!(GUARD_SIZE >= PAGE_SIZE, "stack probes touch every page, so the guard has to have one");
/// Stacks that are kept ready with their memory.
const POOL_LIMIT: usize = 64;

/// What is known about stacks that are not in use.
struct Recycler {
    /// Where the next new slot begins.
    next: u64,
    /// Mapped stacks without an owner.
    pool: Vec<Range<u64>>,
    /// Unmapped ranges without an owner.
    vacant: Vec<Range<u64>>,
}

static RECYCLER: spin::Mutex<Recycler> =
    spin::Mutex::new(Recycler { next: WINDOW, pool: Vec::new(), vacant: Vec::new() });

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
        let has_size = |range: &Range<u64>| range.end - range.start == size;
        let mut recycler = RECYCLER.lock();
        if let Some(place) = recycler.pool.iter().rposition(has_size) {
            return Some(Self { range: recycler.pool.swap_remove(place) });
        }
        let range = match recycler.vacant.iter().rposition(has_size) {
            Some(place) => recycler.vacant.swap_remove(place),
            None => {
                let start = recycler.next.checked_add(GUARD_SIZE)?;
                let end = start.checked_add(size).filter(|&end| end <= WINDOW_END)?;
                recycler.next = end;
                start..end
            }
        };
        if !map(&range) {
            // What stacks in the pool hold may be enough.
            let pool = core::mem::take(&mut recycler.pool);
            pool.iter().for_each(unmap);
            recycler.vacant.extend(pool);
            if !map(&range) {
                recycler.vacant.push(range);
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
        let mut recycler = RECYCLER.lock();
        if recycler.pool.len() < POOL_LIMIT {
            recycler.pool.push(self.range.clone());
        } else {
            unmap(&self.range);
            recycler.vacant.push(self.range.clone());
        }
    }
}

/// Maps every page of `range` to a frame of its own. False where there are not enough frames; nothing is mapped then.
fn map(range: &Range<u64>) -> bool {
    if with_frames(|frames| frames.free_frames() as u64) < (range.end - range.start) / PAGE_SIZE {
        return false;
    }
    let failed = with_address_space(|space, frames| {
        range.clone().step_by(PAGE_SIZE as usize).find(|&page| {
            let Some(frame) = frames.allocate(1, 1) else { return true };
            let is_mapped = space.map(page, frame, PAGE_SIZE, Access::ReadWrite, frames).is_ok();
            if !is_mapped {
                frames.free(frame, 1);
            }
            !is_mapped
        })
    });
    if let Some(page) = failed {
        unmap(&(range.start..page));
    }
    failed.is_none()
}

/// Unmaps every page of `range`, all of which are mapped, and frees the frames.
fn unmap(range: &Range<u64>) {
    with_address_space(|space, frames| {
        for page in range.clone().step_by(PAGE_SIZE as usize) {
            if let Some(frame) = space.unmap_page(page) {
                frames.free(frame, 1);
            }
        }
    });
}
