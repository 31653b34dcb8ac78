//! A bounded channel from many threads to one: a ring of its own for each core that sends.
//!
//! ```text
//!   threads of core 0 --> ring 0 --+
//!   threads of core 1 --> ring 1 --+--> receiver, which takes from the rings in turn
//!   threads of core 2 --> ring 2 --+
//! ```
//!
//! Threads of one core run one at a time, so each ring has one producer at a time and needs no lock. A ring is made
//! when a core first sends. What one core sends arrives in the order in which it was sent; what different cores send has
//! no order, and no core can keep another from being heard.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use toro_sync::mailbox::Mailbox;
use toro_sync::spsc::{Consumer, Full, Producer};
use toro_sync::wake::WakeSlot;

use super::spsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError, wait_in, wake_in};
use super::waiters::{Place, Waiters};
use crate::arch::core_index;
use crate::arch::core_local::CoreOwned;
use crate::sched::{Waiter, Wake};
use crate::time::{Duration, Instant};

/// What a core has of a channel that it sends to.
struct Lane<T: Send> {
    producer: CoreOwned<RefCell<Producer<T>>>,
    /// Its threads that wait for room.
    waiters: Waiters,
}

struct Shared<T: Send> {
    /// One per core.
    lanes: Box<[Lane<T>]>,
    /// The other halves of new rings, with the numbers of their lanes, on their way to the receiver.
    rings: Mailbox<(usize, Consumer<T>)>,
    receiver: WakeSlot<Waiter>,
    capacity: usize,
    senders: AtomicUsize,
    receiver_is_gone: AtomicBool,
}

/// A channel that holds up to `capacity` values of each core.
///
/// # Panics
///
/// If `capacity` is 0.
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel holds at least one value");
    let lane = |core| Lane { producer: CoreOwned::new(core), waiters: Waiters::new() };
    let shared = Arc::new(Shared {
        lanes: (0..crate::core::count()).map(lane).collect(),
        rings: Mailbox::new(),
        receiver: WakeSlot::new(),
        capacity,
        senders: AtomicUsize::new(1),
        receiver_is_gone: AtomicBool::new(false),
    });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, rings: Vec::new(), next: 0 })
}

impl<T: Send> Shared<T> {
    /// The calling core's lane, and its ring, which is made if this is the first time.
    #[inline]
    fn lane(&self) -> (&Lane<T>, &RefCell<Producer<T>>) {
        let core = core_index();
        let lane = &self.lanes[core];
        let producer = lane.producer.get_or_init(|| {
            let (producer, consumer) = toro_sync::spsc::channel(self.capacity);
            self.rings.push((core, consumer));
            RefCell::new(producer)
        });
        (lane, producer)
    }

    fn is_closed(&self) -> bool {
        self.receiver_is_gone.load(Ordering::Acquire)
    }
}

/// A sending half; clones of it send to the same receiver.
pub struct Sender<T: Send> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> Sender<T> {
    /// Sends a value; waits for room if there is none for this core.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the value back if the receiver is gone.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = value;
        loop {
            match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(value)) => return Err(SendError(value)),
                Err(TrySendError::Full(back)) => value = back,
            }
            let (lane, producer) = self.shared.lane();
            let is_ready = || producer.borrow().room() > 0 || self.shared.is_closed();
            let _ = lane.waiters.wait_unless(Place::Last, None, is_ready);
        }
    }

    /// Sends a value if there is room.
    ///
    /// # Errors
    ///
    /// See [`TrySendError`], which gives the value back.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.shared.is_closed() {
            return Err(TrySendError::Disconnected(value));
        }
        let (_, producer) = self.shared.lane();
        producer.borrow_mut().push(value).map_err(|Full(value)| TrySendError::Full(value))?;
        wake_in(&self.shared.receiver);
        Ok(())
    }
}

impl<T: Send> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Send> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            wake_in(&self.shared.receiver);
        }
    }
}

impl<T: Send> fmt::Debug for Sender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The receiving half.
pub struct Receiver<T: Send> {
    shared: Arc<Shared<T>>,
    /// Of the cores that have sent something.
    rings: Vec<(usize, Consumer<T>)>,
    /// The ring whose turn it is.
    next: usize,
}

impl<T: Send> Receiver<T> {
    /// Receives a value; waits for one if there is none.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if all senders are gone and everything they sent has been received.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// As [`recv`](Self::recv), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// See [`RecvTimeoutError`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(Instant::now().saturating_add(timeout)))
    }

    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let mut wake = Wake::Notified;
        loop {
            match self.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) if wake == Wake::TimedOut => return Err(RecvTimeoutError::Timeout),
                Err(TryRecvError::Empty) => {}
            }
            let Self { shared, rings, .. } = self;
            let is_ready = || {
                !shared.rings.is_empty()
                    || rings.iter().any(|(_, ring)| !ring.is_empty())
                    || shared.senders.load(Ordering::Acquire) == 0
            };
            wake = wait_in(&shared.receiver, deadline, is_ready);
        }
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    ///
    /// See [`TryRecvError`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        // The senders first: what the last of them sent is there when it is gone.
        let is_closed = self.shared.senders.load(Ordering::Acquire) == 0;
        match self.take() {
            Some(value) => Ok(value),
            None if is_closed => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    fn take(&mut self) -> Option<T> {
        if !self.shared.rings.is_empty() {
            self.rings.extend(self.shared.rings.take_all());
        }
        for _ in 0..self.rings.len() {
            let turn = self.next;
            self.next = if turn + 1 < self.rings.len() { turn + 1 } else { 0 };
            let (core, ring) = &mut self.rings[turn];
            if let Some(value) = ring.pop() {
                self.shared.lanes[*core].waiters.wake_one();
                return Some(value);
            }
        }
        None
    }
}

impl<T: Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver_is_gone.store(true, Ordering::Release);
        self.shared.lanes.iter().for_each(|lane| lane.waiters.wake_all());
    }
}

impl<T: Send> fmt::Debug for Receiver<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receiver").finish_non_exhaustive()
    }
}
