//! The tests that know no family, with IPv4.
#![allow(clippy::duplicate_mod)]

use smoltcp::wire::{IgmpPacket, IgmpRepr, IgmpVersion, IpProtocol};
use toro_core::driver::net::MacAddress;

use super::*;

type World = super::World<V4>;

const SERVER: IpAddr = V4::SERVER;
const CLIENT: IpAddr = V4::CLIENT;
const ANY: IpAddr = V4::ANY;
const FAR: IpAddr = V4::FAR;
const EVERYBODY: IpAddr = V4::EVERYBODY;
const MOST: usize = V4::MOST;
/// A group that nobody is in by himself, on Ethernet, too.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
const GROUP_MAC: MacAddress = MacAddress([1, 0, 0x5e, 1, 2, 3]);
/// The groups that a host is in by itself.
const BASE: &[MacAddress] = &[MacAddress([1, 0, 0x5e, 0, 0, 1])];

/// A router's question for the members of all groups.
fn query() -> Vec<u8> {
    let igmp = IgmpRepr::MembershipQuery {
        max_resp_time: smoltcp::time::Duration::from_secs(5),
        group_addr: Ipv4Addr::UNSPECIFIED,
        version: IgmpVersion::Version2,
    };
    let (from, to) = (Ipv4Addr::new(10, 0, 2, 2), Ipv4Addr::new(224, 0, 0, 1));
    leases::packet(from, to, IpProtocol::Igmp, igmp.buffer_len(), |bytes| {
        igmp.emit(&mut IgmpPacket::new_unchecked(bytes));
    })
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
#[path = "limits.rs"]
mod limits;
#[path = "listening.rs"]
mod listening;
#[path = "losses.rs"]
mod losses;
#[path = "offloads.rs"]
mod offloads;
#[path = "options.rs"]
mod options;
#[path = "peers.rs"]
mod peers;
#[path = "readiness.rs"]
mod readiness;
#[path = "reconnecting.rs"]
mod reconnecting;
#[path = "refusals.rs"]
mod refusals;
#[path = "shared_leases.rs"]
mod shared_leases;
#[path = "tcp.rs"]
mod tcp;
#[path = "udp.rs"]
mod udp;
