//! The core's network interface: its [`Stack`], polled by the core's loop, and the queues of waiting threads.
//!
//! Threads reach the stack through the [`Interface`] of their core, one operation at a time: an operation never
//! waits while it has the stack. Who has to wait does so in the [`Queues`] of its socket, which the stack wakes
//! when it is polled. Threads are cooperative, so nothing happens between an attempt that fails and the wait.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell, RefMut};
use core::fmt::Display;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::num::NonZeroU16;
use core::str::FromStr;

use toro_core::driver::net::{MacAddress, NetDevice};

use super::address::Addressing;
use super::address6::Addressing6;
use super::company::{Group, Place};
use super::config::Config;
use super::configuration::{Configuration, DNS_PORT, MOST_DNS_SERVERS};
use super::dns;
use super::error::NetError;
use super::flow::mix;
use super::ipv6;
use super::limits::{Limits, number};
use super::no_wire::NoWire;
use super::patience::Wait;
use super::poll::Waiting;
use super::readiness::Readiness;
use super::share::Seat;
use super::signal::Signal;
use super::stack::{Activity, Counters, Stack, Usage};
use crate::arch::milestone::reach;
use crate::core::{self as cores, CoreId, run_on};
use crate::core_local;
use crate::env;
use crate::io::{ErrorKind, Result};
use crate::mm;
use crate::sched::{Armed, Poller, Progress, WaitQueue, Wake, register_poller};
use crate::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Socket buffers may take up this part of the memory that is free at first, within limits.
const SHARE_OF_MEMORY: u64 = 4;
const LEAST_MEMORY: usize = 1 << 20;
const MOST_MEMORY: usize = 256 << 20;

core_local! {
    static INTERFACE: OnceCell<&'static Interface> = OnceCell::new();
}

/// Where threads wait for a socket.
#[derive(Clone, Default)]
pub(crate) struct Queues(Rc<Queue>);

#[derive(Default)]
struct Queue {
    readable: WaitQueue,
    writable: WaitQueue,
}

impl Queues {
    /// Threads that want to read or to accept.
    pub(crate) fn readable(&self) -> &WaitQueue {
        &self.0.readable
    }

    /// Threads that want to write or to connect.
    pub(crate) fn writable(&self) -> &WaitQueue {
        &self.0.writable
    }

    /// Where to wait for any of `wanted`. Errors and ends wake both queues.
    pub(crate) fn wanted(&self, wanted: Readiness) -> impl Iterator<Item = &WaitQueue> + Clone {
        let writes = wanted.contains(Readiness::WRITABLE);
        let reads = wanted.intersects(Readiness::READABLE | Readiness::READ_CLOSED) || !writes;
        let queues = [(reads, self.readable()), (writes, self.writable())];
        queues.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, queue)| queue)
    }
}

impl Signal for Queues {
    fn readable(&self) {
        self.0.readable.wake_all();
    }

    fn writable(&self) {
        self.0.writable.wake_all();
    }
}

/// How far a core's packets get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// As far as its network device.
    Wire,
    /// Back to the core: it has no device.
    Loopback,
}

/// A core's network interface. It stays for the life of the machine.
pub(crate) struct Interface {
    stack: RefCell<Stack<Queues>>,
    configured: Queues,
    reach: Reach,
}

impl Interface {
    /// The interface of the calling core. Where there is no device, it is one that reaches the core itself.
    pub(crate) fn current() -> &'static Self {
        Self::existing().unwrap_or_else(|| {
            let config = Config { addressing: Addressing::Shared, ..config(NoWire.mac()) };
            Self::start(Box::new(NoWire), config, Reach::Loopback, None)
        })
    }

    /// The interface of the calling core, if there is one already.
    pub(crate) fn existing() -> Option<&'static Self> {
        INTERFACE.get().get().copied()
    }

    /// Makes the calling core's interface and has it polled.
    fn start(device: Box<dyn NetDevice>, config: Config, reach: Reach, company: Place) -> &'static Self {
        let configured = Queues::default();
        let stack = Stack::new(device, config, configured.clone(), Instant::now().into());
        // Whoever asks for it first may have a small stack: it is moved from there once, and as a pointer from then on.
        let interface = Box::leak(Box::new(Self { stack: RefCell::new(stack), configured, reach }));
        let interface: &'static Self = INTERFACE.get().get_or_init(|| interface);
        register_poller(Box::new(StackPoller { interface, company, said: Configuration::default(), version: 0 }));
        interface
    }

    /// The stack, for one operation.
    ///
    /// # Panics
    ///
    /// If a closure that looks at bytes in the stack calls the network again.
    pub(crate) fn stack(&self) -> RefMut<'_, Stack<Queues>> {
        self.stack.try_borrow_mut().expect("a closure that has bytes of a socket neither waits nor uses sockets")
    }

    /// Attempts an operation, and again each time that `queue` is woken, until it does not answer `WouldBlock` or the
    /// patience is at its end.
    pub(crate) fn wait<T>(
        &self,
        queue: &WaitQueue,
        wait: Wait,
        mut attempt: impl FnMut(&mut Stack<Queues>) -> core::result::Result<T, NetError>,
    ) -> Result<T> {
        let mut waiting = Waiting::new(wait);
        let mut last = Wake::Notified;
        loop {
            let outcome = attempt(&mut self.stack());
            match outcome {
                Err(NetError::WouldBlock) if last == Wake::TimedOut && wait == Wait::Not => {
                    return Err(ErrorKind::WouldBlock.into());
                }
                Err(NetError::WouldBlock) if last == Wake::TimedOut => return Err(ErrorKind::TimedOut.into()),
                Err(NetError::WouldBlock) => {}
                other => return other.map_err(Into::into),
            }
            last = waiting.wait(core::iter::once(queue));
        }
    }
}

/// Lets the core's loop drive the stack.
struct StackPoller {
    interface: &'static Interface,
    /// The other stacks with its address, if there are any.
    company: Place,
    /// What was last said about the configuration.
    said: Configuration,
    version: u32,
}

impl StackPoller {
    /// Whether another stack finds the addresses, and announces them.
    fn is_told(&self) -> bool {
        self.company.as_ref().is_some_and(|company| company.is_told())
    }

    /// Says, to the log and to the other stacks, that the configuration has changed.
    fn announce(&mut self, configuration: Configuration) {
        if let Some(company) = &self.company {
            company.tell_configuration(&configuration);
        }
        let (old, new) = (&self.said, &configuration);
        for address in new.addresses().filter(|&address| !old.addresses().any(|other| other == address)) {
            log::info!("net: the address is {address}");
            if address.is_ipv4() {
                reach!(Network);
            }
        }
        for address in old.addresses().filter(|&address| !new.addresses().any(|other| other == address)) {
            log::warn!("net: the address {address} was lost");
        }
        self.said = configuration;
    }
}

impl Poller for StackPoller {
    fn poll(&mut self, now: Instant) -> Progress {
        let mut stack = self.interface.stack();
        if let Some(company) = &self.company {
            company.read(&mut stack, now.into());
        }
        let activity = stack.poll(now.into());
        if let Some(company) = &self.company {
            company.send_strays(&mut stack);
        }
        let version = stack.configuration_version();
        if self.version != version {
            self.version = version;
            let configuration = stack.configuration().clone();
            drop(stack);
            if !self.is_told() {
                self.announce(configuration);
            }
        }
        match activity {
            Activity::Some => Progress::Made,
            // Nothing is left to do; whoever was woken is ready.
            Activity::Moved | Activity::None => Progress::None,
        }
    }

    fn arm(&mut self) -> Armed {
        let armed = self.interface.stack().arm();
        if self.company.as_ref().is_some_and(|company| company.has_letters()) { Armed::WorkPending } else { armed }
    }

    fn deadline(&self) -> Option<Instant> {
        self.interface.stack().next_deadline().map(Into::into)
    }
}

/// Takes a network device into service on this core: makes its stack, which looks for addresses at once, as the words `ip=`,
/// `ip6=` (see [`Addressing`](super::Addressing), [`Addressing6`](super::Addressing6)) and `dns=` (addresses of DNS
/// servers, with commas between them) of the command line say, or `NAME.ip=` and so on with the device's name, which go
/// before.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] if this core has a network device already, or has begun to talk to itself without one. The
/// new device is dropped.
pub fn attach(name: &str, device: Box<dyn NetDevice>) -> Result<()> {
    attach_seat(name, device, Seat::ALONE, None)
}

/// Takes a network device with several queue pairs into service: each of `cores` gets a pair and a stack on it, and all
/// have the same address.
///
/// # Errors
///
/// As for [`attach`]. The pairs on other cores work all the same.
pub fn attach_queues(name: &str, queues: Vec<Box<dyn NetDevice>>, cores: &[CoreId]) -> Result<()> {
    let of = u16::try_from(queues.len().min(cores.len())).ok().and_then(NonZeroU16::new).ok_or(ErrorKind::NotFound)?;
    let group = Group::new(cores.iter().copied().take(usize::from(of.get())));
    let mut result = Ok(());
    // The first pair last: its stack asks for the address, and the answer may come to any of the others.
    for ((index, queue), &core) in (0..).zip(queues).zip(cores).collect::<Vec<_>>().into_iter().rev() {
        let Some(seat) = Seat::new(index, of) else { continue };
        let (group, name) = (group.clone(), String::from(name));
        let attached = run_on(core, move || attach_seat(&name, queue, seat, Some(Box::new(group.join(seat)))));
        result = result.and(attached);
    }
    result
}

/// A word of the command line about the device `name`, or about all of them. One that makes no sense counts for `T`'s
/// default, which `instead` describes.
fn word<T: FromStr<Err: Display> + Default>(name: &str, key: &str, instead: &str) -> T {
    let word = env::option(&format!("{name}.{key}")).or_else(|| env::option(key));
    match word.map(str::parse) {
        None => T::default(),
        Some(Ok(value)) => value,
        Some(Err(error)) => {
            log::error!("net: {key}={}: {error}; {instead} instead", word.unwrap_or_default());
            T::default()
        }
    }
}

/// The DNS servers of the word `dns=`.
#[derive(Default)]
struct DnsServers(Vec<SocketAddr>);

impl FromStr for DnsServers {
    type Err = &'static str;

    fn from_str(text: &str) -> core::result::Result<Self, &'static str> {
        let server = |word: &str| match word.parse() {
            Ok(address) => Some(SocketAddr::new(address, DNS_PORT)),
            Err(_) => word.parse().ok(),
        };
        let servers: Option<Vec<SocketAddr>> = text.split(',').map(server).collect();
        let servers = servers.ok_or("expected ADDRESS or ADDRESS:PORT, with commas between them")?;
        if servers.len() > MOST_DNS_SERVERS { Err("too many addresses") } else { Ok(Self(servers)) }
    }
}

fn attach_seat(name: &str, device: Box<dyn NetDevice>, seat: Seat, company: Place) -> Result<()> {
    if Interface::existing().is_some() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let addressing = if seat.index() == 0 { word(name, "ip", "asking a DHCP server") } else { Addressing::Shared };
    let addressing6 = if ipv6::IS_THERE { word(name, "ip6", "asking routers") } else { Addressing6::None };
    let DnsServers(dns_servers) = if dns::IS_THERE { word(name, "dns", "knowing none") } else { DnsServers::default() };
    let mac = device.mac();
    let config = Config { addressing, addressing6, dns_servers, seat, ..config(mac) };
    match company {
        None => log::info!("net: attached {mac}"),
        Some(_) => log::info!("net: attached {mac}, queue pair {} on core {}", seat.index(), cores::current()),
    }
    Interface::start(device, config, Reach::Wire, company);
    Ok(())
}

/// What does not depend on the device.
fn config(mac: MacAddress) -> Config {
    let memory = mm::free_memory() / SHARE_OF_MEMORY / cores::count() as u64;
    let memory = usize::try_from(memory).unwrap_or(usize::MAX).clamp(LEAST_MEMORY, MOST_MEMORY);
    let memory = memory_word().unwrap_or(memory);
    Config { seed: seed(mac.0), memory, limits: limits(), ..Config::default() }
}

/// What the application has said of limits.
static LIMITS: spin::Mutex<Option<Limits>> = spin::Mutex::new(None);

/// The limits for a core's sockets: the command line's, else the application's, else the usual ones.
fn limits() -> Limits {
    let mut limits = LIMITS.lock().unwrap_or_default();
    if let Err(error) = limits.read(env::option) {
        log::error!("net: {error}");
    }
    limits
}

/// What the word `net.memory=` says, in bytes.
fn memory_word() -> Option<usize> {
    match number("net.memory", &env::option) {
        Ok(mebibytes) => mebibytes.map(|mebibytes| mebibytes.saturating_mul(1 << 20)),
        Err(error) => {
            log::error!("net: {error}");
            None
        }
    }
}

/// Sets how many sockets a core may have: for this core from now on, and for those whose device is attached later. An
/// application that wants to be first calls it from the function that it names as `owners:` in [`entry!`](crate::entry).
/// The [words](Limits) of the command line go before it. Sockets that there are already stay.
pub fn set_limits(limits: Limits) {
    *LIMITS.lock() = Some(limits);
    if let Some(interface) = Interface::existing() {
        interface.stack().set_limits(self::limits());
    }
}

/// What differs from boot to boot: the time stamp counter, the time of day and the address of the device. Not a
/// secret for somebody on the same host.
pub(super) fn seed(mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let mac = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    mix(mix(mix(crate::arch::cpu::time_stamp()) ^ day) ^ mac)
}

/// Whether this core has a network device.
pub fn is_attached() -> bool {
    Interface::existing().is_some_and(|interface| interface.reach == Reach::Wire)
}

/// The IPv4 address of this core's interface, once it has one.
pub fn local_address() -> Option<Ipv4Addr> {
    Interface::existing()?.stack().address()
}

/// All that this core's interface is configured with at the moment: its addresses of both families, its IPv6 gateway, and
/// DNS servers.
///
/// # Errors
///
/// [`ErrorKind::NetworkDown`]: this core has no network device.
pub fn configuration() -> Result<Configuration> {
    let interface = Interface::existing().filter(|interface| interface.reach == Reach::Wire);
    Ok(interface.ok_or(ErrorKind::NetworkDown)?.stack().configuration().clone())
}

/// How much this core's network holds at the moment; none if the core has no network device.
pub fn usage() -> Option<Usage> {
    Some(Interface::existing()?.stack().usage())
}

/// What this core's network has done so far; none if the core has no network device.
pub fn counters() -> Option<Counters> {
    Some(Interface::existing()?.stack().counters())
}

/// Waits until the interface has an IPv4 address, and returns it.
///
/// # Errors
///
/// - [`ErrorKind::NetworkDown`]: this core has no network device, or it has failed;
/// - [`ErrorKind::TimedOut`]: no DHCP server has answered in time.
pub fn wait_until_configured(timeout: Duration) -> Result<Ipv4Addr> {
    wait_for(timeout, |configuration| configuration.ipv4.map(|ipv4| ipv4.address))
}

/// Waits until the interface has an IPv6 address that is not only for the link, and returns it.
///
/// # Errors
///
/// - [`ErrorKind::NetworkDown`]: this core has no network device, or it has failed;
/// - [`ErrorKind::TimedOut`]: no router has answered in time.
pub fn wait_until_configured6(timeout: Duration) -> Result<Ipv6Addr> {
    wait_for(timeout, Configuration::global6)
}

/// Waits until the interface has an address of either family that is not only for the link, and returns it; the IPv4 one
/// if it has both.
///
/// # Errors
///
/// As for [`wait_until_configured`].
pub fn wait_until_configured_any(timeout: Duration) -> Result<IpAddr> {
    wait_for(timeout, |configuration| {
        let ipv4 = configuration.ipv4.map(|ipv4| IpAddr::V4(ipv4.address));
        ipv4.or_else(|| configuration.global6().map(IpAddr::V6))
    })
}

/// Waits until there is what `find` looks for in the configuration.
fn wait_for<T>(timeout: Duration, find: impl Fn(&Configuration) -> Option<T>) -> Result<T> {
    let interface = Interface::existing().filter(|interface| interface.reach == Reach::Wire);
    let interface = interface.ok_or(ErrorKind::NetworkDown)?;
    interface.wait(interface.configured.readable(), Wait::AtMost(timeout), |stack| match stack.fault() {
        Some(_) => Err(NetError::NetworkDown),
        None => find(stack.configuration()).ok_or(NetError::WouldBlock),
    })
}
