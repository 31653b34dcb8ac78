//! [`Queue`]: the requests to one device, or to one queue of a device, from the threads of the core that owns it.
//!
//! ```text
//!   thread        submit --> Waiting, in a chain ----poll: submit, publish----> InFlight --complete--> Done --> thread
//!                                 ^                                                |
//!                                 +-- next piece of a long request ----------------+
//!                                 +-- alone, after a chain failed as a whole ------+
//!                                 +-- once more, a read that a reset interrupted --+
//! ```
//!
//! # Merging and splitting
//!
//! What threads submit is held until the core's loop has its turn, or a batch of 32 is there; then the device is
//! shown all of it with one notification. Requests in the same direction that follow each other on the disk go to it as one
//! with several buffers, as far as its limits allow. A request that is longer than what the device takes is done piece by
//! piece, one after the other, by showing it the next part of the same buffer.
//!
//! # Errors
//!
//! A chain that failed says nothing of its parts, so each is done again on its own: an error reaches only the caller whose
//! sectors are bad. (What was written twice holds the same as what was written once.)
//!
//! A request that takes longer than the queue's patience, or a fault of the device, leads to a reset. Reads that it
//! interrupted are tried once more; for other requests nobody knows whether they were done, which is what their callers are
//! told. A device that cannot be reset, or that had to be three times without finishing anything in between, is
//! dead: everything fails at once from then on, and what it had in flight stays with it.
//!
//! # Disks that change
//!
//! How large a disk is, its driver knows as of the last time that it asked. It asks again when it refuses a request, which
//! is tried once more if there is news, after an error, and on demand; some devices also tell by interrupt. A request that is
//! too long for the device at once is checked as a whole before its first piece is sent.
//!
//! # Waiting
//!
//! Every request ends, by the above, so a thread waits for it without a deadline of its own. At most 4096
//! requests are under way; whoever comes then waits for one of them to end, in the order of coming.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use toro_core::driver::block::{BlockDevice, BlockLimits, BlockOperation, Disk};
use toro_core::driver::{Armed, DeviceFault};
use toro_core::{DmaBuf, Instant};

use self::chain::Waiting;
use self::record::Records;
use super::error::DiskError;
use crate::fs::scheduler::{Event, Scheduler, Work};

mod chain;
mod dispatch;
mod finish;
mod record;
mod recovery;
mod ticket;

pub use self::record::{Finished, Target};
pub use self::ticket::Ticket;

/// How long the device may take for a request.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// So many chains are given to the device before the core's loop has its turn.
const BATCH: usize = 32;
/// The most requests under way that threads of this core may have.
const MOST_UNFINISHED: usize = 4096;
/// How often a device is reset without having finished anything in between.
const MOST_RESETS: u32 = 3;
/// How long to wait before offering a request again to a device that has nothing in flight and yet no room.
const SHORTAGE: Duration = Duration::from_millis(5);

/// What the device has been given under one number.
#[derive(Clone, Copy)]
struct Flight {
    head: u32,
    since: Instant,
}

struct State {
    records: Records,
    waiting: Waiting,
    /// By the device's numbers.
    flights: Vec<Option<Flight>>,
    in_flight: usize,
    /// Requests that have not finished.
    unfinished: usize,
    /// Whether the device has been given something that it has not been shown.
    is_unpublished: bool,
    /// When to look for requests that take too long.
    check_at: Instant,
    /// Since when the device has had no room although it had nothing in flight.
    stuck_since: Option<Instant>,
    /// What the device refused a request with.
    fault: Option<DeviceFault>,
    /// Resets since the last completion.
    resets: u32,
    is_dead: bool,
}

/// Somebody who wants to know how large a unit is.
struct Watch {
    unit: u8,
    seen: u64,
    capacity: Arc<AtomicU64>,
}

/// The way to one device, and all requests that are on it.
pub struct Queue {
    device: RefCell<Box<dyn BlockDevice>>,
    name: Box<str>,
    limits: BlockLimits,
    scheduler: Box<dyn Scheduler>,
    patience: Duration,
    state: RefCell<State>,
    watches: RefCell<Vec<Watch>>,
    /// Announced when a request has finished that somebody may have waited for to make room.
    room: Rc<dyn Event>,
    /// Numbers of those who wait for room: the next to be given away, and the next to be served.
    last_in_line: Cell<u64>,
    first_in_line: Cell<u64>,
}

impl Queue {
    /// A queue over `device`, which is called `name` in logs.
    pub fn new(
        name: &str,
        device: Box<dyn BlockDevice>,
        scheduler: Box<dyn Scheduler>,
        patience: Duration,
    ) -> Rc<Self> {
        let room = scheduler.event();
        let state = State {
            records: Records::new(),
            waiting: Waiting::new(),
            flights: Vec::new(),
            in_flight: 0,
            unfinished: 0,
            is_unpublished: false,
            check_at: Instant::from_nanos(u64::MAX),
            stuck_since: None,
            fault: None,
            resets: 0,
            is_dead: false,
        };
        Rc::new(Self {
            limits: device.limits(),
            device: RefCell::new(device),
            name: name.into(),
            scheduler,
            patience,
            state: RefCell::new(state),
            watches: RefCell::default(),
            room,
            last_in_line: Cell::new(0),
            first_in_line: Cell::new(0),
        })
    }

    /// What the device can take.
    pub fn limits(&self) -> BlockLimits {
        self.limits
    }

    /// What a unit is.
    pub fn disk(&self, unit: u8) -> Option<Disk> {
        self.device.borrow().disk(unit)
    }

    /// Keeps `capacity` what the device says of a unit, from when it changes on.
    pub fn watch(&self, unit: u8, capacity: Arc<AtomicU64>) {
        let seen = self.disk(unit).map_or(0, |disk| disk.sectors);
        self.watches.borrow_mut().push(Watch { unit, seen, capacity });
    }

    /// Asks the device whether its disks have changed, and says whether they have.
    pub fn refresh(&self) -> bool {
        let has_changed = self.device.borrow_mut().refresh();
        self.note_capacities();
        has_changed
    }

    /// Passes on what the device's driver knows by now. Another queue may know more, so what has not changed is not said.
    fn note_capacities(&self) {
        for watch in self.watches.borrow_mut().iter_mut() {
            let sectors = self.disk(watch.unit).map_or(0, |disk| disk.sectors);
            if sectors != watch.seen {
                log::warn!("{}: unit {} has {sectors} sectors now, after {}", self.name, watch.unit, watch.seen);
                watch.seen = sectors;
                watch.capacity.store(sectors, Ordering::Relaxed);
            }
        }
    }

    /// The time, and events to wait for.
    pub fn scheduler(&self) -> &dyn Scheduler {
        &*self.scheduler
    }

    /// Hands in a request. Waits while too many are under way.
    pub fn submit(self: &Rc<Self>, unit: u8, operation: BlockOperation, buffer: Option<DmaBuf>) -> Ticket {
        let is_full = self.state.borrow().unfinished >= MOST_UNFINISHED;
        if is_full || self.first_in_line.get() != self.last_in_line.get() {
            self.stand_in_line();
        }
        let place = self.enter(unit, operation, buffer, Target::Ticket);
        Ticket::new(Rc::clone(self), place)
    }

    /// Hands in a request for somebody else, who is told by `target`. Does not wait.
    pub fn submit_for(&self, unit: u8, operation: BlockOperation, buffer: Option<DmaBuf>, target: Target) {
        self.enter(unit, operation, buffer, target);
    }

    /// Waits until there is room, in the order of coming.
    fn stand_in_line(&self) {
        let number = self.last_in_line.get();
        self.last_in_line.set(number + 1);
        while self.first_in_line.get() != number || self.state.borrow().unfinished >= MOST_UNFINISHED {
            self.room.wait();
        }
        self.first_in_line.set(number + 1);
        self.room.announce();
    }

    fn enter(&self, unit: u8, operation: BlockOperation, buffer: Option<DmaBuf>, target: Target) -> u32 {
        let mut state = self.state.borrow_mut();
        let place = state.records.enter(unit, operation, buffer, target, || self.scheduler.event());
        state.unfinished += 1;
        if state.is_dead {
            self.end(&mut state, place, Err(DiskError::Dead));
            return place;
        }
        let State { records, waiting, .. } = &mut *state;
        waiting.add(records, place, &self.limits);
        if state.waiting.len() >= BATCH && state.in_flight < self.limits.in_flight {
            self.dispatch(&mut state, self.scheduler.now());
        }
        place
    }

    /// Gives the device what waits, shows it all that is new, takes what is finished, and wakes who waits for it.
    pub fn poll(&self, now: Instant) -> Work {
        let mut state = self.state.borrow_mut();
        if state.is_dead || (state.in_flight == 0 && state.waiting.len() == 0) {
            return Work::None;
        }
        let mut work = self.send(&mut state, now);
        loop {
            let next = match state.fault.take() {
                Some(fault) => Err(fault),
                None => self.device.borrow_mut().complete(),
            };
            match next {
                Ok(Some(completion)) => self.finish(&mut state, completion),
                Ok(None) => break,
                Err(fault) => {
                    log::error!("{}: {fault}", self.name);
                    self.recover(&mut state, now);
                }
            }
            work = Work::Done;
            if state.is_dead {
                return work;
            }
        }
        if now >= state.check_at && self.is_overdue(&mut state, now) {
            log::error!("{}: no answer in {:?}", self.name, self.patience);
            self.recover(&mut state, now);
            work = Work::Done;
        }
        if work == Work::Done && state.waiting.len() > 0 {
            self.send(&mut state, now);
        }
        work
    }

    /// Asks for an interrupt at the next completion; [`Armed::WorkPending`] if there is something to do already.
    pub fn arm(&self) -> Armed {
        let mut state = self.state.borrow_mut();
        if state.is_dead {
            return Armed::Idle;
        }
        if state.waiting.len() > 0 {
            self.send(&mut state, self.scheduler.now());
        }
        // A fault is met again, and dealt with, by the next poll.
        let armed = self.device.borrow_mut().arm();
        self.note_capacities();
        armed.unwrap_or(if state.unfinished > 0 { Armed::WorkPending } else { Armed::Idle })
    }

    /// When to [`poll`](Self::poll) even if the device is silent.
    pub fn deadline(&self) -> Option<Instant> {
        let state = self.state.borrow();
        if state.is_dead {
            return None;
        }
        let own = match (state.in_flight, state.waiting.len()) {
            (0, 0) => None,
            (0, _) => Some(self.scheduler.now().saturating_add(SHORTAGE)),
            _ => Some(state.check_at),
        };
        own.into_iter().chain(self.device.borrow().deadline()).min()
    }

    /// Whether the device has something to answer.
    pub fn awaits_answer(&self) -> bool {
        self.state.borrow().in_flight > 0
    }

    /// Whether anything is under way.
    pub fn is_busy(&self) -> bool {
        self.state.borrow().unfinished > 0
    }

    fn send(&self, state: &mut State, now: Instant) -> Work {
        self.dispatch(state, now);
        if !core::mem::take(&mut state.is_unpublished) {
            return Work::None;
        }
        self.device.borrow_mut().publish();
        Work::Done
    }
}
