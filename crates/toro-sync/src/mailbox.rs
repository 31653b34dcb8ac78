//! [`Mailbox`]: many cores send messages, one takes everything that has come.
//!
//! ```text
//!   push(message)  -- one allocation --> link | message   in a RawInbox
//!   take_all()     <-- and freed again --
//! ```
//!
//! It is unbounded and costs an allocation for each message. Between two cores that talk all the time a ring (`spsc`) is
//! cheaper; what is sent over and over again is better an `Inbox` of nodes.
//!
//! A message belongs to the sender, then to the mailbox, then to the taker. The order among the messages of one sender is
//! kept, and what he did before a push is there when the message is taken; both are the `RawInbox`'s doing.

use alloc::boxed::Box;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::atomic::constructor;
use crate::inbox::{RawInbox, RawLink, RawList};

/// A message on its way.
#[repr(C)]
struct Envelope<T> {
    /// First, so that a pointer to it is one to the envelope.
    link: RawLink,
    message: T,
}

/// Many cores send messages, one takes everything that has come.
pub struct Mailbox<T> {
    /// Every link in it is that of an `Envelope<T>`, and stands for the box that this is in.
    envelopes: RawInbox,
    /// Those boxes.
    boxes: PhantomData<Box<Envelope<T>>>,
}

// SAFETY: through a shared mailbox messages are moved from thread to thread, which `T` permits, and never looked at by
// two: that is all that `push` and `take_all` do with them.
unsafe impl<T: Send> Sync for Mailbox<T> {}

impl<T> Mailbox<T> {
    constructor! {
        /// An empty mailbox.
        pub fn new() -> Self {
            Self { envelopes: RawInbox::new(), boxes: PhantomData }
        }
    }

    /// Sends a message. Answers whether the mailbox was empty before.
    pub fn push(&self, message: T) -> bool {
        let envelope = Box::into_raw(Box::new(Envelope { link: RawLink::new(), message })).cast::<RawLink>();
        // SAFETY: a pointer to what is in a `Box` is not null.
        let link = unsafe { NonNull::new_unchecked(envelope) };
        // SAFETY: the envelope, which begins with its link, is nobody's but the mailbox's, from `into_raw` here until
        // `from_raw` in `Messages`; `T` is `Send` or else the mailbox does not leave this thread.
        unsafe { self.envelopes.push(link) }
    }

    /// Whether there is no message, as far as this core can see. One load, for loops that poll.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.envelopes.is_empty()
    }

    /// Takes every message that has come, first sent first.
    ///
    /// One core at a time does this; with several, each message still comes out once, but nobody knows the order.
    #[inline]
    pub fn take_all(&self) -> Messages<T> {
        Messages { links: self.envelopes.take_all(), boxes: PhantomData }
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mailbox").field("is_empty", &self.is_empty()).finish_non_exhaustive()
    }
}

/// Messages that were taken out of a [`Mailbox`], first sent first. Dropping it drops the rest of them.
#[must_use = "messages that are not taken from the iterator are dropped"]
pub struct Messages<T> {
    /// As in `Mailbox::envelopes`.
    links: RawList,
    boxes: PhantomData<Box<Envelope<T>>>,
}

impl<T> Iterator for Messages<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let link = self.links.next()?;
        // SAFETY: every link in a mailbox comes from `into_raw` in `push` of a mailbox of the same `T`; it comes out once.
        let envelope = unsafe { Box::from_raw(link.as_ptr().cast::<Envelope<T>>()) };
        Some(envelope.message)
    }
}

impl<T> FusedIterator for Messages<T> {}

impl<T> Drop for Messages<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T> fmt::Debug for Messages<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Messages").field("links", &self.links).finish_non_exhaustive()
    }
}
