//! The disks of the machine: how a device becomes a core's, and how the other cores reach it.
//!
//! ```text
//!   thread of another core --errand--> mailbox of the owner --poller--> Queue --> device
//!            ^                                                            |
//!            +--------------------- outcome <-----------------------------+
//! ```

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use toro_core::DmaBuf;
use toro_core::driver::block::{BlockDevice, BlockLimits, BlockOperation, Disk as DiskState};
use toro_sync::Mailbox;

use super::buffers::Buffers;
use super::disk::{Disk, Way};
use super::queue::{Finished, PATIENCE, Queue, Target, Work};
use super::registry::{DiskInfo, Entry, Home, Registry, Use};
use super::volume::Window;
use crate::arch::core_index;
use crate::arch::core_local::MAX_CORES;
use crate::core::{CoreId, run_on};
use crate::core_local;
use crate::fs::system::KernelScheduler;
use crate::io::{Error, ErrorKind, Result};
use crate::mm;
use crate::sched::{Armed, Outcome, Poller, Progress, nudge, register_poller};
use crate::time::Instant;

/// The part of the memory that is free at first which the buffers of a core may take, and how much at most.
const SHARE_OF_MEMORY: u64 = 8;
const MOST_BUFFERS: u64 = 64 << 20;

/// What another core wants done.
struct Errand {
    queue: usize,
    unit: u8,
    operation: BlockOperation,
    buffer: Option<DmaBuf>,
    outcome: Arc<Outcome<Finished>>,
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
    /// How many devices there were; counted on the boot core.
    devices: Cell<usize>,
}

impl Office {
    const fn new() -> Self {
        Self { queues: RefCell::new(Vec::new()), buffers: RefCell::new(None), devices: Cell::new(0) }
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

/// All disks and partitions, of all cores.
pub fn disks() -> Vec<DiskInfo> {
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

/// Takes a device into service that belongs to the core `core`. Waits for that core.
///
/// # Errors
///
/// What is wrong with its disks.
pub(crate) fn attach(name: &str, device: Box<dyn BlockDevice>, core: CoreId) -> Result<()> {
    attach_queues(name, alloc::vec![device], &[core])
}

/// Takes a device into service of which each of `cores` gets a queue, the first the first.
///
/// # Errors
///
/// What is wrong with its disks.
pub(crate) fn attach_queues(name: &str, queues: Vec<Box<dyn BlockDevice>>, cores: &[CoreId]) -> Result<()> {
    let Some(first) = queues.first() else { return Err(Error::other("a device without queues")) };
    let (limits, units) = (first.limits(), first.units());
    let units: Vec<_> = (0..units).filter_map(|unit| Some((unit, first.disk(unit)?))).collect();
    let mut homes = Vec::new();
    for (queue, &core) in queues.into_iter().zip(cores) {
        let name = String::from(name);
        let queue = run_on(core, move || adopt(&name, queue));
        homes.push(Home { core: core.index(), queue });
    }
    let device = OFFICE.get().devices.replace(OFFICE.get().devices.get() + 1);
    for (unit, disk) in &units {
        let name = if first_is_all(&units) { String::from(name) } else { format!("{name}u{unit}") };
        publish(name, device, *unit, disk, limits, &homes)?;
    }
    Ok(())
}

/// Whether a device has one disk only, which is then called as the device is.
fn first_is_all(units: &[(u8, DiskState)]) -> bool {
    matches!(units, [(0, _)])
}

/// Makes a disk known.
fn publish(name: String, device: usize, unit: u8, disk: &DiskState, limits: BlockLimits, homes: &[Home]) -> Result<()> {
    let unusable = Error::other("a disk that is larger than any");
    let window = Window::new(0, disk.sectors).ok_or(unusable)?;
    let info = DiskInfo::of_disk(name, disk, homes.iter().map(|home| home.core).collect());
    let kind = if info.is_read_only { ", read-only" } else { "" };
    log::info!("block: {}: {} MiB{kind}", info.name, info.sectors >> 11);
    REGISTRY.add(Entry { info, device, unit, window, limits, homes: homes.to_vec() });
    Ok(())
}

/// Makes a queue the calling core's; its number.
fn adopt(name: &str, device: Box<dyn BlockDevice>) -> usize {
    let office = OFFICE.get();
    let queue = Queue::new(name, device, Box::new(KernelScheduler), PATIENCE);
    register_poller(Box::new(Requests(Rc::clone(&queue))));
    let mut queues = office.queues.borrow_mut();
    if queues.is_empty() {
        register_poller(Box::new(Reception));
    }
    queues.push(queue);
    queues.len() - 1
}

/// Sends a request to the core that owns the device.
pub(super) fn send(home: Home, unit: u8, operation: BlockOperation, buffer: Option<DmaBuf>) -> Arc<Outcome<Finished>> {
    let outcome = Outcome::new();
    let errand = Errand { queue: home.queue, unit, operation, buffer, outcome: Arc::clone(&outcome) };
    if let Some(inbox) = INBOXES.get(home.core) {
        inbox.0.push(errand);
        nudge(home.core);
    }
    outcome
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
        for Errand { queue, unit, operation, buffer, outcome } in inbox.take_all() {
            let target = Target::Away(Box::new(move |finished| outcome.finish(finished)));
            // A home names a queue of this core.
            if let Some(queue) = OFFICE.get().queue(queue) {
                queue.submit_for(unit, operation, buffer, target);
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
