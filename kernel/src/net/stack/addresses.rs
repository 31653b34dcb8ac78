//! Where a stack's addresses come from, and what neighbours and routers have to say about them.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use smoltcp::wire::EthernetFrame;
use toro_core::Instant;
use toro_core::driver::net::Frame;

use super::{SYSTEM, Slot, Stack};
use crate::net::address::{Addressing, is_host};
use crate::net::advertisement::Advertisement;
use crate::net::configuration::{Configuration, DNS_PORT};
use crate::net::discovery::Claim;
use crate::net::error::NetError;
use crate::net::membership::Answering;
use crate::net::neighbor::{Neighbor, NeighborKind, Notice, file_by_target, message_from_link};
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

    /// Sends what is due to find addresses and routers; answers when there is more to do.
    pub(super) fn discover(&mut self, now: Instant) -> Option<Instant> {
        let discovery = self.discovery.as_mut()?;
        discovery.expire(now);
        while let Some(notice) = discovery.due(now) {
            self.link.tell(notice);
        }
        let next = discovery.next(now);
        self.reconfigure(now);
        next
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
        self.answering = Some(Answering::to(&frame, now));
        self.system_ingress(now, frame);
        self.dirty.push(SYSTEM);
    }

    /// Takes in what a neighbour says about an address.
    pub(super) fn neighbor_ingress(&mut self, now: Instant, mut frame: Frame, neighbor: Neighbor) {
        let Neighbor { kind, target } = neighbor;
        match kind {
            NeighborKind::Solicitation => {}
            NeighborKind::Probe => {
                if self.is_claimed(now, &frame, target) == Claim::Wrong {
                    self.link.tell(Notice::Announce6(target));
                }
                return;
            }
            NeighborKind::Advertisement => {
                if self.is_claimed(now, &frame, target) != Claim::Foreign || self.link.is_own(target.into()) {
                    return;
                }
                file_by_target(&mut frame, target);
            }
        }
        self.resolution_ingress(now, frame);
    }

    /// What it means that somebody claims an address.
    fn is_claimed(&mut self, now: Instant, frame: &[u8], address: Ipv6Addr) -> Claim {
        let Some(discovery) = &mut self.discovery else { return Claim::Foreign };
        // Some networks give us back what we have sent.
        let is_ours = EthernetFrame::new_checked(frame).is_ok_and(|frame| frame.src_addr().0 == self.link.mac().0);
        if is_ours || message_from_link(frame).is_none() {
            return Claim::Foreign;
        }
        let claim = discovery.claimed(now, address);
        if claim == Claim::Lost {
            log::warn!("net: another host has the address {address}");
            self.reconfigure(now);
        }
        claim
    }

    /// Takes in what a router says.
    pub(super) fn router_ingress(&mut self, now: Instant, frame: &[u8]) {
        if let Some(discovery) = &mut self.discovery
            && let Some((source, message)) = message_from_link(frame)
            && let Some(advertisement) = Advertisement::parse(message)
        {
            discovery.expire(now);
            discovery.advertised(now, source, &advertisement);
            // It has addresses to probe, and another deadline.
            self.dirty.push(SYSTEM);
            self.reconfigure(now);
        }
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
