//! Contents of small files, remembered for as long as the attributes they were read under hold.
//!
//! ```text
//!   attributes asked for      READ answered                    attributes run out
//!   |-------------------------|--------------------------------|-----------------> time
//!                             [ contents may be handed out     ]
//! ```
//!
//! A server that gives attributes a lifetime allows a client to believe the size and the time of modification for so
//! long. Contents that were read within that time and are dropped at its end are never older than what their
//! attributes are allowed to be, so a reader sees both from the same span of time. They are dropped earlier when
//! attributes arrive that differ, when the file is opened anew and the server does not say that they may stay
//! (FU-SEM-9), and when their memory is wanted. A server that gives no lifetime, or wants a file read past all caches,
//! gets every READ.
//!
//! Only files that came whole with one READ are kept, in memory of their own: buffers that devices reach are scarce.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use core::cell::{Cell, RefCell};
use core::ops::Deref;

use toro_core::Instant;

use super::node::FuseNode;

/// The longest file that is remembered, in bytes.
pub const LONGEST: usize = 32 * 1024;

/// How many entries the queue may have before those that are gone are swept out of it.
const SWEEP: usize = 1024;

/// The contents of one file.
pub struct Contents {
    bytes: Box<[u8]>,
    until: Instant,
    used: Rc<Cell<usize>>,
}

impl Contents {
    /// Whether they may still be handed out.
    pub fn hold(&self, now: Instant) -> bool {
        now < self.until
    }
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.used.set(self.used.get().saturating_sub(self.bytes.len()));
    }
}

/// All contents that a mount remembers, within a bound.
pub struct ContentsCache {
    /// From the oldest to the newest.
    queue: RefCell<VecDeque<(Weak<FuseNode>, Weak<Contents>)>>,
    used: Rc<Cell<usize>>,
    limit: usize,
}

impl ContentsCache {
    /// A cache of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { queue: RefCell::default(), used: Rc::default(), limit }
    }

    /// How many bytes are remembered.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Remembers the contents of `node` until then, if they are worth it; whether it did.
    pub fn remember(&self, node: &Rc<FuseNode>, bytes: &[u8], until: Instant) -> bool {
        if bytes.is_empty() || bytes.len() > LONGEST.min(self.limit) {
            return false;
        }
        // What was known of the file before makes room first.
        node.set_contents(None);
        while self.used.get() + bytes.len() > self.limit {
            let Some(oldest) = self.queue.borrow_mut().pop_front() else { return false };
            let (Some(node), Some(contents)) = (oldest.0.upgrade(), oldest.1.upgrade()) else { continue };
            node.drop_contents(&contents);
        }
        self.used.set(self.used.get() + bytes.len());
        let contents = Rc::new(Contents { bytes: bytes.into(), until, used: Rc::clone(&self.used) });
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= SWEEP {
            queue.retain(|(_, contents)| contents.strong_count() > 0);
        }
        queue.push_back((Rc::downgrade(node), Rc::downgrade(&contents)));
        drop(queue);
        node.set_contents(Some(contents));
        true
    }
}
