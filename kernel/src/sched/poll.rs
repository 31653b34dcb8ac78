//! What the core's loop polls between threads: device drivers and the network stack.

use alloc::boxed::Box;

pub use toro_core::driver::Armed;

use super::core::Core;
use crate::time::Instant;

/// Whether a poller found something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It did something; there may be more.
    Made,
    /// There was nothing to do.
    None,
}

/// Something that is polled while the core is awake and wakes it when asked to.
///
/// What the loop guarantees:
/// 1. all methods are called from the core's loop, never from a thread or an interrupt, one at a time;
/// 2. before the core sleeps, `arm` is called, and nothing else after it.
///
/// What an implementer owes:
/// 1. no method waits: threads are woken by [`WaitQueue`](super::WaitQueue), and the loop has no thread to suspend;
/// 2. each `poll` is bounded;
/// 3. after `arm` has answered [`Armed::Idle`], whatever arrives raises an interrupt, until the next `poll`.
pub trait Poller {
    /// Does what there is to do. `now` is the time.
    fn poll(&mut self, now: Instant) -> Progress;
    /// Asks the device to interrupt, then looks once more whether there is work.
    fn arm(&mut self) -> Armed;
    /// When `poll` must be called even without an interrupt.
    fn deadline(&self) -> Option<Instant>;
    /// Whether its device has been asked for something and has not answered yet, so that it pays to look for the answer a little
    /// longer than for what may come at any time. What a device says of its own accord, such as a packet, is no answer. Asked
    /// after a `poll` that found nothing to do.
    fn awaits_answer(&self) -> bool {
        false
    }
}

/// Adds a poller to the calling core's loop, for good.
pub fn register_poller(poller: Box<dyn Poller>) {
    Core::current().add_poller(poller);
}
