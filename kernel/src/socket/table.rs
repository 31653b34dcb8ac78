//! [`Table`]: the descriptors of a core, and what each of them is at the moment.
//!
//! ```text
//!   SOCK_STREAM   Unbound --bind--> Bound --listen--> Listening --accept--> (a new one, Connection)
//!                    |                |
//!                    +----connect-----+--> Connection: opening, then open, then broken or over
//!                                              |
//!                    ^--- failed while opening, and connect is called again
//!
//!   SOCK_DGRAM    Unbound --bind, connect, sendto--> Datagrams, with or without a peer
//! ```
//!
//! Nothing here waits: where one would have to, the answer is `EAGAIN` (or `EINPROGRESS`), and the entry's signal says
//! when to try again. So all of it is tested on a host; [`calls`](super::calls) adds the waiting.
//!
//! # Ownership
//!
//! An entry owns its socket of the [`Stack`]; whoever closes it gives both up. Numbers are used again, lowest first, as
//! POSIX wants. A thread that waits with a number that is closed meanwhile must not touch the next one with that
//! number: each entry has a serial number that never comes again.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::errno::Errno;
use super::options::Options;
use crate::net::Signal;
use crate::net::Wait;
use crate::net::stack::{ConnectionId, ListenerId, Stack, UdpId};

/// The first descriptor: those below it are for standard streams elsewhere, and programs know that.
pub(super) const FIRST: i32 = 3;

/// Which addresses a socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// Whether this is such an address.
    pub(super) fn has(self, address: SocketAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }

    /// No address and no port.
    pub(super) fn unspecified(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::from(([0, 0, 0, 0], 0)),
            Self::V6 => SocketAddr::from(([0_u16; 8], 0)),
        }
    }
}

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Datagram,
}

/// Whether calls wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Blocking,
    NonBlocking,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

/// What a socket is at the moment.
#[derive(Debug)]
pub(super) enum State {
    Unbound,
    Bound { port: ListenerId, local: SocketAddr },
    Listening { port: ListenerId, local: SocketAddr },
    Connection { id: ConnectionId, local: SocketAddr, remote: SocketAddr, phase: Phase },
    Datagrams { id: UdpId, local: SocketAddr },
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody has been told yet that it is open.
    Opening,
    Open,
}

/// A socket.
pub(super) struct Entry<S> {
    pub(super) family: Family,
    pub(super) kind: Kind,
    pub(super) mode: Mode,
    pub(super) state: State,
    pub(super) options: Options,
    pub(super) signal: S,
    serial: u64,
}

/// What remains to be done for a socket whose descriptor is gone.
pub(super) enum Closing<S> {
    /// Nothing.
    Done,
    /// Somebody has to wait until the peer has acknowledged everything, at most so long.
    Linger { id: ConnectionId, signal: S, time: Duration },
}

/// The descriptors of a core.
pub(super) struct Table<S> {
    places: Vec<Option<Entry<S>>>,
    limit: usize,
    next_serial: u64,
}

impl<S: Signal> Table<S> {
    /// A table for `limit` sockets.
    pub(super) const fn new(limit: usize) -> Self {
        Self { places: Vec::new(), limit, next_serial: 0 }
    }

    /// Changes how many sockets there may be. Those that there are stay.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    fn place(fd: i32) -> Result<usize, Errno> {
        fd.checked_sub(FIRST).and_then(|place| usize::try_from(place).ok()).ok_or(Errno::EBADF)
    }

    pub(super) fn entry(&self, fd: i32) -> Result<&Entry<S>, Errno> {
        self.places.get(Self::place(fd)?).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    pub(super) fn entry_mut(&mut self, fd: i32) -> Result<&mut Entry<S>, Errno> {
        self.places.get_mut(Self::place(fd)?).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// Whether another socket has place.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        let is_full = self.places.iter().flatten().count() >= self.limit;
        if is_full { Err(Errno::EMFILE) } else { Ok(()) }
    }

    /// Makes an entry and says its number.
    pub(super) fn insert(&mut self, make: impl FnOnce(u64) -> Entry<S>) -> Result<i32, Errno> {
        self.check_room()?;
        let place = match self.places.iter().position(Option::is_none) {
            Some(place) => place,
            None => {
                self.places.try_reserve(1).map_err(|_| Errno::ENOBUFS)?;
                self.places.push(None);
                self.places.len() - 1
            }
        };
        let number = i32::try_from(place).ok().and_then(|place| place.checked_add(FIRST)).ok_or(Errno::EMFILE)?;
        self.places[place] = Some(make(self.next_serial));
        self.next_serial += 1;
        Ok(number)
    }

    /// Frees a number. Whoever waits with it is woken and finds it gone.
    pub(super) fn close(&mut self, stack: Option<&mut Stack<S>>, fd: i32) -> Result<Closing<S>, Errno> {
        let place = Self::place(fd)?;
        let entry = self.places.get_mut(place).and_then(Option::take).ok_or(Errno::EBADF)?;
        let Some(stack) = stack else { return Ok(Closing::Done) };
        let Entry { state, options, signal, .. } = entry;
        let waker = signal.clone();
        let closing = match state {
            State::Unbound => Closing::Done,
            State::Bound { port, .. } | State::Listening { port, .. } => {
                stack.close_listener(port);
                Closing::Done
            }
            State::Datagrams { id, .. } => {
                stack.close_udp(id);
                Closing::Done
            }
            State::Connection { id, .. } => match options.linger {
                None => {
                    stack.close(id);
                    Closing::Done
                }
                Some(time) if time.is_zero() || stack.finish(&id).is_err() => {
                    stack.abort(id);
                    Closing::Done
                }
                Some(time) => Closing::Linger { id, signal, time },
            },
        };
        waker.readable();
        waker.writable();
        Ok(closing)
    }

    /// Who a waiting thread waits for, and what wakes it; and how long.
    pub(super) fn waiting(&self, fd: i32, direction: Direction) -> Result<(u64, S, Wait), Errno> {
        let entry = self.entry(fd)?;
        Ok((entry.serial, entry.signal.clone(), entry.wait(direction)))
    }

    /// Whether a number still stands for what it stood for.
    pub(super) fn is_still(&self, fd: i32, serial: u64) -> bool {
        self.entry(fd).is_ok_and(|entry| entry.serial == serial)
    }

    pub(super) fn set_nonblocking(&mut self, fd: i32, mode: Mode) -> Result<(), Errno> {
        self.entry_mut(fd)?.mode = mode;
        Ok(())
    }

    /// The address of this end; unspecified before there is one.
    pub(super) fn local(&self, fd: i32) -> Result<SocketAddr, Errno> {
        let entry = self.entry(fd)?;
        Ok(match &entry.state {
            State::Unbound => entry.family.unspecified(),
            State::Bound { local, .. }
            | State::Listening { local, .. }
            | State::Connection { local, .. }
            | State::Datagrams { local, .. } => *local,
        })
    }

    /// The address of the other end.
    pub(super) fn peer(&self, stack: &Stack<S>, fd: i32) -> Result<SocketAddr, Errno> {
        match &self.entry(fd)?.state {
            State::Connection { remote, id, .. } if stack.established(id) != Err(crate::net::NetError::WouldBlock) => {
                Ok(*remote)
            }
            State::Datagrams { id, .. } => stack.udp_peer(id).ok_or(Errno::ENOTCONN),
            _ => Err(Errno::ENOTCONN),
        }
    }
}

impl<S: Signal> Entry<S> {
    pub(super) fn new(family: Family, kind: Kind, mode: Mode, state: State, signal: S, serial: u64) -> Self {
        Self { family, kind, mode, state, options: Options::default(), signal, serial }
    }

    fn wait(&self, direction: Direction) -> Wait {
        match (self.mode, direction) {
            (Mode::NonBlocking, _) => Wait::Not,
            (Mode::Blocking, Direction::In) => self.options.receive_timeout.into(),
            (Mode::Blocking, Direction::Out) => self.options.send_timeout.into(),
        }
    }

    /// Checks that it is a socket for streams.
    pub(super) fn expect_stream(&self) -> Result<(), Errno> {
        if self.kind == Kind::Stream { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }

    /// Checks that it can have such an address.
    pub(super) fn expect_family(&self, address: SocketAddr) -> Result<(), Errno> {
        if self.family.has(address) { Ok(()) } else { Err(Errno::EAFNOSUPPORT) }
    }
}
