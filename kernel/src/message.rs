//! Message passing between cores: point to point, and to and from all of a group at once.
//!
//! A [group] is a fixed number of members, one for each core that takes part. A [`Member`] is moved to the thread
//! that shall speak for its core; its *rank*, from 0 on, is its name in the group. Values are moved from member to
//! member: nothing is shared, nothing is locked, and what was sent has one owner at any time.
//!
//! ```text
//!              member 0               member 1               member 2
//!                 | \  \                / |  \               /  /  |
//!                 |  \  '-- messages --'  |   '- messages --'  /   |      between each two members, in each
//!                 |   \ '---- steps -----'|   '-- steps -----'/    |      direction: a ring for messages and
//!                 |    '------------- messages, steps -------'     |      a ring for steps of collective calls
//!               bell                    bell                     bell     where a member waits
//! ```
//!
//! | call | what |
//! |---|---|
//! | [`send`](Member::send), [`try_send`](Member::try_send) | a value to one member |
//! | [`receive`](Member::receive), [`try_receive`](Member::try_receive) | the next value of one member |
//! | [`receive_any`](Member::receive_any), [`try_receive_any`](Member::try_receive_any) | the next value of whoever has sent one |
//! | [`barrier`](Member::barrier) | all wait for all |
//! | [`broadcast`](Member::broadcast) | a value of one member to all |
//! | [`scatter`](Member::scatter), [`gather`](Member::gather) | one piece to each member, one piece of each member |
//! | [`reduce`](Member::reduce), [`all_reduce`](Member::all_reduce) | the values of all, combined |
//!
//! The last five are *collective*: every member calls them, in the same order and with the same root. Broadcasting and
//! reducing go along a binomial tree, so that no member, the root included, sends or receives more than log2(size)
//! values; so do the rounds of a barrier. Scattering and gathering are linear at the root, which has that many pieces.
//!
//! # Ordering
//!
//! What one member sends to another arrives in the order in which it was sent. Between different senders there is no
//! order; [`receive_any`](Member::receive_any) asks them in turn, so that none is left unheard.
//!
//! A collective call never takes a message for one of its steps, nor waits behind messages that nobody has received
//! yet, because steps go through rings of their own. Steps of different calls are not confused either: each carries the
//! number of the call, its kind and its root. A step of an earlier call, which timed out here, is dropped; one of a later
//! call, which the other began while this member was still in an earlier one, is kept for that call, and the earlier one
//! ends with [`CollectiveError::OutOfStep`]. So after an error the group is in step again as soon as all members have made
//! the same number of calls.
//!
//! # Waiting
//!
//! A member that waits suspends its thread and leaves its core to others. [`set_timeout`](Member::set_timeout) bounds every
//! wait of a member, from the call's beginning to its end; without it members wait as long as it takes. A ring that is
//! full makes its sender wait, or be refused by `try_send`: `capacity` bounds the memory between each two members.
//!
//! # Failure
//!
//! A member that is dropped has gone: what it sent can still be received, then whoever waits for it is told so. Ranks
//! that do not exist and pieces that do not add up are errors of the call. A root that cannot do its part tells the others,
//! whose call fails as well ([`CollectiveError::RefusedByRoot`]).
//!
//! # For those who know MPI
//!
//! - A group is a communicator that never changes; there are no others, and a thread may be in several groups.
//! - Values are typed and moved, a [`Box`](alloc::boxed::Box) as well as a number; there are no buffers, types or counts to
//!   describe.
//! - There are no tags, and no receiving out of order: an `enum` says what a message is, or a second group.
//! - A member does not send to itself.
//! - Sending returns when the value is in the ring. There are no requests to wait for: `try_` calls do not wait.
//! - `reduce` combines in the order of ranks from the *root's* on and round, whatever the tree; the operation has to be
//!   associative and need not be commutative.
//! - Errors are values: nobody is aborted.
//!
//! # Example
//!
//! ```ignore
//! let sums = toro::message::on_every_core(16, |mut member: Member<u64>| {
//!     let square = (member.rank() * member.rank()) as u64;
//!     member.all_reduce(square, |a, b| a + b)
//! })?;
//! ```
//!
//! There is no unsafe code here: that of the rings is in [`toro_sync`].
#![forbid(unsafe_code)]

mod bell;
mod collective;
mod error;
#[cfg(not(target_os = "none"))]
mod host;
mod lane;
mod member;
#[cfg(test)]
mod tests;
mod tree;

use alloc::sync::Arc;
use alloc::vec::Vec;

use self::bell::Bell;
use self::lane::Link;

pub use self::error::{CollectiveError, ReceiveError, Refusal, SendError};
pub use self::member::Member;

/// A group of `size` members, in the order of their ranks. Up to `capacity` messages, at least one, are under way from
/// each member to each other one.
///
/// All memory of the group is allocated here: four rings for each two members.
pub fn group<T: Send>(size: usize, capacity: usize) -> Vec<Member<T>> {
    let bells: Arc<[Bell]> = (0..size).map(|_| Bell::new()).collect();
    let mut links: Vec<_> = (0..size).map(|_| Vec::with_capacity(size)).collect();
    // Each is linked with nobody in its own place, and with all that come after it: so everybody's are in order.
    let mut rest = &mut links[..];
    while let Some((member, others)) = rest.split_first_mut() {
        member.push(None);
        for other in others.iter_mut() {
            let (near, far) = Link::pair(capacity.max(1));
            member.push(Some(near));
            other.push(Some(far));
        }
        rest = others;
    }
    links.into_iter().enumerate().map(|(rank, links)| Member::new(rank, links, Arc::clone(&bells))).collect()
}

/// Calls `function` on every core at once with that core's member of a new [group], whose ranks are the numbers of
/// the cores; gives what the calls return, in that order, when all have returned.
///
/// # Errors
///
/// [`OutOfMemory`](crate::io::ErrorKind::OutOfMemory) if there is no memory for a thread's stack. Calls that had begun on
/// other cores have returned then, after having found that members are gone.
#[cfg(target_os = "none")]
pub fn on_every_core<T: Send, R: Send>(
    capacity: usize,
    function: impl Fn(Member<T>) -> R + Sync,
) -> crate::io::Result<Vec<R>> {
    let cores = crate::core::all();
    let members = group(cores.len(), capacity);
    crate::thread::scope(|scope| {
        let function = &function;
        let calls = cores.zip(members).map(|(core, member)| scope.spawn_on(core, move || function(member)));
        let calls = calls.collect::<crate::io::Result<Vec<_>>>()?;
        let result = |call: crate::thread::ScopedJoinHandle<'_, R>| {
            let Ok(value) = call.join();
            value
        };
        Ok(calls.into_iter().map(result).collect())
    })
}
