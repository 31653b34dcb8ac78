//! [`RawInbox`]: many cores put things in, one takes everything out at once.
//!
//! ```text
//!   push(c):  c.next = head; head = c                take_all:  head = null, then turned around
//!
//!   head --> c --> b --> a --> null                             a --> b --> c
//!            last pushed                                        first pushed comes first
//! ```
//!
//! A push is one compare-and-exchange (again if another core was faster), a take is one exchange, and a look whether there
//! is anything is one load. Nothing is allocated: the [`RawLink`] lies inside the memory that is sent.
//!
//! # The same address again
//!
//! Between a pusher's look at the head and its exchange, others may take that link, free it, and push another one that was
//! allocated in the same place. The exchange succeeds then, and may: everything is taken at once, so that what follows
//! that address is what follows the head, however it got there (a stack that pops one link at a time goes wrong here). But the
//! pointer that the pusher had seen was one to the memory before. So a link holds the *address* of the next one, and
//! the list makes it a pointer to whatever was pushed there: pushing exposes the provenance for that.
//!
//! # Ownership
//!
//! A link belongs to whoever will push it; from then on to the inbox; and from the moment at which the list yields it
//! to the one who took. The list reads where it goes on before it yields a link, so that what was yielded may be freed or
//! pushed elsewhere at once. A list that is dropped half-way forgets the rest, as an inbox does that is dropped.
//!
//! # Ordering
//!
//! The release of the exchange in `push` is met by the acquire of the one in `take_all`: what was written before a push
//! is there after the take. A push on top of another continues its release sequence, so that one acquire meets
//! all of them.
//!
//! The exchange of `push` is sequentially consistent. This is for [`Doorbell::ring_after_push`], costs nothing on x86 (it is
//! the same locked instruction), and the inbox by itself does without.
//!
//! [`Doorbell::ring_after_push`]: crate::doorbell::Doorbell::ring_after_push

use core::fmt;
use core::iter::FusedIterator;
use core::ptr::{self, NonNull};

use crate::atomic::{AtomicPtr, Ordering, constructor};
use crate::cell::UnsafeCell;

/// A link in a [`RawInbox`]: one pointer, which lives inside the memory that is sent.
#[repr(transparent)]
pub struct RawLink {
    /// The address of the link that was pushed before this one, or 0. Touched by the owner alone: see the module.
    next: UnsafeCell<usize>,
}

// SAFETY: nothing can be done with a shared link but push it, which is unsafe and asks for it to be the caller's alone.
unsafe impl Sync for RawLink {}

impl RawLink {
    constructor! {
        /// A link that is in no inbox.
        pub fn new() -> Self {
            Self { next: UnsafeCell::new(0) }
        }
    }
}

impl Default for RawLink {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RawLink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RawLink").finish_non_exhaustive()
    }
}

/// Many cores push, one takes everything at once. The module has the drawing.
///
/// It does not own what is in it: dropping it forgets that.
pub struct RawInbox {
    /// The link pushed last. Every link from here on is the inbox's, by the contract of [`push`](Self::push).
    head: AtomicPtr<RawLink>,
}

impl RawInbox {
    constructor! {
        /// An empty inbox.
        pub fn new() -> Self {
            Self { head: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Puts a link in, from any core. Answers whether the inbox was empty before.
    ///
    /// The pointer's provenance is exposed, and what comes out has it again: whoever makes the pointer from one to all of the
    /// memory that is sent can make it one to all of that memory.
    ///
    /// # Safety
    ///
    /// From this call until a [`RawList`] yields it, the link is valid for reads and writes, from any thread, and the
    /// inbox's alone: in no other inbox, and neither freed nor moved. If the inbox or a list forgets it, that is for ever.
    pub unsafe fn push(&self, link: NonNull<RawLink>) -> bool {
        // For `RawList`, which has the address only.
        link.as_ptr().expose_provenance();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: valid until it is taken, by the contract; it is not in the inbox yet.
            let next = &unsafe { link.as_ref() }.next;
            // SAFETY: nobody else touches a link that is not in the inbox yet, by the contract.
            next.with_mut(|next| unsafe { *next = head.addr() });
            // Release: pairs with `take_all`. Sequentially consistent: pairs with `Doorbell::lie_down`.
            match self.head.compare_exchange_weak(head, link.as_ptr(), Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return head.is_null(),
                Err(other) => head = other,
            }
        }
    }

    /// Whether nothing is in it, as far as this core can see. One load, for loops that poll.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Takes everything that is in, to be yielded in the order in which it was pushed.
    ///
    /// One core at a time does this. With several, each link still comes out once, but nobody knows the order.
    #[inline]
    pub fn take_all(&self) -> RawList {
        // An inbox that is empty is left where it is, in the caches of those who are about to push.
        if self.is_empty() {
            return RawList { next: ptr::null_mut() };
        }
        // Acquire: pairs with every `push` since the last take.
        let last = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        RawList::in_order_of_pushing(last)
    }
}

impl Default for RawInbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RawInbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RawInbox").field("is_empty", &self.is_empty()).finish_non_exhaustive()
    }
}

/// Links that were taken out of a [`RawInbox`], first pushed first. What it is not asked for, it forgets.
#[must_use = "links that are not taken from the list are lost"]
pub struct RawList {
    /// The link that is yielded next. From here on all links are this list's alone.
    next: *mut RawLink,
}

impl RawList {
    /// Turns around a chain that this thread has taken: nobody else knows its links.
    fn in_order_of_pushing(mut last: *mut RawLink) -> Self {
        let mut turned = ptr::null_mut::<RawLink>();
        // SAFETY: not null, hence a link that was pushed and not yielded yet, valid by the contract of `push`.
        while let Some(link) = unsafe { last.as_ref() } {
            // SAFETY: the link is this thread's alone, see above.
            let before = link.next.with_mut(|next| unsafe { next.replace(turned.addr()) });
            turned = last;
            last = ptr::with_exposed_provenance_mut(before);
        }
        Self { next: turned }
    }
}

impl Iterator for RawList {
    type Item = NonNull<RawLink>;

    #[inline]
    fn next(&mut self) -> Option<NonNull<RawLink>> {
        let link = NonNull::new(self.next)?;
        // SAFETY: it was pushed and is not yielded before the end of this function: valid by the contract of `push`.
        let next = &unsafe { link.as_ref() }.next;
        // SAFETY: the link is this list's alone; it was written by `in_order_of_pushing`.
        let next = next.with(|next| unsafe { *next });
        self.next = ptr::with_exposed_provenance_mut(next);
        Some(link)
    }
}

impl FusedIterator for RawList {}

impl fmt::Debug for RawList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RawList").field("is_empty", &self.next.is_null()).finish_non_exhaustive()
    }
}
