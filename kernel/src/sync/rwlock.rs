//! [`RwLock`]: many who read, or one who writes.
//!
//! ```text
//!   a thread that reads comes      goes in, unless somebody writes, or waits in order to write
//!   the last one who reads leaves  lets in the first who waits to write
//!   who writes leaves              lets in all who have waited to read, else the first who waits to write
//! ```
//!
//! So those who read and those who write take turns when both come all the time, and neither kind starves the other.
//! Whoever leaves lets the next ones in before they run: they find the lock theirs when they are woken. A thread that holds
//! the lock for reading must not ask for it once more, as somebody may have come in between who waits to write.
//!
//! Who is in and who waits is behind a spin lock that is held for a few instructions.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::sched::Waiter;

/// A lock that several may hold who only read.
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    gate: spin::Mutex<Gate>,
    /// Taken by those whom the gate has let in, hence never in vain.
    value: spin::RwLock<T>,
}

/// Who is in, and who waits. Nobody waits here who has let somebody else end the wait: so whoever is woken is let in.
#[derive(Default)]
struct Gate {
    readers: usize,
    is_written: bool,
    waiting_readers: Vec<Waiter>,
    waiting_writers: VecDeque<Waiter>,
}

/// Why the value can be taken.
const LET_IN: &str = "the gate lets in who can have the lock";

impl<T> RwLock<T> {
    /// An unlocked lock.
    pub const fn new(value: T) -> Self {
        let gate =
            Gate { readers: 0, is_written: false, waiting_readers: Vec::new(), waiting_writers: VecDeque::new() };
        Self { gate: spin::Mutex::new(gate), value: spin::RwLock::new(value) }
    }

    /// The value itself.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, nor has waited for longer in order to, and takes the lock for reading.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        let waiter = self.change(|gate| {
            let may_enter = !gate.is_written && gate.waiting_writers.is_empty();
            if may_enter {
                gate.readers += 1;
                return None;
            }
            let waiter = Waiter::new();
            gate.waiting_readers.push(waiter.clone());
            Some(waiter)
        });
        if let Some(waiter) = waiter {
            let _ = waiter.wait(None);
        }
        self.reading()
    }

    /// Takes the lock for reading if nobody writes.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let may_enter = self.change(|gate| {
            gate.readers += usize::from(!gate.is_written);
            !gate.is_written
        });
        may_enter.then(|| self.reading())
    }

    /// Waits until nobody holds the lock and takes it for writing.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let waiter = self.change(|gate| {
            if gate.is_free() {
                gate.is_written = true;
                return None;
            }
            let waiter = Waiter::new();
            gate.waiting_writers.push_back(waiter.clone());
            Some(waiter)
        });
        if let Some(waiter) = waiter {
            let _ = waiter.wait(None);
        }
        self.writing()
    }

    /// Takes the lock for writing if nobody holds it.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        let may_enter = self.change(|gate| {
            let is_free = gate.is_free();
            gate.is_written |= is_free;
            is_free
        });
        may_enter.then(|| self.writing())
    }

    /// The value, which nobody else can hold.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn change<R>(&self, change: impl FnOnce(&mut Gate) -> R) -> R {
        change(&mut self.gate.lock())
    }

    /// The lock of a thread that has been let in to read.
    fn reading(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { lock: self, value: Some(self.value.try_read().expect(LET_IN)) }
    }

    /// The lock of a thread that has been let in to write.
    fn writing(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { lock: self, value: Some(self.value.try_write().expect(LET_IN)) }
    }
}

impl Gate {
    fn is_free(&self) -> bool {
        self.readers == 0 && !self.is_written
    }

    /// Lets in the first who waits to write.
    fn let_writer_in(&mut self) -> Option<Waiter> {
        let writer = self.waiting_writers.pop_front();
        self.is_written = writer.is_some();
        writer
    }

    /// Lets in all who wait to read.
    fn let_readers_in(&mut self) -> Vec<Waiter> {
        self.readers = self.waiting_readers.len();
        core::mem::take(&mut self.waiting_readers)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = formatter.debug_struct("RwLock");
        match self.try_read() {
            Some(value) => lock.field("value", &&*value),
            None => lock.field("value", &format_args!("<locked>")),
        };
        lock.finish_non_exhaustive()
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
        let next = self.lock.change(|gate| {
            gate.readers -= 1;
            if gate.readers == 0 { gate.let_writer_in() } else { None }
        });
        if let Some(writer) = next {
            writer.wake();
        }
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
        let (readers, writer) = self.lock.change(|gate| {
            gate.is_written = false;
            let readers = gate.let_readers_in();
            let writer = if readers.is_empty() { gate.let_writer_in() } else { None };
            (readers, writer)
        });
        readers.into_iter().chain(writer).for_each(|waiter| {
            waiter.wake();
        });
    }
}
