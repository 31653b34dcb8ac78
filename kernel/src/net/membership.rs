//! [`Membership`]: which multicast groups an interface receives, and what the device and the routers are told about them
//! (RFC 2236, RFC 3810).
//!
//! ```text
//!   sockets: join, leave --> Membership --> smoltcp: accepts their packets, and reports them by IGMP and MLD
//!   addresses of ours -------->   |   (smoltcp knows of their groups by itself)
//!                                 +--> NetDevice::set_filter: the Ethernet groups of all of them
//! ```
//!
//! # Reports
//!
//! smoltcp answers a router's query some time later, when it next has a turn, and does not say when that should be. So
//! after a query the system set is given turns until the time to answer is over ([`Answering`]).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use smoltcp::iface::Interface;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, Ipv4Packet};
use toro_core::Instant;
use toro_core::driver::net::MacAddress;

use super::address6::solicited_node;
use super::configuration::Configuration;
use super::ipv6;
use super::neighbor::{ALL_NODES, group_mac6};
use crate::sorted_map::SortedMap;

/// Whether sockets can be in groups.
pub(super) const IS_THERE: bool = cfg!(feature = "multicast");

/// How many groups sockets can be in at the same time. smoltcp has room for them and for those of our addresses.
const MOST_GROUPS: usize = 24;

/// Lets smoltcp be a member of a group, or no member any more. It fails for what is no group, and there is room for the most
/// that there can be.
#[cfg(feature = "multicast")]
pub(super) fn change(interface: &mut Interface, group: IpAddr, change: Change) {
    let group = super::wire::address(group);
    let _ = match change {
        Change::Join => interface.join_multicast_group(group),
        Change::Leave => interface.leave_multicast_group(group),
    };
}

/// There are none.
#[cfg(not(feature = "multicast"))]
pub(super) fn change(_interface: &mut Interface, _group: IpAddr, _change: Change) {}

/// What becomes of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Join,
    Leave,
}

/// Groups that sockets are in.
#[derive(Default)]
pub(super) struct Membership {
    /// How many sockets each has.
    groups: SortedMap<IpAddr, usize>,
}

/// There are too many groups, or there can be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Membership {
    /// A socket joins a group.
    pub(super) fn join(&mut self, group: IpAddr) -> Result<(), TooMany> {
        if !IS_THERE || !self.groups.contains_key(&group) && self.groups.len() >= MOST_GROUPS {
            return Err(TooMany);
        }
        *self.groups.get_or_default(group) += 1;
        Ok(())
    }

    /// A socket that has joined a group leaves it.
    pub(super) fn leave(&mut self, group: IpAddr) {
        if let Some(count) = self.groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
            }
        }
    }

    /// The groups that can be reported with this configuration: in IPv4 that takes an address.
    pub(super) fn reportable(&self, configuration: &Configuration) -> impl Iterator<Item = IpAddr> {
        let has_ipv4 = configuration.ipv4.is_some();
        self.groups.keys().copied().filter(move |group| has_ipv4 || group.is_ipv6())
    }

    /// The Ethernet groups whose frames must be received, each once.
    pub(super) fn filter(&self, configuration: &Configuration) -> Vec<MacAddress> {
        let mut filter = Vec::new();
        let mut add = |mac| {
            if !filter.contains(&mac) {
                filter.push(mac);
            }
        };
        if configuration.ipv4.is_some() {
            add(group_mac4(Ipv4Addr::new(224, 0, 0, 1)));
        }
        if !configuration.ipv6.is_empty() {
            add(group_mac6(ALL_NODES));
        }
        configuration.ipv6.iter().for_each(|own| add(group_mac6(solicited_node(own.address))));
        for group in self.groups.keys() {
            add(match group {
                IpAddr::V4(group) => group_mac4(*group),
                IpAddr::V6(group) => group_mac6(*group),
            });
        }
        filter
    }
}

/// Ethernet groups of several stacks with one device, whose first queue pair alone can tell it what to receive.
#[derive(Default)]
pub(super) struct SharedGroups {
    /// What the others need, by their number; the first stack's to know.
    others: SortedMap<u16, Vec<MacAddress>>,
    /// What the first stack was last told of this one, which is another, and whether it has still to be.
    told: Vec<MacAddress>,
    changed: bool,
}

impl SharedGroups {
    /// Another stack needs these.
    pub(super) fn set(&mut self, seat: u16, groups: Vec<MacAddress>) {
        self.others.insert(seat, groups);
    }

    /// Adds what the others need.
    pub(super) fn add_to(&self, filter: &mut Vec<MacAddress>) {
        for &group in self.others.values().flatten() {
            if !filter.contains(&group) {
                filter.push(group);
            }
        }
    }

    /// This stack needs these.
    pub(super) fn need(&mut self, groups: &[MacAddress]) {
        if self.told != groups {
            self.told = groups.to_vec();
            self.changed = true;
        }
    }

    /// What the first stack has to be told, once.
    pub(super) fn take(&mut self) -> Option<Vec<MacAddress>> {
        core::mem::take(&mut self.changed).then(|| self.told.clone())
    }
}

/// The Ethernet group that an IPv4 group is sent to (RFC 1112 §6.4).
fn group_mac4(group: Ipv4Addr) -> MacAddress {
    let [_, b, c, d] = group.octets();
    MacAddress([1, 0, 0x5e, b & 0x7f, c, d])
}

/// The time in which smoltcp has to be given turns to answer a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answering {
    until: Instant,
    step: Duration,
}

impl Answering {
    /// What an intact or any other query asks for: some turns within the time that it leaves for an answer, which is at
    /// most some minute.
    pub(super) fn to(frame: &[u8], now: Instant) -> Self {
        let wait = longest_wait(frame).unwrap_or_default();
        let step = (wait / 8).clamp(Duration::from_millis(50), Duration::from_secs(1));
        Self { until: now.saturating_add(wait + 2 * step), step }
    }

    /// When the next turn is due; `None` when the time is over.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        (now < self.until).then(|| now.saturating_add(self.step))
    }
}

/// How long an answer to a query may take.
fn longest_wait(frame: &[u8]) -> Option<Duration> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            // In tenths of a second.
            ip.payload().get(1).map(|&code| Duration::from_millis(100 * u64::from(code)))
        }
        EthernetProtocol::Ipv6 => ipv6::longest_wait(ethernet.payload()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use super::*;
    use crate::net::address::StaticAddress;
    use crate::net::configuration::NetworkAddress6;

    fn v4(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(239, 255, 0, last))
    }

    #[test]
    fn a_group_is_received_as_long_as_some_socket_is_in_it() {
        let mut membership = Membership::default();
        let received = |membership: &Membership| membership.filter(&Configuration::default()).len();
        for _ in 0..2 {
            assert_eq!(membership.join(v4(1)), Ok(()));
        }
        assert_eq!(received(&membership), 1);
        membership.leave(v4(1));
        assert_eq!(received(&membership), 1);
        membership.leave(v4(1));
        membership.leave(v4(1));
        assert_eq!(received(&membership), 0);
    }

    #[test]
    fn groups_are_bounded() {
        let mut membership = Membership::default();
        let joined = (0..200).filter(|&last| membership.join(v4(last)).is_ok()).count();
        assert_eq!(joined, MOST_GROUPS);
        assert_eq!(membership.join(v4(0)), Ok(()), "one more socket in a group that there is");
    }

    #[test]
    fn the_filter_has_each_ethernet_group_of_addresses_and_sockets_once() {
        let mut membership = Membership::default();
        let address = |network| Ipv6Addr::new(network, 0, 0, 0, 0, 0, 0x12, 0x3456);
        let configuration = Configuration {
            ipv4: Some(StaticAddress { address: Ipv4Addr::new(10, 0, 2, 15), prefix: 24, gateway: None }),
            ipv6: [0xfe80, 0xfd00].map(|network| NetworkAddress6 { address: address(network), prefix: 64 }).to_vec(),
            ..Configuration::default()
        };
        membership.join(IpAddr::V4(Ipv4Addr::new(239, 129, 2, 3))).expect("there is room");
        membership.join(IpAddr::V4(Ipv4Addr::new(224, 1, 2, 3))).expect("there is room");
        membership.join(IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb))).expect("there is room");
        let expected = [
            [1, 0, 0x5e, 0, 0, 1],
            [0x33, 0x33, 0, 0, 0, 1],
            [0x33, 0x33, 0xff, 0x12, 0x34, 0x56],
            [1, 0, 0x5e, 1, 2, 3],
            [0x33, 0x33, 0, 0, 0, 0xfb],
        ];
        assert_eq!(membership.filter(&configuration), expected.map(MacAddress));
        assert_eq!(membership.reportable(&configuration).count(), 3);
        assert_eq!(membership.reportable(&Configuration::default()).count(), 1, "IGMP takes an address");
    }
}
