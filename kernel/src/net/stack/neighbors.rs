//! What neighbours and routers have to say about IPv6 addresses, and what they are told.

use core::net::Ipv6Addr;

use smoltcp::wire::EthernetFrame;
use toro_core::Instant;
use toro_core::driver::net::Frame;

use super::{SYSTEM, Stack};
use crate::net::ipv6::advertisement::Advertisement;
use crate::net::ipv6::discovery::Claim;
use crate::net::ipv6::neighbor::{announce, file_by_target, message_from_link, tell};
use crate::net::neighbor::{Neighbor, NeighborKind};
use crate::net::signal::Signal;

impl<S: Signal> Stack<S> {
    /// Sends what is due to find addresses and routers; answers when there is more to do.
    pub(super) fn discover(&mut self, now: Instant) -> Option<Instant> {
        let discovery = self.discovery.as_mut()?;
        discovery.expire(now);
        while let Some(notice) = discovery.due(now) {
            let mac = self.link.mac();
            tell(&mut self.link.port, mac, notice);
        }
        let next = discovery.next(now);
        self.reconfigure(now);
        next
    }

    /// Takes in what a neighbour says about an address.
    pub(super) fn neighbor_ingress(&mut self, now: Instant, mut frame: Frame, neighbor: Neighbor) {
        let Neighbor { kind, target } = neighbor;
        match kind {
            NeighborKind::Solicitation => {}
            NeighborKind::Probe => {
                if self.is_claimed(now, &frame, target) == Claim::Wrong {
                    let mac = self.link.mac();
                    announce(&mut self.link.port, mac, target);
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
}
