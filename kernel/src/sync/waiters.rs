//! [`Waiters`]: threads of any cores that wait for the same thing.
//!
//! ```text
//!   a thread that waits                       whoever makes it true
//!   puts itself into the list                 makes it true
//!        -- full fence --                          -- full fence --
//!   looks once more: true? then not           anybody in the list?  then takes one out and wakes it
//! ```
//!
//! One of the two sees the other, so no wake-up is lost. The list is behind a spin lock that is held for a few
//! instructions, and is not touched while nobody waits.

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::sched::{Waiter, Wake};
use crate::time::Instant;

/// Where in the list a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the next one to be woken.
    First,
    /// All others come before it.
    Last,
}

/// Threads that wait, first come, first served.
#[derive(Default)]
pub(super) struct Waiters {
    list: spin::Mutex<VecDeque<Waiter>>,
    /// The list's length, for a look without the lock.
    count: AtomicUsize,
}

impl Waiters {
    pub(super) const fn new() -> Self {
        Self { list: spin::Mutex::new(VecDeque::new()), count: AtomicUsize::new(0) }
    }

    /// Whether somebody waits, as far as one can see from here.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Waits to be woken, unless `is_ready` says that there is no need. `is_ready` is called after the thread has been
    /// put into the list.
    pub(super) fn wait_unless(&self, place: Place, deadline: Option<Instant>, is_ready: impl FnOnce() -> bool) -> Wake {
        let waiter = self.enter(place);
        if is_ready() {
            if waiter.cancel() == Wake::TimedOut {
                self.remove(&waiter);
            }
            return Wake::Notified;
        }
        self.wait(&waiter, deadline)
    }

    /// Puts the running thread into the list. It has to [`wait`](Self::wait) then.
    pub(super) fn enter(&self, place: Place) -> Waiter {
        let waiter = Waiter::new();
        self.change(|list| match place {
            Place::First => list.push_front(waiter.clone()),
            Place::Last => list.push_back(waiter.clone()),
        });
        fence(Ordering::SeqCst);
        waiter
    }

    /// Waits to be woken.
    pub(super) fn wait(&self, waiter: &Waiter, deadline: Option<Instant>) -> Wake {
        let wake = waiter.wait(deadline);
        if wake == Wake::TimedOut {
            self.remove(waiter);
        }
        wake
    }

    /// Wakes the thread that has waited longest; false if there was none.
    #[inline]
    pub(super) fn wake_one(&self) -> bool {
        fence(Ordering::SeqCst);
        !self.is_empty() && self.take_one()
    }

    /// Wakes every thread that waits now.
    pub(super) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            let all = self.change(core::mem::take);
            all.into_iter().for_each(|waiter| {
                let _ = waiter.wake();
            });
        }
    }

    fn take_one(&self) -> bool {
        loop {
            let Some(waiter) = self.change(VecDeque::pop_front) else { return false };
            // One whose deadline has passed may still be in the list.
            if waiter.wake() {
                return true;
            }
        }
    }

    fn remove(&self, waiter: &Waiter) {
        self.change(|list| list.retain(|other| other != waiter));
    }

    fn change<R>(&self, change: impl FnOnce(&mut VecDeque<Waiter>) -> R) -> R {
        let mut list = self.list.lock();
        let result = change(&mut list);
        self.count.store(list.len(), Ordering::Relaxed);
        result
    }
}
