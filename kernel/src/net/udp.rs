//! [`UdpEndpoint`]: a bound UDP socket.
//!
//! Datagrams wait in a ring of [`RECEIVE`] bytes until somebody reads them, and in one of [`TRANSMIT`] bytes until
//! the device takes them. What arrives while the first is full is lost, as with UDP everywhere.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::error::NetError;
use super::listener::takes_in;
use super::pool::buffer;
use super::signal::Signal;

/// Bytes of received datagrams that can wait.
const RECEIVE: usize = 32 << 10;
/// Bytes of datagrams to send that can wait.
const TRANSMIT: usize = 16 << 10;
/// Datagrams that can wait, in each direction.
const DATAGRAMS: usize = 64;

/// A bound UDP socket.
pub(super) struct UdpEndpoint<S> {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(super) local: SocketAddr,
    pub(super) signal: S,
    /// Where a datagram has found nobody, if its owner has not asked yet.
    refusal: Option<SocketAddr>,
    /// The groups that it is in.
    pub(super) groups: Vec<IpAddr>,
}

impl<S: Signal> UdpEndpoint<S> {
    /// Bytes of its buffers.
    pub(super) const MEMORY: usize = RECEIVE + TRANSMIT;

    pub(super) fn new(local: SocketAddr, signal: S) -> Result<Self, NetError> {
        let receive = buffer(RECEIVE).ok_or(NetError::Exhausted)?;
        let transmit = buffer(TRANSMIT).ok_or(NetError::Exhausted)?;
        let mut socket = udp::Socket::new(
            udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], receive),
            udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], transmit),
        );
        let bound = if local.ip().is_unspecified() {
            socket.bind(local.port())
        } else {
            socket.bind((IpAddress::from(local.ip()), local.port()))
        };
        bound.map_err(|_| NetError::InvalidInput)?;
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Ok(Self { set, handle, local, signal, refusal: None, groups: Vec::new() })
    }

    fn socket(&mut self) -> &mut udp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// What its owner could do: how many bytes wait to be read, and whether there is room to send.
    pub(super) fn readiness(&self) -> (usize, bool) {
        let socket: &udp::Socket<'_> = self.set.get(self.handle);
        (socket.recv_queue(), socket.can_send())
    }

    /// Tells the owner what has become possible.
    pub(super) fn report(&self, before: (usize, bool)) {
        let after = self.readiness();
        if after.0 > before.0 {
            self.signal.readable();
        }
        if after.1 && !before.1 {
            self.signal.writable();
        }
    }

    /// Whether datagrams to an address, of ours or of many, are for it.
    pub(super) fn serves(&self, address: IpAddr) -> bool {
        // Of its own family smoltcp knows which.
        self.local.is_ipv4() == address.is_ipv4() || takes_in(self.local.ip(), address)
    }

    /// A datagram of ours has found nobody at `remote`.
    pub(super) fn refused(&mut self, remote: SocketAddr) {
        self.refusal = Some(remote);
        self.signal.readable();
    }

    /// Where a datagram has last found nobody, once.
    pub(super) fn take_refusal(&mut self) -> Option<SocketAddr> {
        self.refusal.take()
    }

    /// Queues a datagram.
    pub(super) fn send_to(&mut self, bytes: &[u8], remote: SocketAddr) -> Result<(), NetError> {
        if bytes.len() > TRANSMIT {
            return Err(NetError::MessageTooLong);
        }
        match self.socket().send_slice(bytes, IpEndpoint::from(remote)) {
            Ok(()) => Ok(()),
            Err(udp::SendError::BufferFull) => Err(NetError::WouldBlock),
            Err(udp::SendError::Unaddressable) => Err(NetError::InvalidInput),
        }
    }

    /// Takes the oldest datagram, or as much of it as fits; the rest of it is lost.
    pub(super) fn receive_from(&mut self, into: &mut [u8]) -> Result<(usize, SocketAddr), NetError> {
        let (bytes, metadata) = self.socket().recv().map_err(|_| NetError::WouldBlock)?;
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        Ok((len, metadata.endpoint.into()))
    }
}
