//! The disks of the machine: who opens them, and how the cores that do not own one reach it.
//!
//! ```text
//!   thread of another core --errand--> mailbox of the owner --poller--> Queue --> device
//!            ^                                                            |
//!            +--------------------- outcome <-----------------------------+
//! ```

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use toro_core::DmaBuf;
use toro_core::driver::block::BlockOperation;
use toro_sync::Mailbox;

use super::buffers::Buffers;
use super::cache::{CachedDisk, Policy, WeakCachedDisk};
use super::disk::{Disk, Way};
use super::queue::{Finished, Queue, Target};
use super::registry::{DiskInfo, Entry, Home, Registry, Use};
use super::volume::Volume;
use crate::arch::core_index;
use crate::arch::core_local::MAX_CORES;
use crate::core_local;
use crate::fs::kernel_scheduler::{KernelScheduler, do_in_time};
use crate::fs::scheduler::Work;
use crate::io::{Error, ErrorKind, Result};
use crate::sched::{Armed, Outcome, Poller, Progress, nudge};
use crate::thread::Builder;
use crate::time::Instant;
use crate::{env, mm};

mod attaching;

pub(crate) use self::attaching::{attach, attach_queues};

/// The part of the memory that is free at first which the buffers of a core may take, and how much at most.
const SHARE_OF_MEMORY: u64 = 8;
const MOST_BUFFERS: u64 = 64 << 20;

/// The part of the memory that is free when a volume is mounted which its cache may take, and how much at most.
const SHARE_OF_A_CACHE: u64 = 16;
const MOST_CACHED: u64 = 8 << 20;
/// How long the caches of a core may take to be flushed at the end.
const LAST_FLUSH: Duration = Duration::from_secs(8);
/// How long another core may take to look whether its disks have changed; after that what was known before counts.
const REFRESH: Duration = Duration::from_secs(1);
/// Stack of a thread that looks after a cache.
const STACK_SIZE: usize = 64 << 10;

/// What another core wants done, by which queue.
struct Errand {
    queue: usize,
    task: Task,
}

enum Task {
    Request { unit: u8, operation: BlockOperation, buffer: Option<DmaBuf>, outcome: Arc<Outcome<Finished>> },
    Refresh(Arc<Outcome<()>>),
}

/// One core's, at the distance of two cache lines from another's.
#[repr(align(128))]
struct Inbox(Mailbox<Errand>);

static INBOXES: [Inbox; MAX_CORES] = [const { Inbox(Mailbox::new()) }; MAX_CORES];

static REGISTRY: Registry = Registry::new();

core_local! {
    static OFFICE: Office = Office::new();
}

/// What a core has of all this.
struct Office {
    queues: RefCell<Vec<Rc<Queue>>>,
    buffers: RefCell<Option<Rc<Buffers>>>,
    caches: RefCell<Vec<WeakCachedDisk>>,
    /// How many devices there were; counted on the boot core.
    devices: Cell<usize>,
}

impl Office {
    const fn new() -> Self {
        Self {
            queues: RefCell::new(Vec::new()),
            buffers: RefCell::new(None),
            caches: RefCell::new(Vec::new()),
            devices: Cell::new(0),
        }
    }

    /// The core's buffers.
    fn buffers(&self) -> Rc<Buffers> {
        let make = || {
            let budget = (mm::free_memory() / SHARE_OF_MEMORY).min(MOST_BUFFERS);
            Rc::new(Buffers::new(mm::dma::DMA, usize::try_from(budget).unwrap_or(usize::MAX)))
        };
        Rc::clone(self.buffers.borrow_mut().get_or_insert_with(make))
    }

    fn queue(&self, number: usize) -> Option<Rc<Queue>> {
        self.queues.borrow().get(number).cloned()
    }
}

/// All disks and partitions, of all cores, as they are now: their devices are asked.
pub fn disks() -> Vec<DiskInfo> {
    let asked: Vec<_> = REGISTRY.homes().into_iter().map(start_refresh).collect();
    let deadline = Instant::now() + REFRESH;
    for outcome in asked {
        let _ = outcome.take(Some(deadline));
    }
    REGISTRY.list()
}

impl Disk {
    /// Opens a disk or partition for reading, and for writing unless it is read-only.
    ///
    /// # Errors
    ///
    /// `NotFound`; `ResourceBusy` if a part of it is mounted.
    pub fn open(name: &str) -> Result<Self> {
        let entry = REGISTRY.find(name)?;
        let claim = if entry.info.is_read_only { None } else { Some(REGISTRY.claim(&entry, Use::Write)?) };
        open(entry, claim)
    }

    /// Opens a disk or partition for reading only, whoever else uses it.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub fn open_read_only(name: &str) -> Result<Self> {
        open(REGISTRY.find(name)?, None)
    }
}

/// Disks and partitions that may hold a file system: those that are not divided further.
pub fn volumes() -> Vec<DiskInfo> {
    REGISTRY.volumes()
}

impl CachedDisk {
    /// Opens a disk or partition of the calling core, which nobody else writes to then, with a cache as large as the
    /// command line says (`block_cache=BYTES`, or `off`), or else a sixteenth of the free memory, at most 8 MiB.
    ///
    /// # Errors
    ///
    /// `NotFound`; `ResourceBusy` if a part of it is mounted or open for writing; `Unsupported` on a core that has no queue to
    /// it, see [`owners`](DiskInfo::owners); `OutOfMemory`.
    pub fn open(name: &str) -> Result<Self> {
        let entry = REGISTRY.find(name)?;
        let claim = REGISTRY.claim(&entry, Use::Mount)?;
        let me = core_index();
        let (office, foreign) = (OFFICE.get(), Error::new(ErrorKind::Unsupported, "a disk of another core"));
        let home = entry.homes.iter().find(|home| home.core == me).ok_or(foreign)?;
        let queue = office.queue(home.queue).ok_or(foreign)?;
        let volume = Volume::new(queue, entry.unit, entry.window, office.buffers());
        let disk = Self::new(volume, policy(), Some(claim));
        if !disk.is_read_only() {
            let tended = disk.clone();
            let name = format!("cache of {name}");
            Builder::new().name(name).stack_size(STACK_SIZE).spawn(move || look_after(&tended))?;
            let mut caches = office.caches.borrow_mut();
            caches.retain(|cache| cache.upgrade().is_some());
            caches.push(disk.downgrade());
        }
        Ok(disk)
    }
}

/// What the command line says about caches.
fn policy() -> Policy {
    let bytes = || usize::try_from((mm::free_memory() / SHARE_OF_A_CACHE).min(MOST_CACHED)).unwrap_or(usize::MAX);
    match env::option("block_cache") {
        Some("off") => Policy::WriteThrough,
        Some(word) => match word.parse() {
            Ok(bytes) => Policy::WriteBack { bytes },
            Err(_) => {
                log::error!("block_cache={word}: neither a number of bytes nor \"off\"");
                Policy::WriteBack { bytes: bytes() }
            }
        },
        None => Policy::WriteBack { bytes: bytes() },
    }
}

/// The life of a thread that looks after a cache.
fn look_after(disk: &CachedDisk) {
    while disk.is_shared() {
        disk.tend();
    }
    if let Err(error) = disk.flush() {
        log::error!("block: what was written last is lost: {error}");
    }
}

/// Flushes the caches of the calling core, for a bounded time.
pub(crate) fn shutdown() {
    let caches: Vec<_> = OFFICE.get().caches.borrow().iter().filter_map(WeakCachedDisk::upgrade).collect();
    let flush = |cache: CachedDisk| {
        Box::new(move || {
            if let Err(error) = cache.flush() {
                log::error!("block: what was written last is lost: {error}");
            }
        }) as Box<dyn FnOnce()>
    };
    let unfinished = do_in_time(caches.into_iter().map(flush).collect(), LAST_FLUSH);
    if unfinished > 0 {
        log::error!("block: what was written last to {unfinished} disks may be lost: they are too slow");
    }
}

fn open(entry: Entry, claim: Option<super::registry::Claim>) -> Result<Disk> {
    let me = core_index();
    let (office, lost) = (OFFICE.get(), || Error::from(ErrorKind::NotFound));
    let own = entry.homes.iter().find(|home| home.core == me);
    let way = match own {
        Some(home) => Way::Home(office.queue(home.queue).ok_or_else(lost)?),
        // Those without a queue of their own are shared out among those that have one.
        None => Way::Away(*entry.homes.get(me % entry.homes.len().max(1)).ok_or_else(lost)?),
    };
    Ok(Disk::new(way, entry, office.buffers(), Rc::new(KernelScheduler), claim))
}

/// Sends a request to the core that owns the device.
pub(super) fn send(home: Home, unit: u8, operation: BlockOperation, buffer: Option<DmaBuf>) -> Arc<Outcome<Finished>> {
    let outcome = Outcome::new();
    post(home, Task::Request { unit, operation, buffer, outcome: Arc::clone(&outcome) });
    outcome
}

/// Lets the core that owns the device ask whether it has changed, and waits for that, if not for long.
pub(super) fn refresh(home: Home) {
    let _ = start_refresh(home).take(Some(Instant::now() + REFRESH));
}

fn start_refresh(home: Home) -> Arc<Outcome<()>> {
    let outcome = Outcome::new();
    post(home, Task::Refresh(Arc::clone(&outcome)));
    outcome
}

fn post(home: Home, task: Task) {
    if let Some(inbox) = INBOXES.get(home.core) {
        inbox.0.push(Errand { queue: home.queue, task });
        nudge(home.core);
    }
}

/// A device of this core and the requests on it.
struct Requests(Rc<Queue>);

impl Poller for Requests {
    fn poll(&mut self, now: Instant) -> Progress {
        match self.0.poll(now.into()) {
            Work::Done => Progress::Made,
            Work::None => Progress::None,
        }
    }

    fn arm(&mut self) -> Armed {
        self.0.arm()
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.deadline().map(Into::into)
    }

    fn awaits_answer(&self) -> bool {
        self.0.awaits_answer()
    }
}

/// Takes errands in.
struct Reception;

impl Poller for Reception {
    #[inline]
    fn poll(&mut self, _now: Instant) -> Progress {
        let inbox = &INBOXES[core_index()].0;
        if inbox.is_empty() {
            return Progress::None;
        }
        for Errand { queue, task } in inbox.take_all() {
            // A home names a queue of this core.
            let Some(queue) = OFFICE.get().queue(queue) else { continue };
            match task {
                Task::Request { unit, operation, buffer, outcome } => {
                    let target = Target::Away(Box::new(move |finished| outcome.finish(finished)));
                    queue.submit_for(unit, operation, buffer, target);
                }
                Task::Refresh(outcome) => {
                    queue.refresh();
                    outcome.finish(());
                }
            }
        }
        Progress::Made
    }

    fn arm(&mut self) -> Armed {
        // Whoever sends rings after that, and that is looked for before the core halts.
        if INBOXES[core_index()].0.is_empty() { Armed::Idle } else { Armed::WorkPending }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
