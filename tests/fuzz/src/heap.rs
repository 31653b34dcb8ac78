//! The heap as the targets see it: what an input left behind is known, and freed.
//!
//! Drivers leak on purpose: a queue that is dropped while a device may still write to it keeps its memory for ever.
//! One kernel does that once; a fuzzer does it ten thousand times a second. So every allocation that is made while an
//! input runs is written down, and what is left of them in the end is freed, or, where a target says that nothing may
//! be left, is a failure with the number of the lost pieces. That also replaces the sanitizer's search for leaks.
//!
//! The ledger is per thread: other threads, such as the test program's, are not in anybody's way.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// The system's allocator, with a ledger.
struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

thread_local! {
    /// Whether allocations are written down now: not outside an input, and not those of the ledger itself.
    static IS_OPEN: Cell<bool> = const { Cell::new(false) };
    /// What is allocated since the ledger was opened.
    static LEDGER: RefCell<BTreeMap<usize, Layout>> = const { RefCell::new(BTreeMap::new()) };
}

/// Changes the ledger if it is open.
fn note(change: impl FnOnce(&mut BTreeMap<usize, Layout>)) {
    let _ = IS_OPEN.try_with(|is_open| {
        if is_open.replace(false) {
            let _ = LEDGER.try_with(|ledger| change(&mut ledger.borrow_mut()));
            is_open.set(true);
        }
    });
}

// SAFETY: every call goes to the system's allocator as it is; the ledger only remembers.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let pointer = unsafe { System.alloc(layout) };
        note(|ledger| _ = ledger.insert(pointer.addr(), layout));
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        note(|ledger| _ = ledger.insert(pointer.addr(), layout));
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(|ledger| _ = ledger.remove(&pointer.addr()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        note(|ledger| {
            ledger.remove(&pointer.addr());
            // The caller vouches for the new layout, too.
            let layout = Layout::from_size_align(size, layout.align()).expect("a layout that could be allocated");
            ledger.insert(moved.addr(), layout);
        });
        moved
    }
}

/// Runs `body`, frees what it leaves on the heap, and says in how many pieces that was.
///
/// # Safety
///
/// Nothing that `body` allocates is used after it: it stores no allocation of its own in a static or in anything
/// else that lives longer than it.
pub unsafe fn swept(body: impl FnOnce()) -> usize {
    IS_OPEN.set(true);
    body();
    IS_OPEN.set(false);
    let left = LEDGER.take();
    for (address, layout) in &left {
        // SAFETY: allocated with this layout, not freed since, and not used again, as the caller promises.
        unsafe { System.dealloc(std::ptr::with_exposed_provenance_mut(*address), *layout) };
    }
    left.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_counted_and_freed() {
        // SAFETY: the leaked boxes are not used again.
        let left = unsafe {
            swept(|| {
                let mut kept = vec![1_u8; 10];
                kept.reserve(1000);
                drop(kept);
                std::mem::forget(Box::new(7_u64));
                std::mem::forget(vec![0_u8; 100]);
            })
        };
        assert_eq!(left, 2);
    }
}
