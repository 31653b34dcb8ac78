//! [`TcpListener`].

use core::fmt;
use core::net::SocketAddr;

use super::{LIVE, TcpStream};
use crate::io::{Error, ErrorKind, Result};
use crate::net::interface::{Interface, Queues};
use crate::net::patience::Patience;
use crate::net::readiness::Readiness;
use crate::net::stack::{Accepted, ListenerId};
use crate::net::to_socket_addrs::{ToSocketAddrs, try_each};
use crate::time::Duration;

/// How many connections wait for [`TcpListener::accept`] unless something else is asked for.
const BACKLOG: usize = 128;

/// A port that accepts connections. Dropping it resets those that nobody has accepted.
pub struct TcpListener {
    interface: &'static Interface,
    /// `None` only in `drop`.
    id: Option<ListenerId>,
    local: SocketAddr,
    queues: Queues,
    patience: Patience,
}

impl TcpListener {
    /// Accepts connections to a port of an address of ours; `0.0.0.0` stands for all of IPv4, `[::]` for all of both
    /// families (a peer's address is given in its own, never mapped), port 0 for one that is free. At most 128 connections
    /// wait to be accepted.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AddrInUse`]: there is a listener for the port;
    /// - [`ErrorKind::AddrNotAvailable`]: the address is specified, and not (or not yet) ours.
    pub fn bind<A: ToSocketAddrs>(address: A) -> Result<Self> {
        Self::bind_with_backlog(address, BACKLOG)
    }

    /// The same, for at most `backlog` connections that wait to be accepted (at least one, and at most what the
    /// [limits](crate::net::Limits) allow). More are not refused but kept waiting: their peers try again.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    pub fn bind_with_backlog<A: ToSocketAddrs>(address: A, backlog: usize) -> Result<Self> {
        let interface = Interface::current();
        let queues = Queues::default();
        let listen = |address| Ok(interface.stack().listen(address, backlog, queues.clone())?);
        let (id, local) = try_each(address, listen)?;
        Ok(Self { interface, id: Some(id), local, queues, patience: Patience::default() })
    }

    fn id(&self) -> &ListenerId {
        self.id.as_ref().expect(LIVE)
    }

    pub(in crate::net) fn queues(&self) -> &Queues {
        &self.queues
    }

    pub(in crate::net) fn readiness(&self) -> Readiness {
        self.interface.stack().listener_readiness(self.id())
    }

    /// Waits for a connection. What its peer has sent meanwhile can be read at once.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::TimedOut`]: none came in [time](Self::set_timeout);
    /// - [`ErrorKind::WouldBlock`]: there is none, and the listener is [non-blocking](Self::set_nonblocking);
    /// - [`ErrorKind::NetworkDown`]: the device has failed.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let accepted =
            self.interface.wait(self.queues.readable(), self.patience.reading(), |stack| stack.accept(self.id()))?;
        let Accepted { id, local, remote, signal, .. } = accepted;
        Ok((TcpStream::new(self.interface, id, local, remote, signal), remote))
    }

    /// An endless iterator over connections, as [`accept`](Self::accept) gives them.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Sets how long [`accept`](Self::accept) waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.patience.set_read_timeout(timeout)
    }

    /// Whether [`accept`](Self::accept) answers [`ErrorKind::WouldBlock`] instead of waiting. Connections that are accepted
    /// wait, whatever their listener does.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.patience.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Why the listener is of no use any more, if so.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn take_error(&self) -> Result<Option<Error>> {
        let failed = self.readiness().contains(Readiness::ERROR);
        Ok(failed.then(|| ErrorKind::NetworkDown.into()))
    }

    /// The address that it is bound to, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.interface.stack().close_listener(id);
        }
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("local", &self.local).finish_non_exhaustive()
    }
}

/// See [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = Result<TcpStream>;

    fn next(&mut self) -> Option<Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
