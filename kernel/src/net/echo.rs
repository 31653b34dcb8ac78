//! [`EchoEndpoint`]: somebody who sends ICMP echo requests and hears the replies (RFC 792, RFC 4443 §4).
//!
//! Requests carry an identifier, which the replies repeat; it is drawn like a local port, so that of several stacks with the
//! same address it names one. Requests that others send here are no affair of this: smoltcp answers them by itself.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr};

use super::error::NetError;
use super::ipv6;
use super::pool::buffer;
use super::signal::Signal;
use super::wire;

/// Bytes of requests or of replies that can wait.
const WAITING: usize = 16 << 10;
/// Requests or replies that can wait.
const PACKETS: usize = 16;

/// A reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoReply {
    /// Who has sent it.
    pub from: IpAddr,
    /// The number of the request.
    pub sequence: u16,
    /// How many bytes came back.
    pub len: usize,
}

/// Who sends requests to one host.
pub(super) struct EchoEndpoint<S> {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    /// What the replies repeat.
    pub(super) identifier: u16,
    /// Whom it is about.
    pub(super) peer: IpAddr,
    pub(super) signal: S,
}

impl<S: Signal> EchoEndpoint<S> {
    /// Bytes of its buffers.
    pub(super) const MEMORY: usize = 2 * WAITING;

    pub(super) fn new(identifier: u16, peer: IpAddr, signal: S) -> Result<Self, NetError> {
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
    pub(super) fn can_send(&mut self) -> bool {
        self.socket().can_send()
    }

    /// Queues a request.
    pub(super) fn send(&mut self, request: &[u8]) -> Result<(), NetError> {
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
    pub(super) fn receive(&mut self, into: &mut [u8]) -> Result<EchoReply, NetError> {
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

/// A request to a host, without a checksum: smoltcp adds it.
pub(super) fn request(to: IpAddr, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    let ignored = ChecksumCapabilities::ignored();
    match to {
        IpAddr::V4(_) => {
            let repr = Icmpv4Repr::EchoRequest { ident: identifier, seq_no: sequence, data };
            let mut bytes = vec![0; repr.buffer_len()];
            repr.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ignored);
            bytes
        }
        IpAddr::V6(to) => ipv6::echo_request(to, identifier, sequence, data),
    }
}

/// The identifier of an echo reply, of a message over IPv4 or IPv6.
pub(super) fn reply_identifier(message: &[u8], reply: u8) -> Option<u16> {
    match *message.first_chunk::<8>()? {
        [kind, 0, _, _, high, low, ..] if kind == reply => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// Types of echo replies (RFC 792; RFC 4443 §4.2).
pub(super) const REPLY4: u8 = 0;
/// See [`REPLY4`].
pub(super) const REPLY6: u8 = 129;
