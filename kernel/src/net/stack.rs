//! [`Stack`]: TCP, UDP, ICMP, ARP and DHCP over one network device, for one core.
//!
//! The protocols are smoltcp's. What is ours is everything that depends on the number of sockets:
//!
//! ```text
//!   received frame -- classify -- flow table --> connection --> poll_ingress_single with that connection's set
//!                          |          |-------> TIME-WAIT entry: answered from a few words
//!                          |          +-------> none: a SYN for a listener takes a socket from the pool
//!                          |---- UDP port ----> socket        --> the same with its set
//!                          +---- others ------> system set    --> smoltcp answers by itself
//!
//!   dirty queue <-- the application wrote, read or closed; a frame was processed; a timer is due
//!        +--> poll_egress with that socket's set, then its next deadline goes to the timers
//! ```
//!
//! A request therefore costs the same with one connection and with thousands ([`Counters::socket_polls`] counts).
//!
//! # Order
//!
//! One [`poll`](Stack::poll) sends what has become due since the last one, then takes one burst of frames in and
//! says through each socket's [`Signal`] who may go on. Its caller runs the application before the next `poll`.
//! Acknowledgements thus wait for the answers that they can ride on; those that find none leave 10 ms later.
//!
//! # Ownership
//!
//! The stack owns the device, all sockets and all their memory. The application holds ids, which cannot be copied:
//! giving one to [`close`](Stack::close) is the end of its use. The stack never calls anybody but signals.
//!
//! # Failure
//!
//! Nothing that a frame says panics or leaves the stack in disorder. Bad checksums and impossible headers are
//! dropped. A device fault ends all connections with [`NetError::NetworkDown`]. Limits answer to the application
//! with [`NetError::Exhausted`], and to peers with silence.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpAddress, IpListenEndpoint, Ipv4Cidr};
use toro_core::Instant;
use toro_core::driver::net::{Frame, NetDevice};
use toro_core::driver::{Armed, DeviceFault};

use super::address::Addressing;
use super::config::Config;
use super::connection::{Connection, Fate, Owner, Wire};
use super::dispatch::{Segment, SegmentKind, Traffic, classify, is_intact};
use super::error::NetError;
use super::flow::{Flow, FlowTable};
use super::key_queue::KeyQueue;
use super::link::{Link, Turn};
use super::listener::Listener;
use super::pool::SocketPool;
use super::port::Sent;
use super::ports::EphemeralPorts;
use super::signal::Signal;
use super::slab::Slab;
use super::system::{Lease, System};
use super::time_wait::{TIME_WAIT, TimeWait, TimeWaitQueue, Verdict, acknowledge};
use super::timers::Timers;
use super::udp::UdpEndpoint;

mod operations;
#[cfg(test)]
mod tests;

pub use operations::{Accepted, Coalescing, ConnectionId, ListenerId, UdpId};

/// The number of the system set among the sockets.
const SYSTEM: u32 = 0;
/// When to try again to hand frames to a device that had no room.
const RETRY: Duration = Duration::from_micros(500);

/// What a stack has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames received.
    pub received: u64,
    /// Frames written.
    pub transmitted: u64,
    /// How often smoltcp looked at a socket.
    pub socket_polls: u64,
    /// SYNs dropped because a backlog was full.
    pub backlog_full: u64,
    /// SYNs dropped because there was no memory for another connection.
    pub out_of_memory: u64,
    /// Answers that were lost because the device had no room for them.
    pub answers_lost: u64,
}

/// How much a stack holds at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// TCP connections and UDP sockets.
    pub sockets: usize,
    /// TCP sockets that are out of their pool.
    pub pooled_in_use: usize,
    /// Bytes of all buffers, in use or kept for the next socket.
    pub memory: usize,
    /// Flows that are looked up: attached connections and TIME-WAIT entries.
    pub flows: usize,
}

/// Whether a poll has done anything.
#[must_use = "a core may sleep only when nothing was done"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Frames moved, or there is more to do.
    Some,
    /// There was nothing to do.
    None,
}

enum Slot<S> {
    System,
    Tcp(Box<Connection<S>>),
    Udp(Box<UdpEndpoint<S>>),
}

enum Target {
    Connection(u32),
    TimeWait(TimeWait),
}

/// A network stack. See the [module](self) documentation.
pub struct Stack<S> {
    link: Link,
    config: Config,
    slots: Slab<Slot<S>>,
    system: System,
    pool: SocketPool,
    flows: FlowTable<Target>,
    time_wait: TimeWaitQueue,
    listeners: BTreeMap<u16, Listener<S>>,
    udp_ports: BTreeMap<u16, u32>,
    ephemeral: EphemeralPorts,
    timers: Timers,
    dirty: KeyQueue,
    awaiting_neighbor: KeyQueue,
    /// Called when the interface gains or loses its address.
    configured: S,
    /// The device had no room at the end of the last poll.
    retry_at: Option<Instant>,
    /// Everybody has been told of the device's fault.
    failed: bool,
}

impl<S: Signal> Stack<S> {
    /// A stack over a device that nobody else uses. `configured` is called when its address changes.
    pub fn new(device: Box<dyn NetDevice>, config: Config, configured: S, now: Instant) -> Self {
        let mut slots = Slab::new();
        let system = slots.insert(Slot::System);
        debug_assert_eq!(system, SYSTEM, "the first number of a slab is 0");
        let mut stack = Self {
            link: Link::new(device, config.seed, now),
            slots,
            system: System::new(config.addressing),
            pool: SocketPool::new(&config),
            flows: FlowTable::new(config.seed),
            time_wait: TimeWaitQueue::new(),
            listeners: BTreeMap::new(),
            udp_ports: BTreeMap::new(),
            ephemeral: EphemeralPorts::new(config.seed ^ 0xa076_1d64_78bd_642f),
            timers: Timers::new(),
            dirty: KeyQueue::new(),
            awaiting_neighbor: KeyQueue::new(),
            configured,
            retry_at: None,
            failed: false,
            config,
        };
        if let Addressing::Static(fixed) = stack.config.addressing {
            stack.link.set_address(Some(Ipv4Cidr::new(fixed.address, fixed.prefix)), fixed.gateway);
        }
        stack.dirty.push(SYSTEM);
        stack
    }

    /// The interface's address, once it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.link.address().map(|cidr| cidr.address())
    }

    /// How the device failed, if it did.
    pub fn fault(&self) -> Option<DeviceFault> {
        self.link.port.fault()
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.link.port.counters
    }

    /// How much it holds at the moment.
    pub fn usage(&self) -> Usage {
        Usage {
            sockets: self.slots.len() - 1,
            pooled_in_use: self.pool.in_use(),
            memory: self.pool.allocated(),
            flows: self.flows.len(),
        }
    }

    /// Sends what is due and takes one burst of frames in.
    pub fn poll(&mut self, now: Instant) -> Activity {
        let before = (self.counters().received, self.counters().transmitted);
        self.expire(now);
        let refused = self.serve_all(now);
        self.link.port.flush();
        self.link.port.fetch();
        while let Some(frame) = self.link.port.receive_frame() {
            self.link.port.counters.received += 1;
            self.route(now, frame);
        }
        self.link.port.flush();
        if self.fault().is_some() {
            self.fail_all();
        }
        let waits = refused || self.link.port.is_backed_up();
        self.retry_at = waits.then(|| now.saturating_add(RETRY));
        let moved = before != (self.counters().received, self.counters().transmitted);
        if moved || (!refused && !self.dirty.is_empty()) { Activity::Some } else { Activity::None }
    }

    /// When to poll again at the latest, even if no frame arrives.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.timers.earliest(), self.time_wait.earliest(), self.retry_at].into_iter().flatten().min()
    }

    /// Asks the device for an interrupt at the next frame, then looks once more.
    pub fn arm(&mut self) -> Armed {
        // What waits for room in the device is retried at a deadline; the rest of the dirty queue is work.
        if self.retry_at.is_none() && !self.dirty.is_empty() {
            return Armed::WorkPending;
        }
        self.link.port.arm()
    }

    /// Moves what is due from the timers to the dirty queue, and ends TIME-WAIT entries.
    fn expire(&mut self, now: Instant) {
        while let Some(key) = self.timers.expired(now) {
            self.dirty.push(key);
        }
        while let Some((until, flow)) = self.time_wait.pop_due(now) {
            if let Some(Target::TimeWait(entry)) = self.flows.get(&flow)
                && entry.until == until
            {
                self.flows.remove(&flow);
            }
        }
    }

    /// Gives each dirty socket a turn to send; answers whether the device ran out of room.
    fn serve_all(&mut self, now: Instant) -> bool {
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
                Turn::Refused => {
                    self.dirty.unpop(key);
                    return true;
                }
            }
        }
        false
    }

    fn serve(&mut self, now: Instant, key: u32) -> Turn {
        match self.slots.get_mut(key) {
            None => Turn::Done(None),
            Some(Slot::System) => {
                let turn = self.link.egress(now, &mut self.system.set);
                self.follow_lease();
                turn
            }
            Some(Slot::Udp(endpoint)) => {
                let before = endpoint.readiness();
                let turn = self.link.egress(now, &mut endpoint.set);
                endpoint.report(before);
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
        connection.before_egress(now, &self.config);
        let before = connection.snapshot();
        // smoltcp closes a socket by itself for two reasons.
        let has_address = self.link.is_own(*connection.flow.local.ip());
        let turn = self.link.egress(now, &mut connection.socket.set);
        if let Some(sent) = self.link.port.take_sent() {
            connection.note_sent(sent);
        }
        connection.after_egress(before, if has_address { NetError::TimedOut } else { NetError::NetworkDown });
        let (Turn::Done(next) | Turn::AwaitsNeighbor(next)) = turn else { return turn };
        let fate = connection.fate(now, next);
        let until = connection.linger_until();
        match fate {
            Fate::Stay => {
                let next = [next, until].into_iter().flatten().min();
                return if let Turn::AwaitsNeighbor(_) = turn { Turn::AwaitsNeighbor(next) } else { Turn::Done(next) };
            }
            Fate::Remember(sent) => self.detach(key, Some((now, sent))),
            Fate::Gone => self.detach(key, None),
        }
        Turn::Done(None)
    }

    /// Takes a connection that is over off the wire, and gives it back to the pool unless somebody holds it.
    fn detach(&mut self, key: u32, remember: Option<(Instant, Sent)>) {
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
    fn release(&mut self, key: u32) {
        if let Some(Slot::Tcp(connection)) = self.slots.remove(key) {
            self.timers.cancel(key);
            if connection.wire == Wire::Attached {
                self.flows.remove(&connection.flow);
            }
            self.pool.give_back(connection.socket);
        }
    }

    fn remember(&mut self, now: Instant, flow: Flow, sent: Sent) {
        let until = now.saturating_add(TIME_WAIT);
        self.flows.insert(flow, Target::TimeWait(TimeWait { sent, until }));
        self.time_wait.push(until, flow);
    }

    /// Hands a received frame to the one socket that it is for.
    fn route(&mut self, now: Instant, frame: Frame) {
        match classify(&frame, self.link.mac()) {
            Traffic::Foreign => {}
            Traffic::Tcp(segment) => match self.flows.get(&segment.flow) {
                Some(&Target::Connection(key)) => self.connection_ingress(now, key, frame, &segment),
                Some(&Target::TimeWait(entry)) => self.time_wait_ingress(now, entry, frame, &segment),
                None => self.stray_ingress(now, frame, &segment),
            },
            Traffic::Udp(port) => {
                let key = self.udp_ports.get(&port).copied();
                if let Some(key) = key
                    && let Some(Slot::Udp(endpoint)) = self.slots.get_mut(key)
                {
                    let before = endpoint.readiness();
                    self.link.ingress(now, frame, &mut endpoint.set);
                    endpoint.report(before);
                } else {
                    self.system_ingress(now, frame);
                }
            }
            Traffic::Arp => {
                self.system_ingress(now, frame);
                if self.link.is_resolving(now) {
                    while let Some(key) = self.awaiting_neighbor.pop() {
                        self.dirty.push(key);
                    }
                }
            }
            Traffic::System => self.system_ingress(now, frame),
        }
    }

    fn system_ingress(&mut self, now: Instant, frame: Frame) {
        self.link.ingress(now, frame, &mut self.system.set);
        self.follow_lease();
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
        let listener = self.listeners.get_mut(&local.port()).filter(|listener| listener.listens_to(*local.ip()));
        let Some(listener) = listener.filter(|_| segment.kind == SegmentKind::Open && self.link.is_own(*local.ip()))
        else {
            return self.system_ingress(now, frame);
        };
        if !listener.has_room() {
            self.link.port.counters.backlog_full += 1;
            return;
        }
        let Some(mut socket) = self.pool.take() else {
            self.link.port.counters.out_of_memory += 1;
            return;
        };
        let endpoint = IpListenEndpoint { addr: Some(IpAddress::Ipv4(*local.ip())), port: local.port() };
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

    /// Does what the DHCP server says.
    fn follow_lease(&mut self) {
        let Some(change) = self.system.take_change() else { return };
        let old = self.link.address();
        match change {
            Some(Lease { address, gateway }) => self.link.set_address(Some(address), gateway),
            None => self.link.set_address(None, None),
        }
        if self.link.address() != old {
            // Connections from the old address end at their next turn.
            let keys: Vec<u32> = self.slots.keys().collect();
            keys.into_iter().for_each(|key| self.dirty.push(key));
            self.configured.readable();
        }
    }

    /// Ends all connections, once, after the device has failed.
    fn fail_all(&mut self) {
        if core::mem::replace(&mut self.failed, true) {
            return;
        }
        let keys: Vec<u32> = self.slots.keys().collect();
        for key in keys {
            if let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) {
                connection.fail(NetError::NetworkDown);
                self.detach(key, None);
            }
        }
        self.listeners.values().for_each(|listener| listener.signal.readable());
        self.configured.readable();
    }
}
