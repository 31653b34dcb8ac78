//! [`Link`]: one smoltcp interface over one [`Port`], and how a single socket passes through it.
//!
//! smoltcp looks at every socket of the set that it is given, so each socket has a set to itself, and everything
//! here takes one such set. What a look costs then does not depend on how many sockets there are.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use smoltcp::iface::{Config, Context, Interface, PollResult, SocketSet};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{HardwareAddress, IPV4_HEADER_LEN, IpCidr, Ipv4Cidr, UDP_HEADER_LEN};
use toro_core::Instant;
use toro_core::driver::net::{Frame, MacAddress, NetDevice};

use super::address::{StaticAddress, is_host};
use super::configuration::Configuration;
use super::headers::IPV6;
use super::ipv6;
use super::membership::{self, Change};
use super::neighbor;
use super::port::{Port, Wish, ethernet_address};
use super::wire;

/// Length of an Ethernet header.
const ETHERNET_HEADER_LEN: usize = 14;
/// The least that a link of IPv6 carries (RFC 8200 §5).
const IPV6_LEAST_MTU: usize = 1280;
/// How many segments one socket may send before the next one has its turn.
pub(super) const TURN: usize = 64;
/// When to look again at a socket that wants to send at once and yet does not: smoltcp ought to prevent it.
pub(super) const STUCK: Duration = Duration::from_millis(1);
/// How long an answer to an ARP request or a neighbour solicitation is waited for before its requesters count as ordinary
/// sockets again.
const RESOLUTION: Duration = Duration::from_secs(3);

/// What came of a socket's turn to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has sent what it may; it wants another look at the given time.
    Done(Option<Instant>),
    /// It has nothing to send before a neighbour's hardware address is known; else as `Done`.
    AwaitsNeighbor(Option<Instant>),
    /// It has more to send, and others should come first.
    More,
    /// There is no room for another frame.
    Refused,
}

/// An interface, its device and its addresses.
pub(super) struct Link {
    interface: Interface,
    pub(super) port: Port,
    mac: MacAddress,
    /// The groups that sockets are in.
    groups: Vec<IpAddr>,
    /// What the device was last told to receive.
    filter: Option<Vec<MacAddress>>,
    /// Until when sockets may be waiting for a neighbour's answer.
    resolving_until: Option<Instant>,
}

/// The network of a gateway that is beyond the interface's own, if it is.
///
/// Some clouds' DHCP servers give each machine a network of its own, with a prefix of 32 bits, and a gateway outside of it that is on
/// the link nevertheless. smoltcp believes what a neighbour says only if it shares a network with it. So it is told of one that has
/// two addresses, the gateway's and the other, which it takes for ours and nobody hears about: requests for it are not answered
/// (`Stack::resolution_ingress`), and nothing is sent from it.
fn network_of_gateway(own: StaticAddress) -> Option<Ipv4Cidr> {
    let gateway = own.gateway.filter(|&gateway| is_host(gateway) && gateway != own.address)?;
    let other = Ipv4Addr::from(u32::from(gateway) ^ 1);
    let is_beyond = !Ipv4Cidr::new(own.address, own.prefix.min(32)).contains_addr(&gateway);
    (is_beyond && is_host(other)).then(|| Ipv4Cidr::new(other, 31))
}

impl Link {
    pub(super) fn new(device: Box<dyn NetDevice>, seed: u64, now: Instant) -> Self {
        let mut port = Port::new(device);
        let mac = port.mac();
        // An address that no interface may have must not panic in smoltcp; such a device just gets one of the
        // locally administered kind (IEEE 802 §8.2).
        let mac = if mac.is_unicast() { mac } else { MacAddress([0x02, 0, 0, 0, 0, 1]) };
        let mut config = Config::new(HardwareAddress::Ethernet(ethernet_address(mac)));
        config.random_seed = seed;
        let interface = Interface::new(config, &mut port, to_smol(now));
        Self { interface, port, mac, groups: Vec::new(), filter: None, resolving_until: None }
    }

    pub(super) fn mac(&self) -> MacAddress {
        self.mac
    }

    /// What some socket operations want to know of the interface.
    pub(super) fn context(&mut self) -> &mut Context {
        self.interface.context()
    }

    /// Whether frames are long enough for IPv6 (RFC 8200 §5).
    pub(super) fn carries_ipv6(&self) -> bool {
        self.port.max_frame() >= ETHERNET_HEADER_LEN + IPV6_LEAST_MTU
    }

    /// The interface's IPv4 address, once it has one.
    fn address(&self) -> Option<Ipv4Cidr> {
        self.interface.ip_addrs().iter().find_map(wire::network4)
    }

    /// Whether this is the interface's own address.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        match address {
            // Behind it there may be the one that gateways beyond the network need.
            IpAddr::V4(address) => self.address().is_some_and(|own| own.address() == address),
            IpAddr::V6(_) => self.interface.ip_addrs().iter().any(|cidr| cidr.address() == wire::address(address)),
        }
    }

    /// The address of ours from which a host with this one can be reached, if it can.
    pub(super) fn source_for(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(address) => self.source4_for(address).map(IpAddr::V4),
            IpAddr::V6(address) => {
                let is_other = !self.is_own(address.into());
                ipv6::source_for(&self.interface, address).filter(|_| is_other).map(IpAddr::V6)
            }
        }
    }

    fn source4_for(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let own = self.address()?;
        let is_reachable = is_host(address)
            && own.address() != address
            && own.broadcast() != Some(address)
            && (own.contains_addr(&address) || self.interface.routes().get_default_ipv4_route().is_some());
        is_reachable.then(|| own.address())
    }

    /// Whether everybody on the network hears what is sent to this address.
    pub(super) fn is_broadcast(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        address.is_broadcast() || self.address().is_some_and(|own| own.broadcast() == Some(address))
    }

    /// Whether a datagram to this address can leave: that of a reachable host, of a group, or everyone's.
    pub(super) fn is_deliverable(&self, address: IpAddr) -> bool {
        let to_many = match address {
            IpAddr::V4(group) => self
                .address()
                .is_some_and(|own| group.is_broadcast() || group.is_multicast() || own.broadcast() == Some(group)),
            IpAddr::V6(group) => group.is_multicast() && ipv6::is_on(&self.interface),
        };
        to_many || self.source_for(address).is_some()
    }

    /// The longest datagram to this address that a frame can carry.
    pub(super) fn max_datagram(&self, address: IpAddr) -> usize {
        let header = if address.is_ipv4() { IPV4_HEADER_LEN } else { IPV6 };
        self.port.max_frame() - ETHERNET_HEADER_LEN - header - UDP_HEADER_LEN
    }

    /// Tells the neighbours that an address is ours.
    pub(super) fn announce(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => neighbor::announce4(&mut self.port, self.mac, address),
            IpAddr::V6(address) => ipv6::announce(&mut self.port, self.mac, address),
        }
    }

    /// Gives the interface its addresses and routes. Addresses that no host can have are not accepted.
    pub(super) fn configure(&mut self, configuration: &Configuration) {
        let ipv4 = configuration.ipv4.filter(|own| is_host(own.address));
        // More bits than there are name one host.
        let cidrs = ipv4.iter().map(|own| IpCidr::Ipv4(Ipv4Cidr::new(own.address, own.prefix.min(32))));
        let cidrs = cidrs.chain(ipv6::networks(configuration));
        let cidrs = cidrs.chain(ipv4.and_then(network_of_gateway).map(IpCidr::Ipv4));
        if !cidrs.clone().eq(self.interface.ip_addrs().iter().copied()) {
            self.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                // There is room for one of IPv4, the most that there are of IPv6, and a gateway's.
                addresses.extend(cidrs.take(addresses.capacity()));
            });
        }
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        // There is no other route but one of IPv6, and room for both.
        if let Some(gateway) = ipv4.and_then(|own| own.gateway).filter(|&gateway| is_host(gateway)) {
            let _ = routes.add_default_ipv4_route(gateway);
        }
        ipv6::set_gateway(routes, configuration);
    }

    /// Lets smoltcp be a member of these groups, besides those of our addresses, and of no others.
    pub(super) fn set_groups(&mut self, groups: impl Iterator<Item = IpAddr> + Clone) {
        let left = self.groups.iter().filter(|group| !groups.clone().any(|other| other == **group));
        for &group in left {
            membership::change(&mut self.interface, group, Change::Leave);
        }
        self.groups.clear();
        for group in groups {
            membership::change(&mut self.interface, group, Change::Join);
            self.groups.push(group);
        }
    }

    /// Lets the device receive these groups.
    pub(super) fn set_filter(&mut self, groups: Vec<MacAddress>) {
        if self.filter.as_ref() != Some(&groups) {
            self.port.receive_groups(&groups);
            self.filter = Some(groups);
        }
    }

    /// Lets the socket of `set` process a frame. Without a socket that wants it, smoltcp answers as a host does.
    pub(super) fn ingress(&mut self, now: Instant, frame: Frame, set: &mut SocketSet<'static>) {
        self.port.counters.socket_polls += 1;
        self.port.take_sent();
        self.port.offer(frame);
        let _ = self.interface.poll_ingress_single(to_smol(now), &mut self.port, set);
        self.port.withdraw();
        self.note_resolution(now);
    }

    /// Lets the socket of `set` send what it has to send, which may be what it wishes for.
    pub(super) fn egress(&mut self, now: Instant, set: &mut SocketSet<'static>, wish: Wish) -> Turn {
        self.port.expect(wish);
        let at = to_smol(now);
        self.port.clear_refusal();
        self.port.take_sent();
        let mut sent = 0;
        // smoltcp says when a socket wants to send more, which costs less than letting it try in vain.
        let next = loop {
            self.port.counters.socket_polls += 1;
            let result = self.interface.poll_egress(at, &mut self.port, set);
            if self.port.is_refusing() {
                return Turn::Refused;
            }
            let due = self.interface.poll_at(at, set);
            match result {
                PollResult::SocketStateChanged if due.is_none_or(|due| due > at) => break due,
                PollResult::SocketStateChanged if sent == TURN => return Turn::More,
                PollResult::SocketStateChanged => sent += 1,
                PollResult::None => break due,
            }
        };
        self.note_resolution(now);
        let next = next.map(|due| {
            // A due time that has passed although the socket just had its turn: never spin on it.
            if due <= at { now.saturating_add(STUCK) } else { from_smol(due) }
        });
        if sent == 0 && self.is_resolving(now) {
            return Turn::AwaitsNeighbor(next);
        }
        Turn::Done(next)
    }

    /// Whether an answer of a neighbour is due, so that sockets may be waiting for one.
    pub(super) fn is_resolving(&self, now: Instant) -> bool {
        self.resolving_until.is_some_and(|until| now < until)
    }

    fn note_resolution(&mut self, now: Instant) {
        if self.port.take_neighbor_wanted() {
            self.resolving_until = Some(now.saturating_add(RESOLUTION));
        }
    }
}

/// smoltcp counts microseconds.
pub(super) fn to_smol(at: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(at.as_nanos() / 1_000).unwrap_or(i64::MAX))
}

/// Rounds nothing: `to_smol` of the result is `at` again.
pub(super) fn from_smol(at: SmolInstant) -> Instant {
    Instant::from_nanos(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_beyond_the_network_has_one_of_its_own() {
        let network = |prefix, gateway: [u8; 4]| {
            let address = Ipv4Addr::new(10, 128, 0, 7);
            network_of_gateway(StaticAddress { address, prefix, gateway: Some(gateway.into()) })
        };
        let of_one = network(32, [10, 128, 0, 1]).unwrap();
        assert_eq!((of_one.address(), of_one.prefix_len()), (Ipv4Addr::new(10, 128, 0, 0), 31));
        assert!(
            of_one.contains_addr(&Ipv4Addr::new(10, 128, 0, 1)) && !of_one.contains_addr(&Ipv4Addr::new(10, 128, 0, 2))
        );
        assert!(network(24, [172, 31, 1, 1]).is_some());
        // Within the network, ourselves, or no host's.
        assert_eq!(network(24, [10, 128, 0, 1]), None);
        assert_eq!(network(32, [10, 128, 0, 7]), None);
        assert_eq!(network(32, [0, 0, 0, 0]), None);
        assert_eq!(network(32, [0, 0, 0, 1]), None);
        assert_eq!(
            network_of_gateway(StaticAddress { address: Ipv4Addr::new(10, 0, 0, 1), prefix: 32, gateway: None }),
            None
        );
    }
}
