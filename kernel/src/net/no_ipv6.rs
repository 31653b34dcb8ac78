//! In place of `ipv6` in an image without the feature: no packet is one of IPv6, and no address is ours.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use smoltcp::iface::{Interface, Routes};
use smoltcp::wire::{IpCidr, IpProtocol};
use toro_core::Instant;
use toro_core::driver::net::{Frame, MacAddress};

use super::address6::Addressing6;
use super::configuration::Configuration;
use super::dispatch::Traffic;
use super::dns::Kind;
use super::port::Port;

/// Whether the image takes part in IPv6.
pub(super) const IS_THERE: bool = false;

/// Which addresses of a name are asked for.
pub(super) const KINDS: [Kind; 1] = [Kind::A];

/// There is none.
pub(super) enum Discovery {}

impl Discovery {
    pub(super) fn new(_mac: MacAddress, _addressing: Addressing6, _now: Instant) -> Option<Self> {
        None
    }

    pub(super) fn fill(&self, _now: Instant, _configuration: &mut Configuration) {
        match *self {}
    }

    pub(super) fn restart(&mut self, _now: Instant) {
        match *self {}
    }
}

pub(super) fn announce(_port: &mut Port, _mac: MacAddress, _address: Ipv6Addr) {}

pub(super) fn classify(_packet: &[u8], _to_us: bool) -> Traffic {
    Traffic::Foreign
}

pub(super) fn source_and_payload(_packet: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    None
}

pub(super) fn ends_and_payload(_packet: &[u8]) -> Option<(IpProtocol, [IpAddr; 2], &[u8])> {
    None
}

pub(super) fn is_intact(_packet: &[u8]) -> bool {
    false
}

#[cfg(feature = "ping")]
pub(super) fn read_echo(_message: &[u8], _from: Ipv6Addr) -> Option<(u16, &[u8])> {
    None
}

pub(super) fn echo_request(_to: Ipv6Addr, _identifier: u16, _sequence: u16, _data: &[u8]) -> Vec<u8> {
    Vec::new()
}

pub(super) fn longest_wait(_packet: &[u8]) -> Option<Duration> {
    None
}

pub(super) fn take_off(_frame: &mut Frame) -> Result<(), Infallible> {
    Ok(())
}

pub(super) fn correct_report(_frame: &mut [u8]) {}

pub(super) fn silence(_frame: &mut [u8]) {}

pub(super) fn is_on(_interface: &Interface) -> bool {
    false
}

pub(super) fn source_for(_interface: &Interface, _address: Ipv6Addr) -> Option<Ipv6Addr> {
    None
}

pub(super) fn networks(_configuration: &Configuration) -> impl Iterator<Item = IpCidr> + Clone + use<> {
    core::iter::empty()
}

pub(super) fn set_gateway(_routes: &mut Routes, _configuration: &Configuration) {}
