//! [`Outcome`]: what a thread leaves to whoever joins it, or asked for it, on whatever core.

use alloc::sync::Arc;

use super::wait::{Waiter, Wake};
use crate::time::Instant;

/// Where a thread puts its result, for one other thread.
pub(crate) struct Outcome<T> {
    state: spin::Mutex<State<T>>,
}

/// A thread that is joined has at most one joiner, as that takes its handle.
enum State<T> {
    /// It runs; perhaps somebody waits.
    Pending(Option<Waiter>),
    /// It has finished.
    Done(T),
    /// Its result has been taken.
    Taken,
}

impl<T> Outcome<T> {
    /// There is no result yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: spin::Mutex::new(State::Pending(None)) })
    }

    /// Puts the result there, and wakes who waits for it.
    pub(crate) fn finish(&self, value: T) {
        let before = core::mem::replace(&mut *self.state.lock(), State::Done(value));
        if let State::Pending(Some(waiter)) = before {
            waiter.wake();
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        !matches!(*self.state.lock(), State::Pending(_))
    }

    fn try_take(&self) -> Option<T> {
        let mut state = self.state.lock();
        if matches!(*state, State::Pending(_)) {
            return None;
        }
        match core::mem::replace(&mut *state, State::Taken) {
            State::Done(value) => Some(value),
            State::Pending(_) | State::Taken => None,
        }
    }

    /// Waits for the result, until `deadline`.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Option<T> {
        loop {
            if let Some(value) = self.try_take() {
                return Some(value);
            }
            let waiter = Waiter::new();
            let is_pending = match &mut *self.state.lock() {
                State::Pending(slot) => {
                    *slot = Some(waiter.clone());
                    true
                }
                State::Done(_) | State::Taken => false,
            };
            if !is_pending {
                let _ = waiter.cancel();
            } else if waiter.wait(deadline) == Wake::TimedOut {
                return self.try_take();
            }
        }
    }
}
