//! Collective calls: what all members do together, in steps between two of them each.
//!
//! ```text
//!   broadcast  from the root down the tree        round k of a barrier: to the member 2^k further on,
//!   reduce     up the tree to the root                                  from the one 2^k back;
//!   scatter    from the root to each              after the last one each has heard, directly or not,
//!   gather     from each to the root              from all
//! ```
//!
//! # What a member believes
//!
//! A step says which call it belongs to. A member takes a step for the call that it is in, drops what belongs to an
//! earlier one, and ends its call when another member is in a later or a different one: see [`Member::take_step`]. All calls are
//! counted, those that fail as well.
//!
//! A call that fails does not stop half-way: who can still be reached gets what is his.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::bell::Wake;
use super::error::CollectiveError;
use super::lane::{Link, Nothing, Refused};
use super::member::Member;
use super::tree::Tree;
use crate::time::Instant;

/// The kinds of calls, as far as their steps tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Barrier,
    Broadcast,
    Scatter,
    Gather,
    Reduce,
}

/// Names a call: equal for all members that do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    number: u64,
    kind: Kind,
    root: usize,
}

/// What one member tells another in a call.
pub(super) struct Step<T> {
    call: Call,
    /// The value, if the step has one. A root that refuses has none.
    content: Option<T>,
}

/// A call that this member is in.
#[derive(Clone, Copy)]
struct Round {
    call: Call,
    deadline: Option<Instant>,
    tree: Tree,
}

impl<T: Send> Member<T> {
    /// Waits until every member has called this.
    ///
    /// # Errors
    ///
    /// [`CollectiveError::Gone`], [`OutOfStep`](CollectiveError::OutOfStep) or [`TimedOut`](CollectiveError::TimedOut).
    pub fn barrier(&mut self) -> Result<(), CollectiveError> {
        let round = self.begin(Kind::Barrier, 0)?;
        let (rank, size) = (self.rank(), self.size());
        let distances = core::iter::successors(Some(1_usize), |&distance| distance.checked_mul(2));
        for distance in distances.take_while(|&distance| distance < size) {
            self.step_to(&round, (rank + distance) % size, None)?;
            self.step_from(&round, (rank + size - distance) % size)?;
        }
        Ok(())
    }

    /// Gives every member the value of the member `root`, which is the one that has to give `Some`. What others give is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`CollectiveError::NoSuchRoot`]; [`NothingGiven`](CollectiveError::NothingGiven) at the root and then
    /// [`RefusedByRoot`](CollectiveError::RefusedByRoot) at the others; and as for [`barrier`](Self::barrier), also if
    /// this member has the value but could not pass it on.
    pub fn broadcast(&mut self, root: usize, value: Option<T>) -> Result<T, CollectiveError>
    where
        T: Clone,
    {
        let round = self.begin(Kind::Broadcast, root)?;
        let (value, refusal) = match round.tree.parent(self.rank()) {
            None => (value, CollectiveError::NothingGiven),
            Some(parent) => (self.step_from(&round, parent)?, CollectiveError::RefusedByRoot),
        };
        let mut result = Ok(());
        // The one with the most members below itself first.
        for child in round.tree.children(self.rank()).rev() {
            result = result.and(self.step_to(&round, child, value.clone()));
        }
        value.ok_or(refusal).and_then(|value| result.map(|()| value))
    }

    /// Gives each member one piece of what the member `root` has: the root, which is the one that has to give `Some`, gives
    /// one for each, by rank. What others give is dropped.
    ///
    /// # Errors
    ///
    /// As for [`broadcast`](Self::broadcast), and [`CollectiveError::WrongNumberOfPieces`] at the root.
    pub fn scatter(&mut self, root: usize, pieces: Option<Vec<T>>) -> Result<T, CollectiveError> {
        let round = self.begin(Kind::Scatter, root)?;
        if self.rank() != root {
            return self.step_from(&round, root)?.ok_or(CollectiveError::RefusedByRoot);
        }
        let pieces = match pieces {
            None => Err(CollectiveError::NothingGiven),
            Some(pieces) if pieces.len() == self.size() => Ok(pieces),
            Some(pieces) => Err(CollectiveError::WrongNumberOfPieces { given: pieces.len() }),
        };
        let (pieces, mut result) = match pieces {
            Ok(pieces) => (pieces, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        let mut pieces = pieces.into_iter();
        let mut own = Err(CollectiveError::NothingGiven);
        for rank in 0..self.size() {
            match pieces.next() {
                Some(piece) if rank == root => own = Ok(piece),
                None if rank == root => {}
                piece => result = result.and(self.step_to(&round, rank, piece)),
            }
        }
        result.and(own)
    }

    /// Gives the member `root` the values of all members, by rank; the others get `None`.
    ///
    /// # Errors
    ///
    /// [`CollectiveError::NoSuchRoot`], and as for [`barrier`](Self::barrier).
    pub fn gather(&mut self, root: usize, value: T) -> Result<Option<Vec<T>>, CollectiveError> {
        let round = self.begin(Kind::Gather, root)?;
        if self.rank() != root {
            return self.step_to(&round, root, Some(value)).map(|()| None);
        }
        let mut values = Vec::with_capacity(self.size());
        values.extend(self.steps_from(&round, 0..root)?);
        values.push(value);
        values.extend(self.steps_from(&round, root + 1..self.size())?);
        Ok(Some(values))
    }

    /// Combines the values of all members into one, which the member `root` gets; the others get `None`.
    ///
    /// The values are combined in the order of ranks, from the root's on and round: `operation` has to be associative, and
    /// its first argument is of earlier members. Members call it for what arrives at them, so each should give the same.
    ///
    /// # Errors
    ///
    /// As for [`gather`](Self::gather).
    pub fn reduce(
        &mut self,
        root: usize,
        value: T,
        mut operation: impl FnMut(T, T) -> T,
    ) -> Result<Option<T>, CollectiveError> {
        let round = self.begin(Kind::Reduce, root)?;
        let mut value = value;
        for child in round.tree.children(self.rank()) {
            value = operation(value, self.value_from(&round, child)?);
        }
        match round.tree.parent(self.rank()) {
            None => Ok(Some(value)),
            Some(parent) => self.step_to(&round, parent, Some(value)).map(|()| None),
        }
    }

    /// Combines the values of all members into one, in the order of ranks, which every member gets. It counts as two
    /// calls, and each may wait as long as one.
    ///
    /// # Errors
    ///
    /// As for [`barrier`](Self::barrier); [`RefusedByRoot`](CollectiveError::RefusedByRoot) if the reduction failed at the
    /// member 0.
    pub fn all_reduce(&mut self, value: T, operation: impl FnMut(T, T) -> T) -> Result<T, CollectiveError>
    where
        T: Clone,
    {
        let (value, result) = match self.reduce(0, value, operation) {
            Ok(value) => (value, Ok(())),
            Err(error) => (None, Err(error)),
        };
        // Also after a failure: the others are waiting for it.
        let all = self.broadcast(0, value);
        result.and(all)
    }

    /// Begins a call. It counts whatever becomes of it.
    fn begin(&mut self, kind: Kind, root: usize) -> Result<Round, CollectiveError> {
        let call = Call { number: self.calls, kind, root };
        self.calls += 1;
        if root >= self.size() {
            return Err(CollectiveError::NoSuchRoot);
        }
        Ok(Round { call, deadline: self.deadline(), tree: Tree { size: self.size(), root } })
    }

    /// Sends a step to the member `to`, which is another one.
    fn step_to(&mut self, round: &Round, to: usize, content: Option<T>) -> Result<(), CollectiveError> {
        let mut step = Step { call: round.call, content };
        let mut wake = Wake::Notified;
        loop {
            let Some(link) = self.links[to].as_mut() else { return Ok(()) };
            step = match link.steps.push(step) {
                Ok(()) => {
                    self.bells[to].ring();
                    return Ok(());
                }
                Err(Refused::Gone(_)) => return Err(CollectiveError::Gone { rank: to }),
                Err(Refused::Full(step)) => step,
            };
            if wake == Wake::TimedOut {
                return Err(CollectiveError::TimedOut { rank: to });
            }
            wake = self.wait(round.deadline, || self.links[to].as_ref().is_some_and(|link| link.steps.can_push()));
        }
    }

    /// Receives a step of the call from the member `from`, which is another one.
    fn step_from(&mut self, round: &Round, from: usize) -> Result<Option<T>, CollectiveError> {
        let can_pop = |link: &Link<T>| link.steps.can_pop();
        self.wait_for(
            round.deadline,
            |member| member.take_step(round.call, from),
            |member| member.links[from].as_ref().is_some_and(can_pop),
        )
        .unwrap_or(Err(CollectiveError::TimedOut { rank: from }))
    }

    /// As [`step_from`](Self::step_from), of a call whose steps all have a value.
    fn value_from(&mut self, round: &Round, from: usize) -> Result<T, CollectiveError> {
        self.step_from(round, from)?.ok_or(CollectiveError::OutOfStep { rank: from })
    }

    fn steps_from(&mut self, round: &Round, ranks: core::ops::Range<usize>) -> Result<Vec<T>, CollectiveError> {
        ranks.map(|from| self.value_from(round, from)).collect()
    }

    /// Looks for a step of `call` among those that have come from the member `from`.
    fn take_step(&mut self, call: Call, from: usize) -> Option<Result<Option<T>, CollectiveError>> {
        let out_of_step = Some(Err(CollectiveError::OutOfStep { rank: from }));
        let link = self.links[from].as_mut()?;
        loop {
            let step = match link.early.take().map_or_else(|| link.steps.pop(), Ok) {
                Ok(step) => step,
                Err(Nothing::Yet) => return None,
                Err(Nothing::Ever) => return Some(Err(CollectiveError::Gone { rank: from })),
            };
            // There is room now.
            self.bells[from].ring();
            match step.call.number.cmp(&call.number) {
                Ordering::Less => {}
                Ordering::Equal if step.call == call => return Some(Ok(step.content)),
                Ordering::Equal => return out_of_step,
                Ordering::Greater => {
                    link.early = Some(step);
                    return out_of_step;
                }
            }
        }
    }
}
