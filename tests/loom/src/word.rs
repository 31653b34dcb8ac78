//! A 16-bit word of shared memory as loom models it.
//!
//! loom knows acquire, release and sequentially consistent *fences*; a sequentially consistent *access* is no more to it
//! than acquire or release, so that `store_then_load` as it is would be reported as an error. What the two accesses promise
//! is said here in fences:
//!
//! ```text
//!   store(SeqCst)            store(Release)
//!   load(SeqCst)             fence(SeqCst), if what this thread did last to a word was a store(SeqCst)
//!                            load(Acquire)
//! ```
//!
//! That is the same promise. Let the driver store `a` and load `b`, both sequentially consistent, and the device store `b`,
//! pass a sequentially consistent fence, and load `a`. If both loads missed, then in the one order of all such operations
//! the driver's load would come before the device's fence (it read what precedes the device's store, which happens before
//! the fence), the fence before the driver's store (the load behind it read what precedes that store), and the
//! driver's store before its load, as in its program: a circle (C++20 \[atomics.order\], 4). A fence between the two in
//! place of their own order closes the same circle. It is there only if *both* are sequentially consistent: with one of them
//! weaker, C++20 promises nothing, and neither does this.
//!
//! That the accesses themselves suffice, without a fence, is for Miri to check, which implements C++20's rules for them.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use loom::sync::atomic::{AtomicU16, fence};

use crate::handshake::Word;

loom::thread_local! {
    /// Whether this thread's last access to a word was a sequentially consistent store.
    static HAS_STORED: Cell<bool> = Cell::new(false);
}

/// A word. The driver reaches it as [`Word`], the device as the atomic that it is.
pub struct ModelWord(pub AtomicU16);

impl ModelWord {
    pub fn new(value: u16) -> Self {
        Self(AtomicU16::new(value))
    }
}

impl Word for ModelWord {
    fn load(&self, ordering: Ordering) -> u16 {
        let has_stored = HAS_STORED.with(|flag| flag.replace(false));
        if ordering != Ordering::SeqCst {
            return self.0.load(ordering);
        }
        if has_stored {
            fence(Ordering::SeqCst);
        }
        self.0.load(Ordering::Acquire)
    }

    fn store(&self, value: u16, ordering: Ordering) {
        let is_strong = ordering == Ordering::SeqCst;
        self.0.store(value, if is_strong { Ordering::Release } else { ordering });
        HAS_STORED.with(|flag| flag.set(is_strong));
    }
}
