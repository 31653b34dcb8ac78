//! Guest memory: an arena that the driver allocates from and the device reaches by bus address.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Mutex;

use toro_core::{BusAddr, DmaBlock, DmaMemory};

/// Bus addresses start here, far from any pointer, so that a mix-up fails.
const BUS_BASE: u64 = 0x1_0000_0000;
const ALIGN: usize = 4096;

/// Memory as a device reaches it.
pub trait GuestMemory: std::fmt::Debug + Sync {
    /// Where `len` bytes at a bus address are. They may be shared with the driver: what a device may do with them is
    /// said by what it was told about them.
    fn at(&self, bus: u64, len: usize) -> NonNull<u8>;
}

/// Memory that both sides reach. Immortal: tests make one each and never free it while a device may run.
#[derive(Debug, Default)]
pub struct SimMemory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Live blocks by bus address.
    blocks: BTreeMap<u64, Block>,
    next: u64,
    /// Blocks that may still be allocated; `None`: no limit.
    left: Option<usize>,
}

#[derive(Debug)]
struct Block {
    cpu: NonNull<u8>,
    size: usize,
    /// What was allocated, and how: `cpu` is somewhere in it.
    base: NonNull<u8>,
    layout: Layout,
}

impl Block {
    /// Zeroed memory at a multiple of `ALIGN`. A large block takes no room before it is touched: the allocator gets such
    /// from the system, unless it is asked for more alignment than that has anyway.
    fn new(size: usize) -> Option<Self> {
        const LARGE: usize = 1 << 24;
        let layout = match size < LARGE {
            true => Layout::from_size_align(size, ALIGN).ok()?,
            false => Layout::from_size_align(size.checked_add(ALIGN)?, 16).ok()?,
        };
        // SAFETY: the size is not zero, as `DmaMemory` says.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: less than `ALIGN`, which is what a large block is longer by; 0 in a small one.
        let cpu = unsafe { base.add(base.align_offset(ALIGN)) };
        Some(Self { cpu, size, base, layout })
    }

    /// Gives it back.
    ///
    /// # Safety
    ///
    /// Nobody uses it any more.
    unsafe fn free(self) {
        // SAFETY: allocated with this layout; the rest is the caller's promise.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

// SAFETY: the pointers are only followed under the rules of `DmaMemory`.
unsafe impl Send for Block {}

impl SimMemory {
    /// New memory that lives for ever, known to a static so that leak checkers keep quiet about it.
    pub fn leak() -> &'static Self {
        static ALL: Mutex<Vec<&'static SimMemory>> = Mutex::new(Vec::new());
        let memory: &'static Self = Box::leak(Box::default());
        ALL.lock().expect("no test panics with it").push(memory);
        memory
    }

    /// How many blocks drivers hold.
    pub fn blocks(&self) -> usize {
        self.state.lock().expect("no test panics with it").blocks.len()
    }

    /// Lets `count` more allocations succeed, then none.
    pub fn limit(&self, count: usize) {
        self.state.lock().expect("no test panics with it").left = Some(count);
    }

    /// How many bytes there are from a bus address to the end of its block; 0 if it is in none.
    pub fn extent(&self, bus: u64) -> usize {
        let state = self.state.lock().expect("no test panics with it");
        let block = state.blocks.range(..=bus).next_back();
        block.map_or(0, |(base, block)| (block.size as u64).saturating_sub(bus - base) as usize)
    }

    /// Frees every block that drivers still hold and starts anew; says how many those were.
    ///
    /// # Safety
    ///
    /// No pointer into a block is used again, and none is released: whoever held them has leaked them.
    pub unsafe fn reclaim(&self) -> usize {
        let State { blocks, .. } = std::mem::take(&mut *self.state.lock().expect("no test panics with it"));
        let count = blocks.len();
        for block in blocks.into_values() {
            // SAFETY: not used again, as the caller promises.
            unsafe { block.free() };
        }
        count
    }

    /// Where `len` bytes at a bus address are, for the device.
    ///
    /// # Panics
    ///
    /// If they do not lie in one block that is allocated now: the driver gave the device a wrong address.
    pub fn at(&self, bus: u64, len: usize) -> NonNull<u8> {
        let state = self.state.lock().expect("no test panics with it");
        let (base, block) = state.blocks.range(..=bus).next_back().expect("a bus address below all memory");
        let offset = usize::try_from(bus - base).expect("addresses are 64 bits wide");
        assert!(offset + len <= block.size, "bus address {bus:#x} + {len} is not in a live block");
        // SAFETY: inside the block, as just checked.
        unsafe { block.cpu.add(offset) }
    }
}

impl GuestMemory for SimMemory {
    fn at(&self, bus: u64, len: usize) -> NonNull<u8> {
        Self::at(self, bus, len)
    }
}

// SAFETY: zeroed, aligned, exclusive memory of the system allocator, under a bus address used for nothing else.
unsafe impl DmaMemory for SimMemory {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        assert!(align <= ALIGN);
        let mut state = self.state.lock().expect("no test panics with it");
        if let Some(left) = &mut state.left {
            *left = left.checked_sub(1)?;
        }
        let block = Block::new(size)?;
        let cpu = block.cpu;
        let bus = BUS_BASE + state.next;
        // A gap after each block, so that running over its end is noticed.
        state.next += (size.next_multiple_of(ALIGN) + ALIGN) as u64;
        state.blocks.insert(bus, block);
        // SAFETY: the device model translates this address to this block.
        let bus = unsafe { BusAddr::new(bus) };
        // SAFETY: as `DmaMemory` demands.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        let mut state = self.state.lock().expect("no test panics with it");
        let known = state.blocks.remove(&block.bus().get()).expect("only live blocks are released");
        assert_eq!((known.cpu, known.size), (block.cpu(), block.size()));
        // SAFETY: the caller gives back what `allocate` returned.
        unsafe { known.free() };
    }
}
