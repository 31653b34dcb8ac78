//! DMA memory for a host: the heap.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc};

use toro_core::{BusAddr, DmaBlock, DmaMemory};

pub struct Heap;

const ALIGN: usize = 4096;

// SAFETY: `alloc_zeroed` gives zeroed, exclusive, contiguous memory of the layout asked for, and no device exists to
// which its address would mean anything.
unsafe impl DmaMemory for Heap {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        assert!(align <= ALIGN);
        let layout = Layout::from_size_align(size, ALIGN).ok()?;
        // SAFETY: pools do not ask for blocks of size zero.
        let cpu = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: there is no device that could be told the address.
        let bus = unsafe { BusAddr::new(cpu.as_ptr().addr() as u64) };
        // SAFETY: zeroed and exclusive, as said above.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        let layout = Layout::from_size_align(block.size(), ALIGN).expect("it was allocated with this layout");
        // SAFETY: the caller gives back what `allocate` returned, and uses it no more.
        unsafe { dealloc(block.cpu().as_ptr(), layout) };
    }

    fn reach(&self, memory: NonNull<u8>, _size: usize) -> Option<BusAddr> {
        // SAFETY: there is no device that could be told the address.
        Some(unsafe { BusAddr::new(memory.as_ptr().addr() as u64) })
    }
}
