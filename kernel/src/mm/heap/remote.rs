//! Remote free: how a block comes back to the core that it belongs to.
//!
//! ```text
//!   core 1 frees a block of core 0                       core 0, some time later
//!
//!   | link | route | (whatever was in it) |   --push-->  inbox 0  --take_all-->  freed as its own blocks are
//! ```
//!
//! A block that is freed has room for a link and for its route (see [`class`](super::class)), so nothing is allocated to
//! free it. The route goes with it because the owner was not told the layout.
//!
//! # Ownership
//!
//! A block in an inbox is the inbox's, and nobody looks at it; the owner that takes it out has it as if it had been its own
//! `dealloc` that was called.
//!
//! # Ordering
//!
//! Two things have to be seen by the owner: what the freeing core wrote as link and route, and that it no longer touches
//! what the block was before. The release of `push` and the acquire of `take_all` order both.

use core::ptr::NonNull;

use toro_sync::{RawInbox, RawLink};

use super::class::{GRAIN, Route};

/// Blocks of one core that others freed. On a cache line of its own, as others write to it.
#[repr(align(128))]
pub struct Inbox(RawInbox);

/// What is in a block on its way home.
#[repr(C)]
struct Freed {
    link: RawLink,
    route: Route,
}

const _: () = assert!(size_of::<Freed>() <= GRAIN && align_of::<Freed>() <= align_of::<u64>());

impl Inbox {
    /// An empty inbox.
    pub const fn new() -> Self {
        Self(RawInbox::new())
    }

    /// Sends a block home.
    ///
    /// # Safety
    ///
    /// `block` is a live block with this route of the core whose inbox this is, and the caller gives it up.
    pub unsafe fn push(&self, block: NonNull<u8>, route: Route) {
        let freed = block.cast::<Freed>();
        // SAFETY: no block is shorter than this, and all are aligned to 8 at least; the caller gives it up.
        unsafe { freed.write(Freed { link: RawLink::new(), route }) };
        // SAFETY: valid, and nobody's but the inbox's, as the caller gives the block up and its owner waits for it here.
        unsafe { self.0.push(freed.cast()) };
    }

    /// Whether nothing is in it, as far as this core can see.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all blocks out, first freed first. For the core whose inbox this is. What the iterator is not asked for is
    /// lost.
    pub fn take_all(&self) -> impl Iterator<Item = (NonNull<u8>, Route)> + use<> {
        self.0.take_all().map(|link| {
            let freed = link.cast::<Freed>();
            // SAFETY: only `push` puts links in, each the first field of a `Freed` that it has written, and the pointer
            // comes out as it went in; the block is ours from now on.
            let route = unsafe { freed.as_ref() }.route;
            (freed.cast(), route)
        })
    }
}
