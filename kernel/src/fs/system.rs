//! The core's mounts, and how a FUSE device becomes one of them, and one of all other cores.
//!
//! The command line word `mount=TAG:/PATH`, which may be given several times, says where the device with that tag is
//! mounted. A device that no word names is mounted at `/` if nothing is there yet, and else not at all. A word that names
//! nothing is reported.
//!
//! The word `fs.cache=BYTES`, also with `K` or `M` behind the number, says how much of the contents of files each mount may
//! remember, and `fs.cache=off` that nothing is.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use toro_core::driver::fuse::FuseDevice;

use super::fuse::Options;
use super::fuse::connection::Connection;
use super::fuse::share::Share;
use super::kernel_scheduler::{KernelScheduler, do_in_time};
use super::mount_words;
use super::namespace::Namespace;
use super::remote::Registry;
use super::remote::service::{self, ToCore};
use super::scheduler::Work;
use super::vfs::FileSystem;
use crate::arch::{core_index, smp};
use crate::core::{CoreId, run_on};
use crate::core_local;
use crate::io::{Error, ErrorKind, Result};
use crate::sched::{Armed, Poller, Progress, register_poller};
use crate::{env, mm, time};

core_local! {
    static NAMESPACE: Namespace = Namespace::new();
}

/// The tags of all file servers.
static TAGS: spin::Mutex<Vec<String>> = spin::Mutex::new(Vec::new());

/// How long the file systems of a core may take to be unmounted at the end.
const LAST_LEAVE: Duration = Duration::from_secs(10);

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
    TAGS.lock().push(String::from_utf8_lossy(&tag).into_owned());
    let path = mount_path(&tag).ok_or(Error::new(ErrorKind::InvalidInput, "no mount= names this tag"))?;
    let budget = usize::try_from(mm::free_memory() / SHARE_OF_MEMORY).unwrap_or(usize::MAX);
    let mut options = Options::default();
    options.read_ahead = options.read_ahead.min(budget);
    if let Some(word) = env::option("fs.cache") {
        match mount_words::cache_bytes(word) {
            Some(bytes) => options.contents = bytes,
            None => log::warn!("fs: fs.cache={word} is no number of bytes, nor \"off\""),
        }
    }
    options.contents = options.contents.min(budget);
    if let Some(seconds) = env::option("fs-patience").and_then(|word| word.parse().ok()) {
        options.patience = Duration::from_secs(seconds);
    }
    let line: Line = Rc::default();
    register_poller(Box::new(Requests(Rc::clone(&line))));
    let announce = move |connection: &Rc<Connection>| *line.borrow_mut() = Some(Rc::clone(connection));
    let share = Share::mount(device, Box::new(KernelScheduler), options, Box::new(announce))?;
    register_poller(Box::new(Housekeeping(Rc::clone(&share))));
    let file_system = Rc::clone(&share) as Rc<dyn FileSystem>;
    place(path.as_bytes(), &file_system).inspect_err(|_| share.shutdown())?;
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

/// See [`fs::unmount`](super::unmount).
pub(super) fn unmount(path: &[u8]) -> Result<()> {
    let Some(owner) = REGISTRY.owner(path).and_then(CoreId::new) else { return unmount_own(path) };
    let path = path.to_vec();
    run_on(owner, move || unmount_own(&path))
}

/// Takes leave of a file system of the calling core.
fn unmount_own(path: &[u8]) -> Result<()> {
    let file_system = namespace().take(path)?;
    if let Some(number) = REGISTRY.withdraw_at(path, core_index()) {
        service::exports().close(number);
    }
    file_system.shutdown();
    log::info!("fs: nothing is mounted at {} any more", path.escape_ascii());
    Ok(())
}

/// Takes leave of all file servers and disks of the calling core. Waits for them, for ten seconds in all. The core no longer
/// sees what others have mounted, either, until one of them mounts or unmounts something.
pub fn shutdown() {
    REGISTRY.withdraw(core_index());
    service::exports().withdraw();
    let leave = |file_system: Rc<dyn FileSystem>| Box::new(move || file_system.shutdown()) as Box<dyn FnOnce()>;
    let unfinished = do_in_time(NAMESPACE.get().take_all().into_iter().map(leave).collect(), LAST_LEAVE);
    if unfinished > 0 {
        log::error!("fs: {unfinished} file systems were not unmounted in time; what was not stable may be lost");
    }
}

fn mount_path(tag: &[u8]) -> Option<&'static str> {
    let default = || namespace().is_empty().then_some("/");
    mount_word(tag).or_else(default)
}

/// Where the command line wants what has this name.
pub(super) fn mount_word(name: &[u8]) -> Option<&'static str> {
    mount_words::path_for(env::options("mount"), name)
}

/// Says which words of the command line would mount what there is not, when all devices have been attached.
pub(crate) fn report_useless_words() {
    #[cfg_attr(not(any(feature = "fat", feature = "initrd")), expect(unused_mut, reason = "nothing is added"))]
    let mut names = TAGS.lock().clone();
    #[cfg(feature = "fat")]
    names.extend(super::block::disks().into_iter().map(|disk| disk.name));
    #[cfg(feature = "initrd")]
    names.extend(super::initrd::names());
    let there = if names.is_empty() { String::from("nothing") } else { names.join(", ") };
    for word in mount_words::useless(env::options("mount"), &names) {
        log::warn!("fs: mount={word} mounts nothing: it should be NAME:/PATH, and there is {there}");
    }
}

/// The connection that has the device now; `None` before there is one.
type Line = Rc<RefCell<Option<Rc<Connection>>>>;

/// The device and the requests on it.
struct Requests(Line);

impl Requests {
    fn connection(&self) -> Option<Rc<Connection>> {
        self.0.borrow().clone()
    }
}

impl Poller for Requests {
    fn poll(&mut self, _now: time::Instant) -> Progress {
        match self.connection().map(|connection| connection.poll()) {
            Some(Work::Done) => Progress::Made,
            _ => Progress::None,
        }
    }

    fn arm(&mut self) -> Armed {
        self.connection().map_or(Armed::Idle, |connection| connection.arm())
    }

    fn deadline(&self) -> Option<time::Instant> {
        self.connection()?.next_poll().map(Into::into)
    }

    fn awaits_answer(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|connection| connection.awaits_answer())
    }
}

/// What is kept for a while and let go of then.
struct Housekeeping(Rc<Share>);

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
