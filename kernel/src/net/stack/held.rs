//! [`Held`]: an acknowledgement that waits a moment for a segment that says the same, and more.
//!
//! ```text
//!   answer sent, all of it     --->
//!                              <---  acknowledgement        held
//!                              <---  next request           acknowledges the same: the one before is thrown away
//! ```
//!
//! A client's system acknowledges a long answer at once, and the client asks again some microseconds later. What the first of
//! the two says changes nothing for the application: all that was written has been sent, and now it is known to have arrived.
//! smoltcp would look at it for as long as at the request.
//!
//! # When it is processed after all
//!
//! With the next frames, unless one of them makes it superfluous; when more is written, for which it makes room in the peer's
//! window; when somebody asks whether all has arrived; and at the latest after [`LONGEST`]. A buffer that somebody may wait
//! for, a connection that is being closed, a duplicate: these are not held.

use core::time::Duration;

use toro_core::Instant;
use toro_core::driver::net::Frame;

use super::{ConnectionId, Slot, Stack, Target};
use crate::net::dispatch::Segment;
use crate::net::signal::Signal;

/// How long one waits: little beside smoltcp's timeout, which is a second at least.
const LONGEST: Duration = Duration::from_millis(20);

/// An acknowledgement that waits.
pub(super) struct Held {
    pub(super) frame: Frame,
    pub(super) segment: Segment,
    since: Instant,
}

impl Held {
    /// When it is processed at the latest.
    pub(super) fn until(&self) -> Instant {
        self.since.saturating_add(LONGEST)
    }
}

impl<S: Signal> Stack<S> {
    /// Holds an acknowledgement, or gives it back.
    pub(super) fn hold(&mut self, now: Instant, frame: Frame, segment: Segment) -> Result<(), Frame> {
        let connection = match self.flows.get(&segment.flow) {
            Some(&Target::Connection(key)) => self.slots.get_mut(key),
            _ => None,
        };
        match connection {
            Some(Slot::Tcp(connection)) if connection.can_wait_for(&segment) => {
                self.held = Some(Held { frame, segment, since: now });
                Ok(())
            }
            _ => Err(frame),
        }
    }

    /// Processes the acknowledgement that waits, if it is this connection's.
    #[inline]
    pub(super) fn let_go_of(&mut self, id: &ConnectionId) {
        if let Some(held) = &self.held
            && let Some(&Target::Connection(key)) = self.flows.get(&held.segment.flow)
            && key == id.0
        {
            self.let_go();
        }
    }

    /// Processes the acknowledgement that waits, if there is one.
    pub(super) fn let_go(&mut self) {
        if let Some(Held { frame, segment, since }) = self.held.take() {
            self.tcp_ingress(since, frame, &segment);
        }
    }
}
