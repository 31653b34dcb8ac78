//! The tests that know no family, with IPv4.
#![allow(clippy::duplicate_mod)]

use super::*;

type World = super::World<V4>;

const SERVER: IpAddr = V4::SERVER;
const CLIENT: IpAddr = V4::CLIENT;
const ANY: IpAddr = V4::ANY;
const FAR: IpAddr = V4::FAR;
const EVERYBODY: IpAddr = V4::EVERYBODY;
const MOST: usize = V4::MOST;

#[path = "company.rs"]
mod company;
#[path = "faults.rs"]
mod faults;
#[path = "limits.rs"]
mod limits;
#[path = "offloads.rs"]
mod offloads;
#[path = "options.rs"]
mod options;
#[path = "peers.rs"]
mod peers;
#[path = "readiness.rs"]
mod readiness;
#[path = "shared_leases.rs"]
mod shared_leases;
#[path = "tcp.rs"]
mod tcp;
#[path = "udp.rs"]
mod udp;
