//! Memory that devices may reach: the kernel's [`DmaMemory`].
//!
//! A block is a run of whole frames: contiguous, page-aligned at least, identity mapped, and at the same address for the
//! CPU and for devices, as nothing sets up an IOMMU. Nothing else ever lies in its frames, so a device that writes beyond
//! what a driver meant, but inside the block, cannot hit another object.
//!
//! Other memory can be lent to a device as it is ([`toro_core::dma::lend`]), since all of it is identity mapped. Threads'
//! stacks are not: a run of their addresses is no run of frames.

use core::ptr::{self, NonNull};

use toro_core::{BusAddr, Dma, DmaBlock, DmaMemory};

use super::{PAGE_SIZE, with_frames};

/// First address behind the lower half, in which everything is identity mapped; stacks lie in the upper half.
const IDENTITY_MAPPED_END: u64 = 1 << 47;

/// Takes frames for devices.
struct FrameDma;

/// Where drivers get their memory from.
pub static DMA: Dma = &FrameDma;

// SAFETY:
// 1. size and alignment: the size is rounded up to whole frames, the alignment is passed on in frames and at least one
//    frame; the CPU's address equals the bus address, as RAM is identity mapped and no IOMMU is in use;
// 2. contiguous: a run of frames is; zeroed: written below; valid: RAM is mapped read-write for good;
// 3. nobody else's: the frame allocator gives no frame to two owners, and `release` alone gives these back;
// 4. reach: below the stack window every virtual address equals its physical one, so a run of bytes there is one for
//    devices, too, for as long as it is mapped, which is for good.
unsafe impl DmaMemory for FrameDma {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        let count = size.div_ceil(PAGE_SIZE as usize);
        let alignment = align.div_ceil(PAGE_SIZE as usize).max(1);
        let address = with_frames(|frames| frames.allocate(count, alignment))?;
        let size = count * PAGE_SIZE as usize;
        let cpu = NonNull::new(ptr::with_exposed_provenance_mut::<u8>(address as usize))?;
        // SAFETY: the frames have just been allocated, are mapped read-write and `size` bytes long.
        unsafe { cpu.write_bytes(0, size) };
        // SAFETY: RAM that has been set aside for devices, until it is released.
        let bus = unsafe { BusAddr::new(address) };
        // SAFETY: the same memory under both addresses, zeroed, exclusive (see above).
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        with_frames(|frames| frames.free(block.bus().get(), block.size().div_ceil(PAGE_SIZE as usize)));
    }

    fn reach(&self, memory: NonNull<u8>, size: usize) -> Option<BusAddr> {
        let start = memory.as_ptr().expose_provenance() as u64;
        let end = start.checked_add(size as u64)?;
        // SAFETY: RAM, identity mapped, that the caller says can be read and written.
        (end <= IDENTITY_MAPPED_END).then(|| unsafe { BusAddr::new(start) })
    }
}
