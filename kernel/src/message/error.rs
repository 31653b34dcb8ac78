//! What can go wrong between members: one error for each kind of call.

use core::error::Error;
use core::fmt;

/// A value that was not sent, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T> {
    /// The value.
    pub value: T,
    /// Why it was not sent.
    pub reason: Refusal,
}

/// Why a value was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The group has no such member, or it is the sender itself.
    NoSuchMember,
    /// The member has gone.
    Gone,
    /// There is no room now.
    Full,
    /// There was no room in time.
    TimedOut,
}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The group has no such member, or it is the receiver itself.
    NoSuchMember,
    /// The member has gone, or all others have, and everything sent has been received.
    Gone,
    /// There is nothing now.
    Empty,
    /// Nothing came in time.
    TimedOut,
}

/// Why a collective call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CollectiveError {
    /// The group has no member with the root's rank.
    NoSuchRoot,
    /// This member is the root of a broadcast or a scattering and gave no value.
    NothingGiven,
    /// This member is the root of a scattering and did not give one piece for each member.
    WrongNumberOfPieces {
        /// How many it gave.
        given: usize,
    },
    /// The root made one of the two mistakes above.
    RefusedByRoot,
    /// A member has gone.
    Gone {
        /// Its rank.
        rank: usize,
    },
    /// A member has begun another call than this one, which it will not take part in any more.
    OutOfStep {
        /// Its rank.
        rank: usize,
    },
    /// A member did not do its part in time.
    TimedOut {
        /// Its rank.
        rank: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSuchMember => "no other member has this rank",
            Self::Gone => "the member has gone",
            Self::Full => "no room",
            Self::TimedOut => "no room in time",
        })
    }
}

impl Error for Refusal {}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SendError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not sent: {}", self.reason)
    }
}

impl<T> Error for SendError<T> {}

impl fmt::Display for ReceiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSuchMember => "no other member has this rank",
            Self::Gone => "nobody is left who could send",
            Self::Empty => "nothing to receive",
            Self::TimedOut => "nothing received in time",
        })
    }
}

impl Error for ReceiveError {}

impl fmt::Display for CollectiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchRoot => formatter.write_str("no member has the root's rank"),
            Self::NothingGiven => formatter.write_str("the root gave no value"),
            Self::WrongNumberOfPieces { given } => write!(formatter, "{given} pieces are not one for each member"),
            Self::RefusedByRoot => formatter.write_str("the root gave nothing or a wrong number of pieces"),
            Self::Gone { rank } => write!(formatter, "member {rank} has gone"),
            Self::OutOfStep { rank } => write!(formatter, "member {rank} is in another call"),
            Self::TimedOut { rank } => write!(formatter, "member {rank} did not do its part in time"),
        }
    }
}

impl Error for CollectiveError {}
