//! [`Datagram`]: which datagram of ours an ICMP message says has found nobody (RFC 792, RFC 4443 §3.1).
//!
//! ```text
//!   IP | ICMP "port unreachable" | the IP header of the datagram | its UDP header | ...
//!                                    from us, to `remote`            from `local` port, to `remote` port
//! ```
//!
//! The message comes from anybody and repeats what we have sent, or what somebody thinks that we have sent. It is
//! believed only by a socket that is connected to the peer that it names, and is no more to it than an error at its next
//! operation. For TCP it is not believed at all: a peer that refuses answers with a reset, whose sequence number proves
//! that it has seen ours (RFC 5927).

use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::{EthernetFrame, EthernetProtocol, Icmpv4Packet, IpProtocol, Ipv4Packet};

use super::ipv6;

/// The ends of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    /// Where it was sent from.
    pub(super) local: SocketAddr,
    /// Where nobody is.
    pub(super) remote: SocketAddr,
}

/// Length of an ICMP header of either family.
pub(super) const HEADER: usize = 8;
/// The number of UDP.
pub(super) const UDP: u8 = 17;

/// Reads an ICMP message in IPv4. Whether its checksum is right is not looked at.
pub(super) fn parse4(ip: &Ipv4Packet<&[u8]>) -> Option<Datagram> {
    let (header, quoted) = ip.payload().split_at_checked(HEADER)?;
    if header[..2] != [3, 3] || ip.next_header() != IpProtocol::Icmp {
        return None;
    }
    // What is quoted may be shorter than its own header says, so it is read by hand.
    let header_len = 4 * usize::from(*quoted.first()? & 0xf);
    let (inner, udp) = quoted.split_at_checked(header_len.max(20))?;
    let is_whole = inner[0] >> 4 == 4 && inner[6] & 0x1f == 0 && inner[7] == 0;
    let [source, destination] = [&inner[12..16], &inner[16..20]];
    let source: [u8; 4] = source.try_into().ok()?;
    let destination: [u8; 4] = destination.try_into().ok()?;
    datagram(source.into(), destination.into(), udp)
        .filter(|found| is_whole && inner[9] == UDP && found.local.ip() == IpAddr::V4(ip.dst_addr()))
}

/// Whether the checksums of a frame with an ICMP message of either family are right.
pub(super) fn is_intact(frame: &[u8]) -> bool {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(ethernet.payload()).is_ok_and(|ip| {
            ip.verify_checksum() && Icmpv4Packet::new_checked(ip.payload()).is_ok_and(|icmp| icmp.verify_checksum())
        }),
        EthernetProtocol::Ipv6 => ipv6::is_intact(ethernet.payload()),
        _ => false,
    }
}

/// The ends of the datagram whose addresses and UDP header these are.
pub(super) fn datagram(source: IpAddr, destination: IpAddr, udp: &[u8]) -> Option<Datagram> {
    let &[a, b, c, d, ..] = udp else { return None };
    let local = SocketAddr::new(source, u16::from_be_bytes([a, b]));
    let remote = SocketAddr::new(destination, u16::from_be_bytes([c, d]));
    Some(Datagram { local, remote })
}
