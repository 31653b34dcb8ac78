//! [`Mutex`]: a lock whose holder may wait.
//!
//! Who comes while the lock is free takes it, also when others have waited: they have to be woken first, on another core
//! perhaps, and meanwhile the lock would lie idle. But a thread that was woken and found the lock taken is *passed over*:
//! as long as there is one, it waits at the head of the queue and nobody else tries. So a thread that wants the lock again
//! and again, and waits while it has it, gets ahead of each other thread once, and not for ever.

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicUsize, Ordering};

use super::waiters::{Place, Waiters};

/// A lock whose holder may wait, and that threads of several cores may want.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    waiters: Waiters,
    /// How many threads have been passed over.
    passed_over: AtomicUsize,
    /// Only ever tried, never spun on.
    value: spin::Mutex<T>,
}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self { waiters: Waiters::new(), passed_over: AtomicUsize::new(0), value: spin::Mutex::new(value) }
    }

    /// The value itself.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody holds the lock and takes it. A thread that locks twice waits for ever.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if self.passed_over.load(Ordering::Relaxed) == 0
            && let Some(guard) = self.try_lock()
        {
            return guard;
        }
        self.wait_and_lock()
    }

    #[cold]
    fn wait_and_lock(&self) -> MutexGuard<'_, T> {
        // The first time behind all others. Who has let somebody go first because he was passed over finds that over when
        // the lock is free again: he who has been passed over has had it, and wakes the next one as anybody does.
        let is_free = || self.passed_over.load(Ordering::SeqCst) == 0 && !self.value.is_locked();
        let _ = self.waiters.wait_unless(Place::Last, None, is_free);
        if self.passed_over.load(Ordering::Relaxed) == 0
            && let Some(guard) = self.try_lock()
        {
            return guard;
        }
        self.passed_over.fetch_add(1, Ordering::SeqCst);
        let guard = loop {
            if let Some(guard) = self.try_lock() {
                break guard;
            }
            let _ = self.waiters.wait_unless(Place::First, None, || !self.value.is_locked());
        };
        self.passed_over.fetch_sub(1, Ordering::SeqCst);
        guard
    }

    /// Takes the lock if nobody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let value = self.value.try_lock()?;
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
    value: Option<spin::MutexGuard<'a, T>>,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
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
