//! What the lock-free files are written with, under the names by which `tests/loom-sync` has loom's instead.

#[cfg(feature = "alloc")]
pub(crate) use alloc::sync::Arc;
#[cfg(feature = "alloc")]
pub(crate) use core::sync::atomic::AtomicUsize;
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering, fence};

/// Makes a function `const`, which it cannot be over loom's atomics: there the macro of this name leaves it as it is.
macro_rules! constructor {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility const fn $($rest)*
    };
}
pub(crate) use constructor;
