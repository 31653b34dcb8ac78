//! What two members have between them: [`Link`], of which each of the two has an end.
//!
//! ```text
//!   Link { messages: Lane<T>,        Lane { outgoing: Producer ===> Consumer: incoming }  the other's Lane
//!          steps:    Lane<Step<T>>        { incoming: Consumer <=== Producer: outgoing }
//!          early:    Option<Step<T>> }
//! ```

use toro_sync::spsc::{self, Consumer, Full, Producer};

use super::collective::Step;

/// Steps of collective calls that may be under way from one member to another: a root may be so many calls ahead.
const STEPS: usize = 4;

/// A ring in each direction, as one of the two members sees them.
pub(super) struct Lane<M> {
    outgoing: Producer<M>,
    incoming: Consumer<M>,
}

/// Why something could not be sent; here it is.
pub(super) enum Refused<M> {
    /// There is no room.
    Full(M),
    /// The other is gone.
    Gone(M),
}

/// Why there is nothing to be received.
pub(super) enum Nothing {
    /// There may be later.
    Yet,
    /// The other is gone, and all that it sent has been received.
    Ever,
}

impl<M> Lane<M> {
    fn pair(capacity: usize) -> (Self, Self) {
        let (forth, there) = spsc::channel(capacity);
        let (back, here) = spsc::channel(capacity);
        (Self { outgoing: forth, incoming: here }, Self { outgoing: back, incoming: there })
    }

    #[inline]
    pub(super) fn push(&mut self, value: M) -> Result<(), Refused<M>> {
        if self.outgoing.is_closed() {
            return Err(Refused::Gone(value));
        }
        self.outgoing.push(value).map_err(|Full(value)| Refused::Full(value))
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Result<M, Nothing> {
        match self.incoming.pop() {
            Some(value) => Ok(value),
            None if !self.incoming.is_closed() => Err(Nothing::Yet),
            // Something may have been sent between the two looks.
            None => self.incoming.pop().ok_or(Nothing::Ever),
        }
    }

    /// Whether [`push`](Self::push) would have an answer other than that there is no room.
    pub(super) fn can_push(&self) -> bool {
        self.outgoing.room() > 0 || self.outgoing.is_closed()
    }

    /// Whether [`pop`](Self::pop) would have an answer other than that there is nothing yet.
    pub(super) fn can_pop(&self) -> bool {
        self.has_some() || self.is_closed()
    }

    /// Whether something has come.
    pub(super) fn has_some(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Whether the other is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.incoming.is_closed()
    }
}

/// One member's end of what it has with another.
pub(super) struct Link<T> {
    pub(super) messages: Lane<T>,
    pub(super) steps: Lane<Step<T>>,
    /// A step of a call that this member has not begun yet; it comes before those in `steps`.
    pub(super) early: Option<Step<T>>,
}

impl<T> Link<T> {
    /// Both ends, for up to `capacity` messages in each direction.
    pub(super) fn pair(capacity: usize) -> (Self, Self) {
        let (one_messages, other_messages) = Lane::pair(capacity);
        let (one_steps, other_steps) = Lane::pair(STEPS);
        let end = |messages, steps| Self { messages, steps, early: None };
        (end(one_messages, one_steps), end(other_messages, other_steps))
    }
}
