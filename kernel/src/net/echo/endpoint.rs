//! [`EchoEndpoint`]: smoltcp's socket for echo requests and replies.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr};

use super::EchoReply;
use crate::net::error::NetError;
use crate::net::ipv6;
use crate::net::pool::buffer;
use crate::net::signal::Signal;
use crate::net::wire;

/// Bytes of requests or of replies that can wait.
const WAITING: usize = 16 << 10;
/// Requests or replies that can wait.
const PACKETS: usize = 16;

/// Who sends requests to one host.
pub(in crate::net) struct EchoEndpoint<S> {
    pub(in crate::net) set: SocketSet<'static>,
    handle: SocketHandle,
    /// What the replies repeat.
    pub(in crate::net) identifier: u16,
    /// Whom it is about.
    pub(in crate::net) peer: IpAddr,
    pub(in crate::net) signal: S,
}

impl<S: Signal> EchoEndpoint<S> {
    /// Bytes of its buffers.
    pub(in crate::net) const MEMORY: usize = 2 * WAITING;

    pub(in crate::net) fn new(identifier: u16, peer: IpAddr, signal: S) -> Result<Self, NetError> {
        let ring = || {
            let bytes = buffer(WAITING).ok_or(NetError::Exhausted)?;
            Ok(icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; PACKETS], bytes))
        };
        let mut socket = icmp::Socket::new(ring()?, ring()?);
        socket.bind(icmp::Endpoint::Ident(identifier)).map_err(|_| NetError::InvalidInput)?;
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Ok(Self { set, handle, identifier, peer, signal })
    }

    fn socket(&mut self) -> &mut icmp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Whether there is room for another request.
    pub(in crate::net) fn can_send(&mut self) -> bool {
        self.socket().can_send()
    }

    /// Queues a request.
    pub(in crate::net) fn send(&mut self, request: &[u8]) -> Result<(), NetError> {
        let peer = wire::address(self.peer);
        if request.len() > WAITING {
            return Err(NetError::MessageTooLong);
        }
        self.socket().send_slice(request, peer).map_err(|error| match error {
            icmp::SendError::BufferFull => NetError::WouldBlock,
            icmp::SendError::Unaddressable => NetError::InvalidInput,
        })
    }

    /// Takes the oldest reply of the peer, or as much of it as fits.
    pub(in crate::net) fn receive(&mut self, into: &mut [u8]) -> Result<EchoReply, NetError> {
        let peer = self.peer;
        loop {
            let (bytes, from) = self.socket().recv().map_err(|_| NetError::WouldBlock)?;
            let from = IpAddr::from(from);
            let Some((sequence, data)) = read(bytes, from).filter(|_| from == peer || peer.is_multicast()) else {
                continue;
            };
            let copied = data.len().min(into.len());
            into[..copied].copy_from_slice(&data[..copied]);
            return Ok(EchoReply { from, sequence, len: data.len() });
        }
    }
}

/// The number and the data of a reply, whose checksum has been verified.
fn read(bytes: &[u8], from: IpAddr) -> Option<(u16, &[u8])> {
    let ignored = ChecksumCapabilities::ignored();
    match from {
        IpAddr::V4(_) => match Icmpv4Repr::parse(&Icmpv4Packet::new_checked(bytes).ok()?, &ignored).ok()? {
            Icmpv4Repr::EchoReply { seq_no, data, .. } => Some((seq_no, data)),
            _ => None,
        },
        IpAddr::V6(from) => ipv6::read_echo(bytes, from),
    }
}
