//! [`Outcome`]: what a thread leaves to whoever joins it, or asked for it, on whatever core.
//!
//! ```text
//!   Outcome<T>   value   put there before the gate opens, taken once behind it
//!                gate    closed --- finish ---> open for good; who comes too early leaves a waiter
//! ```
//!
//! There are as many kinds of outcomes as there are threads and questions, so what does not depend on the kind is in [`Gate`],
//! which is compiled once.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use super::wait::{Waiter, Wake};
use crate::time::Instant;

/// Where a thread puts its result, for one other thread.
pub(crate) struct Outcome<T> {
    value: spin::Mutex<Option<T>>,
    gate: Gate,
}

impl<T> Outcome<T> {
    /// There is no result yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { value: spin::Mutex::new(None), gate: Gate::closed() })
    }

    /// Puts the result there, and wakes who waits for it.
    pub(crate) fn finish(&self, value: T) {
        *self.value.lock() = Some(value);
        self.gate.open();
    }

    /// Whether there is, or was, a result.
    pub(crate) fn is_there(&self) -> bool {
        self.gate.is_open()
    }

    /// Waits for the result, until `deadline`. A thread that is joined has at most one joiner, as that takes its handle.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Option<T> {
        if self.gate.pass(deadline) { self.value.lock().take() } else { None }
    }
}

/// Opens once, for one thread.
struct Gate {
    /// Set under the lock of `waiter`, and with it, so that nobody leaves a waiter behind an open gate. Who sees it (Acquire)
    /// sees what was done before it opened (Release).
    is_open: AtomicBool,
    waiter: spin::Mutex<Option<Waiter>>,
}

impl Gate {
    const fn closed() -> Self {
        Self { is_open: AtomicBool::new(false), waiter: spin::Mutex::new(None) }
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    fn open(&self) {
        let waiter = {
            let mut waiter = self.waiter.lock();
            self.is_open.store(true, Ordering::Release);
            waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Waits until it is open; false if it is not by `deadline`.
    fn pass(&self, deadline: Option<Instant>) -> bool {
        while !self.is_open() {
            let waiter = Waiter::new();
            if !self.leave(&waiter) {
                let _ = waiter.cancel();
            } else if waiter.wait(deadline) == Wake::TimedOut {
                return self.is_open();
            }
        }
        true
    }

    /// Leaves a waiter to be woken, unless the gate is open.
    fn leave(&self, waiter: &Waiter) -> bool {
        let mut place = self.waiter.lock();
        let is_closed = !self.is_open();
        if is_closed {
            *place = Some(waiter.clone());
        }
        is_closed
    }
}
