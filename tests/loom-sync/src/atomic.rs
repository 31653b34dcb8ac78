//! loom's atomics, under the names by which the files ask for the machine's.
//!
//! loom knows sequentially consistent *fences*; a sequentially consistent *access* is no more to it than acquire or
//! release, so that `Doorbell::ring_after_push` would be reported as an error. What its load and the exchange before
//! it promise is said here in fences:
//!
//! ```text
//!   exchange(SeqCst)         exchange(AcqRel)
//!   load(SeqCst)             fence(SeqCst), if what this thread did last to a pointer or flag was an exchange(SeqCst)
//!                            load(Acquire)
//! ```
//!
//! That is the same promise: the circle in the documentation of `doorbell` is closed by a fence between the two as well
//! as by their own order. The fence is there only if *both* are sequentially consistent, with nothing in between; with one of them
//! weaker, C++20 promises nothing, and neither does this. That the accesses themselves suffice is for Miri to check.

use std::cell::Cell;

use loom::sync::atomic::{AtomicBool as ModelBool, AtomicPtr as ModelPtr};

pub use loom::sync::Arc;
pub use loom::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};

/// Leaves a function as it is: over loom's atomics it cannot be `const`.
macro_rules! constructor {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use constructor;

loom::thread_local! {
    /// Whether this thread's last access to a pointer or flag was a sequentially consistent exchange.
    static HAS_EXCHANGED: Cell<bool> = Cell::new(false);
}

/// Comes before a load or store.
fn order(ordering: Ordering) {
    let has_exchanged = HAS_EXCHANGED.with(|flag| flag.replace(false));
    if has_exchanged && ordering == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
}

/// Comes after an exchange that took place.
fn exchanged(ordering: Ordering) {
    HAS_EXCHANGED.with(|flag| flag.set(ordering == Ordering::SeqCst));
}

#[derive(Debug)]
pub struct AtomicPtr<T>(ModelPtr<T>);

impl<T> AtomicPtr<T> {
    pub fn new(pointer: *mut T) -> Self {
        Self(ModelPtr::new(pointer))
    }

    pub fn load(&self, ordering: Ordering) -> *mut T {
        order(ordering);
        self.0.load(ordering)
    }

    pub fn swap(&self, pointer: *mut T, ordering: Ordering) -> *mut T {
        let old = self.0.swap(pointer, ordering);
        exchanged(ordering);
        old
    }

    pub fn compare_exchange_weak(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        let result = self.0.compare_exchange_weak(current, new, success, failure);
        exchanged(if result.is_ok() { success } else { failure });
        result
    }
}

#[derive(Debug)]
pub struct AtomicBool(ModelBool);

impl AtomicBool {
    pub fn new(value: bool) -> Self {
        Self(ModelBool::new(value))
    }

    pub fn load(&self, ordering: Ordering) -> bool {
        order(ordering);
        self.0.load(ordering)
    }

    pub fn store(&self, value: bool, ordering: Ordering) {
        order(Ordering::Relaxed);
        self.0.store(value, ordering);
    }

    pub fn swap(&self, value: bool, ordering: Ordering) -> bool {
        let old = self.0.swap(value, ordering);
        exchanged(ordering);
        old
    }
}
