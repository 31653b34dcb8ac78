//! What smoltcp's interface knows of IPv6: its addresses, and the way to others.

use core::net::Ipv6Addr;

use smoltcp::iface::{Interface, Routes};
use smoltcp::wire::{IpCidr, Ipv6Cidr};

use crate::net::address6::{is_host6, is_link_local};
use crate::net::configuration::Configuration;

/// Whether it has an address.
pub(in crate::net) fn is_on(interface: &Interface) -> bool {
    interface.ipv6_addr().is_some()
}

/// The address of ours from which another host with this one can be reached, if it can.
pub(in crate::net) fn source_for(interface: &Interface, address: Ipv6Addr) -> Option<Ipv6Addr> {
    if !is_host6(address) || !is_on(interface) {
        return None;
    }
    let on_link = interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&address.into()));
    if !on_link && interface.routes().get_default_ipv6_route().is_none() {
        return None;
    }
    let source = interface.get_source_address_ipv6(&address);
    // What comes from a link-local address is not answered from beyond the link.
    (is_link_local(source) == is_link_local(address)).then_some(source)
}

/// Our addresses and their networks. More bits than there are name one host.
pub(in crate::net) fn networks(configuration: &Configuration) -> impl Iterator<Item = IpCidr> + Clone {
    let own = configuration.ipv6.iter().filter(|own| is_host6(own.address));
    own.map(|own| IpCidr::Ipv6(Ipv6Cidr::new(own.address, own.prefix.min(128))))
}

/// Replaces the way to all other networks. There is room for it.
pub(in crate::net) fn set_gateway(routes: &mut Routes, configuration: &Configuration) {
    routes.remove_default_ipv6_route();
    if let Some(gateway) = configuration.gateway6.filter(|&gateway| is_host6(gateway)) {
        let _ = routes.add_default_ipv6_route(gateway);
    }
}
