//! A bounded channel from one thread to another, on whatever cores: a ring without locks.
//!
//! ```ignore
//! let (mut sender, mut receiver) = toro::sync::spsc::channel(64);
//! toro::thread::spawn_on(core, move || sender.send(42));
//! assert_eq!(receiver.recv(), Ok(42));
//! ```
//!
//! Sending to a receiver that is awake is a store into the ring and a look whether somebody waits; the same for
//! receiving. Who waits is suspended and leaves its core to others; it is woken by way of its core's inbox.

use alloc::sync::Arc;
use core::fmt;

use toro_sync::spsc::{Consumer, Full, Producer};
use toro_sync::wake::{Registered, WakeSlot};

use crate::sched::{Waiter, Wake};
use crate::time::{Duration, Instant};

/// Where the two sides wait for each other.
#[derive(Default)]
struct Shared {
    /// The receiver, for something to receive.
    receiver: WakeSlot<Waiter>,
    /// The sender, for room.
    sender: WakeSlot<Waiter>,
}

/// Waits in `slot`, unless `is_ready`. What makes it ready wakes the slot afterwards.
pub(super) fn wait_in(slot: &WakeSlot<Waiter>, deadline: Option<Instant>, is_ready: impl Fn() -> bool) -> Wake {
    let waiter = Waiter::new();
    if slot.register(waiter.clone()) == Registered::WokenMeanwhile || is_ready() {
        let _ = waiter.cancel();
        return Wake::Notified;
    }
    waiter.wait(deadline)
}

/// Wakes who waits in `slot`, if somebody does.
#[inline]
pub(super) fn wake_in(slot: &WakeSlot<Waiter>) {
    if let Some(waiter) = slot.take() {
        waiter.wake();
    }
}

/// A channel that holds up to `capacity` values.
///
/// # Panics
///
/// If `capacity` is 0.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = toro_sync::spsc::channel(capacity);
    let shared = Arc::new(Shared::default());
    (Sender { producer: Some(producer), shared: Arc::clone(&shared) }, Receiver { consumer: Some(consumer), shared })
}

/// The sending half.
pub struct Sender<T> {
    /// `None` only in `drop`.
    producer: Option<Producer<T>>,
    shared: Arc<Shared>,
}

impl<T> Sender<T> {
    fn producer(&mut self) -> &mut Producer<T> {
        self.producer.as_mut().expect("a sender has its half of the ring until it is dropped")
    }

    /// Sends a value; waits for room if there is none.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the value back if the receiver is gone.
    #[inline]
    pub fn send(&mut self, value: T) -> Result<(), SendError<T>> {
        let mut value = value;
        loop {
            match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(value)) => return Err(SendError(value)),
                Err(TrySendError::Full(back)) => value = back,
            }
            let Self { producer, shared } = self;
            let is_ready = || producer.as_ref().is_some_and(|producer| producer.room() > 0 || producer.is_closed());
            let _ = wait_in(&shared.sender, None, is_ready);
        }
    }

    /// Sends a value if there is room.
    ///
    /// # Errors
    ///
    /// See [`TrySendError`], which gives the value back.
    #[inline]
    pub fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if self.producer().is_closed() {
            return Err(TrySendError::Disconnected(value));
        }
        self.producer().push(value).map_err(|Full(value)| TrySendError::Full(value))?;
        wake_in(&self.shared.receiver);
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.producer = None;
        wake_in(&self.shared.receiver);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The receiving half.
pub struct Receiver<T> {
    /// `None` only in `drop`.
    consumer: Option<Consumer<T>>,
    shared: Arc<Shared>,
}

impl<T> Receiver<T> {
    fn consumer(&mut self) -> &mut Consumer<T> {
        self.consumer.as_mut().expect("a receiver has its half of the ring until it is dropped")
    }

    /// Receives a value; waits for one if there is none.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if the sender is gone and everything it sent has been received.
    #[inline]
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

    #[inline]
    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let mut wake = Wake::Notified;
        loop {
            match self.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) if wake == Wake::TimedOut => return Err(RecvTimeoutError::Timeout),
                Err(TryRecvError::Empty) => {}
            }
            let Self { consumer, shared } = self;
            let is_ready = || consumer.as_ref().is_some_and(|consumer| !consumer.is_empty() || consumer.is_closed());
            wake = wait_in(&shared.receiver, deadline, is_ready);
        }
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    ///
    /// See [`TryRecvError`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let value = match self.consumer().pop() {
            Some(value) => value,
            None if !self.consumer().is_closed() => return Err(TryRecvError::Empty),
            // Something may have been sent between the two looks.
            None => self.consumer().pop().ok_or(TryRecvError::Disconnected)?,
        };
        wake_in(&self.shared.sender);
        Ok(value)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.consumer = None;
        wake_in(&self.shared.sender);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The receiver is gone; here is the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sending on a channel without a receiver")
    }
}

impl<T> core::error::Error for SendError<T> {}

/// Why a value was not sent; here it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room.
    Full(T),
    /// The receiver is gone.
    Disconnected(T),
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "sending on a full channel",
            Self::Disconnected(_) => "sending on a channel without a receiver",
        })
    }
}

impl<T> core::error::Error for TrySendError<T> {}

/// All senders are gone, and everything that was sent has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

impl fmt::Display for RecvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("receiving on an empty channel without a sender")
    }
}

impl core::error::Error for RecvError {}

/// Why nothing was received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is nothing now.
    Empty,
    /// All senders are gone, and everything that was sent has been received.
    Disconnected,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "receiving on an empty channel",
            Self::Disconnected => "receiving on an empty channel without a sender",
        })
    }
}

impl core::error::Error for TryRecvError {}

/// Why nothing was received in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// The time is over.
    Timeout,
    /// All senders are gone, and everything that was sent has been received.
    Disconnected,
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Timeout => "timed out waiting on a channel",
            Self::Disconnected => "receiving on an empty channel without a sender",
        })
    }
}

impl core::error::Error for RecvTimeoutError {}
