//! Waiting as `crate::sched` does it, with the threads of a host, where the tests run.

use crate::time::Instant;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Notified,
    TimedOut,
}

/// A wait of the thread that made it.
#[derive(Clone)]
pub(super) struct Waiter(std::thread::Thread);

impl Waiter {
    pub(super) fn new() -> Self {
        Self(std::thread::current())
    }

    pub(super) fn wake(&self) -> bool {
        self.0.unpark();
        true
    }

    /// A wake-up that comes later ends the thread's next wait, which may end without a reason.
    pub(super) fn cancel(&self) -> Wake {
        Wake::Notified
    }

    pub(super) fn wait(&self, deadline: Option<Instant>) -> Wake {
        let Some(deadline) = deadline else {
            std::thread::park();
            return Wake::Notified;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Wake::TimedOut;
        }
        std::thread::park_timeout(left);
        Wake::Notified
    }
}
