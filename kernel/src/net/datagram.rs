//! [`UdpSocket`], with the names and semantics of `std::net`.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::error::NetError;
use super::interface::{Interface, Queues};
use super::patience::Patience;
use super::readiness::Readiness;
use super::stack::{Stack, UdpId};
use super::tcp::hop_limit;
use super::to_socket_addrs::{ToSocketAddrs, try_each};
use super::udp::Broadcast;
use crate::io::{Error, ErrorKind, Result};
use crate::time::Duration;

/// A UDP socket. Calls that wait block the calling thread only.
pub struct UdpSocket {
    interface: &'static Interface,
    /// `None` only in `drop`.
    id: Option<UdpId>,
    local: SocketAddr,
    queues: Queues,
    patience: Patience,
}

impl UdpSocket {
    /// Receives datagrams for a port of an address of ours; `0.0.0.0` stands for all of IPv4, `[::]` for all of both
    /// families (a peer's address is given in its own, never mapped), port 0 for one that is free.
    ///
    /// # Errors
    ///
    /// - [`AddrInUse`](ErrorKind::AddrInUse): another socket has the port;
    /// - [`AddrNotAvailable`](ErrorKind::AddrNotAvailable): the address is specified, and not ours;
    /// - [`OutOfMemory`](ErrorKind::OutOfMemory), [`QuotaExceeded`](ErrorKind::QuotaExceeded): there is no memory for
    ///   another socket, or there are as many as the [limits](crate::net::Limits) allow.
    pub fn bind<A: ToSocketAddrs>(address: A) -> Result<Self> {
        let interface = Interface::current();
        let queues = Queues::default();
        let (id, local) = try_each(address, |address| Ok(interface.stack().bind_udp(address, queues.clone())?))?;
        Ok(Self { interface, id: Some(id), local, queues, patience: Patience::default() })
    }

    fn id(&self) -> &UdpId {
        self.id.as_ref().expect("the id is taken only by drop")
    }

    pub(super) fn queues(&self) -> &Queues {
        &self.queues
    }

    pub(super) fn readiness(&self) -> Readiness {
        self.interface.stack().udp_readiness(self.id())
    }

    fn reading<T>(&self, attempt: impl FnMut(&mut Stack<Queues>) -> core::result::Result<T, NetError>) -> Result<T> {
        self.interface.wait(self.queues.readable(), self.patience.reading(), attempt)
    }

    fn writing<T>(&self, attempt: impl FnMut(&mut Stack<Queues>) -> core::result::Result<T, NetError>) -> Result<T> {
        self.interface.wait(self.queues.writable(), self.patience.writing(), attempt)
    }

    /// Waits until there is room and queues a datagram. It leaves when the thread next waits.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the datagram does not fit into a frame, or the address
    ///   or port is unspecified, or of the other family than the one that the socket is bound to;
    /// - [`NetworkUnreachable`](ErrorKind::NetworkUnreachable): there is no way there;
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): to everybody, without [`set_broadcast`](Self::set_broadcast);
    /// - [`TimedOut`](ErrorKind::TimedOut): no room came up in time;
    /// - [`WouldBlock`](ErrorKind::WouldBlock): there is no room, and the socket is
    ///   [non-blocking](Self::set_nonblocking);
    /// - [`NetworkDown`](ErrorKind::NetworkDown): the device has failed.
    pub fn send_to<A: ToSocketAddrs>(&self, bytes: &[u8], address: A) -> Result<usize> {
        // As in std, the first address only: a datagram is sent to one place.
        let address = try_each(address, Ok)?;
        self.writing(|stack| stack.send_to(self.id(), bytes, address))?;
        Ok(bytes.len())
    }

    /// Waits for a datagram, copies as much of it as fits, and says whose it is. The rest of it is lost.
    ///
    /// # Errors
    ///
    /// - [`TimedOut`](ErrorKind::TimedOut): none came in time;
    /// - [`WouldBlock`](ErrorKind::WouldBlock): there is none, and the socket is [non-blocking](Self::set_nonblocking);
    /// - [`NetworkDown`](ErrorKind::NetworkDown): the device has failed.
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.reading(|stack| stack.receive_from(self.id(), buffer))
    }

    /// The same, but the datagram stays and is received again.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.reading(|stack| stack.peek_from(self.id(), buffer))
    }

    /// Names the peer, to which [`send`](Self::send) sends and from which alone datagrams are received from now on. Nothing
    /// is sent for it; that nobody listens there is not noticed, as the answers of ICMP are not looked at.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the address or port is unspecified;
    /// - [`NetworkUnreachable`](ErrorKind::NetworkUnreachable): there is no way there.
    pub fn connect<A: ToSocketAddrs>(&self, address: A) -> Result<()> {
        try_each(address, |address| Ok(self.interface.stack().connect_udp(self.id(), Some(address))?))
    }

    /// As [`send_to`](Self::send_to), to the peer.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](ErrorKind::NotConnected) without a peer; else as for [`send_to`](Self::send_to).
    pub fn send(&self, bytes: &[u8]) -> Result<usize> {
        self.writing(|stack| stack.send_datagram(self.id(), bytes))?;
        Ok(bytes.len())
    }

    /// As [`recv_from`](Self::recv_from), without the address.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.recv_from(buffer)?.0)
    }

    /// As [`peek_from`](Self::peek_from), without the address.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.peek_from(buffer)?.0)
    }

    /// The peer.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](ErrorKind::NotConnected) without one.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        let peer = self.interface.stack().udp_peer(self.id());
        peer.ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Whether the socket may send to everybody on the network; it may not at first.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_broadcast(&self, broadcast: bool) -> Result<()> {
        let broadcast = if broadcast { Broadcast::Allowed } else { Broadcast::Refused };
        Ok(self.interface.stack().set_broadcast(self.id(), broadcast)?)
    }

    /// Whether the socket may send to everybody on the network.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn broadcast(&self) -> Result<bool> {
        Ok(self.interface.stack().broadcast(self.id())? == Broadcast::Allowed)
    }

    /// Sets how many routers datagrams may pass: the time to live of IPv4, the hop limit of IPv6; 64 at first.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for anything but 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> Result<()> {
        Ok(self.interface.stack().set_udp_hop_limit(self.id(), Some(hop_limit(ttl)?))?)
    }

    /// How many routers datagrams may pass.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn ttl(&self) -> Result<u32> {
        Ok(self.interface.stack().udp_hop_limit(self.id()).into())
    }

    /// Whether calls answer [`WouldBlock`](ErrorKind::WouldBlock) instead of waiting.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.patience.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Why the socket is of no use any more, or, once, that nobody has received a datagram to its peer.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn take_error(&self) -> Result<Option<Error>> {
        Ok(self.interface.stack().take_udp_error(self.id()).map(Into::into))
    }

    /// How long receiving waits.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn read_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.patience.read_timeout())
    }

    /// How long sending waits.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn write_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.patience.write_timeout())
    }

    /// Receives also what is sent to a multicast group, on this core's interface. (`std` has a function for each family,
    /// and asks which interface.)
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](crate::io::ErrorKind::InvalidInput): it is no group, or one of the family that the socket is
    ///   not bound to;
    /// - [`AddrInUse`](crate::io::ErrorKind::AddrInUse): the socket is in the group;
    /// - [`OutOfMemory`](crate::io::ErrorKind::OutOfMemory): sockets are in too many groups, some twenty.
    pub fn join_multicast(&self, group: IpAddr) -> Result<()> {
        Ok(self.interface.stack().join_multicast(self.id(), group)?)
    }

    /// Ends a membership in a group; so does dropping the socket.
    ///
    /// # Errors
    ///
    /// [`AddrNotAvailable`](crate::io::ErrorKind::AddrNotAvailable): the socket is not in the group.
    pub fn leave_multicast(&self, group: IpAddr) -> Result<()> {
        Ok(self.interface.stack().leave_multicast(self.id(), group)?)
    }

    /// Sets how long receiving waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.patience.set_read_timeout(timeout)
    }

    /// Sets how long sending waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a time of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.patience.set_write_timeout(timeout)
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

impl Drop for UdpSocket {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.interface.stack().close_udp(id);
        }
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("local", &self.local).finish_non_exhaustive()
    }
}
