//! How a file system waits: the little that it needs of the threads below it.
//!
//! In the kernel this is a clock and a wait queue (`KernelScheduler` in `kernel_scheduler.rs`); in tests on a
//! host it is a virtual clock and a loop that lets the device model work until the event has happened.
//!
//! Threads are cooperative and belong to one core, so there is nothing between looking at a condition and
//! waiting for the event that announces it: no lock is needed, and no wake-up is lost.

#[cfg(test)]
pub mod pump;

use alloc::rc::Rc;

use toro_core::Instant;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody announced the event. What was waited for may have happened: look.
    Notified,
    /// The deadline passed first.
    TimedOut,
}

/// Whether a round of polling found something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It did.
    Done,
    /// It did not.
    None,
}

/// Something to wait for.
pub trait Event {
    /// Blocks the calling thread until the event is announced or `deadline` has passed.
    fn wait_until(&self, deadline: Instant) -> Wake;

    /// Blocks the calling thread until the event is announced, which somebody else has promised.
    fn wait(&self) {
        while self.wait_until(Instant::from_nanos(u64::MAX)) == Wake::TimedOut {}
    }

    /// Announces it to all threads that wait now.
    fn announce(&self);
}

/// Time, and events to wait for.
pub trait Scheduler {
    /// The time.
    fn now(&self) -> Instant;

    /// A new event that nobody waits for yet.
    fn event(&self) -> Rc<dyn Event>;
}

/// One for several.
impl<S: Scheduler + ?Sized> Scheduler for Rc<S> {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn event(&self) -> Rc<dyn Event> {
        (**self).event()
    }
}
