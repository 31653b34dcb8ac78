//! IPv6: what its packets say, and how an interface finds its addresses.
//!
//! ```text
//!   received frame -- extension: its extension headers are taken off
//!                        |
//!                     packet: what it is --+-- TCP, UDP, ICMPv6 echo --> sockets, as with IPv4
//!                                          |-- neighbor, advertisement --> discovery: which addresses and routers there are
//!                                          +-- listener: which groups are asked for
//!   interface: what smoltcp is told of addresses and routers
//! ```
//!
//! All that the stack has of IPv6 beside addresses and their formats is reached through this module. An image without the
//! feature `ipv6` has `no_ipv6.rs` in its place, in which nothing comes and nothing goes: as with the word `ip6=none`, but no
//! word is read.

pub(super) mod advertisement;
pub(super) mod discovery;
mod extension;
mod interface;
mod listener;
pub(super) mod neighbor;
mod packet;

pub(super) use discovery::Discovery;
pub(super) use extension::take_off;
pub(super) use interface::{is_on, networks, set_gateway, source_for};
pub(super) use listener::{correct_report, longest_wait};
pub(super) use neighbor::{announce, silence};
#[cfg(feature = "ping")]
pub(super) use packet::read_echo;
pub(super) use packet::{classify, echo_request, ends_and_payload, is_intact, source_and_payload};

use super::dns::Kind;

/// Whether the image takes part in IPv6.
pub(super) const IS_THERE: bool = true;

/// Which addresses of a name are asked for.
pub(super) const KINDS: [Kind; 2] = [Kind::A, Kind::Aaaa];
