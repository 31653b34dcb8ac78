//! Calls that change what a socket is: `socket`, `bind`, `listen`, `accept`, `connect`, `shutdown`.

use core::mem;
use core::net::SocketAddr;

use super::constants::{
    AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, SOCK_DGRAM,
    SOCK_NONBLOCK, SOCK_STREAM,
};
use super::errno::Errno;
use super::table::{Entry, Family, Kind, Mode, Phase, State, Table};
use crate::net::Signal;
use crate::net::stack::{Accepted, Stack};
use crate::net::{NetError, Readiness};

impl<S: Signal> Table<S> {
    pub(super) fn socket(&mut self, domain: i32, kind: i32, protocol: i32) -> Result<i32, Errno> {
        let family = match domain {
            AF_INET => Family::V4,
            AF_INET6 => Family::V6,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let mode = mode(kind);
        let kind = match kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC) {
            SOCK_STREAM => Kind::Stream,
            SOCK_DGRAM => Kind::Datagram,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        match (kind, protocol) {
            (_, IPPROTO_IP) | (Kind::Stream, IPPROTO_TCP) | (Kind::Datagram, IPPROTO_UDP) => {}
            _ => return Err(Errno::EPROTONOSUPPORT),
        }
        self.insert(|serial| Entry::new(family, kind, mode, State::Unbound, S::default(), serial))
    }

    pub(super) fn bind(&mut self, stack: &mut Stack<S>, fd: i32, address: SocketAddr) -> Result<(), Errno> {
        let entry = self.entry_mut(fd)?;
        entry.expect_family(address)?;
        if !matches!(entry.state, State::Unbound) {
            return Err(Errno::EINVAL);
        }
        entry.take_address(stack, address)
    }

    pub(super) fn listen(&mut self, stack: &mut Stack<S>, fd: i32, backlog: i32) -> Result<(), Errno> {
        let entry = self.entry_mut(fd)?;
        entry.expect_stream()?;
        if matches!(entry.state, State::Unbound) {
            entry.take_address(stack, entry.family.unspecified())?;
        }
        let (State::Bound { port, .. } | State::Listening { port, .. }) = &entry.state else {
            return Err(Errno::EINVAL);
        };
        stack.start_listening(port, usize::try_from(backlog).unwrap_or(0))?;
        entry.state = match mem::replace(&mut entry.state, State::Unbound) {
            State::Bound { port, local } => State::Listening { port, local },
            other => other,
        };
        Ok(())
    }

    /// The new socket's options are those of the listening one, but for what `flags` says.
    pub(super) fn accept(&mut self, stack: &mut Stack<S>, fd: i32, flags: i32) -> Result<(i32, SocketAddr), Errno> {
        if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
            return Err(Errno::EINVAL);
        }
        let entry = self.entry(fd)?;
        entry.expect_stream()?;
        let State::Listening { port, .. } = &entry.state else { return Err(Errno::EINVAL) };
        // Before the connection is taken: it could not be put back.
        self.check_room()?;
        let Accepted { id, local, remote, signal, .. } = stack.accept(port)?;
        let (family, options) = (entry.family, entry.options.clone());
        options.apply_to_connection(stack, &id);
        let state = State::Connection { id, local, remote, phase: Phase::Open };
        let make = |serial| {
            let mut entry = Entry::new(family, Kind::Stream, mode(flags), state, signal, serial);
            entry.options = options;
            entry
        };
        self.insert(make).map(|fd| (fd, remote))
    }

    /// Begins to open a connection, which is `EINPROGRESS` then; or looks after one that has begun. Of a datagram socket
    /// it is the peer.
    pub(super) fn connect(&mut self, stack: &mut Stack<S>, fd: i32, address: SocketAddr) -> Result<(), Errno> {
        let entry = self.entry_mut(fd)?;
        entry.expect_family(address)?;
        if entry.kind == Kind::Datagram {
            if matches!(entry.state, State::Unbound) {
                entry.take_address(stack, entry.family.unspecified())?;
            }
            let State::Datagrams { id, .. } = &entry.state else { return Err(Errno::EINVAL) };
            return Ok(stack.connect_udp(id, Some(address))?);
        }
        if let State::Connection { id, phase: Phase::Opening, .. } = &entry.state {
            let has_news = stack.connection_readiness(id).contains(Readiness::ERROR);
            match entry.opened(stack) {
                Err(Errno::EAGAIN) => return Err(Errno::EALREADY),
                // `SO_ERROR` has told how the last attempt ended; this is the next one.
                Err(_) if !has_news => {}
                other => return other,
            }
        }
        entry.open(stack, address)
    }

    /// Whether the connection that was begun is open now; `EAGAIN` while it is not. One that failed leaves the socket as if
    /// nothing had been begun.
    pub(super) fn connected(&mut self, stack: &mut Stack<S>, fd: i32) -> Result<(), Errno> {
        self.entry_mut(fd)?.opened(stack)
    }

    /// Ends a datagram socket's relation to its peer.
    pub(super) fn disconnect(&mut self, stack: &mut Stack<S>, fd: i32) -> Result<(), Errno> {
        match &self.entry(fd)?.state {
            State::Datagrams { id, .. } => Ok(stack.connect_udp(id, None)?),
            State::Unbound => Ok(()),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(super) fn shutdown(&mut self, stack: &mut Stack<S>, fd: i32, how: i32) -> Result<(), Errno> {
        let entry = self.entry(fd)?;
        if ![SHUT_RD, SHUT_WR, SHUT_RDWR].contains(&how) {
            return Err(Errno::EINVAL);
        }
        match &entry.state {
            State::Connection { id, .. } if stack.established(id).is_ok() => {
                if how != SHUT_WR {
                    stack.stop_reading(id)?;
                }
                if how != SHUT_RD {
                    stack.finish(id)?;
                }
                Ok(())
            }
            State::Datagrams { id, .. } if stack.udp_peer(id).is_some() => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::ENOTCONN),
        }
    }
}

impl<S: Signal> Entry<S> {
    /// Binds what is not bound.
    pub(super) fn take_address(&mut self, stack: &mut Stack<S>, address: SocketAddr) -> Result<(), Errno> {
        let signal = self.signal.clone();
        self.state = match self.kind {
            Kind::Stream => {
                let (port, local) = stack.reserve(address, signal)?;
                State::Bound { port, local }
            }
            Kind::Datagram => {
                let (id, local) = stack.bind_udp(address, signal)?;
                self.options.apply_to_datagrams(stack, &id);
                State::Datagrams { id, local }
            }
        };
        Ok(())
    }

    fn open(&mut self, stack: &mut Stack<S>, remote: SocketAddr) -> Result<(), Errno> {
        let signal = self.signal.clone();
        let (id, local) = match &self.state {
            State::Unbound => stack.connect(remote, signal)?,
            State::Bound { port, .. } => stack.connect_from(port, remote, signal)?,
            State::Connection { .. } => return Err(Errno::EISCONN),
            State::Listening { .. } | State::Datagrams { .. } => return Err(Errno::EINVAL),
        };
        self.options.apply_to_connection(stack, &id);
        let opening = State::Connection { id, local, remote, phase: Phase::Opening };
        if let State::Bound { port, .. } = mem::replace(&mut self.state, opening) {
            stack.close_listener(port);
        }
        Err(Errno::EINPROGRESS)
    }

    fn opened(&mut self, stack: &mut Stack<S>) -> Result<(), Errno> {
        let State::Connection { id, phase, .. } = &mut self.state else { return Err(Errno::ENOTCONN) };
        match stack.established(id) {
            Ok(()) => {
                *phase = Phase::Open;
                Ok(())
            }
            Err(NetError::WouldBlock) => Err(Errno::EAGAIN),
            Err(error) if *phase == Phase::Open => Err(error.into()),
            Err(error) => {
                if let State::Connection { id, .. } = mem::replace(&mut self.state, State::Unbound) {
                    stack.abort(id);
                }
                Err(error.into())
            }
        }
    }
}

/// What a type or the flags of `accept4` say about waiting.
fn mode(flags: i32) -> Mode {
    if flags & SOCK_NONBLOCK != 0 { Mode::NonBlocking } else { Mode::Blocking }
}
