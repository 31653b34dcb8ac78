//! The tests that know no family, with IPv6.
#![allow(clippy::duplicate_mod)]

use super::*;

type World = super::World<V6>;

const SERVER: IpAddr = V6::SERVER;
const CLIENT: IpAddr = V6::CLIENT;
const ANY: IpAddr = V6::ANY;
const FAR: IpAddr = V6::FAR;
const EVERYBODY: IpAddr = V6::EVERYBODY;
const MOST: usize = V6::MOST;

#[path = "company.rs"]
mod company;
#[path = "echo.rs"]
mod echo;
#[path = "faults.rs"]
mod faults;
#[path = "offloads.rs"]
mod offloads;
#[path = "peers.rs"]
mod peers;
#[path = "readiness.rs"]
mod readiness;
#[path = "tcp.rs"]
mod tcp;
#[path = "udp.rs"]
mod udp;
