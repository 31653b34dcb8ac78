//! [`Exchange`]: one request and its answer, as a future.

use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

#[cfg(doc)]
use toro_core::driver::Refusal;
use toro_core::driver::{DeviceFault, Refused};

use super::{AsyncQueue, Notifier, TicketNumber, TicketStorage};
use crate::queue::{Cell, Done, Payload, SlotStorage};

/// What [`Virtqueue::submit`](crate::Virtqueue::submit) takes.
pub(super) struct Request<P: Payload, H: Cell, T: Cell> {
    pub header: H::Value,
    pub payload: P,
    pub direction: P::Direction,
    pub trailer: T::Value,
}

/// The future that [`AsyncQueue::exchange`] returns.
///
/// May be dropped at any time. Before its request was submitted, that takes it back; afterwards, the payload comes back
/// to its pool when the device is done with it.
#[must_use = "a request that nobody polls is not made"]
pub struct Exchange<'q, P, N, H, T, S, E>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    queue: &'q AsyncQueue<P, N, H, T, S, E>,
    state: State<P, H, T>,
}

enum State<P: Payload, H: Cell, T: Cell> {
    /// Not polled yet.
    New(Request<P, H, T>),
    /// At the desk. Invariant: the ticket is this future's.
    Holds(TicketNumber),
    /// Answered.
    Over,
}

impl<'q, P, N, H, T, S, E> Exchange<'q, P, N, H, T, S, E>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    pub(super) fn new(queue: &'q AsyncQueue<P, N, H, T, S, E>, request: Request<P, H, T>) -> Self {
        Self { queue, state: State::New(request) }
    }
}

// Nothing in it is pinned.
impl<P, N, H, T, S, E> Unpin for Exchange<'_, P, N, H, T, S, E>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
}

impl<P, N, H, T, S, E> Future for Exchange<'_, P, N, H, T, S, E>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    type Output = Result<Done<P, (), T::Value>, ExchangeError<P>>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Wakers are cloned and dropped with the desk unlocked: that is the executor's code.
        let waker = context.waker().clone();
        match mem::replace(&mut self.state, State::Over) {
            State::New(request) => match self.queue.with(|desk| desk.enter(request, waker)) {
                Ok(ticket) => {
                    self.state = State::Holds(ticket);
                    Poll::Pending
                }
                Err((error, _waker)) => Poll::Ready(Err(error)),
            },
            State::Holds(ticket) => match self.queue.with(|desk| desk.ask(ticket, waker)) {
                Ok(answer) => Poll::Ready(answer),
                Err(_former_waker) => {
                    self.state = State::Holds(ticket);
                    Poll::Pending
                }
            },
            State::Over => panic!("an exchange was polled after its end"),
        }
    }
}

impl<P, N, H, T, S, E> Drop for Exchange<'_, P, N, H, T, S, E>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    fn drop(&mut self) {
        if let State::Holds(ticket) = self.state {
            // What the ticket held is dropped here, with the desk unlocked.
            let _held = self.queue.with(|desk| desk.leave(ticket));
        }
    }
}

impl<P, N, H, T, S, E> fmt::Debug for Exchange<'_, P, N, H, T, S, E>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::New(_) => f.write_str("Exchange(new)"),
            State::Holds(ticket) => write!(f, "Exchange({ticket:?})"),
            State::Over => f.write_str("Exchange(over)"),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ExchangeError<P> {
    /// The device has not seen the request; its payload is inside. [`Refusal::Full`]: there is no ticket left in the
    /// caller's storage; [`Refusal::Invalid`] and [`Refusal::Faulted`]: as [`Virtqueue::submit`](crate::Virtqueue::submit)
    /// has it.
    Refused(Refused<P>),
    /// The queue was stopped before there was an answer. The payload is inside; the device may have worked on it.
    Stopped(P),
    /// The device failed while it had the request. The payload stays with the queue until that is retired.
    Lost(DeviceFault),
}

impl<P> fmt::Display for ExchangeError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.reason.fmt(f),
            Self::Stopped(_) => f.write_str("the queue was stopped"),
            Self::Lost(fault) => fault.fmt(f),
        }
    }
}

impl<P: fmt::Debug> core::error::Error for ExchangeError<P> {}
