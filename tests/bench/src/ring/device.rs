//! The device that serves every contender: as simple and as fast as it can be made.
//!
//! It looks at the available index, walks each chain, gives it back, and shows the used index once per look. It
//! polls, so it wants no kicks, and it never interrupts. Buffers are not touched; the last byte of a request of several
//! descriptors, its status, is set to 0.
//!
//! Descriptors are read field by field: a load is forwarded from an earlier store that covers it, and stalls if it
//! straddles two, so no driver is punished here for the width of its stores.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::thread;

use super::measure::IDLE;

/// Descriptors in every queue here.
pub const SIZE: u16 = 256;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Where a driver put its rings; addresses are pointers of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingPointers {
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
}

/// The device's side of one queue.
pub struct Device {
    rings: RingPointers,
    next: u16,
}

/// The atomic at an address that a driver gave.
///
/// # Safety
///
/// `address` is that of a live, aligned `A` inside the rings or buffers of a driver that outlives the device.
unsafe fn at<'a, A>(address: u64) -> &'a A {
    // SAFETY: as the caller promises.
    unsafe { &*std::ptr::with_exposed_provenance::<A>(address as usize) }
}

impl Device {
    /// Serves these rings, and asks not to be kicked.
    ///
    /// # Safety
    ///
    /// They are rings of [`SIZE`] descriptors and stay so as long as the device is used, and what a correct driver
    /// puts in them names memory that it does not touch meanwhile.
    pub unsafe fn new(rings: RingPointers) -> Self {
        // SAFETY: the flags of the used ring.
        let flags = unsafe { at::<AtomicU16>(rings.used) };
        flags.store(1, Ordering::Relaxed);
        Self { rings, next: 0 }
    }

    /// Serves everything that is available; returns how much that was.
    #[inline]
    pub fn serve(&mut self) -> u16 {
        let RingPointers { descriptors, available, used } = self.rings;
        // SAFETY: the index of the available ring.
        let shown = unsafe { at::<AtomicU16>(available + 2) }.load(Ordering::Acquire);
        let count = shown.wrapping_sub(self.next);
        if count == 0 {
            return 0;
        }
        while self.next != shown {
            let place = u64::from(self.next % SIZE);
            // SAFETY: an entry of the available ring.
            let head = unsafe { at::<AtomicU16>(available + 4 + 2 * place) }.load(Ordering::Relaxed);
            let written = Self::walk(descriptors, head);
            // SAFETY: the first field of an element of the used ring.
            unsafe { at::<AtomicU32>(used + 4 + 8 * place) }.store(u32::from(head), Ordering::Relaxed);
            // SAFETY: its second.
            unsafe { at::<AtomicU32>(used + 8 + 8 * place) }.store(written, Ordering::Relaxed);
            self.next = self.next.wrapping_add(1);
        }
        // SAFETY: the index of the used ring.
        unsafe { at::<AtomicU16>(used + 2) }.store(self.next, Ordering::Release);
        count
    }

    /// Follows a chain, in the table or in one that its head names; returns the number of bytes that may be written.
    #[inline]
    fn walk(descriptors: u64, head: u16) -> u32 {
        let descriptor = descriptors + 16 * u64::from(head);
        // SAFETY: a field of a descriptor in the table.
        let flags = unsafe { at::<AtomicU16>(descriptor + 12) }.load(Ordering::Relaxed);
        if flags & INDIRECT == 0 {
            return Self::follow(descriptors, descriptor);
        }
        // SAFETY: another.
        let table = unsafe { at::<AtomicU64>(descriptor) }.load(Ordering::Relaxed);
        Self::follow(table, table)
    }

    /// Follows a chain in a table from a descriptor on.
    #[inline]
    fn follow(table: u64, mut descriptor: u64) -> u32 {
        let mut written = 0;
        let mut is_first = true;
        loop {
            // SAFETY: three fields of a descriptor in the table: a correct driver names no other.
            let len = unsafe { at::<AtomicU32>(descriptor + 8) }.load(Ordering::Relaxed);
            // SAFETY: as above.
            let flags = unsafe { at::<AtomicU16>(descriptor + 12) }.load(Ordering::Relaxed);
            // SAFETY: as above.
            let address = unsafe { at::<AtomicU64>(descriptor) }.load(Ordering::Relaxed);
            if flags & WRITE != 0 {
                written += len;
            }
            if flags & NEXT == 0 {
                if !is_first {
                    // SAFETY: the status byte, which the driver does not touch now.
                    unsafe { at::<AtomicU8>(address) }.store(0, Ordering::Relaxed);
                }
                return written;
            }
            is_first = false;
            // SAFETY: as above.
            let next = unsafe { at::<AtomicU16>(descriptor + 14) }.load(Ordering::Relaxed);
            descriptor = table + 16 * u64::from(next);
        }
    }

    /// Serves until told to stop, on a thread of its own.
    pub fn serve_until(&mut self, stop: &AtomicBool) {
        let mut idle = 0;
        while !stop.load(Ordering::Relaxed) {
            idle = if self.serve() == 0 { idle + 1 } else { 0 };
            match idle > IDLE {
                true => thread::yield_now(),
                false => spin_loop(),
            }
        }
    }
}
