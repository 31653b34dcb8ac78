//! [`poll`]: waits for any of many sockets.
//!
//! ```ignore
//! let mut entries = [
//!     PollEntry::new(&listener, Readiness::READABLE),
//!     PollEntry::new(&stream, Readiness::READABLE | Readiness::WRITABLE),
//! ];
//! while net::poll(&mut entries, Some(Duration::from_secs(1)))? == 0 { /* nothing for a second */ }
//! if entries[0].found().contains(Readiness::READABLE) { /* accept */ }
//! ```
//!
//! # How it waits
//!
//! The thread looks at each socket and, if none is ready, stands in the queues of all of them at once:
//!
//! ```text
//!   entries     [ listener: READABLE ]  [ stream: READABLE | WRITABLE ]
//!   queues        readable                readable      writable
//!                    |                       |             |
//!                    +------- thread --------+-------------+      the first to wake it ends the wait
//! ```
//!
//! The stack's [`Signal`](super::Signal) wakes all who stand in a queue, when it is polled by the core's loop. Threads are
//! cooperative, so nothing happens between the look and the wait, and none of these wake-ups is lost. Afterwards the
//! thread takes itself out of all queues and looks again.
//!
//! A call costs time in proportion to the number of entries, however many other sockets there are. Many threads may poll
//! the same sockets: each is woken, and who comes late finds nothing and waits again.
//!
//! # What is found
//!
//! What is asked for, and [`Readiness::ALWAYS`]. It is a state, not an event: as long as a socket is ready, `poll`
//! says so at once. After a wait, a socket that was ready may have been used up by another thread: who polls should
//! make the socket [non-blocking](super::TcpStream::set_nonblocking) if that matters.

use super::datagram::UdpSocket;
use super::interface::Queues;
use super::patience::Wait;
use super::readiness::Readiness;
use super::tcp::{TcpListener, TcpStream};
use crate::io::{Error, ErrorKind, Result};
use crate::sched::{WaitQueue, Wake};
use crate::thread;
use crate::time::{Duration, Instant};

/// A socket that can be waited for.
#[derive(Clone, Copy, Debug)]
pub enum Pollable<'a> {
    /// One that accepts connections.
    Listener(&'a TcpListener),
    /// A connection.
    Stream(&'a TcpStream),
    /// One for datagrams.
    Udp(&'a UdpSocket),
}

impl<'a> From<&'a TcpListener> for Pollable<'a> {
    fn from(listener: &'a TcpListener) -> Self {
        Self::Listener(listener)
    }
}

impl<'a> From<&'a TcpStream> for Pollable<'a> {
    fn from(stream: &'a TcpStream) -> Self {
        Self::Stream(stream)
    }
}

impl<'a> From<&'a UdpSocket> for Pollable<'a> {
    fn from(socket: &'a UdpSocket) -> Self {
        Self::Udp(socket)
    }
}

impl Pollable<'_> {
    fn readiness(&self) -> Readiness {
        match self {
            Self::Listener(listener) => listener.readiness(),
            Self::Stream(stream) => stream.readiness(),
            Self::Udp(socket) => socket.readiness(),
        }
    }

    fn queues(&self) -> &Queues {
        match self {
            Self::Listener(listener) => listener.queues(),
            Self::Stream(stream) => stream.queues(),
            Self::Udp(socket) => socket.queues(),
        }
    }
}

/// A socket, what is wanted of it, and what was found; the `struct pollfd` of POSIX.
#[derive(Clone, Copy, Debug)]
pub struct PollEntry<'a> {
    socket: Pollable<'a>,
    wanted: Readiness,
    found: Readiness,
}

impl<'a> PollEntry<'a> {
    /// Waits until `socket` is ready in one of these ways, or broken.
    pub fn new(socket: impl Into<Pollable<'a>>, wanted: Readiness) -> Self {
        Self { socket: socket.into(), wanted, found: Readiness::NONE }
    }

    /// Changes what is wanted.
    pub fn want(&mut self, wanted: Readiness) {
        self.wanted = wanted;
    }

    /// What the last [`poll`] found.
    pub fn found(&self) -> Readiness {
        self.found
    }

    fn look(&mut self) -> bool {
        self.found = self.socket.readiness() & (self.wanted | Readiness::ALWAYS);
        !self.found.is_empty()
    }
}

/// Waits until one of the sockets is ready, at most `timeout`; `None`: for ever. Returns how many are ready, 0 when the
/// time is over. A time of zero is a look without waiting, after other threads and the network have had their turn.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`]: there are no sockets and no timeout, so that nothing could end the wait.
pub fn poll(entries: &mut [PollEntry<'_>], timeout: Option<Duration>) -> Result<usize> {
    let look = |entries: &mut [PollEntry<'_>]| entries.iter_mut().map(PollEntry::look).filter(|&ready| ready).count();
    if entries.is_empty() && timeout.is_none() {
        return Err(Error::new(ErrorKind::InvalidInput, "neither a socket nor a time could end the wait"));
    }
    let mut waiting = Waiting::new(Wait::from(timeout));
    loop {
        let ready = look(entries);
        if ready > 0 {
            return Ok(ready);
        }
        let queues = entries.iter().flat_map(|entry| entry.socket.queues().wanted(entry.wanted));
        if waiting.wait(queues) == Wake::TimedOut {
            return Ok(look(entries));
        }
    }
}

/// A wait in several queues, under one deadline, which may go on after the thread was woken for nothing.
pub(crate) struct Waiting {
    wait: Wait,
    deadline: Option<Instant>,
}

impl Waiting {
    pub(crate) fn new(wait: Wait) -> Self {
        // A time of zero is for a look, too.
        let wait = if wait == Wait::AtMost(Duration::ZERO) { Wait::Not } else { wait };
        Self { wait, deadline: None }
    }

    /// Waits until the thread is woken through any of the queues, or there is no time left: then everybody else has had
    /// a turn all the same.
    pub(crate) fn wait<'a>(&mut self, queues: impl Iterator<Item = &'a WaitQueue> + Clone) -> Wake {
        match self.wait {
            Wait::Not => {
                thread::yield_now();
                return Wake::TimedOut;
            }
            Wait::AtMost(time) if self.deadline.is_none() => {
                self.deadline = Some(Instant::now().saturating_add(time));
            }
            Wait::AtMost(_) | Wait::Forever => {}
        }
        WaitQueue::wait_any(queues, self.deadline)
    }
}
