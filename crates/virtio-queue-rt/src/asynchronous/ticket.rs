//! Tickets: what is known about each exchange from its future's first poll to its end.

use core::fmt;
use core::task::Waker;

use super::exchange::{ExchangeError, Request};
use crate::queue::{Cell, Done, Payload};

/// Which ticket a request has: what it carries through the queue as its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TicketNumber(pub(super) u32);

/// No ticket: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// The bookkeeping of one exchange. Made by [`Ticket::default`] where storage is declared.
pub struct Ticket<P: Payload, H: Cell, T: Cell> {
    pub(super) stage: Stage<P, H, T>,
    /// Whom to wake when the stage changes. None while nobody listens.
    pub(super) waker: Option<Waker>,
    /// Neighbours in the list of free tickets (`next` only), or in that of those who wait for room.
    pub(super) next: u32,
    pub(super) previous: u32,
}

/// `Free -> Waiting -> InFlight -> Done -> Free`; without a future `InFlight -> Detached -> Free`.
pub(super) enum Stage<P: Payload, H: Cell, T: Cell> {
    /// Nobody's.
    Free,
    /// Waits for room in the queue.
    Waiting(Request<P, H, T>),
    /// In the queue, and somebody waits for it.
    InFlight,
    /// In the queue, and nobody waits for it any more.
    Detached,
    /// Answered.
    Done(Answer<P, T>),
}

/// How an exchange ended.
pub(super) type Answer<P, T> = Result<Done<P, (), <T as Cell>::Value>, ExchangeError<P>>;

impl<P: Payload, H: Cell, T: Cell> Ticket<P, H, T> {
    /// A ticket that is nobody's, with another behind it in the list of free ones.
    pub(super) const fn free(next: u32) -> Self {
        Self { stage: Stage::Free, waker: None, next, previous: NONE }
    }
}

impl<P: Payload, H: Cell, T: Cell> Default for Ticket<P, H, T> {
    fn default() -> Self {
        Self::free(NONE)
    }
}

impl<P: Payload, H: Cell, T: Cell> fmt::Debug for Ticket<P, H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Free => "Ticket(free)",
            Stage::Waiting(_) => "Ticket(waiting)",
            Stage::InFlight => "Ticket(in flight)",
            Stage::Detached => "Ticket(detached)",
            Stage::Done(_) => "Ticket(done)",
        })
    }
}

mod sealed {
    pub trait Storage {
        /// Makes room for one more, if it can.
        fn grow(&mut self) -> bool;
    }
}

/// Where an [`AsyncQueue`](super::AsyncQueue) keeps its tickets: a vector, which grows, or an array or a borrowed slice
/// that lives for ever, which do not.
///
/// Sealed: storage that answered with other tickets each time would lose those who wait.
pub trait TicketStorage<P: Payload, H: Cell, T: Cell>:
    sealed::Storage + AsRef<[Ticket<P, H, T>]> + AsMut<[Ticket<P, H, T>]>
{
}

impl<P, H, T, E> TicketStorage<P, H, T> for E
where
    P: Payload,
    H: Cell,
    T: Cell,
    E: sealed::Storage + AsRef<[Ticket<P, H, T>]> + AsMut<[Ticket<P, H, T>]>,
{
}

impl<P: Payload, H: Cell, T: Cell> sealed::Storage for &'static mut [Ticket<P, H, T>] {
    fn grow(&mut self) -> bool {
        false
    }
}

impl<P: Payload, H: Cell, T: Cell, const N: usize> sealed::Storage for [Ticket<P, H, T>; N] {
    fn grow(&mut self) -> bool {
        false
    }
}

#[cfg(any(feature = "alloc", test))]
impl<P: Payload, H: Cell, T: Cell> sealed::Storage for alloc::vec::Vec<Ticket<P, H, T>> {
    fn grow(&mut self) -> bool {
        if self.len() >= NONE as usize || self.try_reserve(1).is_err() {
            return false;
        }
        self.push(Ticket::default());
        true
    }
}

/// The usual storage: a vector with the feature `alloc`, a borrowed slice without.
#[cfg(any(feature = "alloc", test))]
pub type Tickets<P, H, T> = alloc::vec::Vec<Ticket<P, H, T>>;
/// The usual storage: a vector with the feature `alloc`, a borrowed slice without.
#[cfg(not(any(feature = "alloc", test)))]
pub type Tickets<P, H, T> = &'static mut [Ticket<P, H, T>];
