//! [`TcpListener`] and [`TcpStream`], with the names and semantics of `std::net`.
//!
//! ```ignore
//! let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7).into())?;
//! for stream in listener.incoming() {
//!     let mut stream = stream?;
//!     thread::spawn(move || {
//!         let mut buffer = [0; 1024];
//!         while let Ok(len @ 1..) = stream.read(&mut buffer) {
//!             stream.write_all(&buffer[..len])?;
//!         }
//!         io::Result::Ok(())
//!     });
//! }
//! ```
//!
//! Calls that wait block the calling thread only. Where `std` answers `WouldBlock` after a timeout on some systems
//! and `TimedOut` on others, the answer here is [`ErrorKind::TimedOut`].

use core::cell::Cell;
use core::fmt;
use core::net::SocketAddr;

use super::interface::{Interface, Queues};
use super::stack::{Accepted, Coalescing, ConnectionId, ListenerId};
use crate::io::{ErrorKind, Read, Result, Write};
use crate::time::Duration;

/// How many connections wait for [`TcpListener::accept`] unless something else is asked for.
const BACKLOG: usize = 128;

/// Checks a timeout as `std` does.
pub(super) fn check_timeout(timeout: Option<Duration>) -> Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        return Err(ErrorKind::InvalidInput.into());
    }
    Ok(timeout)
}

/// A port that accepts connections. Dropping it resets those that nobody has accepted.
pub struct TcpListener {
    interface: &'static Interface,
    /// `None` only in `drop`.
    id: Option<ListenerId>,
    local: SocketAddr,
    queues: Queues,
    timeout: Cell<Option<Duration>>,
}

impl TcpListener {
    /// Accepts connections to a port of an address of ours; `0.0.0.0` stands for all of IPv4, `[::]` for all of both
    /// families (a peer's address is given in its own, never mapped), port 0 for one that is free. At most 128 connections wait to be accepted.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AddrInUse`]: there is a listener for the port;
    /// - [`ErrorKind::AddrNotAvailable`]: the address is specified, and not (or not yet) ours;
    /// - [`ErrorKind::NetworkDown`]: this core has no network device.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        Self::bind_with_backlog(address, BACKLOG)
    }

    /// The same, for at most `backlog` connections that wait to be accepted (at least one). More are not refused
    /// but kept waiting: their peers try again.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    pub fn bind_with_backlog(address: SocketAddr, backlog: usize) -> Result<Self> {
        let interface = Interface::current()?;
        let queues = Queues::default();
        let (id, local) = interface.stack().listen(address, backlog, queues.clone())?;
        Ok(Self { interface, id: Some(id), local, queues, timeout: Cell::new(None) })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::TimedOut`]: none came in [time](Self::set_timeout);
    /// - [`ErrorKind::NetworkDown`]: the device has failed.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let accepted = self
            .interface
            .block(self.queues.readable(), self.timeout.get(), |stack| stack.accept(self.id.as_ref().expect(LIVE)))?;
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
        self.timeout.set(check_timeout(timeout)?);
        Ok(())
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

/// Why an id can be borrowed.
const LIVE: &str = "the id is taken only by drop";

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

/// Which half of a connection to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The one that receives.
    Read,
    /// The one that sends.
    Write,
    /// Both.
    Both,
}

/// A connection.
///
/// Dropping it is a graceful end: what was written is still sent, then FIN, while nobody waits. The rest of the
/// protocol goes on in the background for as long as the peer makes progress.
pub struct TcpStream {
    interface: &'static Interface,
    /// `None` only in `drop`.
    id: Option<ConnectionId>,
    local: SocketAddr,
    remote: SocketAddr,
    queues: Queues,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
    coalescing: Cell<Coalescing>,
}

impl TcpStream {
    fn new(
        interface: &'static Interface,
        id: ConnectionId,
        local: SocketAddr,
        remote: SocketAddr,
        queues: Queues,
    ) -> Self {
        Self {
            interface,
            id: Some(id),
            local,
            remote,
            queues,
            read_timeout: Cell::new(None),
            write_timeout: Cell::new(None),
            coalescing: Cell::new(Coalescing::Off),
        }
    }

    fn id(&self) -> &ConnectionId {
        self.id.as_ref().expect(LIVE)
    }

    /// Opens a connection and waits until the peer has answered, at most some twenty seconds.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ConnectionRefused`]: nobody listens there;
    /// - [`ErrorKind::TimedOut`]: nobody answers;
    /// - [`ErrorKind::NetworkUnreachable`]: there is no way there, or the interface has no address yet;
    /// - [`ErrorKind::NetworkDown`]: this core has no network device, or it has failed;
    /// - [`ErrorKind::OutOfMemory`]: there are too many connections;
    /// - [`ErrorKind::InvalidInput`]: port 0.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        Self::connect_within(address, None)
    }

    /// The same, with a patience of one's own; twenty seconds remain the longest.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); [`ErrorKind::InvalidInput`] also for a time of zero.
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> Result<Self> {
        Self::connect_within(*address, check_timeout(Some(timeout))?)
    }

    fn connect_within(address: SocketAddr, timeout: Option<Duration>) -> Result<Self> {
        let interface = Interface::current()?;
        let queues = Queues::default();
        let (id, local) = interface.stack().connect(address, queues.clone())?;
        let stream = Self::new(interface, id, local, address, queues);
        interface.block(stream.queues.writable(), timeout, |stack| stack.established(stream.id()))?;
        Ok(stream)
    }

    /// Waits until bytes have arrived and copies as many as there are and fit; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::TimedOut`]: nothing came in [time](Self::set_read_timeout), or the peer vanished;
    /// - [`ErrorKind::ConnectionReset`]: the peer broke the connection off;
    /// - [`ErrorKind::NetworkDown`]: the device has failed, or the interface lost its address.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.interface.block(self.queues.readable(), self.read_timeout.get(), |stack| stack.receive(self.id(), buffer))
    }

    /// Waits until bytes have arrived and lets `take` look at them where they lie, without a copy. It gets an empty
    /// slice at the end of the stream only, and answers how many bytes it has used up, and a result.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// If `take` waits or uses a socket.
    pub fn read_with<R>(&self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R> {
        let mut take = Some(take);
        self.interface.block(self.queues.readable(), self.read_timeout.get(), |stack| {
            stack.receive_with(self.id(), |bytes| take.take().expect(ONCE)(bytes))
        })
    }

    /// Waits until there is room and queues as many bytes as fit. They leave when the thread next waits.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::TimedOut`]: no room came up in [time](Self::set_write_timeout), or the peer vanished;
    /// - [`ErrorKind::BrokenPipe`]: the sending half has been closed;
    /// - [`ErrorKind::ConnectionReset`], [`ErrorKind::NetworkDown`]: as for [`read`](Self::read).
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.interface.block(self.queues.writable(), self.write_timeout.get(), |stack| stack.send(self.id(), bytes))
    }

    /// Waits until there is room and lets `fill` write into it, without a copy. It gets room for at least one byte,
    /// and answers how many it has written, and a result.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    ///
    /// # Panics
    ///
    /// If `fill` waits (for example for a file) or uses a socket.
    pub fn write_with<R>(&self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R> {
        let mut fill = Some(fill);
        self.interface.block(self.queues.writable(), self.write_timeout.get(), |stack| {
            stack.send_with(self.id(), |space| fill.take().expect(ONCE)(space))
        })
    }

    /// Closes one half or both. After the sending half has been closed, the peer finds the end of the stream behind
    /// what was written; after the receiving half has been closed, what arrives is thrown away.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        let mut stack = self.interface.stack();
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            stack.stop_reading(self.id())?;
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            stack.finish(self.id())?;
        }
        Ok(())
    }

    /// Waits until the peer has acknowledged all that was written, under the write timeout.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn wait_until_acknowledged(&self) -> Result<()> {
        self.interface.block(self.queues.writable(), self.write_timeout.get(), |stack| stack.drained(self.id()))
    }

    /// Breaks the connection off: what was written and not sent is lost, and the peer gets a reset.
    pub fn abort(mut self) {
        if let Some(id) = self.id.take() {
            self.interface.stack().abort(id);
        }
    }

    /// The peer's end.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(self.remote)
    }

    /// Our end.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.local)
    }

    /// Sets how long reading waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.read_timeout.set(check_timeout(timeout)?);
        Ok(())
    }

    /// Sets how long writing waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.write_timeout.set(check_timeout(timeout)?);
        Ok(())
    }

    /// How long reading waits.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn read_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.read_timeout.get())
    }

    /// How long writing waits.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn write_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.write_timeout.get())
    }

    /// Whether short pieces are sent at once. They are from the start, unlike on other systems.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        let coalescing = if nodelay { Coalescing::Off } else { Coalescing::On };
        if self.coalescing.replace(coalescing) != coalescing {
            self.interface.stack().set_coalescing(self.id(), coalescing)?;
        }
        Ok(())
    }

    /// Whether short pieces are sent at once.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn nodelay(&self) -> Result<bool> {
        Ok(self.coalescing.get() == Coalescing::Off)
    }
}

/// Why a closure is still there: the stack calls it only when it does not answer `WouldBlock`.
const ONCE: &str = "a closure is called only by the attempt that succeeds";

impl Drop for TcpStream {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.interface.stack().close(id);
        }
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream").field("local", &self.local).field("peer", &self.remote).finish_non_exhaustive()
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Self::read(self, buffer)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        TcpStream::read(self, buffer)
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Self::write(self, bytes)
    }

    /// Nothing to do: what was written leaves by itself.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        TcpStream::write(self, bytes)
    }

    /// Nothing to do: what was written leaves by itself.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
