//! What an IPv6 packet without extension headers is, and what of ICMPv6 concerns sockets.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet};

use super::neighbor;
use crate::net::address6::is_host6;
use crate::net::dispatch::{Traffic, classify_tcp, classify_udp};
use crate::net::echo;
use crate::net::headers::IPV6;
use crate::net::refusal::{Datagram, HEADER, UDP, datagram};

/// Reads the headers of a packet; `to_us` says whether its frame came to this interface alone.
pub(in crate::net) fn classify(packet: &[u8], to_us: bool) -> Traffic {
    match Ipv6Packet::new_checked(packet) {
        Ok(ip) if ip.version() == 6 => classify_packet(&ip, to_us),
        _ => Traffic::Foreign,
    }
}

/// Who sent a packet, and what is in it.
pub(in crate::net) fn source_and_payload(packet: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    Some((ip.src_addr(), ip.payload()))
}

fn classify_packet(ip: &Ipv6Packet<&[u8]>, to_us: bool) -> Traffic {
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    // Nor does a host speak to itself on a wire.
    if !is_host6(destination) && !destination.is_multicast() || source == destination {
        return Traffic::Foreign;
    }
    if !is_host6(source) {
        // Only who has no address yet may speak from none.
        let probe = neighbor::parse(ip).filter(|_| source.is_unspecified() && ip.next_header() == IpProtocol::Icmpv6);
        return probe.map_or(Traffic::Foreign, Traffic::Neighbor);
    }
    let ends = [source.into(), destination.into()];
    match ip.next_header() {
        IpProtocol::Tcp => classify_tcp(ip.payload(), ends, to_us),
        IpProtocol::Udp => classify_udp(ip.payload(), ends),
        IpProtocol::Icmpv6 => classify_icmp(ip),
        _ => Traffic::Foreign,
    }
}

fn classify_icmp(ip: &Ipv6Packet<&[u8]>) -> Traffic {
    let Some(&kind) = ip.payload().first() else { return Traffic::Foreign };
    match Icmpv6Message::from(kind) {
        Icmpv6Message::EchoRequest => Traffic::System,
        Icmpv6Message::EchoReply => {
            echo::reply_identifier(ip.payload(), echo::REPLY6).map_or(Traffic::Foreign, Traffic::Echo)
        }
        Icmpv6Message::MldQuery => Traffic::Query,
        Icmpv6Message::RouterAdvert => Traffic::Router,
        Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert => {
            neighbor::parse(ip).map_or(Traffic::Foreign, Traffic::Neighbor)
        }
        Icmpv6Message::DstUnreachable => refused(ip).map_or(Traffic::Foreign, Traffic::Refusal),
        _ => Traffic::Foreign,
    }
}

/// Reads an ICMPv6 message. Whether its checksum is right is not looked at.
fn refused(ip: &Ipv6Packet<&[u8]>) -> Option<Datagram> {
    let (header, quoted) = ip.payload().split_at_checked(HEADER)?;
    let (inner, udp) = quoted.split_at_checked(IPV6)?;
    if header[..2] != [1, 4] || ip.next_header() != IpProtocol::Icmpv6 || inner[0] >> 4 != 6 || inner[6] != UDP {
        return None;
    }
    let source: [u8; 16] = inner[8..24].try_into().ok()?;
    let destination: [u8; 16] = inner[24..40].try_into().ok()?;
    datagram(source.into(), destination.into(), udp).filter(|found| found.local.ip() == IpAddr::V6(ip.dst_addr()))
}

/// Whether the checksum of an ICMPv6 message is right.
pub(in crate::net) fn is_intact(packet: &[u8]) -> bool {
    Ipv6Packet::new_checked(packet).is_ok_and(|ip| {
        Icmpv6Packet::new_checked(ip.payload()).is_ok_and(|icmp| icmp.verify_checksum(&ip.src_addr(), &ip.dst_addr()))
    })
}

/// The number and the data of an echo reply, whose checksum has been verified.
#[cfg(feature = "ping")]
pub(in crate::net) fn read_echo(message: &[u8], from: Ipv6Addr) -> Option<(u16, &[u8])> {
    let packet = Icmpv6Packet::new_checked(message).ok()?;
    match Icmpv6Repr::parse(&from, &Ipv6Addr::UNSPECIFIED, &packet, &ChecksumCapabilities::ignored()).ok()? {
        Icmpv6Repr::EchoReply { seq_no, data, .. } => Some((seq_no, data)),
        _ => None,
    }
}

/// An echo request to a host, without a checksum: smoltcp adds it.
pub(in crate::net) fn echo_request(to: Ipv6Addr, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    let repr = Icmpv6Repr::EchoRequest { ident: identifier, seq_no: sequence, data };
    let mut bytes = vec![0; repr.buffer_len()];
    let packet = &mut Icmpv6Packet::new_unchecked(&mut bytes[..]);
    repr.emit(&Ipv6Addr::UNSPECIFIED, &to, packet, &ChecksumCapabilities::ignored());
    bytes
}

/// The number of the upper protocol in a packet of our own making, who sent it and to whom, and what is in it.
pub(in crate::net) fn ends_and_payload(packet: &[u8]) -> Option<(IpProtocol, [IpAddr; 2], &[u8])> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    Some((ip.next_header(), [ip.src_addr().into(), ip.dst_addr().into()], ip.payload()))
}
