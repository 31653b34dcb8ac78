//! [`Condvar`]: waiting for a condition on what a [`Mutex`] holds.

use super::mutex::{Mutex, MutexGuard};
use super::waiters::{Place, Waiters};
use crate::sched::Wake;
use crate::time::{Duration, Instant};

/// Waiting for a condition on what a [`Mutex`] holds.
#[derive(Default)]
pub struct Condvar {
    waiters: Waiters,
}

impl Condvar {
    /// A condition nobody waits for.
    pub const fn new() -> Self {
        Self { waiters: Waiters::new() }
    }

    /// Unlocks, waits to be notified and locks again. Whoever changes the condition holds the lock for it; then no
    /// notification that comes after the unlocking is missed.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_until(guard, None).0
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, Wake) {
        self.wait_until(guard, Some(Instant::now().saturating_add(timeout)))
    }

    /// Waits, again and again, while `condition` holds.
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut *guard) {
            guard = self.wait(guard);
        }
        guard
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, T>, Wake) {
        let mutex: &'a Mutex<T> = guard.mutex();
        let waiter = self.waiters.enter(Place::Last);
        drop(guard);
        let wake = self.waiters.wait(&waiter, deadline);
        (mutex.lock(), wake)
    }

    /// Wakes one waiting thread.
    pub fn notify_one(&self) {
        self.waiters.wake_one();
    }

    /// Wakes every waiting thread.
    pub fn notify_all(&self) {
        self.waiters.wake_all();
    }
}
