//! Requests in flight: who waits for what, and what happens to an answer that nobody waits for any more.
//!
//! ```text
//!   thread          submit ---> slot: InFlight ----poll----> Done ----> thread takes the answer, slot: Free
//!                     |            |      |
//!                     |            |      +--timeout, Ticket dropped--> InFlight, nobody waits --poll--> settled, Free
//!                     |            +--device fault--> Lost ----> thread gets EIO, Free
//!                     +--no room: the thread waits for the next completion
//!
//!   nobody waits    FORGET, RELEASE, INTERRUPT: queued here, sent by the next poll, as soon as there is room
//! ```
//!
//! # What is in which file
//!
//! ```text
//!   sending.rs   operation -> request -> slot      ticket.rs    the thread that waits
//!   polling.rs   the core's loop                   debts.rs     what is sent when nobody waits, late answers
//!   buffers.rs   memory of the device              lending.rs   memory of others
//!   slots.rs     who waits for what                listening.rs what the server says of its own accord
//!   revival.rs   one connection after the other
//! ```
//!
//! # Batching
//!
//! Submitting does not notify the device. The next [`poll`](Connection::poll) publishes whatever threads
//! submitted since the last one, with one notification, and then takes completions. So the more threads are
//! busy, the fewer notifications a request costs.
//!
//! References that are returned have a queue of the device and a notification of their own, and nobody waits for that. So they
//! are put off until there are as many as one message takes, or until the first of them has waited for
//! [`Options::forget_delay`](super::Options).
//!
//! # Ownership
//!
//! While a request is in flight the device owns its buffers. A thread that gives up leaves them there: its slot
//! stays occupied until the device hands the buffers back, and what they answer is *settled* then. A late answer
//! to LOOKUP is a reference to return, a late answer to OPEN a handle to release. A slot also keeps alive what
//! the request is about, so that no FORGET overtakes a request on its node, and no RELEASE a READ of its handle.
//!
//! # Failure
//!
//! Every wait has a deadline: ETIMEDOUT; the server is told that nobody waits any more, if it understands that. A device
//! that broke the protocol is not used again: EIO, for those who wait and for all who come later. What can be done then is
//! in [`revival`]: the device is reset, and a new connection takes it over. This one stays closed, so that nothing of the
//! old session gets into the new one.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};
use core::time::Duration;

use fuse_proto::ops::Forget;
use fuse_proto::{Errno, Session, Unique, UniqueAllocator};
use toro_core::Instant;
use toro_core::driver::DeviceFault;
use toro_core::driver::fuse::{FuseDevice, FuseLimits};

use self::debts::OwedRelease;
use self::slots::{Phase, Slot, SlotTable, Waiter};
use crate::fs::scheduler::{Event, Scheduler, Wake};

mod buffers;
mod debts;
mod lending;
#[cfg_attr(not(feature = "fs-notices"), path = "connection/deaf.rs")]
mod listening;
mod polling;
mod revival;
mod sending;
mod slots;
mod ticket;

pub use self::debts::Closing;
pub use self::lending::HomeComing;
use self::listening::Ear;
#[cfg(feature = "fs-notices")]
pub use self::listening::Listener;
pub use self::slots::{Keep, Late};
pub use self::ticket::{Answer, Ticket, payload};

/// How many references one BATCH_FORGET returns at most.
const FORGET_BATCH: usize = 64;

/// How long to wait before looking for memory again.
const SHORTAGE: Duration = Duration::from_millis(5);

struct State {
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_request: SlotTable,
    uniques: UniqueAllocator,
    forgets: VecDeque<Forget>,
    /// Until when the first of them is put off.
    forgets_until: Instant,
    releases: VecDeque<OwedRelease>,
    /// Requests in flight that nobody waits for any more, which the server is to be told.
    interrupts: VecDeque<Unique>,
    /// Requests the device has been given but not been told of.
    unpublished: bool,
    /// Why nothing more is sent.
    closed: Option<Errno>,
}

impl State {
    /// Whether there is something to send that nobody waits for.
    fn owes(&self) -> bool {
        self.owes_now() || !self.forgets.is_empty()
    }

    /// Whether some of that is not put off.
    fn owes_now(&self) -> bool {
        !self.releases.is_empty() || !self.interrupts.is_empty()
    }
}

/// Whether a server is told of requests that nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// It is not known to understand that.
    Never,
    /// By INTERRUPT, once for each.
    Sent,
}

/// The way to one file server, and all requests that are on it.
pub struct Connection {
    device: RefCell<Box<dyn FuseDevice>>,
    limits: FuseLimits,
    scheduler: Rc<dyn Scheduler>,
    state: RefCell<State>,
    /// Announced when a request has come back, so that another one may fit.
    room: Rc<dyn Event>,
    patience: Duration,
    in_flight: Cell<usize>,
    /// Those among them to which there is a ticket.
    wanted: Cell<usize>,
    /// How many references may travel in one message.
    forget_batch: Cell<usize>,
    /// How long references that are returned are put off.
    forget_delay: Cell<Duration>,
    /// The session that has begun on it, to which answers are news that nobody waits for.
    session: OnceCell<Rc<RefCell<Session>>>,
    /// Whether the server understands INTERRUPT.
    interrupts: Cell<Interrupts>,
    /// Whether the last thing that happened is that somebody waited in vain.
    silent: Cell<bool>,
    /// Who wants to know what the server says of its own accord.
    ear: Ear,
}

impl Connection {
    /// A connection over `device`, on which every request is waited for no longer than `patience`.
    pub fn new(device: Box<dyn FuseDevice>, scheduler: Rc<dyn Scheduler>, patience: Duration) -> Rc<Self> {
        let room = scheduler.event();
        let state = State {
            slots: Vec::new(),
            free: Vec::new(),
            by_request: SlotTable::default(),
            uniques: UniqueAllocator::new(),
            forgets: VecDeque::new(),
            forgets_until: Instant::from_nanos(0),
            releases: VecDeque::new(),
            interrupts: VecDeque::new(),
            unpublished: false,
            closed: None,
        };
        Rc::new(Self {
            limits: device.limits(),
            ear: Ear::new(&*device),
            device: RefCell::new(device),
            scheduler,
            state: RefCell::new(state),
            room,
            patience,
            in_flight: Cell::new(0),
            wanted: Cell::new(0),
            forget_batch: Cell::new(1),
            forget_delay: Cell::new(Duration::ZERO),
            session: OnceCell::new(),
            interrupts: Cell::new(Interrupts::Never),
            silent: Cell::new(false),
        })
    }

    /// What the device can take.
    pub fn limits(&self) -> FuseLimits {
        self.limits
    }

    /// Begins the one session of this connection. It learns from all answers, whoever waits for them.
    pub fn begin(&self, session: Session) -> Rc<RefCell<Session>> {
        Rc::clone(self.session.get_or_init(|| Rc::new(RefCell::new(session))))
    }

    /// A way to wait for other threads of the core.
    pub fn scheduler(&self) -> Box<dyn Scheduler> {
        Box::new(Rc::clone(&self.scheduler))
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.scheduler.now()
    }

    /// Allows BATCH_FORGET, once it is known that the server has it; references wait for each other for so long.
    pub fn allow_batches(&self, delay: Duration) {
        self.forget_batch.set(FORGET_BATCH);
        self.forget_delay.set(delay);
    }

    /// Says whether the server understands INTERRUPT.
    pub fn set_interrupts(&self, interrupts: Interrupts) {
        self.interrupts.set(interrupts);
    }

    /// Requests in flight, those that nobody waits for included.
    #[cfg(test)]
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Whether nothing is sent any more.
    #[cfg(test)]
    pub fn is_closed(&self) -> bool {
        self.state.borrow().closed.is_some()
    }

    /// Whether the server has something to answer that somebody wants to know.
    pub fn awaits_answer(&self) -> bool {
        self.wanted.get() > 0
    }

    /// Whether there is still something to send or to come back.
    pub fn is_busy(&self) -> bool {
        let state = self.state.borrow();
        self.in_flight.get() > 0 || state.owes()
    }

    /// Ends the use of the device; whoever waits or comes later gets `reason`.
    pub fn close(&self, reason: Errno) {
        let mut dropped = Vec::new();
        let mut events = Vec::new();
        let releases;
        {
            let mut state = self.state.borrow_mut();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(reason);
            state.forgets.clear();
            state.interrupts.clear();
            state.by_request.clear();
            releases = core::mem::take(&mut state.releases);
            let State { slots, free, .. } = &mut *state;
            for (index, slot) in slots.iter_mut().enumerate() {
                let Phase::InFlight { .. } = slot.phase else { continue };
                let Phase::InFlight { keep, waiter, .. } = core::mem::replace(&mut slot.phase, Phase::Lost) else {
                    continue;
                };
                dropped.push(keep);
                match waiter {
                    Waiter::Present => events.push(Rc::clone(&slot.event)),
                    Waiter::Gone => {
                        slot.phase = Phase::Free;
                        free.push(index);
                    }
                }
            }
            self.in_flight.set(0);
            self.wanted.set(0);
        }
        // Outside of the borrow: what was kept alive may have something to say when it goes.
        drop((dropped, releases));
        events.iter().for_each(|event| event.announce());
        self.room.announce();
    }

    /// Waits until nothing is owed or in flight, or the connection's patience is over. Nothing is put off from then on.
    pub fn drain(&self) {
        self.forget_delay.set(Duration::ZERO);
        self.state.borrow_mut().forgets_until = Instant::from_nanos(0);
        let deadline = self.deadline();
        while self.is_busy() && self.room.wait_until(deadline) == Wake::Notified {}
    }

    fn deadline(&self) -> Instant {
        self.now().saturating_add(self.patience)
    }

    fn fail(&self, fault: DeviceFault) {
        if self.state.borrow().closed.is_none() {
            log::error!("virtio-fs: {fault}; the file system is lost");
        }
        self.close(Errno::EIO);
    }
}
