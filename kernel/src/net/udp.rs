//! [`UdpEndpoint`]: a bound UDP socket.
//!
//! Datagrams wait in a ring of [`RECEIVE`] bytes until somebody reads them, and in one of [`TRANSMIT`] bytes until
//! the device takes them. What arrives while the first is full is lost, as with UDP everywhere.
//!
//! A socket may have a peer. Then datagrams of others are not for it: the stack answers them as if there were no socket,
//! and those that came before the peer was named are thrown away when somebody reads.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU8;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp;

use super::error::NetError;
use super::listener::takes_in;
use super::pool::buffer;
use super::signal::Signal;
use super::wire;

/// Bytes of received datagrams that can wait.
const RECEIVE: usize = 32 << 10;
/// Bytes of datagrams to send that can wait.
const TRANSMIT: usize = 16 << 10;
/// How many bytes can wait, to be read and to be sent.
pub(crate) const CAPACITIES: (usize, usize) = (RECEIVE, TRANSMIT);
/// Datagrams that can wait, in each direction.
const DATAGRAMS: usize = 64;

/// Whether a UDP socket may send to everybody on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// A bound UDP socket.
pub(super) struct UdpEndpoint<S> {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(super) local: SocketAddr,
    pub(super) signal: S,
    pub(super) broadcast: Broadcast,
    /// Who alone may send to it.
    peer: Option<SocketAddr>,
    /// A datagram to the peer has found nobody, which its owner has not heard yet.
    refused: bool,
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
        let bound =
            if local.ip().is_unspecified() { socket.bind(local.port()) } else { socket.bind(wire::endpoint(local)) };
        bound.map_err(|_| NetError::InvalidInput)?;
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Ok(Self {
            set,
            handle,
            local,
            signal,
            broadcast: Broadcast::Refused,
            peer: None,
            refused: false,
            groups: Vec::new(),
        })
    }

    fn socket(&mut self) -> &mut udp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Names the peer, or says that there is none.
    pub(super) fn connect(&mut self, peer: Option<SocketAddr>) {
        self.peer = peer;
        self.refused = false;
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Whether datagrams from there are for it.
    pub(super) fn listens_to(&self, remote: SocketAddr) -> bool {
        self.peer.is_none_or(|peer| peer == remote)
    }

    /// Whether there is a datagram to read.
    pub(super) fn can_receive(&mut self) -> bool {
        self.discard_strangers();
        self.socket().can_recv()
    }

    /// Whether there is room for a datagram of an ordinary size.
    pub(super) fn has_room(&mut self) -> bool {
        let socket = self.socket();
        // The ring may have to skip a piece at its end, but no datagram is longer than half of it at an Ethernet's MTU.
        socket.can_send() && socket.send_queue() <= TRANSMIT / 2
    }

    pub(super) fn set_hop_limit(&mut self, limit: Option<NonZeroU8>) {
        self.socket().set_hop_limit(limit.map(NonZeroU8::get));
    }

    pub(super) fn hop_limit(&mut self) -> Option<NonZeroU8> {
        self.socket().hop_limit().and_then(NonZeroU8::new)
    }

    /// How full the transmit ring is: bytes, and whether it takes another datagram.
    pub(super) fn backlog(&mut self) -> (usize, bool) {
        let socket = self.socket();
        (socket.send_queue(), socket.can_send())
    }

    /// Tells the owner that something has arrived, if so.
    pub(super) fn report_arrival(&mut self) {
        // Not by the number of bytes: a datagram may be empty.
        if self.socket().can_recv() {
            self.signal.readable();
        }
    }

    /// Tells the owner that there is more room, if so.
    pub(super) fn report_room(&mut self, before: (usize, bool)) {
        let after = self.backlog();
        if after.0 < before.0 || (after.1 && !before.1) {
            self.signal.writable();
        }
    }

    /// Throws away what others sent before the peer was named.
    fn discard_strangers(&mut self) {
        let Some(peer) = self.peer else { return };
        let socket = self.socket();
        while socket.peek().is_ok_and(|(_, metadata)| SocketAddr::from(metadata.endpoint) != peer) {
            let _ = socket.recv();
        }
    }

    /// Whether datagrams to an address, of ours or of many, are for it.
    pub(super) fn serves(&self, address: IpAddr) -> bool {
        // Of its own family smoltcp knows which.
        self.local.is_ipv4() == address.is_ipv4() || takes_in(self.local.ip(), address)
    }

    /// A datagram of ours has found nobody at `remote`, which matters where that is the peer.
    pub(super) fn refused(&mut self, remote: SocketAddr) {
        if self.peer == Some(remote) {
            self.refused = true;
            self.signal.readable();
            self.signal.writable();
        }
    }

    /// Whether a datagram to the peer has found nobody.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Answers once that a datagram to the peer has found nobody.
    pub(super) fn take_refusal(&mut self) -> Result<(), NetError> {
        if core::mem::take(&mut self.refused) { Err(NetError::ConnectionRefused) } else { Ok(()) }
    }

    /// Queues a datagram.
    pub(super) fn send_to(&mut self, bytes: &[u8], remote: SocketAddr) -> Result<(), NetError> {
        if bytes.len() > TRANSMIT {
            return Err(NetError::MessageTooLong);
        }
        match self.socket().send_slice(bytes, wire::endpoint(remote)) {
            Ok(()) => Ok(()),
            Err(udp::SendError::BufferFull) => Err(NetError::WouldBlock),
            Err(udp::SendError::Unaddressable) => Err(NetError::InvalidInput),
        }
    }

    /// Takes the oldest datagram, or as much of it as fits; the rest of it is lost.
    pub(super) fn receive_from(&mut self, into: &mut [u8]) -> Result<(usize, SocketAddr), NetError> {
        self.discard_strangers();
        let (bytes, metadata) = self.socket().recv().map_err(|_| NetError::WouldBlock)?;
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        Ok((len, metadata.endpoint.into()))
    }

    /// How long the oldest datagram is, if there is one.
    pub(super) fn next_len(&mut self) -> Option<usize> {
        self.discard_strangers();
        self.socket().peek().ok().map(|(bytes, _)| bytes.len())
    }

    /// Copies the oldest datagram, or as much of it as fits, and leaves it.
    pub(super) fn peek_from(&mut self, into: &mut [u8]) -> Result<(usize, SocketAddr), NetError> {
        self.discard_strangers();
        let (bytes, metadata) = self.socket().peek().map_err(|_| NetError::WouldBlock)?;
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        Ok((len, metadata.endpoint.into()))
    }
}
