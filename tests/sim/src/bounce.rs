//! A window of memory that is all a device can reach: an IOMMU, or the shared pages of a confidential machine.
//!
//! ```text
//!   CPU     block ......... block ...  wherever the allocator put them
//!             \               \
//!   device  [ pages | - | pages | - |        free        ]   one fixed range of bus addresses
//!           WINDOW                                      WINDOW + size
//! ```
//!
//! What drivers allocate is mapped into the window while they have it, at addresses that are no CPU address and no
//! CPU address plus something. A page stays unmapped behind each mapping, so that a device which runs over the end of
//! one block does not come to the next. Freed addresses are used again as late as possible.
//!
//! # Hostile devices
//!
//! An access to what is not mapped now does not reach memory and is recorded as a [`Stopped`]: reads give zeros, writes
//! are lost. Inside a mapping the device can do as it likes: hardware protects pages, not buffers.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use toro_core::{BusAddr, DmaBlock, DmaMemory};

use crate::memory::GuestMemory;

/// Where windows begin: beyond what any CPU uses as an address.
pub const WINDOW: u64 = 0xb00_0000_0000_0000;
/// What can be mapped or not.
pub const PAGE: usize = 4096;
/// The longest access to unmapped memory that can be answered.
const SINK: usize = 64 * 1024;

/// An access that the window stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The first address that the device used.
    pub address: u64,
    /// How many bytes from there.
    pub len: usize,
}

/// Memory for devices behind a window. Immortal, like [`SimMemory`](crate::SimMemory).
#[derive(Debug)]
pub struct BounceMemory {
    pages: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is mapped now, by the first page in the window.
    mappings: BTreeMap<usize, Mapping>,
    /// Where the search for free pages goes on.
    next: usize,
    stopped: Vec<Stopped>,
    /// Where accesses go that are stopped.
    sink: NonNull<u8>,
}

#[derive(Debug)]
struct Mapping {
    cpu: NonNull<u8>,
    size: usize,
}

impl Mapping {
    fn pages(&self) -> usize {
        self.size.div_ceil(PAGE)
    }
}

// SAFETY: the pointers are only followed under the rules of `DmaMemory`.
unsafe impl Send for State {}

impl BounceMemory {
    /// A window of so many pages that lives for ever.
    pub fn leak(pages: usize) -> &'static Self {
        static ALL: Mutex<Vec<&'static BounceMemory>> = Mutex::new(Vec::new());
        let sink = allocate_zeroed(SINK).expect("the host has 64 KiB");
        let state = State { mappings: BTreeMap::new(), next: 0, stopped: Vec::new(), sink };
        let memory: &'static Self = Box::leak(Box::new(Self { pages, state: Mutex::new(state) }));
        ALL.lock().expect("no test panics with it").push(memory);
        memory
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many blocks are mapped.
    pub fn mappings(&self) -> usize {
        self.state().mappings.len()
    }

    /// Whether all of these bytes are mapped, by one mapping.
    pub fn is_mapped(&self, address: u64, len: usize) -> bool {
        self.state().find(address).is_some_and(|(_, left)| len <= left)
    }

    /// Accesses that were stopped since this was last asked.
    pub fn stopped(&self) -> Vec<Stopped> {
        std::mem::take(&mut self.state().stopped)
    }

    /// Writes as a device without manners does: wherever it likes, byte by byte, as far as it comes.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        let mut state = self.state();
        if let Some((to, left)) = state.find(address) {
            let part = left.min(bytes.len());
            // SAFETY: mapped. The driver does not touch what the device has; what it has not is reached by tests that
            // look at those bytes only afterwards, on the same thread.
            unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), part) };
            if part == bytes.len() {
                return;
            }
        }
        state.stopped.push(Stopped { address, len: bytes.len() });
    }
}

impl State {
    /// Where a bus address is, and how many bytes are mapped from there on.
    fn find(&self, address: u64) -> Option<(NonNull<u8>, usize)> {
        let offset = usize::try_from(address.checked_sub(WINDOW)?).ok()?;
        let (first, mapping) = self.mappings.range(..=offset / PAGE).next_back()?;
        let inside = offset - first * PAGE;
        let left = mapping.size.checked_sub(inside).filter(|&left| left > 0)?;
        // SAFETY: inside the block, as just checked.
        Some((unsafe { mapping.cpu.add(inside) }, left))
    }

    /// The first of `pages` free pages and one more, from `self.next` on and around.
    fn place(&self, pages: usize, all: usize) -> Option<usize> {
        let is_free = |first: usize| {
            let before = self.mappings.range(..first + pages + 1).next_back();
            first + pages < all && before.is_none_or(|(at, mapping)| at + mapping.pages() < first)
        };
        (self.next..all).chain(0..self.next).find(|&first| is_free(first))
    }
}

impl GuestMemory for BounceMemory {
    fn at(&self, bus: u64, len: usize) -> NonNull<u8> {
        let mut state = self.state();
        match state.find(bus) {
            Some((cpu, left)) if len <= left => cpu,
            _ => {
                assert!(len <= SINK, "a device that asks for {len} bytes at once");
                state.stopped.push(Stopped { address: bus, len });
                // SAFETY: as long as the sink.
                unsafe { state.sink.write_bytes(0, len) };
                state.sink
            }
        }
    }
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.next_multiple_of(PAGE), PAGE).ok()
}

fn allocate_zeroed(size: usize) -> Option<NonNull<u8>> {
    // SAFETY: the size is not zero: `DmaMemory` forbids to ask for nothing.
    NonNull::new(unsafe { alloc_zeroed(layout(size)?) })
}

// SAFETY: zeroed, aligned, exclusive memory of the system allocator, under bus addresses that are its alone while it is
// mapped.
unsafe impl DmaMemory for BounceMemory {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        assert!(align <= PAGE);
        let mut state = self.state();
        let pages = size.div_ceil(PAGE);
        let first = state.place(pages, self.pages)?;
        let cpu = allocate_zeroed(size)?;
        state.mappings.insert(first, Mapping { cpu, size });
        state.next = first + pages + 1;
        // SAFETY: the device's accesses are translated to this block.
        let bus = unsafe { BusAddr::new(WINDOW + (first * PAGE) as u64) };
        // SAFETY: as `DmaMemory` demands.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        let first = (block.bus().get() - WINDOW) as usize / PAGE;
        let mapping = self.state().mappings.remove(&first).expect("only what is mapped is released");
        assert_eq!((mapping.cpu, mapping.size), (block.cpu(), block.size()));
        let layout = layout(mapping.size).expect("it was allocated with this layout");
        // SAFETY: the caller gives back what `allocate` returned.
        unsafe { dealloc(mapping.cpu.as_ptr(), layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mapped_now_is_out_of_reach() {
        let memory = BounceMemory::leak(8);
        let block = memory.allocate(100, 64).expect("eight pages are free");
        let bus = block.bus().get();
        memory.write(bus + 90, &[7; 20]);
        assert_eq!(memory.stopped(), [Stopped { address: bus + 90, len: 20 }], "beyond the end");
        // SAFETY: the last byte of the block.
        let last = unsafe { block.cpu().add(99) };
        // SAFETY: nobody else has the block.
        assert_eq!(unsafe { last.read() }, 7, "up to the end");
        assert!(memory.is_mapped(bus, 100) && !memory.is_mapped(bus, 101) && !memory.is_mapped(bus - 1, 1));
        // SAFETY: it came from there, and no device exists.
        unsafe { memory.release(block) };
        assert!(!memory.is_mapped(bus, 1));
        assert_eq!(memory.mappings(), 0);
    }

    #[test]
    fn a_window_has_an_end_and_gaps_and_is_used_again() {
        let memory = BounceMemory::leak(8);
        for _ in 0..10 {
            let blocks: Vec<_> = std::iter::from_fn(|| memory.allocate(PAGE + 1, 1)).collect();
            assert_eq!(blocks.len(), 2, "two pages and a gap each, of eight");
            for block in &blocks {
                let end = block.bus().get() + PAGE as u64 + 1;
                assert!(!memory.is_mapped(end, 1) && !memory.is_mapped(end + PAGE as u64, 1));
                assert_eq!(block.bus().get() % PAGE as u64, 0);
            }
            for block in blocks {
                // SAFETY: it came from there, and no device exists.
                unsafe { memory.release(block) };
            }
        }
    }
}
