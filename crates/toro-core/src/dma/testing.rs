//! A platform for tests: heap memory whose bus addresses differ from its CPU addresses.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::Mutex;

use super::memory::{DmaBlock, DmaMemory};
use crate::addr::BusAddr;

/// Bus addresses are CPU addresses plus this, so that a mix-up shows.
pub const BUS_OFFSET: u64 = 0x1_0000_0000_0000;
/// Alignment of all blocks; large enough for what tests ask.
const ALIGN: usize = 4096;

/// Counts the blocks that are out.
#[derive(Default)]
pub struct Heap {
    pub blocks: AtomicIsize,
    /// Whether no other memory can be reached.
    pub unreachable: AtomicBool,
}

impl Heap {
    /// A platform that lives for ever and is not a leak: a static list knows it.
    pub fn leak(self) -> &'static Self {
        keep(self)
    }
}

/// Makes a value immortal, reachable from a static, so that leak checkers keep quiet about it.
pub fn keep<T: Send + Sync>(value: T) -> &'static T {
    struct Known(#[allow(dead_code)] *const ());
    // SAFETY: the pointer is never followed.
    unsafe impl Send for Known {}
    static ALL: Mutex<Vec<Known>> = Mutex::new(Vec::new());
    let value: &'static T = Box::leak(Box::new(value));
    ALL.lock().expect("nobody panics with it").push(Known(core::ptr::from_ref(value).cast()));
    value
}

// SAFETY: `alloc_zeroed` gives zeroed, exclusive memory of the layout asked for; there is no device.
unsafe impl DmaMemory for Heap {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        assert!(align <= ALIGN);
        let layout = Layout::from_size_align(size, ALIGN).ok()?;
        // SAFETY: the size is not zero.
        let cpu = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        self.blocks.fetch_add(1, Ordering::Relaxed);
        // SAFETY: no device exists that could use it wrongly.
        let bus = unsafe { BusAddr::new(cpu.as_ptr() as u64 + BUS_OFFSET) };
        // SAFETY: as the trait demands.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        let layout = Layout::from_size_align(block.size(), ALIGN).expect("it was allocated with this layout");
        // SAFETY: the caller gives back what `allocate` returned.
        unsafe { dealloc(block.cpu().as_ptr(), layout) };
    }

    fn reach(&self, memory: NonNull<u8>, _size: usize) -> Option<BusAddr> {
        if self.unreachable.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: no device exists that could use it wrongly.
        Some(unsafe { BusAddr::new(memory.as_ptr() as u64 + BUS_OFFSET) })
    }
}
