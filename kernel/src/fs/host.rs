//! File systems in an ordinary process: all of the client, with a process in the place of the machine.
//!
//! ```text
//!   Namespace, File, ...                           what applications use
//!   Share, Client, Connection                      what a share is, one session after the other
//!   HostScheduler    events, and the core's loop   here: whoever waits polls the connection, for a while, arms it, and sleeps
//!     dyn Process    a clock, patience, and sleep  the caller's: a test, a benchmark
//!   dyn FuseDevice                                 the caller's: virtio-fs over vhost-user, with a real server behind it
//! ```
//!
//! So what tests and benchmarks see here is what an application on Toro sees, with nothing in between that is not in the
//! kernel, too.
//!
//! There is one thread. What it waits for is done by the device, or by itself while it waits: requests that are ahead of
//! it, references and handles that are owed. Nobody does that when it does not wait: [`Mount::settle`] does.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use fuse_proto::Errno;
use toro_core::Instant;
use toro_core::driver::Armed;
use toro_core::driver::fuse::FuseDevice;
#[cfg(feature = "initrd")]
use toro_core::{Dma, DmaPool};

#[cfg(feature = "initrd")]
use super::archive::Archive;
#[cfg(feature = "initrd")]
pub use super::archive::{ArchiveError, Damage};
pub use super::fuse::Options;
use super::fuse::connection::Connection;
use super::fuse::share::Share;
use super::namespace::Namespace;
use super::scheduler::{Event, Scheduler, Wake, Work};
pub use super::statistics::Statistics;
use super::vfs::FileSystem;
#[cfg(feature = "fs-mounts")]
use super::vfs::Upkeep;
use crate::io::Result;

/// What a process lends to its file systems.
pub trait Process {
    /// The time, on a clock that never goes back.
    fn now(&self) -> Instant;

    /// How long it looks for more to do, again and again, before it asks for an interrupt and sleeps. Until then the device
    /// interrupts nobody, which spares both sides what that costs; that a device is gone is found out no sooner.
    fn looks_for(&self) -> Duration;

    /// Does nothing until the device interrupts, or until then. It may return earlier; an interrupt that came before the
    /// call counts.
    fn sleep(&self, until: Instant);
}

/// A share that is mounted at `/` of a namespace of its own.
pub struct Mount {
    namespace: Namespace,
    share: Rc<Share>,
    core: Rc<Core>,
}

impl Mount {
    /// Begins a session with the server behind `device`.
    ///
    /// # Errors
    ///
    /// What the server says, and `TimedOut` if it says nothing.
    pub fn new(device: Box<dyn FuseDevice>, process: Box<dyn Process>, options: Options) -> Result<Self> {
        let core = Rc::new(Core { process, connection: RefCell::default() });
        let scheduler = Box::new(HostScheduler(Rc::clone(&core)));
        let polled = Rc::clone(&core);
        let announce = Box::new(move |connection: &Rc<Connection>| {
            *polled.connection.borrow_mut() = Some(Rc::clone(connection));
        });
        let share = Share::mount(device, scheduler, options, announce)?;
        let namespace = Namespace::new();
        namespace.mount(b"/", Rc::clone(&share) as Rc<dyn FileSystem>)?;
        Ok(Self { namespace, share, core })
    }

    /// What an application sees.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What it has done since it was mounted.
    #[cfg(feature = "fs-mounts")]
    pub fn statistics(&self) -> Statistics {
        self.share.statistics().unwrap_or_default()
    }

    /// Does what is left to do when nobody waits: lets go of handles that were kept for a while, pays what is owed, and
    /// waits for what is in flight.
    ///
    /// # Errors
    ///
    /// `TimedOut` if that is not done by `deadline`.
    pub fn settle(&self, deadline: Instant) -> Result<()> {
        loop {
            self.share.tidy_up();
            while self.core.poll() == Work::Done {}
            let connection = self.core.connection.borrow().clone();
            let is_busy = connection.is_some_and(|connection| connection.is_busy());
            let kept = self.share.deadline();
            if !is_busy && kept.is_none() {
                return Ok(());
            }
            if self.core.process.now() >= deadline {
                return Err(Errno::ETIMEDOUT.into());
            }
            self.core.sleep(kept.map_or(deadline, |kept| kept.min(deadline)));
        }
    }

    /// Takes leave of the server, and keeps the connection. Files and listings that are open fail from then on.
    pub fn unmount(&self) {
        self.namespace.unmount_all();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Each holds the other. What is still open gets ENOTCONN.
        if let Some(connection) = self.core.connection.take() {
            connection.close(Errno::ENOTCONN);
        }
    }
}

/// A tree whose root is the archive that `image` is, with room for `most` objects and names. Buffers are of `memory`.
///
/// There is one thread: one that waits for a lock waits for ever.
///
/// # Errors
///
/// What is wrong with the archive.
#[cfg(feature = "initrd")]
pub fn archive(image: Box<dyn AsRef<[u8]>>, most: usize, memory: Dma) -> core::result::Result<Namespace, ArchiveError> {
    let buffer = move |bytes| {
        let pool = DmaPool::new(memory, 1, bytes);
        pool.ok().and_then(|mut pool| pool.take()).ok_or(Errno::ENOMEM)
    };
    let platform = super::archive::Platform { scheduler: Box::new(Alone), buffer: Box::new(buffer) };
    let archive = Archive::open(image, most, platform)?;
    let namespace = Namespace::new();
    let mounted = namespace.mount(b"/", archive);
    debug_assert!(mounted.is_ok(), "nothing else is there");
    Ok(namespace)
}

/// A clock that stands still, and events that never come.
#[cfg(feature = "initrd")]
struct Alone;

#[cfg(feature = "initrd")]
impl Scheduler for Alone {
    fn now(&self) -> Instant {
        Instant::from_nanos(0)
    }

    fn event(&self) -> Rc<dyn Event> {
        Rc::new(Self)
    }
}

#[cfg(feature = "initrd")]
impl Event for Alone {
    fn wait_until(&self, _: Instant) -> Wake {
        Wake::TimedOut
    }

    fn announce(&self) {}
}

/// The one core that there is.
struct Core {
    process: Box<dyn Process>,
    /// `None` before there is a share.
    connection: RefCell<Option<Rc<Connection>>>,
}

impl Core {
    /// One round of the core's loop.
    fn poll(&self) -> Work {
        let connection = self.connection.borrow().clone();
        connection.map_or(Work::None, |connection| connection.poll())
    }

    /// Sleeps, unless there is something to do, until there may be.
    fn sleep(&self, until: Instant) {
        let connection = self.connection.borrow().clone();
        let Some(connection) = connection else { return self.process.sleep(until) };
        if connection.arm() == Armed::Idle {
            let poll_at = connection.next_poll().unwrap_or(until);
            self.process.sleep(poll_at.min(until));
        }
    }
}

struct HostScheduler(Rc<Core>);

impl Scheduler for HostScheduler {
    fn now(&self) -> Instant {
        self.0.process.now()
    }

    fn event(&self) -> Rc<dyn Event> {
        Rc::new(HostEvent { core: Rc::clone(&self.0), announced: Cell::new(0) })
    }
}

struct HostEvent {
    core: Rc<Core>,
    /// How often.
    announced: Cell<u64>,
}

impl Event for HostEvent {
    fn wait_until(&self, deadline: Instant) -> Wake {
        let before = self.announced.get();
        let mut idle_since = None;
        loop {
            let work = self.core.poll();
            if self.announced.get() != before {
                return Wake::Notified;
            }
            let now = self.core.process.now();
            if now >= deadline {
                return Wake::TimedOut;
            }
            if work == Work::Done {
                idle_since = None;
                continue;
            }
            let idle = now.saturating_since(*idle_since.get_or_insert(now));
            if idle < self.core.process.looks_for() {
                core::hint::spin_loop();
            } else {
                self.core.sleep(deadline);
            }
        }
    }

    fn announce(&self) {
        self.announced.set(self.announced.get().wrapping_add(1));
    }
}
