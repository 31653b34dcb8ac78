//! A virtio driver as a static library: for an operating system written in C, without any allocator.
//!
//! ```text
//!   your kernel, in C       include/entropy.h       platform_now, platform_panic
//!        |                                                 ^
//!   lib.rs                  extern "C", panic handler      |          unsafe: raw pointers come in here
//!        |                                                 |
//!   platform.rs             DmaMemory, Clock, statics -----+          unsafe: what only a platform can promise
//!        |
//!   entropy.rs              the driver                                safe code
//!        |
//!   virtio-queue-rt, toro-core
//! ```
//!
//! # Ownership
//!
//! Everything lives in statics of this library or in the memory that `entropy_init` is given: the slots of the queue
//! are an array inside the driver, the pool's bookkeeping is a [`PoolStorage`]. Nothing is ever allocated.
//!
//! # Copying it
//!
//! [`entropy`] is what changes with the device type. [`platform`] is what changes with the kernel: where memory for
//! devices comes from, what time it is. The unsafe code here is what the author of an operating system has to write,
//! and all there is to audit.
#![no_std]

pub mod entropy;
pub mod platform;

use core::ffi::c_int;
use core::ptr::NonNull;

use toro_core::dma::PoolStorage;
use toro_core::driver::AttachError;
use toro_core::io::Mmio;
use toro_core::{Clock, Dma, DmaPool};

use crate::entropy::{BUFFER_SIZE, Entropy};
use crate::platform::{Exclusive, Pages, PlatformClock};

const INVALID: c_int = -1;
const BUSY: c_int = -2;
const STATE: c_int = -3;
const NO_DEVICE: c_int = -4;
const NO_MEMORY: c_int = -5;
const FAULT: c_int = -6;
const TIMED_OUT: c_int = -7;

/// How many buffers there are: as many as can be with the device, and as many again.
const BUFFERS: usize = 2 * entropy::SLOTS;

static CLOCK: PlatformClock = PlatformClock;
static PAGES: Pages = Pages::new();
static POOL: PoolStorage<BUFFERS> = PoolStorage::new();
static GLOBAL: Exclusive<Global> = Exclusive::new(Global { pool: None, driver: None });

/// What lives from one call to the next.
struct Global {
    /// Made by the first initialisation, and used by all later ones.
    pool: Option<DmaPool>,
    driver: Option<Entropy>,
}

impl Global {
    fn init(&mut self, registers: Mmio) -> Result<(), AttachError> {
        let (memory, clock): (Dma, &'static dyn Clock) = (&PAGES, &CLOCK);
        if self.pool.is_none() {
            self.pool = Some(DmaPool::in_storage(memory, &POOL, BUFFER_SIZE)?);
        }
        self.driver = Some(Entropy::start(registers, memory, clock)?);
        Ok(())
    }
}

/// Runs `body` unless another call is under way.
fn exclusively(body: impl FnOnce(&mut Global) -> c_int) -> c_int {
    GLOBAL.with(body).unwrap_or(BUSY)
}

/// Takes the device into service; see `entropy.h`.
///
/// # Safety
///
/// `registers` and `memory` are as the header says, for as long as the library is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn entropy_init(
    registers: *mut u8,
    registers_len: usize,
    memory: *mut u8,
    memory_bus: u64,
    memory_len: usize,
) -> c_int {
    let (Some(registers), Some(memory)) = (NonNull::new(registers), NonNull::new(memory)) else { return INVALID };
    if !registers.cast::<u64>().is_aligned() {
        return INVALID;
    }
    exclusively(|global| {
        if global.driver.is_some() {
            return STATE;
        }
        // SAFETY: the caller promises memory that is nobody else's, and its bus address.
        if unsafe { PAGES.provide(memory, memory_bus, memory_len) }.is_err() {
            return INVALID;
        }
        // SAFETY: the caller promises device registers here, and the base is aligned to 8 bytes, as just checked.
        let registers = unsafe { Mmio::new(registers, registers_len) };
        match global.init(registers) {
            Ok(()) => 0,
            Err(AttachError::OutOfDmaMemory) => NO_MEMORY,
            Err(AttachError::TimedOut) => TIMED_OUT,
            Err(_) => NO_DEVICE,
        }
    })
}

/// Gives the device all free buffers; see `entropy.h`.
#[unsafe(no_mangle)]
pub extern "C" fn entropy_request() -> c_int {
    exclusively(|global| match (&mut global.driver, &mut global.pool) {
        (Some(driver), Some(pool)) => driver.request(pool).map_or(FAULT, c_int::from),
        _ => STATE,
    })
}

/// Copies random bytes out; see `entropy.h`.
///
/// # Safety
///
/// `out` is where `len` bytes may be written, and nobody else uses them meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn entropy_take(out: *mut u8, len: usize) -> c_int {
    // More than a buffer holds never comes.
    let len = len.min(BUFFER_SIZE);
    let Some(out) = NonNull::new(out).filter(|_| len > 0) else { return INVALID };
    exclusively(|global| {
        let (Some(driver), Some(pool)) = (&mut global.driver, &mut global.pool) else { return STATE };
        let Ok(Some(bytes)) = driver.take() else { return driver.fault().map_or(0, |_| FAULT) };
        let count = bytes.len().min(len);
        // SAFETY:
        // - readable: `count` is at most the length of the slice;
        // - writable: at most `len`, which the caller promises;
        // - apart: the buffer lies in memory that is nobody else's, by the promise made to `entropy_init`.
        unsafe { out.copy_from_nonoverlapping(NonNull::from(&*bytes).cast(), count) };
        pool.recycle(bytes);
        count as c_int
    })
}

/// Takes the device out of service; see `entropy.h`.
#[unsafe(no_mangle)]
pub extern "C" fn entropy_shutdown() -> c_int {
    exclusively(|global| {
        let (Some(driver), Some(pool)) = (global.driver.take(), &mut global.pool) else { return STATE };
        match driver.stop(pool, &CLOCK) {
            Ok(()) => 0,
            Err(driver) => {
                global.driver = Some(driver);
                TIMED_OUT
            }
        }
    })
}

/// The driver has no way to go on. Its own bugs only: nothing that a device does comes here.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    platform::platform_panic()
}
