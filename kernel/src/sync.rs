//! Locks between the threads of a core.
//!
//! Threads change only at waiting points, so data that is not kept borrowed across one needs no lock at all: an
//! [`Rc`](alloc::rc::Rc) of a [`RefCell`] does. [`Mutex`] is for what must stay consistent *across* a waiting point, such
//! as a conversation on a connection; who finds it locked waits. Neither type is `Sync`.
#![deny(unsafe_code)]

use core::cell::{RefCell, RefMut};
use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::sched::{WaitQueue, Wake};
use crate::time::{Duration, Instant};

/// A lock whose holder may wait.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    waiters: WaitQueue,
    value: RefCell<T>,
}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self { waiters: WaitQueue::new(), value: RefCell::new(value) }
    }

    /// The value itself.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody holds the lock and takes it. A thread that locks twice waits for ever.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            self.waiters.wait();
        }
    }

    /// Takes the lock if nobody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let value = self.value.try_borrow_mut().ok()?;
        Some(MutexGuard { mutex: self, value: Some(value) })
    }

    /// The value, which nobody else can hold.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mutex").field("value", &&self.value).finish_non_exhaustive()
    }
}

/// The lock, held until this is dropped.
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// `None` only in `drop`.
    value: Option<RefMut<'a, T>>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect("a guard holds the lock until it is dropped")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_deref_mut().expect("a guard holds the lock until it is dropped")
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.mutex.waiters.wake_one();
    }
}

/// Waiting for a condition on what a [`Mutex`] holds.
#[derive(Default)]
pub struct Condvar {
    waiters: WaitQueue,
}

impl Condvar {
    /// A condition nobody waits for.
    pub const fn new() -> Self {
        Self { waiters: WaitQueue::new() }
    }

    /// Unlocks, waits to be notified and locks again.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex = guard.mutex;
        drop(guard);
        self.waiters.wait();
        mutex.lock()
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, Wake) {
        let mutex = guard.mutex;
        drop(guard);
        let wake = self.waiters.wait_until(Some(Instant::now().saturating_add(timeout)));
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
