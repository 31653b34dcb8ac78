//! Addresses in smoltcp's words.
//!
//! In an image without IPv6 smoltcp has no words for its addresses. None come this far there: they are nobody's, so nothing
//! is bound or sent to them. If one did, it would count for the address of nobody.

use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpAddress, IpCidr, IpEndpoint, Ipv4Cidr};

/// The same address.
#[cfg(feature = "ipv6")]
pub(super) fn address(address: IpAddr) -> IpAddress {
    address.into()
}

/// The same address.
#[cfg(not(feature = "ipv6"))]
pub(super) fn address(address: IpAddr) -> IpAddress {
    match address {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(_) => core::net::Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// The same address and port.
pub(super) fn endpoint(end: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(address(end.ip()), end.port())
}

/// The address and its network, if it is one of IPv4.
pub(super) fn network4(network: &IpCidr) -> Option<Ipv4Cidr> {
    match network {
        IpCidr::Ipv4(network) => Some(*network),
        #[cfg(feature = "ipv6")]
        IpCidr::Ipv6(_) => None,
    }
}
