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
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use fuse_proto::ops::Forget;
use fuse_proto::{Caller, Errno, Operation, Request, Unique, UniqueAllocator};
use toro_core::driver::fuse::{FuseDevice, FuseLimits, FuseRequest, Priority, RequestId};
use toro_core::driver::{Armed, DeviceFault, Refusal};
use toro_core::{DmaBuf, Instant};

use self::debts::OwedRelease;
use self::slots::{Phase, Slot, SlotTable, Waiter};
use crate::fs::scheduler::{Event, Scheduler, Wake};

mod debts;
mod lending;
mod listening;
mod revival;
mod slots;
mod ticket;

pub use self::debts::Closing;
pub use self::lending::HomeComing;
pub use self::listening::Listener;
pub use self::slots::{Keep, Late};
pub use self::ticket::{Answer, Ticket, payload};

/// How many references one BATCH_FORGET returns at most.
const FORGET_BATCH: usize = 64;

/// How long to wait before looking for memory again.
const SHORTAGE: Duration = Duration::from_millis(5);

/// Whether a poll found something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It did.
    Done,
    /// It did not.
    None,
}

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

/// The connection's clock and events, for others.
struct Clock(Rc<Connection>);

impl Scheduler for Clock {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn event(&self) -> Rc<dyn Event> {
        self.0.scheduler.event()
    }
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
    /// How many references may travel in one message.
    forget_batch: Cell<usize>,
    /// How long references that are returned are put off.
    forget_delay: Cell<Duration>,
    /// Whether FLUSH, sent when nobody waited for the answer, was answered with ENOSYS.
    no_flush: Cell<bool>,
    /// Whether the server understands INTERRUPT.
    interrupts: Cell<Interrupts>,
    /// Whether the last thing that happened is that somebody waited in vain.
    silent: Cell<bool>,
    /// Who wants to know what the server says of its own accord; `None` where it cannot.
    listener: Option<RefCell<Weak<dyn Listener>>>,
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
            listener: device.has_notifications().then(listening::nobody),
            device: RefCell::new(device),
            scheduler,
            state: RefCell::new(state),
            room,
            patience,
            in_flight: Cell::new(0),
            forget_batch: Cell::new(1),
            forget_delay: Cell::new(Duration::ZERO),
            no_flush: Cell::new(false),
            interrupts: Cell::new(Interrupts::Never),
            silent: Cell::new(false),
        })
    }

    /// What the device can take.
    pub fn limits(&self) -> FuseLimits {
        self.limits
    }

    /// Whether FLUSH is worth a message, as far as the answers to those say that nobody waited for.
    pub fn has_flush(&self) -> bool {
        !self.no_flush.get()
    }

    /// A way to wait for other threads of the core.
    pub fn scheduler(self: &Rc<Self>) -> Box<dyn Scheduler> {
        Box::new(Clock(Rc::clone(self)))
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

    /// Whether there is still something to send or to come back.
    pub fn is_busy(&self) -> bool {
        let state = self.state.borrow();
        self.in_flight.get() > 0 || state.owes()
    }

    /// Ends the use of the device; whoever waits or comes later gets `reason`.
    pub fn close(&self, reason: Errno) {
        let mut dropped = Vec::new();
        let mut events = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(reason);
            state.forgets.clear();
            state.interrupts.clear();
            state.by_request.clear();
            dropped.extend(state.releases.drain(..).map(|owed| owed.keep));
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
        }
        // Outside of the borrow: what was kept alive may have something to say when it goes.
        drop(dropped);
        events.iter().for_each(|event| event.announce());
        self.room.announce();
    }

    /// Sends an operation and waits for its answer, of which `use_reply` makes the result.
    ///
    /// # Errors
    ///
    /// The server's, EIO for a malformed answer (what it owes is paid), and those of [`submit`](Self::submit).
    pub fn call<O: Operation, T>(
        self: &Rc<Self>,
        operation: &O,
        late: Late,
        keep: Keep,
        use_reply: impl FnOnce(O::Reply<'_>) -> T,
    ) -> Result<T, Errno> {
        let answer = self.submit(operation, None, late, keep)?.wait()?;
        let result = operation.decode(answer.unique, answer.reply()).map(use_reply);
        self.recycle(answer.buffers);
        result.map_err(|error| self.judge(error))
    }

    /// Sends an operation; `payload` is where bulk data of its reply goes, as long as the room for it. Waits
    /// while the device has no room for the request.
    ///
    /// # Errors
    ///
    /// ENOMEM, ETIMEDOUT, EINVAL for what cannot be expressed, EIO or ENOTCONN on a closed connection.
    pub fn submit<O: Operation>(
        self: &Rc<Self>,
        operation: &O,
        payload: Option<DmaBuf>,
        late: Late,
        keep: Keep,
    ) -> Result<Ticket, Errno> {
        let (unique, request) = self.prepare(operation, None, payload)?;
        self.submit_prepared(unique, request, late, keep)
    }

    /// Like [`submit`](Self::submit), for an operation whose data goes to the server in a buffer of its own.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn submit_data<O: Operation>(
        self: &Rc<Self>,
        operation: &O,
        data: DmaBuf,
        late: Late,
        keep: Keep,
    ) -> Result<Ticket, Errno> {
        let (unique, request) = self.prepare(operation, Some(data), None)?;
        self.submit_prepared(unique, request, late, keep)
    }

    fn submit_prepared(
        self: &Rc<Self>,
        unique: Unique,
        mut request: FuseRequest,
        late: Late,
        keep: Keep,
    ) -> Result<Ticket, Errno> {
        let deadline = self.deadline();
        loop {
            match self.offer(request) {
                Ok(id) => return Ok(self.ticket(id, unique, late, keep)),
                Err((errno, refused)) => {
                    request = refused;
                    if errno != Errno::EAGAIN || self.room.wait_until(deadline) == Wake::TimedOut {
                        self.recycle(request);
                        return Err(if errno == Errno::EAGAIN { self.waited_in_vain() } else { errno });
                    }
                }
            }
        }
    }

    /// Like [`submit`](Self::submit), but `None` instead of waiting for room, and for every failure.
    pub fn try_submit<O: Operation>(
        self: &Rc<Self>,
        operation: &O,
        payload: Option<DmaBuf>,
        late: Late,
        keep: Keep,
    ) -> Option<Ticket> {
        let (unique, request) = self.prepare(operation, None, payload).ok()?;
        match self.offer(request) {
            Ok(id) => Some(self.ticket(id, unique, late, keep)),
            Err((_, request)) => {
                self.recycle(request);
                None
            }
        }
    }

    /// A buffer of the device, `size` bytes long.
    pub fn buffer(&self, size: usize) -> Option<DmaBuf> {
        self.device.borrow_mut().buffer(size)
    }

    /// A buffer of the device; waits for one while memory is short.
    ///
    /// # Errors
    ///
    /// ENOMEM if there is none for as long as a request may take.
    pub fn buffer_in_time(&self, size: usize) -> Result<DmaBuf, Errno> {
        let deadline = self.deadline();
        loop {
            if let Some(buffer) = self.buffer(size) {
                return Ok(buffer);
            }
            let now = self.now();
            if now >= deadline || size > self.limits.max_payload {
                return Err(Errno::ENOMEM);
            }
            // Completions bring buffers back, but so does whoever lets go of one that it had read.
            self.room.wait_until(now.saturating_add(SHORTAGE).min(deadline));
        }
    }

    /// Gives one buffer back to the device.
    pub fn recycle_buffer(&self, buffer: DmaBuf) {
        self.device.borrow_mut().recycle(buffer);
    }

    /// Waits until nothing is owed or in flight, or the connection's patience is over. Nothing is put off from then on.
    pub fn drain(&self) {
        self.forget_delay.set(Duration::ZERO);
        self.state.borrow_mut().forgets_until = Instant::from_nanos(0);
        let deadline = self.deadline();
        while self.is_busy() && self.room.wait_until(deadline) == Wake::Notified {}
    }

    /// Gives buffers back to the device.
    pub fn recycle(&self, buffers: FuseRequest) {
        let mut device = self.device.borrow_mut();
        let FuseRequest { request, data, reply, payload, .. } = buffers;
        [Some(request), data, reply, payload].into_iter().flatten().for_each(|buffer| device.recycle(buffer));
    }

    /// Sends what is owed, publishes what was submitted, takes what is finished, and wakes who waits for it.
    pub fn poll(self: &Rc<Self>) -> Work {
        if self.state.borrow().closed.is_some() {
            return Work::None;
        }
        let mut work = self.send();
        if work == Work::None && self.in_flight.get() == 0 && self.listener.is_none() {
            // The rule. A device that fails meanwhile is found out by the next request.
            return Work::None;
        }
        loop {
            let next = self.device.borrow_mut().complete();
            let completion = match next {
                Ok(Some(completion)) => completion,
                Ok(None) => break,
                Err(fault) => {
                    self.fail(fault);
                    return Work::Done;
                }
            };
            work = Work::Done;
            self.finish(completion.id, completion.request);
        }
        if self.listener.is_some() && self.listen() == Work::Done {
            work = Work::Done;
        }
        if work == Work::Done {
            self.room.announce();
            // Settling late answers may have added to what is owed, and completions made room for it.
            self.send();
        }
        work
    }

    /// Asks for an interrupt at the next completion; [`Armed::WorkPending`] if there is something to do already.
    pub fn arm(self: &Rc<Self>) -> Armed {
        self.send();
        if self.state.borrow().closed.is_some() {
            return Armed::Idle;
        }
        let armed = self.device.borrow_mut().arm();
        armed.unwrap_or_else(|fault| {
            self.fail(fault);
            Armed::WorkPending
        })
    }

    /// When to [`poll`](Self::poll) even if the device is silent: soon, where memory was too short to send what is owed, and
    /// when references have been put off for long enough.
    pub fn next_poll(&self) -> Option<Instant> {
        let state = self.state.borrow();
        if state.closed.is_some() || !state.owes() {
            return None;
        }
        let soon = self.now().saturating_add(SHORTAGE);
        Some(if state.owes_now() || self.has_due_forgets(&state) { soon } else { state.forgets_until })
    }

    /// Whether references are to be returned now.
    fn has_due_forgets(&self, state: &State) -> bool {
        match state.forgets.len() {
            0 => false,
            count if count >= self.forget_batch.get() => true,
            _ => self.now() >= state.forgets_until,
        }
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

    /// Encodes an operation into fresh buffers.
    fn prepare<O: Operation>(
        &self,
        operation: &O,
        data: Option<DmaBuf>,
        payload: Option<DmaBuf>,
    ) -> Result<(Unique, FuseRequest), Errno> {
        if data.as_ref().map_or(0, |data| data.len()) != operation.data_len() {
            return Err(Errno::EINVAL);
        }
        let (unique, request) = self.encode(operation)?;
        let room = operation.reply_capacity() - payload.as_ref().map_or(0, |payload| payload.len());
        let Some(mut reply) = self.buffer(room) else {
            self.device.borrow_mut().recycle(request);
            return Err(Errno::ENOMEM);
        };
        // A reply that was never written must not look like the last one that was (FU-FR-8).
        reply.fill(0);
        let priority = Priority::Normal;
        Ok((unique, FuseRequest { priority, request, data, reply: Some(reply), payload }))
    }

    fn encode<R: Request>(&self, request: &R) -> Result<(Unique, DmaBuf), Errno> {
        let length = request.request_len().map_err(|_| Errno::EINVAL)?;
        let mut buffer = self.buffer(length).ok_or(Errno::ENOMEM)?;
        let unique = self.state.borrow_mut().uniques.allocate();
        match request.encode(unique, Caller::SUPERUSER, &mut buffer) {
            Ok(_) => Ok((unique, buffer)),
            Err(_) => {
                self.device.borrow_mut().recycle(buffer);
                Err(Errno::EINVAL)
            }
        }
    }

    /// Gives a request to the device; EAGAIN says that it has no room now.
    fn offer(&self, request: FuseRequest) -> Result<RequestId, (Errno, FuseRequest)> {
        if let Some(reason) = self.state.borrow().closed {
            return Err((reason, request));
        }
        let refused = match self.device.borrow_mut().submit(request) {
            Ok(id) => return Ok(id),
            Err(refused) => refused,
        };
        let errno = match refused.reason {
            Refusal::Full => Errno::EAGAIN,
            Refusal::Faulted(fault) => {
                self.fail(fault);
                Errno::EIO
            }
            _ => Errno::EINVAL,
        };
        Err((errno, refused.request))
    }

    fn ticket(self: &Rc<Self>, id: RequestId, unique: Unique, late: Late, keep: Keep) -> Ticket {
        let slot = self.enter(id, Phase::InFlight { unique, late, keep, waiter: Waiter::Present });
        Ticket { connection: Rc::clone(self), slot, waits: true }
    }

    /// Gives a request that the device has accepted a slot.
    fn enter(&self, id: RequestId, phase: Phase) -> usize {
        let mut state = self.state.borrow_mut();
        let index = state.free.pop().unwrap_or(state.slots.len());
        match state.slots.get_mut(index) {
            Some(slot) => slot.phase = phase,
            None => state.slots.push(Slot { phase, event: self.scheduler.event() }),
        }
        state.by_request.insert(id, index);
        state.unpublished = true;
        self.in_flight.set(self.in_flight.get() + 1);
        index
    }

    /// Takes a request back from the device.
    fn finish(self: &Rc<Self>, id: RequestId, buffers: FuseRequest) {
        self.silent.set(false);
        let mut state = self.state.borrow_mut();
        let index = state.by_request.take(id);
        let slot = index.and_then(|index| state.slots.get_mut(index));
        // A device that completes what was not in flight breaks its own contract; there is nobody to tell.
        let (Some(index), Some(slot)) = (index, slot) else { return };
        let Phase::InFlight { unique, late, keep, waiter } = core::mem::replace(&mut slot.phase, Phase::Free) else {
            return;
        };
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        // It has been answered: there is nothing to interrupt.
        state.interrupts.retain(|&waiting| waiting != unique);
        let Some(slot) = state.slots.get_mut(index) else { return };
        let answer = Answer { unique, buffers };
        match waiter {
            Waiter::Present => {
                slot.phase = Phase::Done { answer, late, keep };
                let event = Rc::clone(&slot.event);
                drop(state);
                event.announce();
            }
            Waiter::Gone => {
                state.free.push(index);
                drop(state);
                self.settle(answer, late, keep);
            }
        }
    }

    /// Sends what is owed as far as there is room, and tells the device of everything new.
    fn send(self: &Rc<Self>) -> Work {
        let (owes_now, has_due_forgets) = {
            let state = self.state.borrow();
            let (owes_now, has_due_forgets) = (state.owes_now(), self.has_due_forgets(&state));
            // The rule, as every look of the core's loop comes here.
            let is_idle = !owes_now && !has_due_forgets && !state.unpublished;
            if is_idle || state.closed.is_some() {
                return Work::None;
            }
            (owes_now, has_due_forgets)
        };
        if owes_now {
            self.send_releases();
            self.send_interrupts();
        }
        if has_due_forgets {
            self.send_forgets();
        }
        if !core::mem::take(&mut self.state.borrow_mut().unpublished) {
            return Work::None;
        }
        self.device.borrow_mut().publish();
        Work::Done
    }
}
