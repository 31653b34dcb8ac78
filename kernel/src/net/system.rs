//! [`System`]: what the stack does without any socket of the application: ARP, neighbour discovery, ICMP, resets, and
//! DHCP.
//!
//! smoltcp answers questions for our addresses, pings and segments for closed ports by itself, whatever set it is given; it is
//! given this one. The DHCP client (RFC 2131) is the only socket in it. It asks until a server answers, renews the
//! lease at half of its time, and begins anew when it has run out. Of several stacks with the same address one has the
//! client, and the others are told.

use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Duration;

use super::address::{Addressing, StaticAddress, is_host};

/// How long the first answer of a server is waited for before asking again.
const DISCOVER: Duration = Duration::from_secs(1);

/// What a DHCP server has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: StaticAddress,
    pub(super) dns_servers: Vec<IpAddr>,
}

/// The set without sockets of the application.
pub(super) struct System {
    pub(super) set: SocketSet<'static>,
    dhcp: Option<SocketHandle>,
}

impl System {
    pub(super) fn new(addressing: Addressing) -> Self {
        let mut set = SocketSet::new(Vec::new());
        let dhcp = match addressing {
            Addressing::Static(_) | Addressing::None | Addressing::Shared => None,
            Addressing::Dhcp => {
                let mut client = dhcpv4::Socket::new();
                let mut retry = dhcpv4::RetryConfig::default();
                retry.discover_timeout = DISCOVER;
                retry.initial_request_timeout = DISCOVER;
                client.set_retry_config(retry);
                Some(set.add(client))
            }
        };
        Self { set, dhcp }
    }

    /// Whether the set has a socket that may want to send.
    pub(super) fn has_client(&self) -> bool {
        self.dhcp.is_some()
    }

    /// What has changed since the last call: a new lease, or the loss of one.
    pub(super) fn take_change(&mut self) -> Option<Option<Lease>> {
        let client: &mut dhcpv4::Socket<'_> = self.set.get_mut(self.dhcp?);
        match client.poll()? {
            dhcpv4::Event::Configured(config) => {
                let (address, prefix) = (config.address.address(), config.address.prefix_len());
                let address = StaticAddress { address, prefix, gateway: config.router };
                let dns_servers = config.dns_servers.iter().copied().filter(|&server| is_host(server));
                Some(Some(Lease { address, dns_servers: dns_servers.map(IpAddr::V4).collect() }))
            }
            dhcpv4::Event::Deconfigured => Some(None),
        }
    }
}
