//! Requests as futures, for any executor (feature `async`).
//!
//! ```text
//!   task      exchange(..).await ----+                          +---> Ok(Done)
//!                                    v                          |
//!   desk      tickets:  Waiting -> InFlight -> Done ------------+     Waiting: first come, first served
//!                          |          |                         |
//!             future dropped: gone   Detached -> gone           +---> a fault, or Stopped
//!                                    ^   |
//!   queue                    submit -+   +- completion  <--- process(), by whoever hears the interrupt
//! ```
//!
//! An [`AsyncQueue`] owns a [`Virtqueue`] and whatever notifies the device. A request that finds no room waits *as a
//! request*, not as a task: [`process`](AsyncQueue::process) submits it when a completion makes room, in the order of
//! arrival, without the task having to run. So no wake-up can be lost between room and submission, and nobody can be
//! overtaken.
//!
//! # Ownership
//!
//! What is exchanged moves in with the future's first poll and out with its answer. A future that is dropped before its
//! request was submitted takes the request along. One that is dropped in flight leaves it behind: the buffer stays with
//! the queue until the device is done with it and goes back to its pool then, never before.
//!
//! Each exchange has a ticket from its first poll to its end. With the feature `alloc` there are as many as are needed;
//! without, as many as the caller's storage holds, and one more exchange is refused ([`Refusal::Full`]).
//!
//! # Locking and interrupts
//!
//! Tasks of several cores meet at one spin lock, held for a few hundred nanoseconds: to submit and ring the doorbell, or
//! to take up to 16 completions out. Wakers are called with the lock free. `process` never waits for the lock, so it may
//! be called where the holder of the lock was interrupted: it leaves a note, and the holder processes on its behalf
//! before it goes on. Futures are polled and dropped by tasks only, not in interrupt handlers.
//!
//! # Notifications
//!
//! Each submission is published at once; whether the device is notified is its own wish. With `EVENT_IDX` a device that
//! is awake wishes nothing, and so a turn of an executor that polls many futures costs one notification, as a batch
//! does. What waited for room is published by the batch.
//!
//! # Failure
//!
//! A device that breaks the protocol ends everybody's wait with the [`DeviceFault`]; so does
//! [`fail`](AsyncQueue::fail), for a device that is found dead by other means. There is no deadline inside: a device that
//! never answers is outlasted by the executor's own timer, and the future dropped. Taking a device out of service is
//! [`stop`](AsyncQueue::stop), then the reset, then [`hand_back`](AsyncQueue::hand_back) for what was in flight.
//!
//! # Example
//!
//! Random bytes for any number of tasks, from the entropy device (VIRTIO 1.3 §5.4):
//!
//! ```
//! # #[cfg(feature = "alloc")]
//! # mod entropy {
//! use toro_core::driver::{Armed, AttachError, DeviceFault};
//! use toro_core::{Clock, Dma, DmaBuf};
//! use virtio_queue_rt::asynchronous::{AsyncQueue, ExchangeError};
//! use virtio_queue_rt::{Direction, FeatureBits, QueueIndex, Quiesced, Reset, Running, Transport, Virtqueue};
//!
//! pub struct Entropy<T: Transport> {
//!     queue: AsyncQueue<DmaBuf, Running<T>>,
//! }
//!
//! impl<T: Transport> Entropy<T> {
//!     pub fn new(transport: T, memory: Dma, clock: &'static dyn Clock) -> Result<Self, AttachError> {
//!         let reset = Reset::new(transport, clock)?;
//!         let mut device = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |accepted| accepted)?;
//!         let queue = device.queue(QueueIndex(0), 8, memory)?;
//!         Ok(Self { queue: AsyncQueue::new(queue, device.run()) })
//!     }
//!
//!     /// Fills a buffer with random bytes.
//!     pub async fn fill(&self, buffer: DmaBuf) -> Result<DmaBuf, ExchangeError<DmaBuf>> {
//!         let mut done = self.queue.exchange((), buffer, Direction::FromDevice, ()).await?;
//!         done.payload.set_len(done.written as usize).expect("never more than there was room for");
//!         Ok(done.payload)
//!     }
//!
//!     /// What the interrupt handler calls, or a core that has nothing to do.
//!     pub fn interrupt(&self) -> Result<(), DeviceFault> {
//!         while self.queue.process()? == Armed::WorkPending {}
//!         Ok(())
//!     }
//!
//!     /// Takes the device out of service. Whoever still waits gets his buffer back.
//!     pub fn shut_down(&self, clock: &'static dyn Clock) -> Option<T> {
//!         let (queue, running) = self.queue.stop()?;
//!         // Without a confirmed reset the buffers stay with the device, and those who wait with them: see `fail`.
//!         let (transport, proof): (T, Quiesced) = running.quiesce(clock).ok()?;
//!         queue.retire(&proof, |buffer, ticket| self.queue.hand_back(ticket, buffer)).ok()?;
//!         Some(transport)
//!     }
//! }
//! # }
//! ```

mod desk;
mod exchange;
mod note;
mod ticket;

/// What `note` is made of: a model checker gives it others.
mod atomic {
    pub(super) use core::sync::atomic::{AtomicBool, Ordering, fence};
}

use core::fmt;

use spin::Mutex;
#[cfg(doc)]
use toro_core::driver::Refusal;
use toro_core::driver::{Armed, DeviceFault};

use self::desk::{Desk, Progress, Wakers};
use self::exchange::Request;
pub use self::exchange::{Exchange, ExchangeError};
use self::note::Note;
pub use self::ticket::{Ticket, TicketNumber, TicketStorage, Tickets};
use crate::init::Running;
use crate::queue::{Cell, Notify, Payload, SlotStorage, Slots, Virtqueue};
use crate::transport::Transport;

/// How often one call of [`AsyncQueue::process`] takes completions out before others have their turn.
const ROUNDS: u32 = 64;

/// What notifies a device: [`Running`], or something that stands for it where several queues share one.
///
/// Duty of an implementer: the device is notified if `wish` says so. One that forgets makes tasks wait for ever.
pub trait Notifier {
    /// Notifies the device of what `queue` has just published, if it wants that.
    fn notify<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>>(
        &self,
        queue: &Virtqueue<P, K, H, T, S>,
        wish: Notify,
    );
}

impl<X: Transport> Notifier for Running<X> {
    #[inline]
    fn notify<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>>(
        &self,
        queue: &Virtqueue<P, K, H, T, S>,
        wish: Notify,
    ) {
        self.notify(queue, wish);
    }
}

macro_rules! forward_notifier {
    ($($target:ty),*) => {$(
        impl<N: Notifier> Notifier for $target {
            #[inline]
            fn notify<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>>(
                &self,
                queue: &Virtqueue<P, K, H, T, S>,
                wish: Notify,
            ) {
                (**self).notify(queue, wish);
            }
        }
    )*};
}
forward_notifier!(&N);
#[cfg(feature = "alloc")]
forward_notifier!(alloc::sync::Arc<N>);

/// The virtqueue under an [`AsyncQueue`]: its cookies are tickets.
pub type TicketQueue<P, H = (), T = (), S = Slots<P, TicketNumber>> = Virtqueue<P, TicketNumber, H, T, S>;

/// A virtqueue whose requests are futures.
///
/// Payload `P`, header `H`, trailer `T` and slots `S` are those of the [`Virtqueue`]; `N` notifies its device, and the
/// tickets are in `E`.
///
/// Dropping it leaks the queue as dropping a [`Virtqueue`] does; [`stop`](Self::stop) hands it out.
pub struct AsyncQueue<P, N, H = (), T = (), S = Slots<P, TicketNumber>, E = Tickets<P, H, T>>
where
    P: Payload,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    desk: Mutex<Desk<P, N, H, T, S, E>>,
    /// Left by those who had to go away without having looked at the queue: whoever has the desk does it for them.
    note: Note,
}

#[cfg(feature = "alloc")]
impl<P, N, H, T, S> AsyncQueue<P, N, H, T, S>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
{
    /// Takes charge of a queue, with as many tickets as will be needed.
    pub fn new(queue: TicketQueue<P, H, T, S>, notifier: N) -> Self {
        Self::with_storage(queue, notifier, Tickets::new())
    }
}

impl<P, N, H, T, S, E> AsyncQueue<P, N, H, T, S, E>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    /// Takes charge of a queue, with the tickets in an array, a slice that lives for ever, or a vector. Their number is
    /// how many exchanges there can be at a time; the queue's [`capacity`](Virtqueue::capacity) is a sensible least.
    pub fn with_storage(queue: TicketQueue<P, H, T, S>, notifier: N, tickets: E) -> Self {
        Self { desk: Mutex::new(Desk::new(queue, notifier, tickets)), note: Note::new() }
    }

    /// Gives a request to the device and waits for its answer; the parts of the request are those of
    /// [`Virtqueue::submit`]. Nothing happens before the future's first poll.
    ///
    /// # Errors
    ///
    /// The future's, see [`ExchangeError`].
    pub fn exchange(
        &self,
        header: H::Value,
        payload: P,
        direction: P::Direction,
        trailer: T::Value,
    ) -> Exchange<'_, P, N, H, T, S, E> {
        Exchange::new(self, Request { header, payload, direction, trailer })
    }

    /// Looks at the queue on behalf of everybody: takes completions out, wakes those who wait for them, and submits what
    /// waited for room. To be called after every interrupt of the queue, or now and then where there are none.
    ///
    /// May be called anywhere, by several callers at once, in interrupt handlers too if the executor's wakers may be
    /// called there. After [`Armed::Idle`] the next completion interrupts; [`Armed::WorkPending`] asks for another
    /// call, after very many completions.
    ///
    /// # Errors
    ///
    /// The device broke the protocol, now or earlier; everybody has been told.
    pub fn process(&self) -> Result<Armed, DeviceFault> {
        let mut wakers = Wakers::new();
        for _ in 0..ROUNDS {
            self.note.leave();
            let Some(mut desk) = self.desk.try_lock() else {
                return Ok(Armed::Idle);
            };
            self.note.take();
            let progress = desk.advance(&mut wakers);
            drop(desk);
            wakers.wake();
            match progress {
                Progress::Failed(fault) => {
                    self.wake_everybody();
                    return Err(fault);
                }
                Progress::HasFailed(fault) => return Err(fault),
                Progress::MoreToTake => continue,
                Progress::Armed => {}
            }
            if !self.note.is_left() {
                return Ok(Armed::Idle);
            }
        }
        Ok(Armed::WorkPending)
    }

    /// Declares the device failed, which it says in its registers or shows by never answering: everybody who waits, and
    /// everybody who comes, gets this fault. A first fault stays.
    pub fn fail(&self, fault: DeviceFault) {
        self.with(|desk| desk.fail(fault));
        self.wake_everybody();
    }

    /// The fault that put it out of service, if one did.
    pub fn fault(&self) -> Option<DeviceFault> {
        self.with(|desk| desk.fault())
    }

    /// Stops all traffic and hands the queue out, to be retired or reset; `None` if that was done before.
    ///
    /// What is finished by now is delivered. Whoever waits for room gets his payload back
    /// ([`ExchangeError::Stopped`]); whoever waits for the device goes on waiting, for [`hand_back`](Self::hand_back) or
    /// [`fail`](Self::fail).
    pub fn stop(&self) -> Option<(TicketQueue<P, H, T, S>, N)> {
        // What can be taken out is. After a fault, or should there be no end of it, the rest is handed back.
        let _ = self.process();
        let stopped = self.with(|desk| desk.stop());
        if stopped.is_some() {
            self.wake_everybody();
        }
        stopped
    }

    /// Gives an unfinished request back to whoever waits for it: what [`Virtqueue::retire`] and
    /// [`Running::reset_queue`] call for each.
    pub fn hand_back(&self, ticket: TicketNumber, payload: P) {
        let (waker, _unwanted) = self.with(|desk| desk.hand_back(ticket, payload));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Does something with the desk; then what others could not do meanwhile.
    fn with<R>(&self, body: impl FnOnce(&mut Desk<P, N, H, T, S, E>) -> R) -> R {
        let result = body(&mut self.desk.lock());
        if self.note.is_left() {
            while let Ok(Armed::WorkPending) = self.process() {}
        }
        result
    }

    /// Wakes all who wait for anything: what they wait for has changed.
    fn wake_everybody(&self) {
        let mut wakers = Wakers::new();
        let mut from = Some(0);
        while let Some(first) = from {
            from = self.desk.lock().collect(first, &mut wakers);
            wakers.wake();
        }
        if self.note.is_left() {
            // An error has been told, and an armed queue is what was asked for.
            let _ = self.process();
        }
    }
}

impl<P, N, H, T, S, E> fmt::Debug for AsyncQueue<P, N, H, T, S, E>
where
    P: Payload,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.desk.try_lock() {
            Some(desk) => write!(f, "AsyncQueue({:?})", *desk),
            None => f.write_str("AsyncQueue(in use)"),
        }
    }
}
