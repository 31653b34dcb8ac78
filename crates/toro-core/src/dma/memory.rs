//! [`DmaMemory`]: what a platform promises.

use core::fmt;
use core::ptr::NonNull;

use crate::addr::BusAddr;

/// A platform's source of memory for devices.
///
/// Drivers keep it as `&'static dyn DmaMemory` ([`Dma`]): the platform outlives every driver.
pub type Dma = &'static dyn DmaMemory;

/// A piece of memory with the two names it goes by.
///
/// Only the platform makes and takes these; drivers use [`DmaPool`](super::DmaPool) and
/// [`SharedRegion`](super::SharedRegion).
#[derive(Debug)]
pub struct DmaBlock {
    cpu: NonNull<u8>,
    bus: BusAddr,
    size: usize,
}

impl DmaBlock {
    /// Describes a block that a [`DmaMemory`] is about to hand out.
    ///
    /// # Safety
    ///
    /// `size` bytes at `cpu` are the same memory as `size` bytes at `bus` for every device that the platform
    /// drives; they are zeroed, and valid for reads and writes by the holder of this value alone until it is
    /// released.
    pub const unsafe fn new(cpu: NonNull<u8>, bus: BusAddr, size: usize) -> Self {
        Self { cpu, bus, size }
    }

    /// Where the CPU finds it.
    pub const fn cpu(&self) -> NonNull<u8> {
        self.cpu
    }

    /// Where the device finds it.
    pub const fn bus(&self) -> BusAddr {
        self.bus
    }

    /// Its size in bytes.
    pub const fn size(&self) -> usize {
        self.size
    }
}

/// Where memory for devices comes from. Implemented once per platform, like
/// [`GlobalAlloc`](core::alloc::GlobalAlloc).
///
/// # Safety
///
/// An implementer promises that `allocate` returns, if anything, a block that
///
/// 1. is at least `size` bytes long and aligned to `align` under both of its addresses;
/// 2. is contiguous under both of its addresses, zeroed, and valid for reads and writes;
/// 3. is nobody else's until it is given to `release`, with the same provenance for its whole life;
///
/// and that `reach` names an address, if any, under which every device that the platform drives finds the very bytes that it
/// was asked for, all of them and in this order, for as long as they stay allocated.
pub unsafe trait DmaMemory: Sync {
    /// A zeroed block of `size` bytes (not zero), aligned to `align` (a power of two); `None` when there is none.
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock>;

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// The block came from `allocate` of the same source, no pointer into it is used again, and no device can
    /// reach it any more.
    unsafe fn release(&self, block: DmaBlock);

    /// Where devices find `size` bytes of other memory, which begins at `memory` and can be read and written; `None` where
    /// they cannot reach it, or not in one piece.
    fn reach(&self, memory: NonNull<u8>, size: usize) -> Option<BusAddr> {
        let _ = (memory, size);
        None
    }
}

/// The platform has no more memory for devices, or none of the shape that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfDmaMemory;

impl fmt::Display for OutOfDmaMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory for devices")
    }
}

impl core::error::Error for OutOfDmaMemory {}
