//! Where a stack's addresses come from, and what follows when they change.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use toro_core::Instant;
use toro_core::driver::net::Frame;

use super::{SYSTEM, Slot, Stack};
use crate::net::address::{Addressing, is_host};
use crate::net::configuration::{Configuration, DNS_PORT};
use crate::net::error::NetError;
use crate::net::membership::{self, Answering};
use crate::net::refusal::{self, Datagram};
use crate::net::signal::Signal;

impl<S: Signal> Stack<S> {
    /// Does what the DHCP server says.
    pub(super) fn follow_lease(&mut self, now: Instant) {
        if let Some(lease) = self.system.take_change() {
            self.lease = lease;
            self.reconfigure(now);
        }
    }

    /// Puts together what all sources say, and lets it hold.
    pub(super) fn reconfigure(&mut self, now: Instant) {
        let ipv4 = match self.config.addressing {
            // It is told.
            Addressing::Shared => return,
            Addressing::Static(fixed) => Some(fixed),
            Addressing::Dhcp => self.lease.as_ref().map(|lease| lease.address),
            Addressing::None => None,
        };
        let mut configuration =
            Configuration { ipv4: ipv4.filter(|ipv4| is_host(ipv4.address)), ..Configuration::default() };
        let leased = self.lease.iter().flat_map(|lease| &lease.dns_servers);
        let leased = leased.map(|&server| SocketAddr::new(server, DNS_PORT));
        let given = self.config.dns_servers.iter().copied();
        given.chain(leased).for_each(|server| configuration.add_dns_server(server));
        if let Some(discovery) = &self.discovery {
            discovery.fill(now, &mut configuration);
        }
        self.configure(configuration);
    }

    /// Lets a configuration hold from now on.
    pub(super) fn configure(&mut self, configuration: Configuration) {
        if configuration == self.configuration {
            return;
        }
        self.link.configure(&configuration);
        if !configuration.addresses().eq(self.configuration.addresses()) {
            // Connections from addresses that are gone end at their next turn.
            let keys: Vec<u32> = self.slots.keys().collect();
            keys.into_iter().for_each(|key| self.dirty.push(key));
        }
        self.configuration = configuration;
        self.update_groups();
        self.configuration_version = self.configuration_version.wrapping_add(1);
        self.configured.readable();
    }

    /// Receives the groups that our addresses and sockets need.
    pub(super) fn update_groups(&mut self) {
        if !membership::IS_THERE {
            return self.link.set_filter(Vec::new());
        }
        let mut filter = self.membership.filter(&self.configuration);
        if self.config.seat.index() != 0 {
            self.shared_groups.need(&filter);
        }
        self.shared_groups.add_to(&mut filter);
        self.link.set_filter(filter);
        let groups: Vec<IpAddr> = self.membership.reportable(&self.configuration).collect();
        self.link.set_groups(groups.iter().copied());
        // There may be something to report.
        self.dirty.push(SYSTEM);
    }

    /// Takes in a router's question which groups there are members of here.
    pub(super) fn query_ingress(&mut self, now: Instant, frame: Frame) {
        if !membership::IS_THERE {
            return;
        }
        self.answering = Some(Answering::to(&frame, now));
        self.system_ingress(now, frame);
        self.dirty.push(SYSTEM);
    }

    /// Takes in that a datagram has found nobody.
    pub(super) fn refusal_ingress(&mut self, frame: &[u8], datagram: &Datagram) {
        if let Some(&key) = self.udp_ports.get(&datagram.local.port())
            && let Some(Slot::Udp(endpoint)) = self.slots.get_mut(key)
            && endpoint.serves(datagram.local.ip())
            && refusal::is_intact(frame)
        {
            endpoint.refused(datagram.remote);
        }
    }

    /// Whether a socket can be bound to an address.
    pub(super) fn check_local(&self, address: IpAddr) -> Result<(), NetError> {
        if address.is_unspecified() || self.is_local(address) {
            return Ok(());
        }
        Err(NetError::AddressNotAvailable)
    }
}

/// An address as the stack knows it: an IPv4 address that is written as one of IPv6 is one of IPv4, and there is one link,
/// so that nothing need say which.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
