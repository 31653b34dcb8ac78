//! [`IcmpSocket`] and [`ping`]: asking hosts whether they are there.

use core::fmt;
use core::net::IpAddr;

use super::echo::EchoReply;
use super::interface::{Interface, Queues};
use super::patience::{Patience, Wait};
use super::stack::EchoId;
use crate::io::{ErrorKind, Result};
use crate::time::{Duration, Instant};

/// Sends ICMP echo requests to one host, over IPv4 or IPv6, and receives the replies. Calls that wait block the calling
/// thread only.
pub struct IcmpSocket {
    interface: &'static Interface,
    /// `None` only in `drop`.
    id: Option<EchoId>,
    peer: IpAddr,
    queues: Queues,
    patience: Patience,
}

impl IcmpSocket {
    /// Prepares to send requests to a host, which may be this one.
    ///
    /// # Errors
    ///
    /// - [`NetworkUnreachable`](ErrorKind::NetworkUnreachable): there is no way there;
    /// - [`NetworkDown`](ErrorKind::NetworkDown): the device has failed;
    /// - [`OutOfMemory`](ErrorKind::OutOfMemory), [`QuotaExceeded`](ErrorKind::QuotaExceeded): there are too many sockets.
    pub fn connect(peer: IpAddr) -> Result<Self> {
        let interface = Interface::current();
        let queues = Queues::default();
        let id = interface.stack().open_echo(peer, queues.clone())?;
        Ok(Self { interface, id: Some(id), peer, queues, patience: Patience::default() })
    }

    fn id(&self) -> &EchoId {
        self.id.as_ref().expect("the id is taken only by drop")
    }

    /// Waits until there is room and queues a request. It leaves when the thread next waits.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput): it does not fit into a frame;
    /// - [`NetworkUnreachable`](ErrorKind::NetworkUnreachable): there is no way there any more;
    /// - [`NetworkDown`](ErrorKind::NetworkDown): the device has failed.
    pub fn send(&self, sequence: u16, data: &[u8]) -> Result<()> {
        self.interface.wait(self.queues.writable(), Wait::Forever, |stack| stack.send_echo(self.id(), sequence, data))
    }

    /// Waits for a reply and copies as much of its data as fits.
    ///
    /// # Errors
    ///
    /// - [`TimedOut`](ErrorKind::TimedOut): none came in [time](Self::set_read_timeout);
    /// - [`NetworkDown`](ErrorKind::NetworkDown): the device has failed.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<EchoReply> {
        self.recv_within(buffer, self.patience.reading())
    }

    fn recv_within(&self, buffer: &mut [u8], wait: Wait) -> Result<EchoReply> {
        self.interface.wait(self.queues.readable(), wait, |stack| stack.receive_echo(self.id(), buffer))
    }

    /// Sets how long receiving waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.patience.set_read_timeout(timeout)
    }

    /// The host that requests go to.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }
}

impl Drop for IcmpSocket {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.interface.stack().close_echo(id);
        }
    }
}

impl fmt::Debug for IcmpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IcmpSocket").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Sends one echo request to a host and waits for the reply; says how long it took.
///
/// # Errors
///
/// As for [`IcmpSocket`]; [`TimedOut`](ErrorKind::TimedOut) without a reply in time, [`InvalidData`](ErrorKind::InvalidData) if
/// other data came back.
pub fn ping(address: IpAddr, data: &[u8], timeout: Duration) -> Result<Duration> {
    let socket = IcmpSocket::connect(address)?;
    let start = Instant::now();
    socket.send(0, data)?;
    let mut buffer = alloc::vec![0; data.len()];
    let reply = socket.recv_within(&mut buffer, Wait::AtMost(timeout))?;
    let time = start.elapsed();
    if reply.len == data.len() && buffer == data { Ok(time) } else { Err(ErrorKind::InvalidData.into()) }
}
