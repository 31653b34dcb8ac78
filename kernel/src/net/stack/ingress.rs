//! A received frame goes to the one socket that it is for.

use alloc::boxed::Box;
use core::net::SocketAddr;

use smoltcp::socket::tcp::State;
use toro_core::Instant;
use toro_core::driver::net::Frame;

use super::{SYSTEM, Slot, Stack, Target};
use crate::net::connection::{Connection, Owner, Path, Snapshot};
use crate::net::dispatch::{Segment, SegmentKind, Traffic, classify, udp_source};
use crate::net::flow::Flow;
use crate::net::link::Link;
use crate::net::pool::PooledSocket;
use crate::net::recovery::Advice;
use crate::net::share::arp_target;
use crate::net::signal::Signal;
use crate::net::time_wait::{TimeWait, Verdict, acknowledge};
use crate::net::wire;

impl<S: Signal> Stack<S> {
    /// Processes the fetched frames.
    ///
    /// A peer that receives a long answer acknowledges every segment or two. Where one bare acknowledgement directly
    /// follows another of the same connection, only the last is processed. One that comes alone may be [held](super::held).
    pub(super) fn take_in(&mut self, now: Instant) {
        if !self.link.port.has_more() {
            if self.held.as_ref().is_some_and(|held| held.until() <= now) {
                self.let_go();
            }
            return;
        }
        // The second says whether it is known to be no duplicate.
        let mut held = self.held.take().map(|held| (held.frame, held.segment, true));
        while let Some(frame) = self.link.port.receive_frame() {
            let traffic = classify(&frame, self.link.mac());
            let Some(frame) = self.set_aside(frame, &traffic) else { continue };
            if let Some((bare, previous, is_news)) = held.take() {
                match &traffic {
                    Traffic::Tcp(segment)
                        if segment.supersedes(&previous) || (is_news && segment.repeats(&previous)) =>
                    {
                        self.link.port.counters.acknowledgements_merged += 1;
                    }
                    _ => self.tcp_ingress(now, bare, &previous),
                }
            }
            let Traffic::Tcp(segment) = &traffic else {
                self.route(now, frame, &traffic);
                continue;
            };
            if !segment.is_bare_acknowledgement() {
                self.tcp_ingress(now, frame, segment);
            } else if self.link.port.has_more() {
                held = Some((frame, *segment, false));
            } else if let Err(frame) = self.hold(now, frame, *segment) {
                self.tcp_ingress(now, frame, segment);
            }
        }
        if let Some((frame, segment, _)) = held {
            self.tcp_ingress(now, frame, &segment);
        }
    }

    /// Hands a received frame to the one socket that it is for.
    pub(super) fn route(&mut self, now: Instant, frame: Frame, traffic: &Traffic) {
        match traffic {
            Traffic::Foreign => {}
            Traffic::Tcp(segment) => self.tcp_ingress(now, frame, segment),
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
            // smoltcp answers for one address that is not ours; see `Link::configure`.
            Traffic::Arp if arp_target(&frame).is_none_or(|target| !self.link.is_own(target.into())) => {}
            Traffic::Arp => self.resolution_ingress(now, frame),
            Traffic::Neighbor(neighbor) => self.neighbor_ingress(now, frame, *neighbor),
            Traffic::Router => self.router_ingress(now, &frame),
            Traffic::Refusal(datagram) => self.refusal_ingress(&frame, datagram),
            Traffic::Echo(identifier) => self.echo_ingress(now, frame, *identifier),
            Traffic::System => self.system_ingress(now, frame),
            Traffic::Query => self.query_ingress(now, frame),
        }
    }

    pub(super) fn tcp_ingress(&mut self, now: Instant, frame: Frame, segment: &Segment) {
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

    fn connection_ingress(&mut self, now: Instant, key: u32, mut frame: Frame, segment: &Segment) {
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
        if connection.path == Path::Loopback {
            // Both ends are here: nothing about it comes by the wire.
            return;
        }
        if segment.kind == SegmentKind::Open && connection.is_over() {
            // It ended in this very poll, or its reset waits for room. Who holds it keeps what was received.
            self.detach(key, None);
            return self.stray_ingress(now, frame, segment);
        }
        if segment.kind == SegmentKind::Open && connection.is_synchronized() {
            // smoltcp ignores it, but a peer that has restarted needs to hear that we have not.
            if let Some(sent) = connection.challenge(now) {
                acknowledge(&mut self.link.port, &frame, &segment.flow, sent);
            }
            return;
        }
        if segment.kind == SegmentKind::Answer && connection.state() == State::SynSent {
            connection.set_segment_size(self.link.port.agree_on_segments(&mut frame));
        }
        let advice = connection.hear(now, segment);
        if advice == Advice::Pass {
            return;
        }
        let before = connection.snapshot();
        let merged = segment.len > self.link.port.merged_beyond(&frame);
        if merged {
            connection.hurry();
        }
        self.link.ingress(now, frame, &mut connection.socket.set);
        if merged {
            connection.take_time();
        }
        if advice == Advice::Repeat {
            repeat(&mut self.link, now, connection);
        }
        if let Some(sent) = self.link.port.take_sent() {
            connection.note_sent(sent);
        }
        self.processed(key, before, segment);
    }

    /// Draws conclusions from a segment that a connection's socket has processed.
    pub(super) fn processed(&mut self, key: u32, before: Snapshot, segment: &Segment) {
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
        connection.after_ingress(before, segment.kind);
        if connection.owner == Owner::Orphan && connection.path == Path::Wire {
            self.prompt.push(key);
        } else if !(segment.is_bare_acknowledgement() && connection.is_at_rest()) {
            self.dirty.push(key);
        }
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
    fn stray_ingress(&mut self, now: Instant, mut frame: Frame, segment: &Segment) {
        if self.is_local(segment.flow.remote.ip()) {
            // What we say to ourselves does not come by the wire.
            return;
        }
        if segment.kind != SegmentKind::Open || !self.has_listener(segment.flow.local) {
            return self.system_ingress(now, frame);
        }
        let Some(mut socket) = self.socket_for(segment.flow.local.port()) else { return };
        let segment_size = self.link.port.agree_on_segments(&mut frame);
        if socket.get_mut().listen(wire::endpoint(segment.flow.local)).is_ok() {
            self.link.ingress(now, frame, &mut socket.set);
        }
        if socket.get().state() != State::SynReceived {
            // Not a good SYN after all.
            self.pool.give_back(socket);
            return;
        }
        self.half_open(socket, segment.flow, Path::Wire, segment_size);
    }

    /// Whether somebody listens to this end, and it is ours.
    pub(super) fn has_listener(&self, local: SocketAddr) -> bool {
        self.listeners.get(&local.port()).is_some_and(|listener| listener.listens_to(local.ip()))
            && self.is_local(local.ip())
    }

    /// A socket for a connection to a port that is listened to, unless there are too many.
    pub(super) fn socket_for(&mut self, port: u16) -> Option<PooledSocket> {
        let counters = &mut self.link.port.counters;
        if !self.listeners.get(&port)?.has_room() {
            counters.backlog_full += 1;
            return None;
        }
        if self.pool.in_use() >= self.config.limits.tcp_sockets {
            counters.limit_reached += 1;
            return None;
        }
        let socket = self.pool.take();
        counters.out_of_memory += u64::from(socket.is_none());
        socket
    }

    /// Takes a socket that has answered a SYN among the connections of its listener.
    pub(super) fn half_open(&mut self, socket: PooledSocket, flow: Flow, path: Path, segment_size: Option<u16>) {
        let port = flow.local.port();
        if let Some(listener) = self.listeners.get_mut(&port) {
            listener.opened();
        }
        let mut connection = Connection::new(socket, flow, Owner::HalfOpen(port), S::default());
        connection.path = path;
        connection.set_segment_size(segment_size);
        let key = self.slots.insert(Slot::Tcp(Box::new(connection)));
        self.flows.insert(flow, Target::Connection(key));
        match path {
            Path::Wire => self.prompt.push(key),
            Path::Loopback => self.dirty.push(key),
        }
    }
}

/// Tells a connection's socket again what its peer has acknowledged, so that it sends the next segment once more.
pub(super) fn repeat<S: Signal>(link: &mut Link, now: Instant, connection: &mut Connection<S>) {
    for bytes in connection.repetitions(link.mac()) {
        let Some(frame) = link.port.copy(&bytes) else { return };
        link.ingress(now, frame, &mut connection.socket.set);
    }
}
