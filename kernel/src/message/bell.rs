//! [`Bell`]: where a member waits for whatever it waits for.
//!
//! A member does one thing at a time, so it has one bell for all its rings: for messages, for steps, and for room. Whoever
//! changes something that a member may wait for rings its bell afterwards; the member looks again. Ringing the bell of
//! somebody who does not wait is a fence and a load.

use toro_sync::wake::{Registered, WakeSlot};

use crate::time::Instant;

#[cfg(not(target_os = "none"))]
use super::host::Waiter;
#[cfg(target_os = "none")]
use crate::sched::Waiter;

#[cfg(not(target_os = "none"))]
pub(super) use super::host::Wake;
#[cfg(target_os = "none")]
pub(super) use crate::sched::Wake;

/// One member's.
pub(super) struct Bell(WakeSlot<Waiter>);

impl Bell {
    pub(super) fn new() -> Self {
        Self(WakeSlot::new())
    }

    /// Waits until the bell is rung or `deadline` passes, unless `is_ready` says that there is no need. It is asked after
    /// the thread has shown itself, so no ringing is missed. A wait may end without a reason.
    pub(super) fn wait(&self, deadline: Option<Instant>, is_ready: impl FnOnce() -> bool) -> Wake {
        let waiter = Waiter::new();
        if self.0.register(waiter.clone()) == Registered::WokenMeanwhile || is_ready() {
            let _ = waiter.cancel();
            return Wake::Notified;
        }
        waiter.wait(deadline)
    }

    /// Wakes the member if it waits.
    #[inline]
    pub(super) fn ring(&self) {
        if let Some(waiter) = self.0.take() {
            waiter.wake();
        }
    }
}
