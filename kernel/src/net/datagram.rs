//! [`UdpSocket`], with the names and semantics of `std::net`.

use core::cell::Cell;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::interface::{Interface, Queues};
use super::stack::UdpId;
use super::tcp::check_timeout;
use crate::io::Result;
use crate::time::Duration;

/// A UDP socket. Calls that wait block the calling thread only.
pub struct UdpSocket {
    interface: &'static Interface,
    /// `None` only in `drop`.
    id: Option<UdpId>,
    local: SocketAddr,
    queues: Queues,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
}

impl UdpSocket {
    /// Receives datagrams for a port of an address of ours; `0.0.0.0` stands for all of IPv4, `[::]` for all of both
    /// families (a peer's address is given in its own, never mapped), port 0 for one that is free.
    ///
    /// # Errors
    ///
    /// - [`AddrInUse`](crate::io::ErrorKind::AddrInUse): another socket has the port;
    /// - [`AddrNotAvailable`](crate::io::ErrorKind::AddrNotAvailable): the address is specified, and not ours;
    /// - [`NetworkDown`](crate::io::ErrorKind::NetworkDown): this core has no network device;
    /// - [`OutOfMemory`](crate::io::ErrorKind::OutOfMemory): there are too many sockets.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let interface = Interface::current()?;
        let queues = Queues::default();
        let (id, local) = interface.stack().bind_udp(address, queues.clone())?;
        let (read_timeout, write_timeout) = (Cell::new(None), Cell::new(None));
        Ok(Self { interface, id: Some(id), local, queues, read_timeout, write_timeout })
    }

    fn id(&self) -> &UdpId {
        self.id.as_ref().expect("the id is taken only by drop")
    }

    /// Waits until there is room and queues a datagram. It leaves when the thread next waits.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](crate::io::ErrorKind::InvalidInput): the datagram does not fit into a frame, or the address
    ///   or port is unspecified, or of the other family than the one that the socket is bound to;
    /// - [`NetworkUnreachable`](crate::io::ErrorKind::NetworkUnreachable): there is no way there;
    /// - [`TimedOut`](crate::io::ErrorKind::TimedOut): no room came up in time;
    /// - [`NetworkDown`](crate::io::ErrorKind::NetworkDown): the device has failed.
    pub fn send_to(&self, bytes: &[u8], address: SocketAddr) -> Result<usize> {
        self.interface.block(self.queues.writable(), self.write_timeout.get(), |stack| {
            stack.send_to(self.id(), bytes, address)
        })?;
        Ok(bytes.len())
    }

    /// Waits for a datagram, copies as much of it as fits, and says whose it is. The rest of it is lost.
    ///
    /// # Errors
    ///
    /// - [`TimedOut`](crate::io::ErrorKind::TimedOut): none came in time;
    /// - [`NetworkDown`](crate::io::ErrorKind::NetworkDown): the device has failed.
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let (len, remote) = self
            .interface
            .block(self.queues.readable(), self.read_timeout.get(), |stack| stack.receive_from(self.id(), buffer))?;
        Ok((len, remote))
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
    /// [`InvalidInput`](crate::io::ErrorKind::InvalidInput) for a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.read_timeout.set(check_timeout(timeout)?);
        Ok(())
    }

    /// Sets how long sending waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::io::ErrorKind::InvalidInput) for a time of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.write_timeout.set(check_timeout(timeout)?);
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
