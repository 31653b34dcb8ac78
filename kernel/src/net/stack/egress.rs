//! Who has to send gets a turn, and what is over is cleared away.

use toro_core::Instant;

use super::ingress::repeat;
use super::{Slot, Stack, Target};
use crate::net::connection::{Fate, Owner, Path, Wire};
use crate::net::error::NetError;
use crate::net::flow::Flow;
use crate::net::link::Turn;
use crate::net::loopback;
use crate::net::offload::Sent;
use crate::net::port::Wish;
use crate::net::signal::Signal;
use crate::net::time_wait::{TIME_WAIT, TimeWait};

impl<S: Signal> Stack<S> {
    /// Gives each dirty socket a turn to send; answers whether the device ran out of room.
    ///
    /// Where it ran out of long frames only, those who want none still have their turns.
    pub(super) fn serve_all(&mut self, now: Instant) -> bool {
        let mut refused = false;
        for _ in 0..self.dirty.len() {
            let Some(key) = self.dirty.pop() else { break };
            match self.serve(now, key) {
                Turn::Done(Some(at)) => self.timers.set(key, at),
                Turn::Done(None) => {}
                Turn::AwaitsNeighbor(next) => {
                    self.awaiting_neighbor.push(key);
                    if let Some(at) = next {
                        self.timers.set(key, at);
                    }
                }
                Turn::More => self.dirty.push(key),
                Turn::Refused if self.link.port.has_room() => {
                    self.dirty.push(key);
                    refused = true;
                }
                Turn::Refused => {
                    self.dirty.unpop(key);
                    return true;
                }
            }
        }
        refused
    }

    /// Gives those their turns who wait for nobody here; answers whether the device ran out of room.
    pub(super) fn serve_prompt(&mut self, now: Instant) -> bool {
        if self.prompt.is_empty() {
            return false;
        }
        core::mem::swap(&mut self.dirty, &mut self.prompt);
        let refused = self.serve_all(now);
        core::mem::swap(&mut self.dirty, &mut self.prompt);
        while let Some(key) = self.prompt.pop() {
            self.dirty.push(key);
        }
        refused
    }

    fn serve(&mut self, now: Instant, key: u32) -> Turn {
        match self.slots.get_mut(key) {
            None => Turn::Done(None),
            Some(Slot::System) => {
                let turn = self.link.egress(now, &mut self.system.set, Wish::SHORT);
                self.follow_lease(now);
                let answering = self.answering.and_then(|answering| answering.next(now));
                let next = earlier(self.discover(now), answering);
                match turn {
                    Turn::Done(at) => Turn::Done(earlier(at, next)),
                    Turn::AwaitsNeighbor(at) => Turn::AwaitsNeighbor(earlier(at, next)),
                    Turn::More | Turn::Refused => turn,
                }
            }
            Some(Slot::Udp(endpoint)) => {
                let before = endpoint.backlog();
                let turn = self.link.egress(now, &mut endpoint.set, Wish::SHORT);
                endpoint.report_room(before);
                turn
            }
            Some(Slot::Echo(endpoint)) => {
                let had_room = endpoint.can_send();
                let turn = self.link.egress(now, &mut endpoint.set, Wish::SHORT);
                if !had_room && endpoint.can_send() {
                    endpoint.signal.writable();
                }
                turn
            }
            Some(Slot::Tcp(_)) => self.serve_connection(now, key),
        }
    }

    fn serve_connection(&mut self, now: Instant, key: u32) -> Turn {
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return Turn::Done(None) };
        if connection.wire == Wire::Detached {
            return Turn::Done(None);
        }
        if connection.path == Path::Wire && connection.is_overdue(now) {
            repeat(&mut self.link, now, connection);
        }
        connection.before_egress(now, &self.config);
        let before = connection.snapshot();
        let wish = connection.wish();
        // smoltcp closes a socket by itself for two reasons.
        let local = connection.flow.local.ip();
        let has_address = loopback::source_for(local).is_some() || self.link.is_own(local);
        let turn = match connection.path {
            Path::Wire if connection.is_silent() => Turn::Done(None),
            Path::Wire => {
                let turn = self.link.egress(now, &mut connection.socket.set, wish);
                connection.socket.may_wait |= self.link.is_resolving(now);
                if let Some(sent) = self.link.port.take_sent() {
                    connection.note_sent(sent);
                    connection.await_acknowledgement(now);
                }
                turn
            }
            Path::Loopback => {
                if !has_address {
                    // smoltcp does not notice on an interface that takes every address.
                    connection.fail(NetError::NetworkDown);
                }
                self.loopback.egress(now, &mut connection.socket.set)
            }
        };
        connection.after_egress(before, if has_address { NetError::TimedOut } else { NetError::NetworkDown });
        let (Turn::Done(next) | Turn::AwaitsNeighbor(next)) = turn else { return turn };
        let fate = connection.fate(now, next);
        let until = connection.patience_until();
        match fate {
            Fate::Stay => {
                let next = earlier(next, until);
                return if let Turn::AwaitsNeighbor(_) = turn { Turn::AwaitsNeighbor(next) } else { Turn::Done(next) };
            }
            Fate::Remember(sent) => self.detach(key, Some((now, sent))),
            Fate::Gone => self.detach(key, None),
        }
        Turn::Done(None)
    }

    /// Takes a connection that is over off the wire, and gives it back to the pool unless somebody holds it.
    pub(super) fn detach(&mut self, key: u32, remember: Option<(Instant, Sent)>) {
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
        self.timers.cancel(key);
        if connection.wire == Wire::Attached {
            connection.wire = Wire::Detached;
            let flow = connection.flow;
            self.flows.remove(&flow);
            if let Some((now, sent)) = remember {
                self.remember(now, flow, sent);
            }
        }
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
        match connection.owner {
            Owner::Application => return,
            Owner::Orphan => {}
            Owner::HalfOpen(port) => {
                if let Some(listener) = self.listeners.get_mut(&port) {
                    listener.failed();
                }
            }
            // What was received before the end can still be accepted and read, unless it was broken off.
            Owner::Queued(_) if connection.established().is_ok() => return,
            Owner::Queued(port) => {
                if let Some(listener) = self.listeners.get_mut(&port) {
                    listener.lost(key);
                }
            }
        }
        self.release(key);
    }

    /// Gives a connection's socket back to the pool.
    pub(super) fn release(&mut self, key: u32) {
        if let Some(Slot::Tcp(connection)) = self.slots.remove(key) {
            self.timers.cancel(key);
            if connection.wire == Wire::Attached {
                self.flows.remove(&connection.flow);
            }
            self.pool.give_back(connection.socket);
        }
    }

    pub(super) fn remember(&mut self, now: Instant, flow: Flow, sent: Sent) {
        let until = now.saturating_add(TIME_WAIT);
        self.flows.insert(flow, Target::TimeWait(TimeWait { sent, until }));
        self.time_wait.push(until, flow);
    }
}

/// The earlier of two times, of which there may be none.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
