//! Device memory of devices that are a part of this process.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::NonNull;

use toro_core::{BusAddr, DmaBlock, DmaMemory};

/// The heap, under bus addresses that are pointers. What was once taken is kept until the process ends.
pub struct Heap;

/// The one that there is.
pub static HEAP: Heap = Heap;

// SAFETY: zeroed, aligned, exclusive memory of the system allocator.
unsafe impl DmaMemory for Heap {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        let layout = Layout::from_size_align(size, align).ok()?;
        // SAFETY: the size is not zero, as the trait says.
        let cpu = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: the only device is a part of this process and uses pointers.
        let bus = unsafe { BusAddr::new(cpu.as_ptr().expose_provenance() as u64) };
        // SAFETY: as the trait demands.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    // Kept until the process ends, like the queues.
    unsafe fn release(&self, _: DmaBlock) {}
}
