//! The tests that know no family, with IPv6.
#![allow(clippy::duplicate_mod)]

use smoltcp::wire::IpProtocol;
use toro_core::driver::net::MacAddress;

use super::*;

type World = super::World<V6>;

const SERVER: IpAddr = V6::SERVER;
const CLIENT: IpAddr = V6::CLIENT;
const ANY: IpAddr = V6::ANY;
const FAR: IpAddr = V6::FAR;
const EVERYBODY: IpAddr = V6::EVERYBODY;
const MOST: usize = V6::MOST;
/// A group that nobody is in by himself, on Ethernet, too.
const GROUP: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x102, 0x304));
const GROUP_MAC: MacAddress = MacAddress([0x33, 0x33, 1, 2, 3, 4]);
/// The groups that a host is in by itself: everybody, and those of its two addresses.
const BASE: &[MacAddress] = &[
    MacAddress([0x33, 0x33, 0, 0, 0, 1]),
    MacAddress([0x33, 0x33, 0xff, 0, 0, 2]),
    MacAddress([0x33, 0x33, 0xff, 0, 0, 15]),
];

/// A router's question for the members of all groups.
fn query() -> Vec<u8> {
    // With five seconds for an answer, behind an alert for routers.
    let message = [&[130, 0, 0, 0, 0x13, 0x88, 0, 0][..], &[0; 16], &[2, 125, 0, 0]].concat();
    let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let plain = discovery::icmp(from, to, &message);
    let alerted = [&[58, 0, 5, 2, 0, 0, 1, 0][..], &plain[54..]].concat();
    discovery::packet(from, to, IpProtocol::HopByHop, 1, &alerted)
}

#[path = "acknowledgements.rs"]
mod acknowledgements;
#[path = "changes.rs"]
mod changes;
#[path = "company.rs"]
mod company;
#[path = "echo.rs"]
mod echo;
#[path = "endings.rs"]
mod endings;
#[path = "faults.rs"]
mod faults;
#[path = "groups.rs"]
mod groups;
#[path = "listening.rs"]
mod listening;
#[path = "losses.rs"]
mod losses;
#[path = "offloads.rs"]
mod offloads;
#[path = "peers.rs"]
mod peers;
#[path = "readiness.rs"]
mod readiness;
#[path = "reconnecting.rs"]
mod reconnecting;
#[path = "refusals.rs"]
mod refusals;
#[path = "tcp.rs"]
mod tcp;
#[path = "udp.rs"]
mod udp;
