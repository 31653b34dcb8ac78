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
//!
//! # What loom overlooks
//!
//! Where a thread loads and then exchanges, loom forgets that others have loaded between its last write and that load,
//! and does not try the order in which they come later. So each access is announced by a relaxed exchange on
//! a word beside it, which loom does not overlook. That orders nothing: a relaxed exchange says no more than that it took
//! place.

use std::cell::Cell;

use loom::sync::atomic as model;

pub use loom::sync::Arc;
pub use loom::sync::atomic::{Ordering, fence};

/// Leaves a function as it is: over loom's atomics it cannot be `const`.
macro_rules! constructor {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use constructor;

loom::thread_local! {
    /// Whether this thread's last access was a sequentially consistent exchange.
    static HAS_EXCHANGED: Cell<bool> = Cell::new(false);
}

/// loom's atomic and what is said about it above.
#[derive(Debug)]
pub struct Atomic<A> {
    word: A,
    announcements: model::AtomicUsize,
}

impl<A> Atomic<A> {
    /// The word, for a load or store of this ordering.
    fn plain(&self, ordering: Ordering) -> &A {
        self.announcements.swap(0, Ordering::Relaxed);
        let has_exchanged = HAS_EXCHANGED.with(|flag| flag.replace(false));
        if has_exchanged && ordering == Ordering::SeqCst {
            fence(Ordering::SeqCst);
        }
        &self.word
    }

    /// The word, for an exchange of this ordering.
    fn exchange(&self, ordering: Ordering) -> &A {
        self.announcements.swap(0, Ordering::Relaxed);
        HAS_EXCHANGED.with(|flag| flag.set(ordering == Ordering::SeqCst));
        &self.word
    }
}

/// Writes down what the files do with an atomic of this kind.
macro_rules! atomic {
    ($name:ident $(<$parameter:ident>)?, $value:ty) => {
        pub type $name$(<$parameter>)? = Atomic<model::$name$(<$parameter>)?>;

        impl$(<$parameter>)? Atomic<model::$name$(<$parameter>)?> {
            pub fn new(value: $value) -> Self {
                Self { word: model::$name::new(value), announcements: model::AtomicUsize::new(0) }
            }

            pub fn load(&self, ordering: Ordering) -> $value {
                self.plain(ordering).load(ordering)
            }

            #[allow(dead_code, reason = "not done with every kind")]
            pub fn store(&self, value: $value, ordering: Ordering) {
                // Between this and an exchange nothing is promised here.
                self.plain(Ordering::Relaxed).store(value, ordering);
            }

            #[allow(dead_code, reason = "not done with every kind")]
            pub fn swap(&self, value: $value, ordering: Ordering) -> $value {
                self.exchange(ordering).swap(value, ordering)
            }

            #[allow(dead_code, reason = "not done with every kind")]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let result = self.exchange(success).compare_exchange(current, new, success, failure);
                if result.is_err() {
                    HAS_EXCHANGED.with(|flag| flag.set(false));
                }
                result
            }

            #[allow(dead_code, reason = "not done with every kind")]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU8, u8);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);
atomic!(AtomicPtr<T>, *mut T);
