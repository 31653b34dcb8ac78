//! What the host says to itself: packets that have come back over the [loopback interface](crate::net::loopback).
//!
//! Connections over it are ordinary ones with both ends here, each with an entry in the flow table. There is no other seat,
//! no TIME-WAIT and nothing to resolve, so less happens than when a frame arrives.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::socket::tcp::State;
use toro_core::Instant;

use super::{Slot, Stack, Target};
use crate::net::connection::Path;
use crate::net::dispatch::{Segment, SegmentKind};
use crate::net::error::NetError;
use crate::net::loopback::{Ends, IS_THERE, Kind, kind_of, source_for};
use crate::net::signal::Signal;
use crate::net::wire;

/// How many packets one poll lets come back, answers among them. The rest keeps its place in the queue.
const MOST_AT_ONCE: usize = 64;
/// The longest datagram to ourselves: half of what a socket can hold.
const LONGEST_DATAGRAM: usize = 16 << 10;

impl<S: Signal> Stack<S> {
    /// Whether packets to this address come back: it is one of loopback, or the interface's own.
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        source_for(address).is_some() || self.link.is_own(address)
    }

    /// The address from which packets go to this one, which is local.
    pub(super) fn local_source_for(&self, address: IpAddr) -> Option<IpAddr> {
        source_for(address).or_else(|| self.link.is_own(address).then_some(address)).filter(|_| IS_THERE)
    }

    /// Lets packets come back; answers whether there were any.
    pub(super) fn take_in_loopback(&mut self, now: Instant) -> bool {
        let mut any = false;
        for _ in 0..MOST_AT_ONCE {
            let Some(packet) = self.loopback.take() else { break };
            any = true;
            match kind_of(&packet) {
                Kind::Tcp(segment) => self.returned(now, packet, &segment),
                Kind::Echo(identifier) => {
                    let key = self.echoes.get(&identifier).copied();
                    if let Some(Slot::Echo(endpoint)) = key.and_then(|key| self.slots.get_mut(key)) {
                        self.loopback.ingress(now, packet, &mut endpoint.set);
                        endpoint.signal.readable();
                    }
                }
                Kind::System => self.loopback.ingress(now, packet, &mut self.system.set),
            }
        }
        any
    }

    fn returned(&mut self, now: Instant, packet: Vec<u8>, segment: &Segment) {
        match self.flows.get(&segment.flow) {
            Some(&Target::Connection(key)) => {
                let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
                if segment.kind == SegmentKind::Open && connection.is_over() {
                    self.detach(key, None);
                    return self.opened(now, packet, segment);
                }
                let before = connection.snapshot();
                self.loopback.ingress(now, packet, &mut connection.socket.set);
                self.processed(key, before, segment);
            }
            // Both ends are here, and neither leaves such an entry.
            Some(Target::TimeWait(_)) => {}
            None => self.opened(now, packet, segment),
        }
    }

    /// Processes a segment that belongs to no connection: it may open one, else smoltcp answers with a reset.
    fn opened(&mut self, now: Instant, packet: Vec<u8>, segment: &Segment) {
        if segment.kind != SegmentKind::Open || !self.has_listener(segment.flow.local) {
            return self.loopback.ingress(now, packet, &mut self.system.set);
        }
        let Some(mut socket) = self.socket_for(segment.flow.local.port()) else { return };
        if socket.get_mut().listen(wire::endpoint(segment.flow.local)).is_ok() {
            self.loopback.ingress(now, packet, &mut socket.set);
        }
        if socket.get().state() != State::SynReceived {
            self.pool.give_back(socket);
            return;
        }
        self.half_open(socket, segment.flow, Path::Loopback, None);
    }

    /// Gives a datagram to the socket of ours that it is for. If there is none, it is lost.
    pub(super) fn send_to_ourselves(&mut self, from: u32, bytes: &[u8], remote: SocketAddr) -> Result<(), NetError> {
        if bytes.len() > LONGEST_DATAGRAM {
            return Err(NetError::MessageTooLong);
        }
        let source = self.local_source_for(remote.ip()).ok_or(NetError::NetworkUnreachable)?;
        let Some(Slot::Udp(sender)) = self.slots.get_mut(from) else { return Err(NetError::NotConnected) };
        if !sender.serves(remote.ip()) {
            return Err(NetError::InvalidInput);
        }
        let (local, hop_limit) = (sender.local, sender.hop_limit());
        let source = if local.ip().is_unspecified() { source } else { local.ip() };
        let ends = Ends { source: SocketAddr::new(source, local.port()), destination: remote, hop_limit };
        let key = self.udp_ports.get(&remote.port()).copied();
        if let Some(Slot::Udp(receiver)) = key.and_then(|key| self.slots.get_mut(key))
            && receiver.serves(remote.ip())
        {
            if receiver.listens_to(ends.source) {
                self.loopback.deliver(&ends, bytes, &mut receiver.set);
                receiver.report_arrival();
            }
        } else if let Some(Slot::Udp(sender)) = self.slots.get_mut(from)
            && sender.peer() == Some(remote)
        {
            // What ICMP says of others.
            sender.refused(remote);
        }
        Ok(())
    }
}
