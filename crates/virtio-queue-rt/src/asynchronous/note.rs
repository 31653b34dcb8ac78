//! [`Note`]: how those who must not wait for a lock have their work done by whoever holds it.
//!
//! ```text
//!   must not wait                       holds the lock
//!   note = true                         unlock
//!       -- full fence --                    -- full fence --
//!   try to lock: no? go away            note? do the work
//! ```
//!
//! Each side stores and then loads what the other stores. With both fences one of the two sees the other, so the work is
//! done; with either of them missing both can miss each other. `tests/loom` runs this very file.

use super::atomic::{AtomicBool, Ordering, fence};

/// Whether somebody went away without having done his work.
pub(crate) struct Note {
    is_left: AtomicBool,
}

impl Note {
    pub fn new() -> Self {
        Self { is_left: AtomicBool::new(false) }
    }

    /// Comes before an attempt to lock.
    pub fn leave(&self) {
        // Release: pairs with `take`. What the work is about, such as an index that a device showed before it
        // interrupted, is seen by whoever does it.
        self.is_left.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Comes after locking and before the work.
    pub fn take(&self) {
        self.is_left.swap(false, Ordering::AcqRel);
    }

    /// Comes after unlocking: whether there is work to do for somebody else.
    pub fn is_left(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_left.load(Ordering::Relaxed)
    }
}
