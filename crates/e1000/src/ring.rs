//! [`Ring`]: descriptors in memory that both sides use, and the way to tell the device about them.
//!
//! ```text
//!              head (device)                  tail (driver)
//!               v                              v
//!   [ driver ][ device's .................. ][ driver's ....... ]     as a circle of 2^n descriptors
//! ```
//!
//! The device owns what lies from head to tail. A full ring would look like an empty one, so one descriptor at least stays
//! the driver's (manual §3.2.6). Where the head is, only the descriptors themselves say: the register is never read, as
//! reading it costs as much as a frame and the device may put anything there.
//!
//! # Ordering
//!
//! A descriptor is filled with plain atomic stores. The write to the tail register makes them visible
//! ([`Registers`], guarantee 2), once for many. The device stores a descriptor's status last; the `Acquire` load
//! of the word that has it makes visible what it has written before.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use toro_core::dma::SharedArrays;
use toro_core::{Dma, OutOfDmaMemory, Registers, SharedRegion};

use crate::descriptor;
use crate::registers::RingRegisters;

/// Fewest and most descriptors of a ring: its length is a multiple of 128 bytes, and 12 bits count it.
pub(crate) const SIZES: (usize, usize) = (8, 4096);

/// A ring of descriptors.
pub(crate) struct Ring {
    /// Shared with nobody, except that it can be leaked from behind a reference.
    descriptors: Arc<SharedArrays<1>>,
    size: usize,
    registers: RingRegisters,
}

impl Ring {
    /// A ring of at least so many descriptors: the next power of two.
    pub(crate) fn new(memory: Dma, size: u16, registers: RingRegisters) -> Result<Self, OutOfDmaMemory> {
        let size = usize::from(size).clamp(SIZES.0, SIZES.1).next_power_of_two();
        let bytes = size * descriptor::LEN;
        let descriptors = SharedArrays::new(SharedRegion::new(memory, bytes)?, [(0, bytes)]);
        Ok(Self { descriptors: Arc::new(descriptors), size, registers })
    }

    /// How many descriptors there are.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The place of a descriptor in arrays beside the ring.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> usize {
        index as usize & (self.size - 1)
    }

    /// Fills a descriptor. Indices run freely.
    #[inline]
    pub(crate) fn put(&self, index: u32, words: [u64; 2]) {
        let cell = self.descriptors.at::<0, [AtomicU64; 2]>(index as usize);
        // Relaxed: the device looks at it after the write of the tail register, which orders both.
        cell[0].store(words[0].to_le(), Ordering::Relaxed);
        cell[1].store(words[1].to_le(), Ordering::Relaxed);
    }

    /// The word of a descriptor that the device writes.
    #[inline]
    pub(crate) fn status(&self, index: u32) -> u64 {
        // Acquire: the device's writes to the buffer happened before its write of the status.
        u64::from_le(self.descriptors.at::<0, [AtomicU64; 2]>(index as usize)[1].load(Ordering::Acquire))
    }

    /// Says once more what the second word of a descriptor is that the device does not have yet.
    #[inline]
    pub(crate) fn amend(&self, index: u32, amend: impl FnOnce(u64) -> u64) {
        let word = &self.descriptors.at::<0, [AtomicU64; 2]>(index as usize)[1];
        // Relaxed: as in `put`.
        word.store(amend(u64::from_le(word.load(Ordering::Relaxed))).to_le(), Ordering::Relaxed);
    }

    /// Tells the device where the ring is, and that it is empty.
    pub(crate) fn install<R: Registers>(&self, registers: &R) {
        let base = self.descriptors.region().bus_addr(0).get();
        self.registers.base_low.write(registers, base as u32);
        self.registers.base_high.write(registers, (base >> 32) as u32);
        self.registers.length.write(registers, (self.size * descriptor::LEN) as u32);
        self.registers.head.write(registers, 0);
        self.registers.tail.write(registers, 0);
    }

    /// Hands the device everything before `tail`.
    #[inline]
    pub(crate) fn publish<R: Registers>(&self, registers: &R, tail: u32) {
        self.registers.tail.write(registers, self.slot(tail) as u32);
    }

    /// Leaves the descriptors to the device for ever.
    pub(crate) fn leak(&self) {
        core::mem::forget(self.descriptors.clone());
    }
}
