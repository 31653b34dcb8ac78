//! A daemon that cannot be talked to any more, and the one that listens in its place.
//!
//! ```text
//!   reset, the connection having ended
//!     1  leave        the socket is shut down: a daemon that lives learns that nobody is here any more
//!     2  wait         until nobody has the memory
//!     3  connect      to the same path, and greet whoever is there
//! ```
//!
//! All of it is within the deadline of the reset. Whatever fails, a later reset begins anew.
//!
//! # Why the memory is free then
//!
//! That a connection has ended confirms nothing: a daemon may close its socket and go on with the requests that it has
//! taken, and the protocol does not forbid that. So the end of the connection alone gives nothing back. What does is that
//! the memory has become nobody's, which the system knows ([`memory`](crate::memory), "Who has it"): of a process that was
//! killed, because its mappings ended with it; of one that lives, when it has let go of them. Until then the reset is not
//! confirmed, and all that the device was told of stays where it is.

use std::path::Path;
use std::time::Instant;

use virtio_queue_rt::TransportError;

use super::greeting::{Greeted, greet, open};
use super::{PAUSE, Queue, VhostUser};
use crate::connection::Failure;
use crate::options::ConnectError;

/// Whom to connect to, now and later.
#[derive(Debug)]
pub struct Place {
    pub path: Box<Path>,
    /// How many queues the device has if it does not say.
    pub queues: u16,
}

impl VhostUser {
    /// Resets a device that is lost, by having another daemon in its place.
    pub(super) fn replace(&mut self, until: Instant) -> Result<(), TransportError> {
        self.connection.link().leave();
        self.wait_for_memory(until)?;
        // Whatever comes now has not been told of anything.
        self.queues.iter_mut().for_each(|queue| queue.used_index = None);
        self.knows_memory = false;
        let greeted = loop {
            match self.connect_again(until) {
                Ok(greeted) => break greeted,
                // It was on its way out, or died at once: there may be another one.
                Err(ConnectError::Device(TransportError::Gone)) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(error) => {
                    self.connection.link().leave();
                    return Err(unavailable(error));
                }
            }
        };
        self.offered = greeted.offered;
        self.queues.truncate(greeted.queues);
        while self.queues.len() < greeted.queues {
            self.queues.push(Queue::new().map_err(|_| TransportError::Missing("queue: there are too many files"))?);
        }
        self.config.renew().map_err(|failure| match failure {
            Failure::Refused => TransportError::NotVirtio("it has less of a configuration than before"),
            Failure::Over(error) => error,
        })
    }

    /// Waits until nobody but this process has the memory, if somebody was given it.
    fn wait_for_memory(&self, until: Instant) -> Result<(), TransportError> {
        while self.knows_memory && !self.memory.is_ours_alone() {
            if Instant::now() >= until {
                return Err(TransportError::TimedOut);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn connect_again(&self, until: Instant) -> Result<Greeted, ConnectError> {
        self.connection.begin_again(open(&self.place.path, until)?);
        greet(&self.connection, self.device_type, self.place.queues, until)
    }
}

fn unavailable(error: ConnectError) -> TransportError {
    match error {
        ConnectError::Device(error) => error,
        ConnectError::TooOld => TransportError::NotVirtio("it has no protocol features"),
        ConnectError::Unusable(why) => TransportError::NotVirtio(why),
        ConnectError::NoConfiguration => TransportError::NotVirtio("it has no configuration"),
        ConnectError::Connect(_) | ConnectError::System(_) => TransportError::Gone,
    }
}
