//! The core's mounts, and how a FUSE device becomes one of them, and one of all other cores.
//!
//! The command line word `mount=TAG:/PATH`, which may be given several times, says where the device with that tag is
//! mounted. A device that no word names is mounted at `/` if nothing is there yet, and else not at all.

use alloc::boxed::Box;
use alloc::rc::Rc;

use toro_core::Instant;
use toro_core::driver::fuse::FuseDevice;

use super::fuse::connection::{Connection, Work};
use super::fuse::{Client, Options};
use super::namespace::Namespace;
use super::remote::Registry;
use super::remote::service::{self, ToCore};
use super::scheduler::{Event, Scheduler, Wake};
use super::vfs::FileSystem;
use crate::arch::{core_index, smp};
use crate::core_local;
use crate::io::{Error, ErrorKind, Result};
use crate::sched::{Armed, Poller, Progress, WaitQueue, register_poller};
use crate::{env, mm, sched, time};

core_local! {
    static NAMESPACE: Namespace = Namespace::new();
}

/// What is mounted on all cores.
static REGISTRY: Registry<ToCore> = Registry::new();

/// The part of the memory that is free at first which reading ahead may take, and likewise contents that are remembered.
const SHARE_OF_MEMORY: u64 = 16;

/// The mounts of the calling core, and of the others as it sees them.
pub(super) fn namespace() -> &'static Namespace {
    let namespace = NAMESPACE.get();
    namespace.follow(&REGISTRY, core_index());
    namespace
}

/// Mounts the file system behind `device`; see the module for where. Waits for the server, so it needs a thread. The device
/// belongs to the calling core from then on; the others can use the file system, too.
///
/// # Errors
///
/// `InvalidInput` if the command line names no place for it or an impossible one, `ResourceBusy` if the place is taken, on
/// whatever core, and what the server says.
pub fn attach(device: Box<dyn FuseDevice>) -> Result<()> {
    let tag = device.tag().to_vec();
    let path = mount_path(&tag).ok_or(Error::new(ErrorKind::InvalidInput, "no mount= names this tag"))?;
    let budget = usize::try_from(mm::free_memory() / SHARE_OF_MEMORY).unwrap_or(usize::MAX);
    let mut options = Options::default();
    options.read_ahead = options.read_ahead.min(budget);
    options.contents = options.contents.min(budget);
    let client = Client::mount(device, Box::new(KernelScheduler), options, |connection| {
        register_poller(Box::new(Requests(Rc::clone(connection))));
    })?;
    register_poller(Box::new(Housekeeping(Rc::clone(&client))));
    let file_system = Rc::clone(&client) as Rc<dyn FileSystem>;
    place(path.as_bytes(), &file_system).inspect_err(|_| client.shutdown())?;
    log::info!("fs: \"{}\" is mounted at {path}", tag.escape_ascii());
    Ok(())
}

/// Puts a file system at `path`, on this core and in the sight of the others.
pub(super) fn place(path: &[u8], file_system: &Rc<dyn FileSystem>) -> Result<()> {
    if smp::count() > 1 {
        service::start()?;
        let number = service::exports().add(Rc::clone(file_system));
        let published = REGISTRY.publish(path, core_index(), ToCore(core_index()), number);
        published.inspect_err(|_| service::exports().close(number))?;
    }
    namespace().mount(path, Rc::clone(file_system))
}

/// Takes leave of all file servers and disks of the calling core. Waits for them, for a bounded time. The core no longer
/// sees what others have mounted, either, until one of them mounts or unmounts something.
pub fn shutdown() {
    REGISTRY.withdraw(core_index());
    service::exports().withdraw();
    NAMESPACE.get().unmount_all();
}

fn mount_path(tag: &[u8]) -> Option<&'static str> {
    let default = || namespace().is_empty().then_some("/");
    mount_word(tag).or_else(default)
}

/// Where the command line wants what has this name.
pub(super) fn mount_word(name: &[u8]) -> Option<&'static str> {
    let mut words = env::options("mount").filter_map(|word| word.split_once(':'));
    words.find(|(named, _)| named.as_bytes() == name).map(|(_, path)| path)
}

/// The kernel's clock and wait queues.
pub(super) struct KernelScheduler;

struct KernelEvent(WaitQueue);

impl Scheduler for KernelScheduler {
    fn now(&self) -> Instant {
        time::Instant::now().into()
    }

    fn event(&self) -> Rc<dyn Event> {
        Rc::new(KernelEvent(WaitQueue::new()))
    }
}

impl Event for KernelEvent {
    fn wait_until(&self, deadline: Instant) -> Wake {
        match self.0.wait_until(Some(deadline.into())) {
            sched::Wake::Notified => Wake::Notified,
            sched::Wake::TimedOut => Wake::TimedOut,
        }
    }

    fn wait(&self) {
        self.0.wait();
    }

    fn announce(&self) {
        self.0.wake_all();
    }
}

/// The device and the requests on it.
struct Requests(Rc<Connection>);

impl Poller for Requests {
    fn poll(&mut self, _now: time::Instant) -> Progress {
        match self.0.poll() {
            Work::Done => Progress::Made,
            Work::None => Progress::None,
        }
    }

    fn arm(&mut self) -> Armed {
        self.0.arm()
    }

    fn deadline(&self) -> Option<time::Instant> {
        self.0.next_poll().map(Into::into)
    }
}

/// What is kept for a while and let go of then.
struct Housekeeping(Rc<Client>);

impl Poller for Housekeeping {
    fn poll(&mut self, _now: time::Instant) -> Progress {
        self.0.tidy_up();
        Progress::None
    }

    fn arm(&mut self) -> Armed {
        Armed::Idle
    }

    fn deadline(&self) -> Option<time::Instant> {
        self.0.deadline().map(Into::into)
    }
}
