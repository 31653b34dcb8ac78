//! What stacks with the same address have to do with each other: frames that arrived at one and concern another, and
//! the address itself. Nothing here waits for the others; who carries what from one to the other is not this module's
//! affair.

use alloc::boxed::Box;
use alloc::vec::Vec;

use toro_core::Instant;
use toro_core::driver::net::{Frame, MacAddress};

use super::Stack;
use crate::net::address::Addressing;
use crate::net::configuration::Configuration;
use crate::net::dispatch::{SegmentKind, Traffic, classify};
use crate::net::refusal::Datagram;
use crate::net::share::{Recipients, Stray, recipients, silence};
use crate::net::signal::Signal;

/// The most frames that wait to be carried to others; what comes beyond them is lost, as in a full ring.
const MOST_STRAYS: usize = 256;

/// Company.
impl<S: Signal> Stack<S> {
    /// Tells a stack with [`Addressing::Shared`] what it is configured with. Connections from addresses that it does not
    /// have any more end. One that finds its addresses in another way keeps them.
    pub fn set_configuration(&mut self, configuration: &Configuration) {
        if self.config.addressing == Addressing::Shared {
            self.configure(configuration.clone());
        }
    }

    /// Takes the Ethernet groups that this stack needs, if stack number 0 has to be told of them
    /// ([`set_groups_of`](Self::set_groups_of)): it alone can tell the device what to receive.
    pub fn take_groups(&mut self) -> Option<Vec<MacAddress>> {
        self.shared_groups.take()
    }

    /// Tells stack number 0 which Ethernet groups another one needs.
    pub fn set_groups_of(&mut self, seat: u16, groups: Vec<MacAddress>) {
        self.shared_groups.set(seat, groups);
        self.update_groups();
    }

    /// Takes the oldest frame that has arrived here and concerns other stacks.
    pub fn take_stray(&mut self) -> Option<Stray> {
        self.strays.pop_front()
    }

    /// Takes in a frame that arrived at another stack, as if it had arrived here and concerned nobody else.
    pub fn deliver(&mut self, now: Instant, mut frame: Frame) {
        if !self.link.port.admit(&mut frame) {
            return;
        }
        let traffic = classify(&frame, self.link.mac());
        self.route(now, frame, &traffic);
    }

    /// Takes in a frame that arrived at another stack, if there is a socket here for it.
    ///
    /// # Errors
    ///
    /// Gives it back if there is none.
    pub fn claim(&mut self, now: Instant, mut frame: Frame) -> Result<(), Frame> {
        if !self.link.port.admit(&mut frame) {
            return Ok(());
        }
        let traffic = classify(&frame, self.link.mac());
        if !self.knows(&traffic) {
            return Err(frame);
        }
        self.route(now, frame, &traffic);
        Ok(())
    }

    /// Takes in what another stack has heard, and answers for both. While no frame is free it goes unheard, which all
    /// that is said to everybody survives.
    pub fn overhear(&mut self, now: Instant, bytes: &[u8]) {
        let Some(mut frame) = self.link.port.copy(bytes) else { return };
        silence(&mut frame);
        self.deliver(now, frame);
    }

    /// Whether there is a socket here that the frame is for.
    fn knows(&self, traffic: &Traffic) -> bool {
        match traffic {
            Traffic::Tcp(segment) => {
                let local = segment.flow.local;
                let listener = self.listeners.get(&local.port()).filter(|_| segment.kind == SegmentKind::Open);
                self.flows.get(&segment.flow).is_some()
                    || listener.is_some_and(|listener| listener.listens_to(local.ip()))
            }
            Traffic::Udp(local) | Traffic::Refusal(Datagram { local, .. }) => {
                self.udp_ports.contains_key(&local.port())
            }
            Traffic::Echo(identifier) => self.echoes.contains_key(identifier),
            Traffic::Arp
            | Traffic::Neighbor(_)
            | Traffic::Router
            | Traffic::Query
            | Traffic::System
            | Traffic::Foreign => false,
        }
    }

    /// Puts a frame that concerns other stacks aside for them; gives it back if it concerns this one, too.
    pub(super) fn set_aside(&mut self, frame: Frame, traffic: &Traffic) -> Option<Frame> {
        if !self.config.seat.is_shared() {
            return Some(frame);
        }
        let is_own = |address| self.link.is_own(address);
        let stray = match recipients(self.config.seat, &frame, traffic, is_own, || self.knows(traffic)) {
            Recipients::Here => return Some(frame),
            Recipients::Leaseholder => Stray::Lease(frame),
            Recipients::Holder(search) => Stray::Lost(search, frame),
            Recipients::Everyone => {
                self.stray(Stray::News(Box::from(&frame[..])));
                return Some(frame);
            }
        };
        self.stray(stray);
        None
    }

    fn stray(&mut self, stray: Stray) {
        self.link.port.counters.strays += 1;
        if self.strays.len() < MOST_STRAYS {
            self.strays.push_back(stray);
        } else {
            self.link.port.counters.strays_lost += 1;
        }
    }
}
