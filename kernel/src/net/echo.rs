//! [`EchoEndpoint`]: somebody who sends ICMP echo requests and hears the replies (RFC 792, RFC 4443 §4).
//!
//! Requests carry an identifier, which the replies repeat; it is drawn like a local port, so that of several stacks with the
//! same address it names one. Requests that others send here are no affair of this: smoltcp answers them by itself.

#[cfg(feature = "ping")]
mod endpoint;
#[cfg(not(feature = "ping"))]
#[path = "echo/no_endpoint.rs"]
mod endpoint;

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr};

pub(super) use endpoint::EchoEndpoint;

use super::ipv6;

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
