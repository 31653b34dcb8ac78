//! Statics of which each core has its own.
//!
//! ```text
//!   image, read only              boot core (in .bss)        core 1 (allocated)
//!   toro_core_local_start ...     header | statics           header | statics        gs base -> header
//!     header | initial values  -- copied once per core -->
//!                                 header: delta, index       what lies at address A in the image lies for this
//!                                                            core at A + delta
//! ```
//!
//! `core_local! { static NAME: Type = value; }` puts the initial value into a section of its own; every core copies the
//! section before it runs anything else, and [`CoreLocal::get`] adds the calling core's delta to the static's address:
//! a load and an addition. A static that nobody asks for costs its bytes per core and nothing else.
//!
//! # Ownership
//!
//! Threads never leave their core, and a core runs one thing at a time. So a core-local value is never shared between
//! two flows of control that could interrupt each other, and needs neither be `Sync` nor locked: it changes through
//! cells. Interrupt handlers are the exception: what they touch is atomic.
//!
//! [`CoreBound`] is the same idea for a value inside an object that other cores can name: only its own core gets to see
//! the value.

use core::arch::asm;
use core::cell::{OnceCell, UnsafeCell};
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr;

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// How many cores there can be.
pub const MAX_CORES: usize = 64;

/// What the linker reserves in front of the statics.
const HEADER_SIZE: usize = 64;

/// What lies where `gs` points to. The offsets are known to the assembly below.
#[repr(C)]
struct Header {
    /// Distance from a static's address in the image to this core's copy.
    delta: usize,
    /// The core's number.
    index: usize,
}

const _: () = assert!(size_of::<Header>() <= HEADER_SIZE);

unsafe extern "C" {
    static toro_core_local_start: u8;
    static toro_core_local_end: u8;
    static toro_core_local_boot: u8;
}

/// Where the initial values are.
fn template() -> Range<usize> {
    (&raw const toro_core_local_start).addr()..(&raw const toro_core_local_end).addr()
}

/// Bytes that each core needs for its statics, aligned to 64.
pub(super) fn size() -> usize {
    template().len()
}

/// Gives the calling core its statics in `area`, and its number.
///
/// # Safety
///
/// `area` is valid for [`size`] bytes for ever, aligned to 64 bytes, and used by nothing else. The calling core has no
/// statics yet, and nothing has been inlined into the caller that reads one.
unsafe fn install(area: *mut u8, index: usize) {
    let template = template();
    let start: *const u8 = ptr::with_exposed_provenance(template.start);
    // SAFETY: the template is `size` bytes of the image; the area is as long and elsewhere (this function's contract).
    unsafe { ptr::copy_nonoverlapping(start, area, template.len()) };
    let header = Header { delta: area.expose_provenance().wrapping_sub(template.start), index };
    // SAFETY: the area begins with the room that the linker script reserves for the header, aligned to 64.
    unsafe { area.cast::<Header>().write(header) };
    GsBase::write(VirtAddr::from_ptr(area));
}

/// As [`install`], for the boot core, whose statics lie in the image's own memory. Called first thing at boot.
///
/// # Safety
///
/// Called once, by the boot core, from a function into which nothing is inlined that reads a core-local static.
pub(super) unsafe fn install_boot_core() {
    let area = ptr::with_exposed_provenance_mut((&raw const toro_core_local_boot).addr());
    // SAFETY: the linker reserves the area, aligned, with the section's size, for this alone; called once.
    unsafe { install(area, 0) };
}

/// As [`install`], for another core.
///
/// # Safety
///
/// As for [`install`].
pub(super) unsafe fn install_on(area: *mut u8, index: usize) {
    // SAFETY: this function's contract.
    unsafe { install(area, index) };
}

/// The number of the calling core; 0 is the boot core.
#[inline(always)]
pub fn core_index() -> usize {
    let index;
    // SAFETY: every core has its header before it runs anything but its entry code; the header never changes, and the
    // code that runs on a core stays there.
    unsafe { asm!("mov {}, gs:[8]", out(reg) index, options(pure, nomem, nostack, preserves_flags)) };
    index
}

#[inline(always)]
fn delta() -> usize {
    let delta;
    // SAFETY: as for `core_index`.
    unsafe { asm!("mov {}, gs:[0]", out(reg) delta, options(pure, nomem, nostack, preserves_flags)) };
    delta
}

/// A static of which each core has its own; made by [`core_local!`](crate::core_local).
pub struct CoreLocal<T>(UnsafeCell<T>);

// SAFETY: the value itself is never referred to, only copies of it, one per core: `get` refers to the calling core's.
unsafe impl<T> Sync for CoreLocal<T> {}

impl<T> CoreLocal<T> {
    /// A static's initial value.
    ///
    /// # Safety
    ///
    /// For a static in the section `.toro_core_local` only, as [`core_local!`](crate::core_local) makes it.
    #[doc(hidden)]
    pub const unsafe fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The calling core's value. All code of the core shares it, so it changes through cells.
    #[inline(always)]
    pub fn get(&'static self) -> &'static T {
        let address = self.0.get().addr().wrapping_add(delta());
        let value: *const T = ptr::with_exposed_provenance(address);
        // SAFETY: the static lies in the section (contract of `new`), so this is its copy for the calling core: aligned
        // as the original, because areas are aligned as the section is (64); initialised by the copy; valid for ever.
        // Only shared references are made, and all on this core (see the module documentation).
        unsafe { &*value }
    }
}

/// Declares a static of which each core has its own, with a constant initial value: `core_local! { static A: T = v; }`.
///
/// [`get`](crate::arch::core_local::CoreLocal::get) gives the calling core's. The type need not be `Sync`, and may be
/// aligned to 64 bytes at most.
#[macro_export]
macro_rules! core_local {
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;) => {
        $(#[$attribute])*
        #[allow(unsafe_code)]
        #[unsafe(link_section = ".toro_core_local")]
        $visibility static $name: $crate::arch::core_local::CoreLocal<$type> = {
            const { assert!(::core::mem::align_of::<$type>() <= 64) };
            let value = $value;
            // SAFETY: the static lies in the section for core-local statics.
            unsafe { $crate::arch::core_local::CoreLocal::new(value) }
        };
    };
}

/// A value that only one core gets to see, in an object that others can name.
///
/// It is made on first use by the core that it belongs to. Dropped elsewhere, it leaks.
pub struct CoreBound<T> {
    core: usize,
    value: ManuallyDrop<OnceCell<T>>,
}

// SAFETY: the value is made, referred to and dropped by the core `core` alone (checked each time), and what runs on that
// core runs one after the other.
unsafe impl<T> Send for CoreBound<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for CoreBound<T> {}

impl<T> CoreBound<T> {
    /// Room for a value that belongs to the core with this number.
    pub const fn new(core: usize) -> Self {
        Self { core, value: ManuallyDrop::new(OnceCell::new()) }
    }

    /// The number of the core that it belongs to.
    pub fn core(&self) -> usize {
        self.core
    }

    /// The value, made by `make` if this is the first look.
    ///
    /// # Panics
    ///
    /// On another core than its own.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        assert_eq!(self.core, core_index(), "a value that belongs to one core was asked for on another");
        self.value.get_or_init(make)
    }
}

impl<T> Drop for CoreBound<T> {
    fn drop(&mut self) {
        if self.core == core_index() {
            // SAFETY: dropped once, here, on the core that the value belongs to.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

/// As [`CoreBound`], for what may be dropped anywhere: only one core uses it, whoever has the object last drops it.
pub struct CoreOwned<T: Send> {
    core: usize,
    value: OnceCell<T>,
}

// SAFETY: the value is made and referred to by the core `core` alone (checked each time), and what runs on that core runs
// one after the other. Whoever drops it has it for himself, and may, as it is `Send`.
unsafe impl<T: Send> Send for CoreOwned<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for CoreOwned<T> {}

impl<T: Send> CoreOwned<T> {
    /// Room for a value that belongs to the core with this number.
    pub const fn new(core: usize) -> Self {
        Self { core, value: OnceCell::new() }
    }

    /// The value, made by `make` if this is the first look.
    ///
    /// # Panics
    ///
    /// On another core than its own.
    #[inline]
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        assert_eq!(self.core, core_index(), "a value that belongs to one core was asked for on another");
        self.value.get_or_init(make)
    }
}
