//! Waiting: in a queue of one core, or where any core may end the wait.
//!
//! [`WaitQueue`] is for what happens on one core. Threads are cooperative and interrupt handlers wake nobody, so between
//! looking at a condition and waiting for it nothing can change: there is no lost wake-up and no lock.
//!
//! ```ignore
//! while !condition() {
//!     queue.wait();
//! }
//! ```
//!
//! [`Waiter`] is for what happens on other cores. The thread makes one, shows it to whoever may wake it, **looks once
//! more**, and waits or not.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::cell::RefCell;

use toro_sync::{WaitId, WaitKind};

use super::core::Core;
use crate::arch::context::{self, Record};
use crate::time::Instant;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wake {
    /// Somebody woke the thread.
    Notified,
    /// The deadline passed first.
    TimedOut,
}

/// Threads of one core that wait for the same thing, first come, first served.
#[derive(Default)]
pub struct WaitQueue {
    waiters: RefCell<VecDeque<Record>>,
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
        let wake = Core::current().wait(deadline, |record| self.waiters.borrow_mut().push_back(record));
        if wake == Wake::TimedOut {
            let _ = context::with_current(|me| {
                self.waiters.borrow_mut().retain(|other| !core::ptr::eq(&raw const **other, me));
            });
        }
        wake
    }

    /// Waits in several queues at once, until somebody wakes this thread through any of them or `deadline` passes. It
    /// stands in none of them afterwards. With no queue at all it sleeps.
    ///
    /// Who wakes it through one queue takes it out of that one only; that it is not waiting any more is what the others
    /// find, until it has run again and taken itself out. The price is a look at each queue's other waiters.
    ///
    /// # Panics
    ///
    /// As [`wait_until`](Self::wait_until).
    #[cfg(feature = "net")]
    pub(crate) fn wait_any<'a>(queues: impl Iterator<Item = &'a Self> + Clone, deadline: Option<Instant>) -> Wake {
        let wake = Core::current().wait(deadline, |record| {
            for queue in queues.clone() {
                queue.waiters.borrow_mut().push_back(Arc::clone(&record));
            }
        });
        let _ = context::with_current(|me| {
            for queue in queues {
                queue.waiters.borrow_mut().retain(|other| !core::ptr::eq(&raw const **other, me));
            }
        });
        wake
    }

    /// Wakes the thread that has waited longest; false if there was none.
    pub fn wake_one(&self) -> bool {
        loop {
            let Some(waiter) = self.waiters.borrow_mut().pop_front() else { return false };
            // A thread whose deadline has passed may still be in the queue.
            if Core::current().wake(waiter, Wake::Notified) {
                return true;
            }
        }
    }

    /// Wakes every thread that waits now; returns how many there were.
    pub fn wake_all(&self) -> usize {
        // None of them runs meanwhile, and the queue keeps its memory for the next ones.
        core::iter::repeat_with(|| self.wake_one()).take_while(|&is_woken| is_woken).count()
    }
}

/// One wait of one thread, which any core may end.
#[derive(Clone)]
pub(crate) struct Waiter {
    record: Record,
    wait: WaitId,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.record, &other.record) && self.wait == other.wait
    }
}

impl Waiter {
    /// The running thread, which is about to wait. It has to [`wait`](Self::wait) or [`cancel`](Self::cancel) then.
    ///
    /// # Panics
    ///
    /// If called from a [`Poller`](super::Poller).
    pub(crate) fn new() -> Self {
        Self::of_kind(WaitKind::Event)
    }

    /// As [`new`](Self::new), of a thread that parks.
    pub(super) fn parked() -> Self {
        Self::of_kind(WaitKind::Park)
    }

    fn of_kind(kind: WaitKind) -> Self {
        let record = context::current().expect("only a thread can wait");
        let wait = record.waits.begin(kind);
        Self { record, wait }
    }

    /// Ends the wait, from any core. False if it has ended before, or is being ended: then nobody was woken.
    pub(crate) fn wake(&self) -> bool {
        let is_ours = self.record.waits.claim(self.wait);
        if is_ours {
            Core::deliver(Arc::clone(&self.record));
        }
        is_ours
    }

    /// Suspends the thread until somebody ends the wait or `deadline` passes.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Wake {
        Core::current().wait(deadline, drop)
    }

    /// The thread does not wait after all. `Notified` if somebody has ended the wait meanwhile.
    pub(crate) fn cancel(&self) -> Wake {
        if self.record.waits.end() {
            return Wake::TimedOut;
        }
        // What the other sends finds a thread that is in no such wait, or in a later one.
        let _ = self.record.waits.take_claim();
        Wake::Notified
    }
}
