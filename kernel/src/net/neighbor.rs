//! Neighbours on the link: what they say about addresses, and what we tell them (RFC 826, RFC 4861, RFC 5227).
//!
//! Resolving addresses is smoltcp's work: it asks, answers, and keeps what it learns. Here is what it does not send for IPv4,
//! an announcement when others may have an outdated hardware address of ours. What there is of it for IPv6 is in
//! [`ipv6`](super::ipv6).

use core::net::{Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr};
use toro_core::driver::net::MacAddress;

use super::port::{Port, ethernet_address};

/// All nodes on the link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Where what is behind the Ethernet header begins in a frame.
const PAYLOAD_AT: usize = 14;

/// What a neighbour says about an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbor {
    pub(super) kind: NeighborKind,
    /// The address that it is about, which can be a host's.
    pub(super) target: Ipv6Addr,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "ipv6"), expect(dead_code, reason = "no such neighbour is listened to"))]
pub(super) enum NeighborKind {
    /// Who has it?
    Solicitation,
    /// I shall have it, unless somebody objects.
    Probe,
    /// I have it.
    Advertisement,
}

/// Tells everyone that an address is ours. While the device has no room it goes untold, as if the link had lost it.
pub(super) fn announce4(port: &mut Port, mac: MacAddress, address: Ipv4Addr) {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: ethernet_address(mac),
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    port.write(PAYLOAD_AT + arp.buffer_len(), |bytes| {
        ethernet(bytes, mac, EthernetAddress::BROADCAST, EthernetProtocol::Arp);
        arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[PAYLOAD_AT..]));
    });
}

/// Writes the Ethernet header of something to tell.
pub(super) fn ethernet(bytes: &mut [u8], mac: MacAddress, destination: EthernetAddress, protocol: EthernetProtocol) {
    let header = EthernetRepr { src_addr: ethernet_address(mac), dst_addr: destination, ethertype: protocol };
    header.emit(&mut EthernetFrame::new_unchecked(bytes));
}

/// The Ethernet group that an IPv6 group is sent to (RFC 2464 §7).
pub(super) fn group_mac6(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}
