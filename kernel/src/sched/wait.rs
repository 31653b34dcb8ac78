//! Wait queues: threads that wait for something to happen.
//!
//! Threads are cooperative and interrupt handlers wake nobody, so between looking at a condition and waiting for it
//! nothing can change: there is no lost wake-up and no lock.
//!
//! ```ignore
//! while !condition() {
//!     queue.wait();
//! }
//! ```

use alloc::collections::VecDeque;
use core::cell::RefCell;

use super::core::{Core, Waiter};
use crate::time::Instant;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke the thread.
    Notified,
    /// The deadline passed first.
    TimedOut,
}

/// Threads that wait for the same thing, first come, first served.
#[derive(Default)]
pub struct WaitQueue {
    waiters: RefCell<VecDeque<Waiter>>,
}

impl WaitQueue {
    /// A queue nobody waits in.
    pub const fn new() -> Self {
        Self { waiters: RefCell::new(VecDeque::new()) }
    }

    /// Waits until somebody wakes this thread.
    ///
    /// # Panics
    ///
    /// If called from a [`Poller`](super::Poller), as [`wait_until`](Self::wait_until).
    pub fn wait(&self) {
        let _ = self.wait_until(None);
    }

    /// Waits until somebody wakes this thread or `deadline` passes. A deadline in the past times out after other threads
    /// have had their turn.
    ///
    /// # Panics
    ///
    /// If called from a [`Poller`](super::Poller): the core's loop cannot wait.
    pub fn wait_until(&self, deadline: Option<Instant>) -> Wake {
        let core = Core::current();
        let waiter = core.prepare_to_wait();
        self.waiters.borrow_mut().push_back(waiter.clone());
        let wake = core.wait(&waiter, deadline);
        if wake == Wake::TimedOut {
            self.waiters.borrow_mut().retain(|other| *other != waiter);
        }
        wake
    }

    /// Wakes the thread that has waited longest; false if there was none.
    pub fn wake_one(&self) -> bool {
        loop {
            let Some(waiter) = self.waiters.borrow_mut().pop_front() else { return false };
            // A thread whose deadline has passed may still be in the queue.
            if Core::current().wake(&waiter, Wake::Notified) {
                return true;
            }
        }
    }

    /// Wakes every thread that waits now; returns how many there were.
    pub fn wake_all(&self) -> usize {
        let waiters = self.waiters.take();
        waiters.iter().filter(|waiter| Core::current().wake(waiter, Wake::Notified)).count()
    }
}
