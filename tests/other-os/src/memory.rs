//! Memory for devices: an array of this program, handed out from front to back.
//!
//! ```text
//!   [ queue | buffers | ...            ]      a block is never given back: we open one device, once
//!                       ^ next
//! ```

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use toro_core::{BusAddr, DmaBlock, DmaMemory};

const SIZE: usize = 256 * 1024;

/// The array.
#[repr(C, align(4096))]
pub struct Arena {
    bytes: UnsafeCell<[u8; SIZE]>,
    next: AtomicUsize,
}

// SAFETY: bytes are reached by the holders of blocks only, and no two blocks overlap.
unsafe impl Sync for Arena {}

impl Arena {
    /// An array of zeros.
    pub const fn new() -> Self {
        Self { bytes: UnsafeCell::new([0; SIZE]), next: AtomicUsize::new(0) }
    }
}

// SAFETY:
// 1. size and alignment: `start` is a multiple of `align`, which is checked to be no more than the array's own, and
//    `size` bytes from there are inside the array; CPU and devices know it by the same address, as our page tables map
//    each address to itself and nothing sets up an IOMMU;
// 2. contiguous, zeroed, valid: part of one static, which nobody has written to before;
// 3. nobody else's: `next` only grows, so no two blocks share a byte.
unsafe impl DmaMemory for Arena {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        let mut start = 0;
        let take = |next: usize| {
            start = next.checked_next_multiple_of(align)?;
            start.checked_add(size).filter(|end| *end <= SIZE)
        };
        if align > align_of::<Self>() {
            return None;
        }
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        let base = NonNull::new(self.bytes.get().cast::<u8>())?;
        // SAFETY: `start + size` is at most the length of the array.
        let cpu = unsafe { base.add(start) };
        // SAFETY: set aside for devices for good, and at the same address for them.
        let bus = unsafe { BusAddr::new(cpu.as_ptr().expose_provenance() as u64) };
        // SAFETY: as the trait demands; see above.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, _: DmaBlock) {}
}
