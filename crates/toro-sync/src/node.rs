//! [`Inbox`]: things that live longer than a message, such as a task, and are put where their core finds them.
//!
//! ```text
//!   core 1              core 2                    core 0
//!   push(node)          push(node)                take_all()
//!   queued: no -> yes   queued: yes already       queued: yes -> no, then the node is looked at
//!   put in: Queued      nothing: AlreadyQueued
//! ```
//!
//! A [`Node`] is in one inbox at most, once at most, however often and to whichever inbox it is pushed. So it needs one link,
//! and a thousand wake-ups of a task cost its core one visit.
//!
//! # Ownership
//!
//! An inbox holds a reference (an `Arc`) to each node in it, and gives it up when it is taken or dropped. The
//! link of a node belongs to the one who turned `queued` from no to yes; he gives it to the inbox by pushing; who takes it
//! from there has read it before he turns `queued` back.
//!
//! # Ordering
//!
//! `queued` only changes by exchanges, of which any two come one after the other. If the one of a pusher comes before that of
//! the taker, the taker's acquire meets the pusher's release, and what the pusher did before is there when the node is looked
//! at. If it comes after, it answers "no", and the node is queued anew. The other way around, a pusher who finds "no" has
//! acquired what the last taker released: that the link has been read.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::atomic::{Arc, AtomicBool, Ordering, constructor};
use crate::inbox::{RawInbox, RawLink, RawList};

/// Something that can be put into an [`Inbox`] again and again: a value with a link, shared through an [`Arc`].
#[repr(C)]
pub struct Node<T> {
    /// First, so that a pointer to it is one to the node. Belongs to whoever turned `queued` to `true`, and then to
    /// the inbox.
    link: RawLink,
    /// Whether the node is in an inbox, or on its way into one.
    queued: AtomicBool,
    value: T,
}

impl<T> Node<T> {
    constructor! {
        /// A node that is in no inbox.
        pub fn new(value: T) -> Self {
            Self { link: RawLink::new(), queued: AtomicBool::new(false), value }
        }
    }
}

impl<T> Deref for Node<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Node<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Node").field("value", &self.value).finish_non_exhaustive()
    }
}

/// What [`Inbox::push`] has done.
#[must_use = "who queued a node has to make sure that its core is awake"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The node is in the inbox. Whoever gets this answer rings for the inbox's core.
    Queued,
    /// The node is in some inbox, or another core is about to put it there and to ring. Whoever takes it from there sees
    /// what happened before this call; there is no need to ring.
    AlreadyQueued,
}

/// Many cores put nodes in, one takes all of them out. Each node is in it once.
pub struct Inbox<T> {
    /// Every link in it is that of a node whose `queued` is `true`, and stands for a reference to that node.
    nodes: RawInbox,
    /// Those references. They make the inbox `Send` and `Sync` if they are `Send`.
    references: PhantomData<Arc<Node<T>>>,
}

impl<T> Inbox<T> {
    constructor! {
        /// An empty inbox.
        pub fn new() -> Self {
            Self { nodes: RawInbox::new(), references: PhantomData }
        }
    }

    /// Puts a node in, unless it is in this inbox or another one already.
    pub fn push(&self, node: Arc<Node<T>>) -> Pushed {
        // Release: pairs with the taker's exchange, which comes later if this is answered with `true`.
        // Acquire: pairs with the taker's exchange, which came earlier if this is answered with `false`.
        if node.queued.swap(true, Ordering::AcqRel) {
            return Pushed::AlreadyQueued;
        }
        let node = Arc::into_raw(node).cast_mut().cast::<RawLink>();
        // SAFETY: a pointer to what is in an `Arc` is not null.
        let link = unsafe { NonNull::new_unchecked(node) };
        // SAFETY:
        // - valid: the inbox has the reference that `into_raw` gave up, and thereby the node, which begins with its link;
        // - alone: this thread turned `queued` to `true`, and it remains so until the link comes out again;
        // - from any thread: `T` is `Send` and `Sync` or else neither inbox nor node leaves this one.
        unsafe { self.nodes.push(link) };
        Pushed::Queued
    }

    /// Whether nothing is in it, as far as this core can see. One load, for loops that poll.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Takes every node that is in, first pushed first.
    ///
    /// Each can be queued again from the moment at which it is yielded. One core at a time does this; with several,
    /// each node still comes out once, but nobody knows the order.
    #[inline]
    pub fn take_all(&self) -> Nodes<T> {
        Nodes { links: self.nodes.take_all(), references: PhantomData }
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        // Those who have a node still may queue it elsewhere.
        drop(self.take_all());
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inbox").field("is_empty", &self.is_empty()).finish_non_exhaustive()
    }
}

/// Nodes that were taken out of an [`Inbox`], first pushed first. Dropping it drops the rest of them.
#[must_use = "nodes that are not taken from the iterator are dropped"]
pub struct Nodes<T> {
    /// As in `Inbox::nodes`.
    links: RawList,
    references: PhantomData<Arc<Node<T>>>,
}

impl<T> Iterator for Nodes<T> {
    type Item = Arc<Node<T>>;

    #[inline]
    fn next(&mut self) -> Option<Arc<Node<T>>> {
        let link = self.links.next()?;
        // SAFETY: every link in an inbox of nodes comes from `into_raw` in `push` and stands for the reference that was
        // given up there; it comes out once.
        let node = unsafe { Arc::from_raw(link.as_ptr().cast::<Node<T>>()) };
        // Acquire: pairs with all who found `true` here. Release: pairs with the first who finds `false`.
        node.queued.swap(false, Ordering::AcqRel);
        Some(node)
    }
}

impl<T> FusedIterator for Nodes<T> {}

impl<T> Drop for Nodes<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T> fmt::Debug for Nodes<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Nodes").field("links", &self.links).finish_non_exhaustive()
    }
}
