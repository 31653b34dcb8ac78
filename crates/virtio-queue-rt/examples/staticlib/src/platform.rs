//! What only the platform can promise: memory that devices reach, the time, and a static that has one user at a time.
//!
//! ```text
//!   memory that entropy_init was given, in pages of 4,096 bytes
//!   [ rings ][ buffers ][ free ][ free ] ...     bit i of `used`: page i is somebody's
//! ```
//!
//! All of it is unsafe for a reason that is said at each place. A kernel with an allocator of pages, or with one
//! static per core, writes other code here and nowhere else.

use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use toro_core::{BusAddr, Clock, DmaBlock, DmaMemory, Instant};

unsafe extern "C" {
    /// Nanoseconds since some moment.
    safe fn platform_now() -> u64;
    /// Ends the system.
    pub safe fn platform_panic() -> !;
}

/// The platform's clock.
#[derive(Debug)]
pub struct PlatformClock;

impl Clock for PlatformClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(platform_now())
    }
}

/// Bytes in a page, and the alignment of every block.
const PAGE: usize = 4096;
/// How many pages can be looked after: one bit each.
const MOST: usize = u64::BITS as usize;

/// Memory for devices, handed out by the page.
pub struct Pages {
    /// First byte. Invariant: null, or `count` pages at a multiple of `PAGE` that nobody else uses.
    cpu: AtomicPtr<u8>,
    /// The same byte, as devices know it.
    bus: AtomicU64,
    count: AtomicUsize,
    /// Pages that are somebody's.
    used: AtomicU64,
}

/// Memory was provided that is not whole pages, or not the memory that was provided before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUsable;

impl Pages {
    /// No memory yet.
    pub const fn new() -> Self {
        Self {
            cpu: AtomicPtr::new(ptr::null_mut()),
            bus: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            used: AtomicU64::new(0),
        }
    }

    /// Provides the memory, once; again only the same. The first 64 pages of it are used.
    ///
    /// # Errors
    ///
    /// [`NotUsable`] if an address is not a multiple of a page, or it is not the memory provided before.
    ///
    /// # Safety
    ///
    /// `len` bytes at `cpu` are valid, nobody else uses them from now on, and every device reaches them at `bus`.
    /// Calls do not overlap.
    pub unsafe fn provide(&self, cpu: NonNull<u8>, bus: u64, len: usize) -> Result<(), NotUsable> {
        let is_aligned = cpu.addr().get().is_multiple_of(PAGE) && bus.is_multiple_of(PAGE as u64);
        let before = self.cpu.load(Ordering::Acquire);
        if !is_aligned || !before.is_null() && (before != cpu.as_ptr() || self.bus.load(Ordering::Relaxed) != bus) {
            return Err(NotUsable);
        }
        if before.is_null() {
            self.bus.store(bus, Ordering::Relaxed);
            self.count.store((len / PAGE).min(MOST), Ordering::Relaxed);
            // Release: whoever sees the address sees the rest.
            self.cpu.store(cpu.as_ptr(), Ordering::Release);
        }
        Ok(())
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.used.load(Ordering::Relaxed).count_ones();
        write!(f, "Pages({used} of {} in use)", self.count.load(Ordering::Relaxed))
    }
}

/// As many bits as pages, from bit 0 on.
const fn run(pages: usize) -> u64 {
    u64::MAX >> (MOST - pages)
}

// SAFETY:
// 1. size and alignment: blocks are whole pages under addresses that `provide` checked to be multiples of a page;
// 2. contiguous, zeroed, valid: a run of pages of memory that is contiguous by `provide`'s contract, zeroed below;
// 3. nobody else's: each page has a bit, taken by the exchange below and given back by `release` alone.
unsafe impl DmaMemory for Pages {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        let base = NonNull::new(self.cpu.load(Ordering::Acquire))?;
        let count = self.count.load(Ordering::Relaxed);
        let pages = size.div_ceil(PAGE);
        if pages == 0 || pages > count || align > PAGE {
            return None;
        }
        let mut first = None;
        self.used
            .try_update(Ordering::Acquire, Ordering::Relaxed, |used| {
                first = (0..=count - pages).find(|&first| used & run(pages) << first == 0);
                first.map(|first| used | run(pages) << first)
            })
            .ok()?;
        let offset = first? * PAGE;
        // SAFETY: `first + pages <= count`, so the offset lies inside the memory provided.
        let cpu = unsafe { base.add(offset) };
        // SAFETY: these pages are inside that memory as well, and ours since the exchange above.
        unsafe { cpu.write_bytes(0, pages * PAGE) };
        // SAFETY: the same offset into the same memory, which devices reach there by `provide`'s contract.
        let bus = unsafe { BusAddr::new(self.bus.load(Ordering::Relaxed) + offset as u64) };
        // SAFETY: as the trait demands; see above.
        Some(unsafe { DmaBlock::new(cpu, bus, pages * PAGE) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        let base = self.cpu.load(Ordering::Relaxed);
        let first = (block.cpu().addr().get() - base.addr()) / PAGE;
        // The same arithmetic as in `allocate`; a block need not be as long as what was asked for.
        let pages = block.size().div_ceil(PAGE);
        // Release: the last use of the pages happens before their next owner's first.
        self.used.fetch_and(!(run(pages) << first), Ordering::Release);
    }
}

/// A static that one caller at a time can use.
pub struct Exclusive<T> {
    is_used: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` lets one caller at a time reach the value, which can move between threads.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    /// Holds a value.
    pub const fn new(value: T) -> Self {
        Self { is_used: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Lets `body` use the value; `None` if somebody uses it now, be it the caller's caller.
    pub fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> Option<R> {
        // Acquire: what the last user did happened before.
        if self.is_used.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: the swap lets nobody else in before the store below.
        let result = body(unsafe { &mut *self.value.get() });
        self.is_used.store(false, Ordering::Release);
        Some(result)
    }
}

impl<T> fmt::Debug for Exclusive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exclusive")
    }
}
