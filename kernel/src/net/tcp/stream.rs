//! [`TcpStream`].

use core::cell::Cell;
use core::fmt;
use core::net::SocketAddr;

use super::{LIVE, Linger, Shutdown};
use crate::io::{IoSlice, IoSliceMut, Read, Result, Write};
use crate::net::error::NetError;
use crate::net::interface::{Interface, Queues};
use crate::net::patience::{Patience, check_timeout};
use crate::net::readiness::Readiness;
use crate::net::stack::{Coalescing, ConnectionId, Stack};
use crate::net::to_socket_addrs::{ToSocketAddrs, try_each};
use crate::time::Duration;

/// A connection.
///
/// Dropping it is a graceful end: what was written is still sent, then FIN, while nobody waits, unless
/// [`set_linger`](Self::set_linger) says otherwise. The rest of the protocol goes on in the background for as long as the
/// peer makes progress.
pub struct TcpStream {
    pub(super) interface: &'static Interface,
    /// `None` only in `drop`.
    id: Option<ConnectionId>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    queues: Queues,
    pub(super) patience: Patience,
    pub(super) coalescing: Cell<Coalescing>,
    pub(super) linger: Cell<Linger>,
}

impl TcpStream {
    pub(super) fn new(
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
            patience: Patience::default(),
            coalescing: Cell::new(Coalescing::Off),
            linger: Cell::default(),
        }
    }

    pub(super) fn id(&self) -> &ConnectionId {
        self.id.as_ref().expect(LIVE)
    }

    pub(in crate::net) fn queues(&self) -> &Queues {
        &self.queues
    }

    pub(in crate::net) fn readiness(&self) -> Readiness {
        self.interface.stack().connection_readiness(self.id())
    }

    /// Opens a connection and waits until the peer has answered, at most some twenty seconds for each of the addresses, which
    /// are tried one after the other.
    ///
    /// # Errors
    ///
    /// - [`ConnectionRefused`](crate::io::ErrorKind::ConnectionRefused): nobody listens there;
    /// - [`TimedOut`](crate::io::ErrorKind::TimedOut): nobody answers;
    /// - [`NetworkUnreachable`](crate::io::ErrorKind::NetworkUnreachable): there is no way there: no
    ///   network device, or none with an address yet;
    /// - [`NetworkDown`](crate::io::ErrorKind::NetworkDown): the device has failed;
    /// - [`OutOfMemory`](crate::io::ErrorKind::OutOfMemory), [`QuotaExceeded`](crate::io::ErrorKind::QuotaExceeded): there is no memory for another connection, or there
    ///   are as many as the [limits](crate::net::Limits) allow;
    /// - [`InvalidInput`](crate::io::ErrorKind::InvalidInput): port 0.
    pub fn connect<A: ToSocketAddrs>(address: A) -> Result<Self> {
        try_each(address, |address| Self::connect_within(address, None))
    }

    /// The same, with a patience of one's own; twenty seconds remain the longest.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); [`InvalidInput`](crate::io::ErrorKind::InvalidInput) also for a time of zero.
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> Result<Self> {
        Self::connect_within(*address, check_timeout(Some(timeout))?)
    }

    fn connect_within(address: SocketAddr, timeout: Option<Duration>) -> Result<Self> {
        let interface = Interface::current();
        let queues = Queues::default();
        let (id, local) = interface.stack().connect(address, queues.clone())?;
        let stream = Self::new(interface, id, local, address, queues);
        interface.wait(stream.queues.writable(), timeout.into(), |stack| stack.established(stream.id()))?;
        Ok(stream)
    }

    fn reading<T>(&self, attempt: impl FnMut(&mut Stack<Queues>) -> core::result::Result<T, NetError>) -> Result<T> {
        self.interface.wait(self.queues.readable(), self.patience.reading(), attempt)
    }

    fn writing<T>(&self, attempt: impl FnMut(&mut Stack<Queues>) -> core::result::Result<T, NetError>) -> Result<T> {
        self.interface.wait(self.queues.writable(), self.patience.writing(), attempt)
    }

    /// Waits until bytes have arrived and copies as many as there are and fit; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// - [`WouldBlock`](crate::io::ErrorKind::WouldBlock): nothing has come, and the stream is [non-blocking](Self::set_nonblocking);
    /// - [`TimedOut`](crate::io::ErrorKind::TimedOut): nothing came in [time](Self::set_read_timeout), or the peer vanished;
    /// - [`ConnectionReset`](crate::io::ErrorKind::ConnectionReset): the peer broke the connection off;
    /// - [`NetworkDown`](crate::io::ErrorKind::NetworkDown): the device has failed, or the interface lost its address.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.reading(|stack| stack.receive(self.id(), buffer))
    }

    /// The same into several pieces, one after the other.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        let mut pieces = buffers.iter_mut().filter(|piece| !piece.is_empty());
        let Some(first) = pieces.next() else { return Ok(0) };
        let mut total = self.read(first)?;
        let mut is_full = total == first.len();
        while is_full && let Some(piece) = pieces.next() {
            // Only what is there: some bytes have been read already.
            let more = self.interface.stack().receive(self.id(), piece).unwrap_or(0);
            total += more;
            is_full = more == piece.len();
        }
        Ok(total)
    }

    /// As [`read`](Self::read), but the bytes stay and are read again.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.reading(|stack| stack.peek(self.id(), buffer))
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
        self.reading(|stack| stack.receive_with(self.id(), |bytes| take.take().expect(ONCE)(bytes)))
    }

    /// Waits until there is room and queues as many bytes as fit. They leave when the thread next waits.
    ///
    /// # Errors
    ///
    /// - [`WouldBlock`](crate::io::ErrorKind::WouldBlock): there is no room, and the stream is [non-blocking](Self::set_nonblocking);
    /// - [`TimedOut`](crate::io::ErrorKind::TimedOut): no room came up in [time](Self::set_write_timeout), or the peer vanished;
    /// - [`BrokenPipe`](crate::io::ErrorKind::BrokenPipe): the sending half has been closed;
    /// - [`ConnectionReset`](crate::io::ErrorKind::ConnectionReset), [`NetworkDown`](crate::io::ErrorKind::NetworkDown): as for [`read`](Self::read).
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.writing(|stack| stack.send(self.id(), bytes))
    }

    /// The same from several pieces, one after the other, as if they were one.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        let mut pieces = buffers.iter().filter(|piece| !piece.is_empty());
        let Some(first) = pieces.next() else { return Ok(0) };
        let mut total = self.write(first)?;
        let mut is_taken = total == first.len();
        while is_taken && let Some(piece) = pieces.next() {
            let more = self.interface.stack().send(self.id(), piece).unwrap_or(0);
            total += more;
            is_taken = more == piece.len();
        }
        Ok(total)
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
        self.writing(|stack| stack.send_with(self.id(), |space| fill.take().expect(ONCE)(space)))
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
        self.writing(|stack| stack.drained(self.id()))
    }

    /// Breaks the connection off: what was written and not sent is lost, and the peer gets a reset.
    pub fn abort(mut self) {
        if let Some(id) = self.id.take() {
            self.interface.stack().abort(id);
        }
    }
}

/// Why a closure is still there: the stack calls it only when it does not answer `WouldBlock`.
const ONCE: &str = "a closure is called only by the attempt that succeeds";

impl Drop for TcpStream {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let Linger::AtMost(time) = self.linger.get() else { return self.interface.stack().close(id) };
        if time.is_zero() || self.interface.stack().finish(&id).is_err() {
            return self.interface.stack().abort(id);
        }
        let finished = self.interface.wait(self.queues.writable(), Some(time).into(), |stack| stack.finished(&id));
        match finished {
            Ok(()) => self.interface.stack().close(id),
            Err(_) => self.interface.stack().abort(id),
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

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        Self::read_vectored(self, buffers)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        TcpStream::read(self, buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        TcpStream::read_vectored(self, buffers)
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Self::write(self, bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        Self::write_vectored(self, buffers)
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

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        TcpStream::write_vectored(self, buffers)
    }

    /// Nothing to do: what was written leaves by itself.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
