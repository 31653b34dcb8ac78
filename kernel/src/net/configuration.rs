//! [`Configuration`]: all that an interface has been told about itself, from whatever source.
//!
//! ```text
//!   ip= word --+                    +--> Link: the interface's addresses and routes
//!   DHCP ------+--> Configuration --+--> the stacks that share them
//!   ip6= word -+                    +--> whoever asks: Stack::configuration, Stack::dns_servers
//!   routers ---+
//!   dns= word -+
//! ```

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::address::StaticAddress;

/// How many IPv6 addresses an interface has at most: the link-local one, a given one, and those in networks of routers.
pub const MOST_ADDRESSES6: usize = 6;
/// How many DNS servers are known at most.
pub const MOST_DNS_SERVERS: usize = 8;
/// The port of DNS servers, unless another one is said.
pub(super) const DNS_PORT: u16 = 53;

/// All that an interface has been told about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Its IPv4 address, and what belongs to it.
    pub ipv4: Option<StaticAddress>,
    /// Its IPv6 addresses, at most [`MOST_ADDRESSES6`]: the link-local one, then those that are preferred as source.
    pub ipv6: Vec<NetworkAddress6>,
    /// The IPv6 gateway to other networks.
    pub gateway6: Option<Ipv6Addr>,
    /// DNS servers, at most [`MOST_DNS_SERVERS`], best first.
    pub dns_servers: Vec<SocketAddr>,
}

impl Configuration {
    /// All addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.map(|ipv4| IpAddr::V4(ipv4.address));
        ipv4.into_iter().chain(self.ipv6.iter().map(|ipv6| IpAddr::V6(ipv6.address)))
    }

    /// The IPv6 address that peers beyond the link can reach, if there is one.
    pub fn global6(&self) -> Option<Ipv6Addr> {
        self.ipv6.iter().map(|ipv6| ipv6.address).find(|&address| !super::address6::is_link_local(address))
    }

    /// Notes a DNS server, behind those already known.
    pub(super) fn add_dns_server(&mut self, server: SocketAddr) {
        if self.dns_servers.len() < MOST_DNS_SERVERS && !self.dns_servers.contains(&server) {
            self.dns_servers.push(server);
        }
    }
}

/// An IPv6 address in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkAddress6 {
    /// The address.
    pub address: Ipv6Addr,
    /// How many of its leading bits name the network whose hosts are on the link; 128 if only routers are.
    pub prefix: u8,
}
