//! [`Member`]: one core's part in a group, and messages from one member to another.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::bell::{Bell, Wake};
use super::error::{ReceiveError, Refusal, SendError};
use super::lane::{Link, Nothing, Refused};
use crate::time::{Duration, Instant};

/// One core's part in a [group](super::group). It is moved to the thread that shall have it; dropping it leaves the group.
pub struct Member<T: Send> {
    rank: usize,
    /// By rank; nothing at the member's own.
    pub(super) links: Vec<Option<Link<T>>>,
    /// Everybody's, by rank.
    pub(super) bells: Arc<[Bell]>,
    /// Whose turn it is in `receive_any`.
    turn: usize,
    /// How many collective calls there have been.
    pub(super) calls: u64,
    timeout: Option<Duration>,
}

impl<T: Send> Member<T> {
    pub(super) fn new(rank: usize, links: Vec<Option<Link<T>>>, bells: Arc<[Bell]>) -> Self {
        Self { rank, links, bells, turn: 0, calls: 0, timeout: None }
    }

    /// The member's number in the group, from 0 on.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many members the group has, those that have gone included.
    pub fn size(&self) -> usize {
        self.bells.len()
    }

    /// How long each call may wait; `None`, as in the beginning: as long as it takes.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// How long each call may wait.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// When a call that begins now has to end.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timeout.map(|timeout| Instant::now().saturating_add(timeout))
    }

    /// Sends a value to the member `to`; waits for room if there is none.
    ///
    /// # Errors
    ///
    /// The value with [`Refusal::NoSuchMember`], [`Refusal::Gone`] or [`Refusal::TimedOut`].
    #[inline]
    pub fn send(&mut self, to: usize, value: T) -> Result<(), SendError<T>> {
        match self.try_send(to, value) {
            Err(SendError { value, reason: Refusal::Full }) => self.send_when_there_is_room(to, value),
            other => other,
        }
    }

    fn send_when_there_is_room(&mut self, to: usize, mut value: T) -> Result<(), SendError<T>> {
        let (deadline, mut wake) = (self.deadline(), Wake::Notified);
        loop {
            value = match self.try_send(to, value) {
                Err(SendError { value, reason: Refusal::Full }) => value,
                other => return other,
            };
            if wake == Wake::TimedOut {
                return Err(SendError { value, reason: Refusal::TimedOut });
            }
            wake = self.wait(deadline, || self.links[to].as_ref().is_some_and(|link| link.messages.can_push()));
        }
    }

    /// Sends a value to the member `to` if there is room.
    ///
    /// # Errors
    ///
    /// The value with [`Refusal::NoSuchMember`], [`Refusal::Gone`] or [`Refusal::Full`].
    #[inline]
    pub fn try_send(&mut self, to: usize, value: T) -> Result<(), SendError<T>> {
        let Some(link) = self.links.get_mut(to).and_then(Option::as_mut) else {
            return Err(SendError { value, reason: Refusal::NoSuchMember });
        };
        match link.messages.push(value) {
            Ok(()) => {
                self.bells[to].ring();
                Ok(())
            }
            Err(Refused::Full(value)) => Err(SendError { value, reason: Refusal::Full }),
            Err(Refused::Gone(value)) => Err(SendError { value, reason: Refusal::Gone }),
        }
    }

    /// Receives the next value of the member `from`; waits for one if there is none.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::NoSuchMember`], [`ReceiveError::Gone`] or [`ReceiveError::TimedOut`].
    #[inline]
    pub fn receive(&mut self, from: usize) -> Result<T, ReceiveError> {
        match self.try_receive(from) {
            Err(ReceiveError::Empty) => {}
            other => return other,
        }
        let can_pop = |link: &Link<T>| link.messages.can_pop();
        self.wait_for(
            self.deadline(),
            |member| match member.try_receive(from) {
                Err(ReceiveError::Empty) => None,
                other => Some(other),
            },
            |member| member.links[from].as_ref().is_some_and(can_pop),
        )
        .unwrap_or(Err(ReceiveError::TimedOut))
    }

    /// Receives the next value of the member `from` if there is one.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::NoSuchMember`], [`ReceiveError::Gone`] or [`ReceiveError::Empty`].
    #[inline]
    pub fn try_receive(&mut self, from: usize) -> Result<T, ReceiveError> {
        let link = self.links.get_mut(from).and_then(Option::as_mut).ok_or(ReceiveError::NoSuchMember)?;
        let value = link.messages.pop().map_err(|nothing| match nothing {
            Nothing::Yet => ReceiveError::Empty,
            Nothing::Ever => ReceiveError::Gone,
        })?;
        // There is room now.
        self.bells[from].ring();
        Ok(value)
    }

    /// Receives the next value of whoever has sent one, with the sender's rank; waits for one if there is none. The others
    /// have their turn in the order of ranks.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Gone`] if all others have gone, or there are none; [`ReceiveError::TimedOut`].
    pub fn receive_any(&mut self) -> Result<(usize, T), ReceiveError> {
        match self.try_receive_any() {
            Err(ReceiveError::Empty) => {}
            other => return other,
        }
        // Others that have gone before are no reason to look again; one that goes now is.
        let mut gone = self.gone();
        self.wait_for(
            self.deadline(),
            |member| match member.try_receive_any() {
                Err(ReceiveError::Empty) => None,
                other => Some(other),
            },
            |member| {
                let before = core::mem::replace(&mut gone, member.gone());
                gone != before || member.has_messages()
            },
        )
        .unwrap_or(Err(ReceiveError::TimedOut))
    }

    /// How many others have gone.
    fn gone(&self) -> usize {
        self.links.iter().flatten().filter(|link| link.messages.is_closed()).count()
    }

    fn has_messages(&self) -> bool {
        self.links.iter().flatten().any(|link| link.messages.has_some())
    }

    /// Receives the next value of whoever has sent one, if anybody has.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Gone`] as for [`receive_any`](Self::receive_any); [`ReceiveError::Empty`].
    pub fn try_receive_any(&mut self) -> Result<(usize, T), ReceiveError> {
        let mut answer = ReceiveError::Gone;
        for _ in 0..self.size() {
            let from = self.turn;
            self.turn = if from + 1 < self.size() { from + 1 } else { 0 };
            match self.try_receive(from) {
                Ok(value) => return Ok((from, value)),
                Err(ReceiveError::Empty) => answer = ReceiveError::Empty,
                Err(_) => {}
            }
        }
        Err(answer)
    }

    /// Waits until this member's bell is rung or `deadline` passes, unless `is_ready`.
    pub(super) fn wait(&self, deadline: Option<Instant>, is_ready: impl FnOnce() -> bool) -> Wake {
        self.bells[self.rank].wait(deadline, is_ready)
    }

    /// Waits until `attempt` has a result or `deadline` passes. `is_ready` says, without changing anything, that
    /// another attempt is worth while; what makes it true is followed by a ring of this member's bell.
    pub(super) fn wait_for<R>(
        &mut self,
        deadline: Option<Instant>,
        mut attempt: impl FnMut(&mut Self) -> Option<R>,
        mut is_ready: impl FnMut(&Self) -> bool,
    ) -> Option<R> {
        let mut wake = Wake::Notified;
        loop {
            if let Some(result) = attempt(self) {
                return Some(result);
            }
            if wake == Wake::TimedOut {
                return None;
            }
            wake = self.wait(deadline, || is_ready(self));
        }
    }
}

impl<T: Send> Drop for Member<T> {
    fn drop(&mut self) {
        // First the rings, then the bells: who wakes up sees that this member has gone.
        self.links.clear();
        self.bells.iter().for_each(Bell::ring);
    }
}

impl<T: Send> fmt::Debug for Member<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Member").field("rank", &self.rank).field("size", &self.size()).finish_non_exhaustive()
    }
}
