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
use core::net::Ipv4Addr;
use core::num::NonZeroU16;

use toro_core::driver::net::NetDevice;

use super::address::{Addressing, StaticAddress};
use super::company::{Group, Place};
use super::config::Config;
use super::error::NetError;
use super::flow::mix;
use super::share::Seat;
use super::signal::Signal;
use super::stack::{Activity, Counters, Stack, Usage};
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
    static INTERFACE: OnceCell<Interface> = OnceCell::new();
}

/// Where threads wait for a socket.
#[derive(Clone, Default)]
pub(super) struct Queues(Rc<Queue>);

#[derive(Default)]
struct Queue {
    readable: WaitQueue,
    writable: WaitQueue,
}

impl Queues {
    /// Threads that want to read or to accept.
    pub(super) fn readable(&self) -> &WaitQueue {
        &self.0.readable
    }

    /// Threads that want to write or to connect.
    pub(super) fn writable(&self) -> &WaitQueue {
        &self.0.writable
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

/// A core's network interface. It stays for the life of the machine.
pub(super) struct Interface {
    stack: RefCell<Stack<Queues>>,
    configured: Queues,
}

impl Interface {
    /// The interface of the calling core.
    pub(super) fn current() -> Result<&'static Self> {
        INTERFACE.get().get().ok_or_else(|| ErrorKind::NetworkDown.into())
    }

    /// The stack, for one operation.
    ///
    /// # Panics
    ///
    /// If a closure that looks at bytes in the stack calls the network again.
    pub(super) fn stack(&self) -> RefMut<'_, Stack<Queues>> {
        self.stack.try_borrow_mut().expect("a closure that has bytes of a socket neither waits nor uses sockets")
    }

    /// Attempts an operation, and again each time that `queue` is woken, until it does not answer `WouldBlock`.
    pub(super) fn block<T>(
        &self,
        queue: &WaitQueue,
        patience: Option<Duration>,
        mut attempt: impl FnMut(&mut Stack<Queues>) -> core::result::Result<T, NetError>,
    ) -> Result<T> {
        let mut deadline = None;
        let mut last = Wake::Notified;
        loop {
            let outcome = attempt(&mut self.stack());
            match outcome {
                Err(NetError::WouldBlock) if last == Wake::TimedOut => return Err(ErrorKind::TimedOut.into()),
                Err(NetError::WouldBlock) => {}
                other => return other.map_err(Into::into),
            }
            if deadline.is_none() {
                deadline = patience.map(|patience| Instant::now().saturating_add(patience));
            }
            last = queue.wait_until(deadline);
        }
    }
}

/// Lets the core's loop drive the stack.
struct StackPoller {
    interface: &'static Interface,
    /// The other stacks with its address, if there are any.
    company: Place,
    /// What was last said about the address.
    address: Option<StaticAddress>,
}

impl StackPoller {
    /// Whether another stack finds out the address, and announces it.
    fn is_told(&self) -> bool {
        self.company.as_ref().is_some_and(|company| company.is_told())
    }

    /// Says, to the log and to the other stacks, that the address has changed, if it has.
    fn announce(&mut self, address: Option<StaticAddress>) {
        if self.address == address {
            return;
        }
        self.address = address;
        match address {
            Some(StaticAddress { address, .. }) => log::info!("net: the address is {address}"),
            None => log::warn!("net: the address was lost"),
        }
        if let Some(company) = &self.company {
            company.tell_address(address);
        }
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
        let address = stack.configuration();
        drop(stack);
        if !self.is_told() {
            self.announce(address);
        }
        match activity {
            Activity::Some => Progress::Made,
            Activity::None => Progress::None,
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

/// Takes a network device into service on this core: makes its stack, which asks for an address at once, as the word
/// `ip=` of the command line says (see [`Addressing`]), or `NAME.ip=` with the device's name, which goes before.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] if this core has a network device already. The new one is dropped.
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

/// How the interface of the device `name` finds its address.
fn addressing(name: &str) -> Addressing {
    let word = env::option(&format!("{name}.ip")).or_else(|| env::option("ip"));
    match word.map(str::parse) {
        None => Addressing::Dhcp,
        Some(Ok(addressing)) => addressing,
        Some(Err(error)) => {
            log::error!("net: ip={}: {error}; asking a DHCP server instead", word.unwrap_or_default());
            Addressing::Dhcp
        }
    }
}

fn attach_seat(name: &str, device: Box<dyn NetDevice>, seat: Seat, company: Place) -> Result<()> {
    if INTERFACE.get().get().is_some() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let addressing = if seat.index() == 0 { addressing(name) } else { Addressing::Shared };
    let mac = device.mac();
    let memory = mm::free_memory() / SHARE_OF_MEMORY / cores::count() as u64;
    let memory = usize::try_from(memory).unwrap_or(usize::MAX).clamp(LEAST_MEMORY, MOST_MEMORY);
    let config = Config { addressing, seed: seed(mac.0), memory, seat, ..Config::default() };
    let configured = Queues::default();
    let stack = Stack::new(device, config, configured.clone(), Instant::now().into());
    let interface = INTERFACE.get().get_or_init(|| Interface { stack: RefCell::new(stack), configured });
    match company {
        None => log::info!("net: attached {mac}"),
        Some(_) => log::info!("net: attached {mac}, queue pair {} on core {}", seat.index(), cores::current()),
    }
    register_poller(Box::new(StackPoller { interface, company, address: None }));
    Ok(())
}

/// What differs from boot to boot: the time stamp counter, the time of day and the address of the device. Not a
/// secret for somebody on the same host.
fn seed(mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let mac = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    mix(mix(mix(crate::arch::cpu::time_stamp()) ^ day) ^ mac)
}

/// Whether this core has a network interface.
pub fn is_attached() -> bool {
    Interface::current().is_ok()
}

/// The address of this core's interface, once it has one.
pub fn local_address() -> Option<Ipv4Addr> {
    Interface::current().ok()?.stack().address()
}

/// How much this core's network holds at the moment; none if the core has no network device.
pub fn usage() -> Option<Usage> {
    Some(Interface::current().ok()?.stack().usage())
}

/// What this core's network has done so far; none if the core has no network device.
pub fn counters() -> Option<Counters> {
    Some(Interface::current().ok()?.stack().counters())
}

/// Waits until the interface has an address, and returns it.
///
/// # Errors
///
/// - [`ErrorKind::NetworkDown`]: this core has no network device, or it has failed;
/// - [`ErrorKind::TimedOut`]: no DHCP server has answered in time.
pub fn wait_until_configured(timeout: Duration) -> Result<Ipv4Addr> {
    let interface = Interface::current()?;
    interface.block(interface.configured.readable(), Some(timeout), |stack| match (stack.address(), stack.fault()) {
        (_, Some(_)) => Err(NetError::NetworkDown),
        (Some(address), None) => Ok(address),
        (None, None) => Err(NetError::WouldBlock),
    })
}
