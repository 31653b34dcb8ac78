//! The global allocator of the image: the heaps of all cores, on the frames of this machine.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicU8;

use super::local::LocalHeap;
use super::machine::Machine;
use super::owner::{NOBODY, OwnerTable};
use super::remote::Inbox;
use crate::arch::core_index;
use crate::arch::core_local::MAX_CORES;
use crate::core_local;
use crate::mm::{PAGE_SIZE, stack, with_frames};

core_local! {
    static HEAP: LocalHeap = LocalHeap::new();
}

static OWNERS: OwnerTable = OwnerTable::new();
/// By number of the core.
static INBOXES: [Inbox; MAX_CORES] = [const { Inbox::new() }; MAX_CORES];
const _: () = assert!(MAX_CORES <= NOBODY as usize);

#[global_allocator]
static GLOBAL: Global = Global;

/// Bytes that this core has allocated and that have not come back to it: in blocks, rounded up to their sizes, without those
/// of 128 KiB and more. What another core has freed counts until this one [collects](collect) it.
pub fn allocated() -> usize {
    HEAP.get().allocated()
}

/// Takes back what other cores have freed of this one's. A load, if that is nothing.
pub fn collect() {
    HEAP.get().collect(&ThisMachine);
}

/// Lets the heap know which core owns what between `start` and the end of the table. From then on pools can grow.
pub(in crate::mm) fn initialise_owners(start: u64, owners: &'static [AtomicU8]) {
    OWNERS.initialise(start as usize, owners);
}

/// The frames of this machine, seen from the core that executes this.
struct ThisMachine;

// SAFETY:
// 1. the frame allocator gives no frame to two owners, and aligns runs as asked; all RAM is mapped read-write for good, at
//    the address of its frame;
// 2. cores are numbered from 0 on;
// 3. table and inboxes are statics.
unsafe impl Machine for ThisMachine {
    fn allocate_frames(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let allocate = || with_frames(|frames| frames.allocate(frame_count(size), frame_count(align)));
        let address = allocate().or_else(|| stack::reclaim().then(allocate).flatten())?;
        NonNull::new(ptr::with_exposed_provenance_mut(address as usize))
    }

    unsafe fn free_frames(&self, start: NonNull<u8>, size: usize) {
        with_frames(|frames| frames.free(start.addr().get() as u64, frame_count(size)));
    }

    unsafe fn resize_frames(&self, start: NonNull<u8>, old_size: usize, new_size: usize) -> bool {
        let (old, new) = (frame_count(old_size), frame_count(new_size));
        let address = start.addr().get() as u64;
        with_frames(|frames| {
            if new > old {
                return frames.extend(address + old as u64 * PAGE_SIZE, new - old);
            }
            if new < old {
                frames.free(address + new as u64 * PAGE_SIZE, old - new);
            }
            true
        })
    }

    fn free_memory(&self) -> usize {
        with_frames(|frames| frames.free_frames()) * PAGE_SIZE as usize
    }

    fn core(&self) -> u8 {
        core_index() as u8
    }

    fn owners(&self) -> &OwnerTable {
        &OWNERS
    }

    fn inbox(&self, core: u8) -> &Inbox {
        &INBOXES[usize::from(core)]
    }
}

fn frame_count(size: usize) -> usize {
    size.div_ceil(PAGE_SIZE as usize)
}

struct Global;

// SAFETY: `alloc` returns null or memory of at least the layout's size and alignment that no other allocation overlaps, as
// slabs, talc and the frame allocator guarantee for theirs, and as no two of them manage the same frame; it stays valid until
// `dealloc`. Nothing unwinds.
unsafe impl GlobalAlloc for Global {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller guarantees that the size is not zero; heap and machine are this core's.
        unsafe { HEAP.get().allocate(layout, &ThisMachine) }.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller guarantees that it is a live allocation, which is not null.
        let block = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: the caller guarantees that it was allocated with this layout, and gives it up.
        unsafe { HEAP.get().free(block, layout, &ThisMachine) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that it is a live allocation, which is not null.
        let block = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: the caller guarantees that it was allocated with this layout, that the new size is neither zero nor too
        // large, and that it gives up the old block for a new one.
        let resized = unsafe { HEAP.get().resize(block, layout, new_size, &ThisMachine) };
        resized.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}
