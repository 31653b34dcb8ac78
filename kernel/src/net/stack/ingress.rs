//! A received frame goes to the one socket that it is for.

use alloc::boxed::Box;

use smoltcp::socket::tcp::State;
use smoltcp::wire::IpListenEndpoint;
use toro_core::Instant;
use toro_core::driver::net::Frame;

use super::{SYSTEM, Slot, Stack, Target};
use crate::net::connection::{Connection, Owner};
use crate::net::dispatch::{Segment, SegmentKind, Traffic, classify, is_intact, udp_source};
use crate::net::extension::take_off;
use crate::net::flow::Flow;
use crate::net::signal::Signal;
use crate::net::time_wait::{TimeWait, Verdict, acknowledge};

impl<S: Signal> Stack<S> {
    /// Processes the fetched frames.
    ///
    /// A peer that receives a long answer acknowledges every segment or two. Where one bare acknowledgement directly
    /// follows another of the same connection, only the last is processed.
    pub(super) fn take_in(&mut self, now: Instant) {
        let mut held: Option<(Frame, Segment)> = None;
        while let Some(mut frame) = self.link.port.receive_frame() {
            self.link.port.counters.received += 1;
            if take_off(&mut frame).is_err() {
                continue;
            }
            let traffic = classify(&frame, self.link.mac());
            let Some(frame) = self.set_aside(frame, &traffic) else { continue };
            if let Some((bare, previous)) = held.take() {
                match &traffic {
                    Traffic::Tcp(segment) if segment.supersedes(&previous) => {
                        self.link.port.counters.acknowledgements_merged += 1;
                    }
                    _ => self.tcp_ingress(now, bare, &previous),
                }
            }
            match traffic {
                Traffic::Tcp(segment) if segment.is_bare_acknowledgement() => held = Some((frame, segment)),
                _ => self.route(now, frame, traffic),
            }
        }
        if let Some((frame, segment)) = held {
            self.tcp_ingress(now, frame, &segment);
        }
    }

    /// Hands a received frame to the one socket that it is for.
    pub(super) fn route(&mut self, now: Instant, frame: Frame, traffic: Traffic) {
        match traffic {
            Traffic::Foreign => {}
            Traffic::Tcp(segment) => self.tcp_ingress(now, frame, &segment),
            Traffic::Udp(local) => {
                let key = self.udp_ports.get(&local.port()).copied();
                if let Some(key) = key
                    && let Some(Slot::Udp(endpoint)) = self.slots.get_mut(key)
                    && endpoint.serves(local.ip())
                    && (endpoint.peer().is_none()
                        || udp_source(&frame).is_some_and(|source| endpoint.listens_to(source)))
                {
                    self.link.ingress(now, frame, &mut endpoint.set);
                    endpoint.report_arrival();
                } else {
                    self.system_ingress(now, frame);
                }
            }
            Traffic::Arp => self.resolution_ingress(now, frame),
            Traffic::Neighbor(neighbor) => self.neighbor_ingress(now, frame, neighbor),
            Traffic::Router => self.router_ingress(now, &frame),
            Traffic::Refusal(datagram) => self.refusal_ingress(&frame, &datagram),
            Traffic::Query => self.query_ingress(now, frame),
            Traffic::System => self.system_ingress(now, frame),
        }
    }

    fn tcp_ingress(&mut self, now: Instant, frame: Frame, segment: &Segment) {
        match self.flows.get(&segment.flow) {
            Some(&Target::Connection(key)) => self.connection_ingress(now, key, frame, segment),
            Some(&Target::TimeWait(entry)) => self.time_wait_ingress(now, entry, frame, segment),
            None => self.stray_ingress(now, frame, segment),
        }
    }

    /// Lets smoltcp learn where a neighbour is, and wakes who may have waited for that.
    pub(super) fn resolution_ingress(&mut self, now: Instant, frame: Frame) {
        self.system_ingress(now, frame);
        if self.link.is_resolving(now) {
            while let Some(key) = self.awaiting_neighbor.pop() {
                self.dirty.push(key);
            }
        }
    }

    pub(super) fn system_ingress(&mut self, now: Instant, frame: Frame) {
        self.link.ingress(now, frame, &mut self.system.set);
        self.follow_lease(now);
        if self.system.has_client() {
            self.dirty.push(SYSTEM);
        }
    }

    fn connection_ingress(&mut self, now: Instant, key: u32, frame: Frame, segment: &Segment) {
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
        if segment.kind == SegmentKind::Open && connection.is_synchronized() {
            // smoltcp ignores it, but a peer that has restarted needs to hear that we have not.
            if is_intact(&frame)
                && let Some(sent) = connection.challenge(now)
            {
                acknowledge(&mut self.link.port, &frame, &segment.flow, sent);
            }
            return;
        }
        let before = connection.snapshot();
        self.link.ingress(now, frame, &mut connection.socket.set);
        if let Some(sent) = self.link.port.take_sent() {
            connection.note_sent(sent);
        }
        connection.after_ingress(before, segment.kind);
        self.dirty.push(key);
        if let Owner::HalfOpen(port) = connection.owner
            && connection.is_synchronized()
            && let Some(listener) = self.listeners.get_mut(&port)
        {
            connection.owner = Owner::Queued(port);
            listener.completed(key);
            listener.signal.readable();
        }
    }

    fn time_wait_ingress(&mut self, now: Instant, entry: TimeWait, frame: Frame, segment: &Segment) {
        if !is_intact(&frame) {
            return;
        }
        match entry.judge(segment) {
            Verdict::Ignore => {}
            Verdict::Acknowledge => acknowledge(&mut self.link.port, &frame, &segment.flow, entry.sent),
            Verdict::Refresh => {
                acknowledge(&mut self.link.port, &frame, &segment.flow, entry.sent);
                self.remember(now, segment.flow, entry.sent);
            }
            Verdict::Forget => {
                self.flows.remove(&segment.flow);
            }
            Verdict::Reopen => {
                self.flows.remove(&segment.flow);
                self.stray_ingress(now, frame, segment);
            }
        }
    }

    /// Processes a segment that belongs to no connection: it may open one, else smoltcp answers with a reset.
    fn stray_ingress(&mut self, now: Instant, frame: Frame, segment: &Segment) {
        let Flow { local, remote: _ } = segment.flow;
        let listener = self.listeners.get_mut(&local.port()).filter(|listener| listener.listens_to(local.ip()));
        let Some(listener) = listener.filter(|_| segment.kind == SegmentKind::Open && self.link.is_own(local.ip()))
        else {
            return self.system_ingress(now, frame);
        };
        if !listener.has_room() {
            self.link.port.counters.backlog_full += 1;
            return;
        }
        if self.pool.in_use() >= self.config.limits.tcp_sockets {
            self.link.port.counters.limit_reached += 1;
            return;
        }
        let Some(mut socket) = self.pool.take() else {
            self.link.port.counters.out_of_memory += 1;
            return;
        };
        let endpoint = IpListenEndpoint::from(local);
        if socket.get_mut().listen(endpoint).is_ok() {
            self.link.ingress(now, frame, &mut socket.set);
        }
        if socket.get().state() != State::SynReceived {
            // Not a good SYN after all.
            self.pool.give_back(socket);
            return;
        }
        listener.opened();
        let connection = Connection::new(socket, segment.flow, Owner::HalfOpen(local.port()), S::default());
        let key = self.slots.insert(Slot::Tcp(Box::new(connection)));
        self.flows.insert(segment.flow, Target::Connection(key));
        self.dirty.push(key);
    }
}
