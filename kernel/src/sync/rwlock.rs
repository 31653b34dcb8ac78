//! [`RwLock`]: many who read, or one who writes.
//!
//! Who wants to write goes before those who come to read later; when it is done, all who have waited to read meanwhile
//! have their turn before the next one who writes can keep them out again. So neither kind starves the other.

use core::fmt;
use core::ops::{Deref, DerefMut};

use super::waiters::Waiters;

/// A lock that several may hold who only read.
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    readers: Waiters,
    writers: Waiters,
    /// Only ever tried, never spun on.
    value: spin::RwLock<T>,
}

impl<T> RwLock<T> {
    /// An unlocked lock.
    pub const fn new(value: T) -> Self {
        Self { readers: Waiters::new(), writers: Waiters::new(), value: spin::RwLock::new(value) }
    }

    /// The value itself.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes and takes the lock for reading.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        let mut guard = if self.writers.is_empty() { self.try_read() } else { None };
        loop {
            if let Some(guard) = guard {
                return guard;
            }
            // A reader may go on as soon as nobody writes: it has waited.
            let _ = self.readers.wait_unless(None, || self.value.writer_count() == 0);
            guard = self.try_read();
        }
    }

    /// Takes the lock for reading if nobody writes.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.value.try_read().map(|value| RwLockReadGuard { lock: self, value: Some(value) })
    }

    /// Waits until nobody holds the lock and takes it for writing.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        loop {
            if let Some(guard) = self.try_write() {
                return guard;
            }
            let is_free = || self.value.writer_count() == 0 && self.value.reader_count() == 0;
            let _ = self.writers.wait_unless(None, is_free);
        }
    }

    /// Takes the lock for writing if nobody holds it.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.value.try_write().map(|value| RwLockWriteGuard { lock: self, value: Some(value) })
    }

    /// The value, which nobody else can hold.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RwLock").field("value", &&self.value).finish_non_exhaustive()
    }
}

/// The lock, held for reading until this is dropped.
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// `None` only in `drop`.
    value: Option<spin::RwLockReadGuard<'a, T>>,
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect("a guard holds the lock until it is dropped")
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.writers.wake_one();
    }
}

/// The lock, held for writing until this is dropped.
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// `None` only in `drop`.
    value: Option<spin::RwLockWriteGuard<'a, T>>,
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect("a guard holds the lock until it is dropped")
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_deref_mut().expect("a guard holds the lock until it is dropped")
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.readers.wake_all();
        self.lock.writers.wake_one();
    }
}
