//! Neighbours on the link: what they say about IPv6 addresses, and what we tell them (RFC 4861).
//!
//! Resolving addresses is smoltcp's work: it asks, answers, and keeps what it learns. This module reads of neighbour
//! discovery what smoltcp does not act on, and writes what it does not send:
//!
//! | message | to | why |
//! |---|---|---|
//! | probe: solicitation from no address | the address's group | to find out whether somebody else has it (RFC 4862 §5.4) |
//! | router solicitation | all routers | to be told at once which networks there are |
//! | announcement: advertisement | everyone | others have an outdated hardware address of ours, or shall not take ours |
//!
//! # Two corrections
//!
//! smoltcp files what an advertisement says under the address that it came from. A neighbour may answer from another one
//! than it was asked about (RFC 4861 §7.2.4), so [`file_by_target`] makes them the same before smoltcp sees it. And of the
//! stacks that share an address only one may answer a solicitation while all of them learn from it: [`silence`] makes an
//! advertisement of the others' copies.
//!
//! # Hostile neighbours
//!
//! On a link everybody can say anything about any address, and ends connections by that at most. Only messages with a
//! hop limit of 255 count, which no router lets through.

use core::net::Ipv6Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetProtocol, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr,
};
use toro_core::driver::net::MacAddress;

use crate::net::address6::{is_host6, solicited_node};
use crate::net::neighbor::{ALL_NODES, Neighbor, NeighborKind, ethernet, group_mac6};
use crate::net::port::{Port, ethernet_address};

/// All routers on the link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// The hop limit of what has not passed a router.
const FROM_THE_LINK: u8 = 255;
/// Where the IPv6 header and the message behind it begin in a frame.
const IP_AT: usize = 14;
const MESSAGE_AT: usize = 54;
/// Where the options of a solicitation or advertisement begin.
const OPTIONS_AT: usize = MESSAGE_AT + 24;

/// Reads a neighbour solicitation or advertisement. Its checksum is not looked at.
pub(in crate::net) fn parse(ip: &Ipv6Packet<&[u8]>) -> Option<Neighbor> {
    let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    if ip.hop_limit() != FROM_THE_LINK || message.msg_code() != 0 || ip.payload().len() < OPTIONS_AT - MESSAGE_AT {
        return None;
    }
    let from_nobody = ip.src_addr().is_unspecified();
    let kind = match message.msg_type() {
        Icmpv6Message::NeighborSolicit if from_nobody => NeighborKind::Probe,
        Icmpv6Message::NeighborSolicit => NeighborKind::Solicitation,
        Icmpv6Message::NeighborAdvert if !from_nobody => NeighborKind::Advertisement,
        _ => return None,
    };
    let target = message.target_addr();
    is_host6(target).then_some(Neighbor { kind, target })
}

/// The ICMPv6 message of a frame and where it comes from, if it is intact and was sent on this link.
pub(in crate::net) fn message_from_link(frame: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    let ip = Ipv6Packet::new_checked(frame.get(IP_AT..)?).ok()?;
    let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    let is_good = ip.hop_limit() == FROM_THE_LINK && message.verify_checksum(&ip.src_addr(), &ip.dst_addr());
    is_good.then(|| (ip.src_addr(), ip.payload()))
}

/// Makes an advertisement come from the address that it is about.
pub(in crate::net) fn file_by_target(frame: &mut [u8], target: Ipv6Addr) {
    rewrite(frame, |ip, _| ip.set_src_addr(target));
}

/// Turns the copy of a solicitation into an advertisement that says of its sender what the solicitation said: whoever
/// overhears it learns who asks, and leaves the answer to the stack that was asked. Anything else stays as it is.
pub(in crate::net) fn silence(frame: &mut [u8]) {
    let is_solicitation = frame.get(12..14) == Some(&[0x86, 0xdd])
        && Ipv6Packet::new_checked(&frame[IP_AT..]).is_ok_and(|ip| {
            ip.next_header() == IpProtocol::Icmpv6
                && parse(&ip).is_some_and(|neighbor| neighbor.kind == NeighborKind::Solicitation)
        });
    if !is_solicitation {
        return;
    }
    let ip = Ipv6Packet::new_unchecked(&frame[IP_AT..]);
    let source = ip.src_addr();
    rewrite(frame, |_, message| {
        message[0] = u8::from(Icmpv6Message::NeighborAdvert);
        message[4] = NdiscNeighborFlags::OVERRIDE.bits();
        message[8..24].copy_from_slice(&source.octets());
        // The sender's hardware address is now that of the target.
        let mut at = OPTIONS_AT - MESSAGE_AT;
        while let Some([kind, units, ..]) = message.get_mut(at..) {
            if *kind == 1 {
                *kind = 2;
            }
            at += 8 * usize::from(*units).max(1);
        }
    });
}

/// Changes an ICMPv6 message and the header in front of it, and makes its checksum right again, if it was right before.
fn rewrite(frame: &mut [u8], change: impl FnOnce(&mut Ipv6Packet<&mut [u8]>, &mut [u8])) {
    if message_from_link(frame).is_none() {
        return;
    }
    let mut ip = Ipv6Packet::new_unchecked(&mut frame[IP_AT..]);
    let len = ip.payload_mut().len();
    let (mut header, message) = match frame.split_at_mut_checked(MESSAGE_AT) {
        Some((front, message)) => (Ipv6Packet::new_unchecked(&mut front[IP_AT..]), &mut message[..len]),
        None => return,
    };
    change(&mut header, message);
    let (source, destination) = (header.src_addr(), header.dst_addr());
    Icmpv6Packet::new_unchecked(message).fill_checksum(&source, &destination);
}

/// Tells the neighbours that an address is ours.
pub(in crate::net) fn announce(port: &mut Port, mac: MacAddress, address: Ipv6Addr) {
    tell(port, mac, Notice::Announce(address));
}

/// Something to tell the neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Notice {
    /// Does somebody have this address?
    Probe(Ipv6Addr),
    /// Which networks are there? From this address, which may be unspecified.
    SolicitRouters(Ipv6Addr),
    /// This address is ours.
    Announce(Ipv6Addr),
}

/// Tells the neighbours. While the device has no room it goes untold, as if the link had lost it.
pub(in crate::net) fn tell(port: &mut Port, mac: MacAddress, notice: Notice) {
    let lladdr = Some(ethernet_address(mac).into());
    match notice {
        Notice::Probe(target_addr) => {
            let message = NdiscRepr::NeighborSolicit { target_addr, lladdr: None };
            send(port, mac, Ipv6Addr::UNSPECIFIED, solicited_node(target_addr), message);
        }
        Notice::SolicitRouters(source) => {
            let lladdr = lladdr.filter(|_| !source.is_unspecified());
            send(port, mac, source, ALL_ROUTERS, NdiscRepr::RouterSolicit { lladdr });
        }
        Notice::Announce(target_addr) => {
            let flags = NdiscNeighborFlags::OVERRIDE;
            send(port, mac, target_addr, ALL_NODES, NdiscRepr::NeighborAdvert { flags, target_addr, lladdr });
        }
    }
}

fn send(port: &mut Port, mac: MacAddress, source: Ipv6Addr, destination: Ipv6Addr, message: NdiscRepr<'_>) {
    let message = Icmpv6Repr::Ndisc(message);
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: FROM_THE_LINK,
    };
    port.write(MESSAGE_AT + message.buffer_len(), |bytes| {
        ethernet(bytes, mac, EthernetAddress(group_mac6(destination).0), EthernetProtocol::Ipv6);
        ip.emit(&mut Ipv6Packet::new_unchecked(&mut bytes[IP_AT..]));
        let mut packet = Icmpv6Packet::new_unchecked(&mut bytes[MESSAGE_AT..]);
        message.emit(&source, &destination, &mut packet, &ChecksumCapabilities::default());
    });
}
