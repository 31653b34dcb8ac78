//! The heap: the global allocator of the kernel and its application.
//!
//! Two sizes of request take two ways:
//!
//! - below [`LARGE`] bytes from [talc](https://docs.rs/talc), which is fed with extents of frames as it runs dry;
//! - from there on whole frames straight from the frame allocator, given back when freed, and grown in place where the
//!   frames behind are free.
//!
//! All RAM is identity mapped (see [`super`]), so the address of a run of frames is a usable pointer. Extents that talc
//! has got are not taken back: small objects are scattered over them.
//!
//! The heap grows until there are no frames left; then an allocation returns null, and Rust's allocation error ends the
//! machine with a panic that says how much was asked for.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use talc::{OomHandler, Span, Talc};

use super::{PAGE_SIZE, with_frames};

/// Requests of this size or alignment bypass talc.
const LARGE: usize = 128 * 1024;
/// What talc gets at a time while there are runs of that length.
const EXTENT: usize = 256 * 1024;
/// Room for talc's own records next to a request in an extent of minimal size.
const EXTENT_OVERHEAD: usize = 16 * 1024;

#[global_allocator]
static HEAP: Heap = Heap { talc: spin::Mutex::new(Talc::new(GrowByFrames)) };

/// The global allocator. A spin lock suffices, as interrupt handlers do not allocate and threads do not change in it.
struct Heap {
    talc: spin::Mutex<Talc<GrowByFrames>>,
}

/// Asks the frame allocator when talc runs dry.
struct GrowByFrames;

impl OomHandler for GrowByFrames {
    fn handle_oom(talc: &mut Talc<Self>, layout: Layout) -> Result<(), ()> {
        let least = (layout.size() + layout.align() + EXTENT_OVERHEAD).next_multiple_of(PAGE_SIZE as usize);
        let (start, size) =
            [EXTENT.max(least), least].into_iter().find_map(|size| Some((allocate_frames(size, 1)?, size))).ok_or(())?;
        let span = Span::from_base_size(start.as_ptr(), size);
        // SAFETY:
        // - the span is RAM that is mapped read-write for the life of the kernel: it comes from the frame allocator,
        //   and all its frames are in the identity map;
        // - nobody else uses it: the frames have just been allocated and are never freed.
        unsafe { talc.claim(span) }.map(|_| ())
    }
}

/// `size` bytes of frames, aligned to `alignment` frames.
fn allocate_frames(size: usize, alignment: usize) -> Option<NonNull<u8>> {
    let count = size.div_ceil(PAGE_SIZE as usize);
    let address = with_frames(|frames| frames.allocate(count, alignment))?;
    NonNull::new(ptr::with_exposed_provenance_mut(address as usize))
}

fn is_large(layout: &Layout) -> bool {
    layout.size() >= LARGE || layout.align() >= LARGE
}

fn frame_count(size: usize) -> usize {
    size.div_ceil(PAGE_SIZE as usize)
}

// SAFETY: `alloc` returns null or memory of at least the layout's size and alignment that no other allocation overlaps,
// as talc and the frame allocator guarantee for theirs, and as the two never manage the same frame; it stays valid until
// `dealloc`. The choice between the two depends on the layout alone, which callers must repeat. Nothing unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(&layout) {
            let alignment = layout.align().div_ceil(PAGE_SIZE as usize);
            return allocate_frames(layout.size(), alignment).map_or(ptr::null_mut(), NonNull::as_ptr);
        }
        // SAFETY: the caller guarantees that the size is not zero.
        unsafe { self.talc.lock().malloc(layout) }.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_large(&layout) {
            with_frames(|frames| frames.free(pointer.addr() as u64, frame_count(layout.size())));
            return;
        }
        if let Some(pointer) = NonNull::new(pointer) {
            // SAFETY: the caller guarantees that `pointer` came from `alloc` with this layout; as the layout is not a
            // large one, `alloc` got it from talc.
            unsafe { self.talc.lock().free(pointer, layout) }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that `new_size`, rounded up to the alignment, does not overflow `isize`, and an
        // existing layout has a valid alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let resized = match (is_large(&layout), is_large(&new_layout)) {
            (true, true) => resize_frames(pointer, layout.size(), new_size),
            (false, false) => {
                // SAFETY: the caller guarantees that `pointer` came from `alloc` with this layout, hence from talc.
                unsafe { self.resize_small(pointer, layout, new_size) }
            }
            _ => false,
        };
        if resized {
            return pointer;
        }
        // SAFETY: the caller guarantees that `new_size` is not zero.
        let new = unsafe { self.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: both pieces are at least that long, allocated, and distinct because both are live.
            unsafe { ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size)) };
            // SAFETY: the caller gives up `pointer` with this layout.
            unsafe { self.dealloc(pointer, layout) };
        }
        new
    }
}

impl Heap {
    /// Resizes a small allocation in place, if possible.
    ///
    /// # Safety
    ///
    /// `pointer` is a live allocation of talc with this layout; `new_size` is not zero.
    unsafe fn resize_small(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> bool {
        let Some(pointer) = NonNull::new(pointer) else { return false };
        let mut talc = self.talc.lock();
        if new_size > layout.size() {
            // SAFETY: a live allocation with this layout, by this function's contract; the new size is the larger one.
            unsafe { talc.grow_in_place(pointer, layout, new_size) }.is_ok()
        } else {
            // SAFETY: as above, the new size is not zero and not the larger one.
            unsafe { talc.shrink(pointer, layout, new_size) };
            true
        }
    }
}

/// Resizes a run of frames in place, if possible.
fn resize_frames(pointer: *mut u8, old_size: usize, new_size: usize) -> bool {
    let (old, new) = (frame_count(old_size), frame_count(new_size));
    let address = pointer.addr() as u64;
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
