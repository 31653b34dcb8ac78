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
//! Acknowledgements thus wait for the answers that they can ride on; those that find none leave 10 ms later. What the
//! application has no say in, such as the answer to a SYN, leaves at the end of the same `poll`.
//!
//! # Ownership
//!
//! The stack owns the device, all sockets and all their memory. The application holds ids, which cannot be copied:
//! giving one to [`close`](Stack::close) is the end of its use. The stack never calls anybody but signals.
//!
//! # Company
//!
//! Where a device is divided among several cores, several stacks have the same address, each on a
//! [`Seat`](super::Seat). What arrives here and concerns others is set aside: [`take_stray`](Stack::take_stray) hands
//! it out, and its carrier gives it to the others by [`deliver`](Stack::deliver), [`claim`](Stack::claim) and
//! [`overhear`](Stack::overhear), then polls them. One of them gets the addresses; the carrier tells the others, too
//! ([`set_configuration`](Stack::set_configuration)).
//!
//! # Failure
//!
//! Nothing that a frame says panics or leaves the stack in disorder. Bad checksums and impossible headers are
//! dropped. A device fault ends all connections with [`NetError::NetworkDown`]. Limits answer to the application
//! with [`NetError::Exhausted`] and [`NetError::LimitReached`], and to peers with silence.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use toro_core::Instant;
use toro_core::driver::net::NetDevice;
use toro_core::driver::{Armed, DeviceFault};

use super::address::Addressing;
use super::config::Config;
use super::configuration::Configuration;
use super::connection::Connection;
use super::echo::EchoEndpoint;
use super::error::NetError;
use super::flow::FlowTable;
use super::ipv6::Discovery;
use super::key_queue::KeyQueue;
use super::limits::Limits;
use super::link::Link;
use super::listener::Listener;
use super::loopback::Loopback;
use super::membership::{Answering, Membership, SharedGroups};
use super::pool::SocketPool;
use super::ports::EphemeralPorts;
use super::share::Stray;
use super::signal::Signal;
use super::slab::Slab;
use super::system::{Lease, System};
use super::time_wait::{TimeWait, TimeWaitQueue};
use super::timers::Timers;
use super::udp::UdpEndpoint;
use crate::sorted_map::SortedMap;

mod addresses;
mod changes;
mod company;
mod connections;
mod datagrams;
mod echo;
mod egress;
mod held;
mod ingress;
mod listeners;
mod loopback;
#[cfg(feature = "ipv6")]
mod neighbors;
#[cfg(not(feature = "ipv6"))]
#[path = "stack/no_neighbors.rs"]
mod neighbors;
mod options;
#[cfg(test)]
pub(crate) mod tests;

use changes::Watch;
pub use connections::{Coalescing, ConnectionId};
pub use datagrams::UdpId;
pub use echo::EchoId;
use egress::earlier;
use held::Held;
pub use listeners::{Accepted, ListenerId};
pub(crate) use options::HOP_LIMIT;

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
    /// Bare acknowledgements that were not processed because the next frame said more.
    pub acknowledgements_merged: u64,
    /// How often smoltcp looked at a socket.
    pub socket_polls: u64,
    /// SYNs dropped because a backlog was full.
    pub backlog_full: u64,
    /// SYNs dropped because there were as many connections as the [limits](super::Limits) allow.
    pub limit_reached: u64,
    /// SYNs dropped because there was no memory for another connection.
    pub out_of_memory: u64,
    /// Answers that were lost because the device had no room for them.
    pub answers_lost: u64,
    /// Frames that were dropped because a checksum was wrong.
    pub bad_checksums: u64,
    /// Packets that arrived in several buffers.
    pub merged: u64,
    /// Those of them that were lost, or a part of them was: malformed, or there was nothing to copy them into.
    pub merged_lost: u64,
    /// Frames that arrived here and concern other stacks.
    pub strays: u64,
    /// Those of them that were lost because nobody came for them.
    pub strays_lost: u64,
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
#[must_use = "a core may sleep only when there is no more to do"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// There is more to do, or likely to be.
    Some,
    /// Frames moved, and until others come there is no more to do.
    Moved,
    /// There was nothing to do.
    None,
}

enum Slot<S> {
    System,
    Tcp(Box<Connection<S>>),
    Udp(Box<UdpEndpoint<S>>),
    Echo(Box<EchoEndpoint<S>>),
}

enum Target {
    Connection(u32),
    TimeWait(TimeWait),
}

/// A network stack. See the [module](self) documentation.
pub struct Stack<S> {
    link: Link,
    loopback: Loopback,
    config: Config,
    slots: Slab<Slot<S>>,
    system: System,
    /// Our IPv6 addresses, unless there are none or another stack finds them.
    discovery: Option<Discovery>,
    /// What a DHCP server has decided.
    lease: Option<Lease>,
    /// What holds.
    configuration: Configuration,
    /// How often that has changed.
    configuration_version: u32,
    membership: Membership,
    /// The Ethernet groups that the stacks which share the device need.
    shared_groups: SharedGroups,
    /// A router wants to know of groups.
    answering: Option<Answering>,
    pool: SocketPool,
    flows: FlowTable<Target>,
    time_wait: TimeWaitQueue,
    listeners: SortedMap<u16, Listener<S>>,
    udp_ports: SortedMap<u16, u32>,
    /// Who sends echo requests, by identifier.
    echoes: SortedMap<u16, u32>,
    ephemeral: EphemeralPorts,
    timers: Timers,
    dirty: KeyQueue,
    /// Those of them that wait for nothing that the application could still say.
    prompt: KeyQueue,
    awaiting_neighbor: KeyQueue,
    watch: Watch,
    /// What waits for a segment that says more.
    held: Option<Held>,
    /// What concerns other stacks, oldest first.
    strays: VecDeque<Stray>,
    /// Called when the interface gains or loses an address.
    configured: S,
    /// The device had no room at the end of the last poll.
    retry_at: Option<Instant>,
    /// Everybody has been told of the device's fault.
    failed: bool,
}

impl<S: Signal> Stack<S> {
    /// A stack over a device that nobody else uses. `configured` is called when its configuration changes.
    pub fn new(device: Box<dyn NetDevice>, config: Config, configured: S, now: Instant) -> Self {
        let mut slots = Slab::new();
        let system = slots.insert(Slot::System);
        debug_assert_eq!(system, SYSTEM, "the first number of a slab is 0");
        let link = Link::new(device, config.seed, now);
        let finds_addresses = config.addressing != Addressing::Shared && link.carries_ipv6();
        let discovery = finds_addresses.then(|| Discovery::new(link.mac(), config.addressing6, now)).flatten();
        let mut stack = Self {
            link,
            loopback: Loopback::new(config.seed.rotate_left(32), now),
            slots,
            system: System::new(config.addressing),
            discovery,
            lease: None,
            configuration: Configuration::default(),
            configuration_version: 0,
            membership: Membership::default(),
            shared_groups: SharedGroups::default(),
            answering: None,
            pool: SocketPool::new(&config),
            flows: FlowTable::new(config.seed),
            time_wait: TimeWaitQueue::new(),
            listeners: SortedMap::new(),
            udp_ports: SortedMap::new(),
            echoes: SortedMap::new(),
            ephemeral: EphemeralPorts::new(config.seed ^ 0xa076_1d64_78bd_642f, config.seat),
            timers: Timers::new(),
            dirty: KeyQueue::new(),
            prompt: KeyQueue::new(),
            awaiting_neighbor: KeyQueue::new(),
            watch: Watch::new(now),
            held: None,
            strays: VecDeque::new(),
            configured,
            retry_at: None,
            failed: false,
            config,
        };
        stack.reconfigure(now);
        stack.update_groups();
        stack.dirty.push(SYSTEM);
        stack
    }

    /// Changes how many sockets there may be. Those that there are stay, and so do the backlogs of listeners.
    pub fn set_limits(&mut self, limits: Limits) {
        self.config.limits = limits;
    }

    /// The interface's IPv4 address, once it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.configuration.ipv4.map(|ipv4| ipv4.address)
    }

    /// The interface's addresses and what belongs to them: what the stacks that share them are to be told.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// How often the configuration has changed.
    pub fn configuration_version(&self) -> u32 {
        self.configuration_version
    }

    /// DNS servers, best first: those of [`Config`], of a DHCP server, and of routers.
    pub fn dns_servers(&self) -> &[SocketAddr] {
        &self.configuration.dns_servers
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
        let Counters { received, transmitted, .. } = self.link.port.counters;
        self.follow_changes(now);
        self.expire(now);
        let mut refused = self.serve_all(now);
        self.link.port.flush();
        self.link.port.fetch();
        self.take_in(now);
        refused |= self.serve_prompt(now);
        let returned = self.take_in_loopback(now);
        self.link.port.flush();
        if self.fault().is_some() {
            self.fail_all();
        }
        let waits = refused || self.link.port.is_backed_up();
        self.retry_at = waits.then(|| now.saturating_add(RETRY));
        let arrived = self.link.port.counters.received - received;
        // Where two came at once, a third is on its way.
        if arrived > 1 || returned || !self.loopback.is_empty() || (!refused && !self.dirty.is_empty()) {
            Activity::Some
        } else if arrived > 0 || self.link.port.counters.transmitted != transmitted {
            Activity::Moved
        } else {
            Activity::None
        }
    }

    /// When to poll again at the latest, even if no frame arrives.
    pub fn next_deadline(&self) -> Option<Instant> {
        let sockets = earlier(self.timers.earliest(), self.time_wait.earliest());
        let sockets = earlier(sockets, self.held.as_ref().map(Held::until));
        earlier(sockets, earlier(self.retry_at, self.watch.deadline()))
    }

    /// Asks the device for an interrupt at the next frame, then looks once more.
    pub fn arm(&mut self) -> Armed {
        if !self.strays.is_empty() || !self.loopback.is_empty() {
            return Armed::WorkPending;
        }
        // What waits for room in the device is retried at a deadline; the rest of the dirty queue is work.
        if self.retry_at.is_none() && !self.dirty.is_empty() {
            return Armed::WorkPending;
        }
        // What is waiting for its time has a deadline.
        if self.ask_for_changes() {
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

    /// Ends all connections, once, after the device has failed.
    fn fail_all(&mut self) {
        if core::mem::replace(&mut self.failed, true) {
            return;
        }
        let keys: Vec<u32> = self.slots.keys().collect();
        for key in keys {
            match self.slots.get_mut(key) {
                Some(Slot::Tcp(connection)) => {
                    connection.fail(NetError::NetworkDown);
                    self.detach(key, None);
                }
                Some(Slot::Udp(endpoint)) => {
                    endpoint.signal.readable();
                    endpoint.signal.writable();
                }
                Some(Slot::Echo(endpoint)) => {
                    endpoint.signal.readable();
                    endpoint.signal.writable();
                }
                Some(Slot::System) | None => {}
            }
        }
        self.listeners.values().for_each(|listener| listener.signal.readable());
        self.configured.readable();
    }
}
