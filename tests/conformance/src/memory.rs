//! Guest memory as rust-vmm maps it, handed out to the driver: a bus address is a guest-physical one.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use toro_core::{BusAddr, DmaBlock, DmaMemory};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// Where the memory begins: above 4 GiB, so that both halves of every address count.
const BASE: u64 = 0x2_4000_0000;
/// Mapped, not used: pages cost nothing before they are touched.
const SIZE: usize = 256 << 20;
/// The longest stretch that is zeroed at once.
const ZEROES: [u8; 4096] = [0; 4096];

/// PROT_READ and PROT_WRITE, as a number of Linux.
const fn libc_protection() -> i32 {
    1 | 2
}

/// Guest memory with an allocator in front of it. Immortal, as [`DmaMemory`] has to be for drivers.
#[derive(Debug)]
pub struct GuestRam {
    mapped: GuestMemoryMmap,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where nothing has been allocated yet, as an offset.
    fresh: u64,
    /// Addresses of released blocks, by size.
    free: BTreeMap<usize, Vec<u64>>,
    /// How many blocks are in use.
    live: usize,
}

impl GuestRam {
    /// Maps new memory, which lives for ever.
    pub fn leak() -> &'static Self {
        let mapped = GuestMemoryMmap::from_ranges(&[(GuestAddress(BASE), SIZE)]).expect("the host has address space");
        Box::leak(Box::new(Self { mapped, state: Mutex::default() }))
    }

    /// The memory as the device reaches it.
    pub fn mapped(&self) -> &GuestMemoryMmap {
        &self.mapped
    }

    /// The same memory for those who use the version of rust-vmm's crate before this one.
    pub fn mapped_before(&self) -> vm_memory_of_server::GuestMemoryMmap {
        use vm_memory_of_server::{GuestAddress as Address, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

        let host = self.mapped.get_host_address(GuestAddress(BASE)).expect("it is mapped");
        // SAFETY: the region is mapped there, readable and writable, for ever: `leak` is the only way to make one. A
        // region that is built like this does not unmap it.
        let region = unsafe { MmapRegion::build_raw(host, SIZE, libc_protection(), 0) }.expect("whole pages");
        let region = GuestRegionMmap::new(region, Address(BASE)).expect("the address space does not end there");
        GuestMemoryMmap::from_regions(vec![region]).expect("there is one region")
    }

    /// How many blocks the driver holds.
    pub fn blocks(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).live
    }
}

// SAFETY:
// - zeroed and contiguous: fresh pages of an anonymous mapping, or zeroed again below; one region only;
// - aligned: the region's two addresses are aligned to pages, and offsets to what was asked for;
// - exclusive: offsets are handed out once until they are released.
unsafe impl DmaMemory for GuestRam {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        assert!(align <= 4096, "the mapping is aligned to pages only");
        // Whole pages: blocks of one size can take each other's place whatever their alignment.
        let size = size.checked_next_multiple_of(4096)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let address = match state.free.get_mut(&size).and_then(Vec::pop) {
            Some(address) => {
                for page in (0..size as u64).step_by(ZEROES.len()) {
                    self.mapped.write_slice(&ZEROES, GuestAddress(address + page)).expect("it was allocated before");
                }
                address
            }
            None => {
                let offset = state.fresh;
                // An unused page after each block.
                let end = offset.checked_add(size as u64 + 4096)?;
                if end > SIZE as u64 {
                    return None;
                }
                state.fresh = end;
                BASE + offset
            }
        };
        state.live += 1;
        let cpu = NonNull::new(self.mapped.get_host_address(GuestAddress(address)).ok()?)?;
        // SAFETY: the device uses guest-physical addresses, and this is one.
        let bus = unsafe { BusAddr::new(address) };
        // SAFETY: as `DmaMemory` demands, see above.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.live = state.live.checked_sub(1).expect("more blocks released than allocated");
        // Buffers are given back with the size that was asked for.
        let size = block.size().next_multiple_of(4096);
        state.free.entry(size).or_default().push(block.bus().get());
    }
}
