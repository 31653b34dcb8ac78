//! `poll` and `select` without the waiting: what is ready, in the words of POSIX.

use super::Socket;
use super::constants::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM};
use super::table::{State, Table};
use crate::net::Readiness;
use crate::net::Signal;
use crate::net::stack::Stack;

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollFd {
    /// The socket; a negative number is passed over.
    pub fd: i32,
    /// What is wanted.
    pub events: i16,
    /// What was found.
    pub revents: i16,
}

impl PollFd {
    /// Wants `events` of `socket`.
    pub const fn new(socket: Socket, events: i16) -> Self {
        Self { fd: socket.as_raw(), events, revents: 0 }
    }

    /// What is wanted, in the network's words.
    pub(super) fn wanted(&self) -> Readiness {
        let wants = |events: i16, readiness: Readiness| {
            if self.events & events != 0 { readiness } else { Readiness::NONE }
        };
        wants(POLLIN | POLLRDNORM, Readiness::READABLE)
            | wants(POLLOUT | POLLWRNORM, Readiness::WRITABLE)
            | wants(POLLRDHUP, Readiness::READ_CLOSED)
    }
}

/// What was found, in the words of POSIX.
fn events(found: Readiness) -> i16 {
    [
        (Readiness::READABLE, POLLIN | POLLRDNORM),
        (Readiness::WRITABLE, POLLOUT | POLLWRNORM),
        (Readiness::READ_CLOSED, POLLRDHUP),
        (Readiness::HANG_UP, POLLHUP),
        (Readiness::ERROR, POLLERR),
    ]
    .into_iter()
    .filter(|&(readiness, _)| found.contains(readiness))
    .fold(0, |events, (_, more)| events | more)
}

impl<S: Signal> Table<S> {
    /// Looks at each of them, and says how many are ready.
    pub(super) fn look(&self, stack: Option<&mut Stack<S>>, fds: &mut [PollFd]) -> usize {
        let mut stack = stack;
        for entry in fds.iter_mut() {
            entry.revents = match entry.fd {
                ..0 => 0,
                fd => {
                    self.readiness(stack.as_deref_mut(), fd).map_or(POLLNVAL, events)
                        & (entry.events | POLLERR | POLLHUP | POLLNVAL)
                }
            };
        }
        fds.iter().filter(|entry| entry.revents != 0).count()
    }

    /// What could be done with a socket; `None` if there is none.
    fn readiness(&self, stack: Option<&mut Stack<S>>, fd: i32) -> Option<Readiness> {
        let entry = self.entry(fd).ok()?;
        Some(match (&entry.state, stack) {
            (State::Connection { id, .. }, Some(stack)) => stack.connection_readiness(id),
            (State::Listening { port, .. }, Some(stack)) => stack.listener_readiness(port),
            (State::Datagrams { id, .. }, Some(stack)) => stack.udp_readiness(id),
            // Nothing that could ever come, and writing fails at once.
            (State::Unbound | State::Bound { .. }, _) if entry.expect_stream().is_ok() => {
                Readiness::WRITABLE | Readiness::HANG_UP
            }
            (State::Unbound, _) => Readiness::WRITABLE,
            (_, _) => Readiness::ERROR,
        })
    }

    /// What wakes who waits for a socket, if there is one.
    pub(super) fn signal(&self, fd: i32) -> Option<&S> {
        self.entry(fd).ok().map(|entry| &entry.signal)
    }
}
