//! The core's network interface: its [`Stack`], polled by the core's loop, and the queues of waiting threads.
//!
//! Threads reach the stack through the [`Interface`] of their core, one operation at a time: an operation never
//! waits while it has the stack. Who has to wait does so in the [`Queues`] of its socket, which the stack wakes
//! when it is polled. Threads are cooperative, so nothing happens between an attempt that fails and the wait.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell, RefMut};
use core::net::Ipv4Addr;

use toro_core::driver::net::NetDevice;

use super::address::Addressing;
use super::config::Config;
use super::error::NetError;
use super::flow::mix;
use super::signal::Signal;
use super::stack::{Activity, Stack};
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
    /// What was last said about the address.
    address: Cell<Option<Ipv4Addr>>,
}

impl Poller for StackPoller {
    fn poll(&mut self, now: Instant) -> Progress {
        let mut stack = self.interface.stack();
        let activity = stack.poll(now.into());
        let address = stack.address();
        if self.address.replace(address) != address {
            match address {
                Some(address) => log::info!("net: the address is {address}"),
                None => log::warn!("net: the address was lost"),
            }
        }
        match activity {
            Activity::Some => Progress::Made,
            Activity::None => Progress::None,
        }
    }

    fn arm(&mut self) -> Armed {
        self.interface.stack().arm()
    }

    fn deadline(&self) -> Option<Instant> {
        self.interface.stack().next_deadline().map(Into::into)
    }
}

/// Takes a network device into service on this core: makes its stack, which asks for an address at once, as the word
/// `ip=` of the command line says (see [`Addressing`]).
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] if this core has a network device already. The new one is dropped.
pub fn attach(device: Box<dyn NetDevice>) -> Result<()> {
    if INTERFACE.get().get().is_some() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let addressing = match env::option("ip").map(str::parse) {
        None => Addressing::Dhcp,
        Some(Ok(addressing)) => addressing,
        Some(Err(error)) => {
            log::error!("net: ip={}: {error}; asking a DHCP server instead", env::option("ip").unwrap_or_default());
            Addressing::Dhcp
        }
    };
    let mac = device.mac();
    let memory = usize::try_from(mm::free_memory() / SHARE_OF_MEMORY).unwrap_or(usize::MAX);
    let memory = memory.clamp(LEAST_MEMORY, MOST_MEMORY);
    let config = Config { addressing, seed: seed(mac.0), memory, ..Config::default() };
    let configured = Queues::default();
    let stack = Stack::new(device, config, configured.clone(), Instant::now().into());
    let interface = INTERFACE.get().get_or_init(|| Interface { stack: RefCell::new(stack), configured });
    log::info!("net: attached {mac}");
    register_poller(Box::new(StackPoller { interface, address: Cell::new(None) }));
    Ok(())
}

/// Takes a network device with several queue pairs into service: the first is this core's.
///
/// The others, which are for other cores, are given up, and with them what the device would have received there. So
/// this kernel asks drivers for one owner, and comes here only with a driver that makes several all the same.
///
/// # Errors
///
/// As for [`attach`].
pub fn attach_queues(queues: Vec<Box<dyn NetDevice>>) -> Result<()> {
    match queues.into_iter().next() {
        Some(first) => attach(first),
        None => Err(ErrorKind::NotFound.into()),
    }
}

/// What differs from boot to boot: the time stamp counter, the time of day and the address of the device. Not a
/// secret for somebody on the same host.
fn seed(mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let mac = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    mix(mix(mix(crate::arch::cpu::time_stamp()) ^ day) ^ mac)
}

/// The address of this core's interface, once it has one.
pub fn local_address() -> Option<Ipv4Addr> {
    Interface::current().ok()?.stack().address()
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
