//! [`Doorbell`]: whether a core sleeps and has to be interrupted.
//!
//! ```text
//!   owner                                  others
//!   lie_down:  asleep = true               put work where the owner looks
//!       -- full fence --                       -- full fence --
//!   last look: work? get_up                ring:  asleep?  no: Suppressed
//!   none?  halt until an interrupt                yes, and the first to say so: Needed, interrupt
//!   get_up, look
//! ```
//!
//! Each side stores and then loads what the other stores. With both fences one of the two sees the other: either the owner's
//! last look finds the work, or the ring finds that the owner sleeps. With either of them missing both can miss each other,
//! and the work waits for the next interrupt.
//!
//! # Ownership
//!
//! The owner turns `asleep` on, once per sleep; the one who turns it off with an exchange has to interrupt, so that a
//! crowd costs the owner one interrupt. From then on the bell says "awake" to everybody, as an interrupt is under
//! way. Those who are answered so rely on the owner's *next* last look, which comes before its next sleep; an owner that
//! always lies down, looks and only then halts misses nothing.
//!
//! The interrupt itself must not be lost between the last look and the halt: on x86 by `sti; hlt`, which lets none in between.
//!
//! # Ordering
//!
//! `ring` has a fence of its own and so goes with work of any kind. Where the work was put by a sequentially
//! consistent exchange, which all the inboxes of this crate do, [`ring_after_push`](Doorbell::ring_after_push) does without: its
//! load is sequentially consistent, too, and an exchange is a full barrier on x86 already. Why that is enough in the language's
//! memory model: call the exchange P, the load of `asleep` L, the owner's fence F. If both sides missed, L would come before F
//! in the one order of all such operations (it read what precedes the store before F), F before P (the look behind F
//! read what precedes P), and P before L, as in the program: a circle (C++20 \[atomics.order\], 4). `tests/loom-sync` says how this
//! is shown to loom, which knows sequentially consistent fences but not accesses; Miri knows both.
//!
//! # Where to keep it
//!
//! Beside the head of the owner's inbox, in one cache line: a push has just fetched it, and the ring costs no second miss.

use crate::atomic::{AtomicBool, Ordering, constructor, fence};

/// Whether a core sleeps and has to be interrupted.
#[derive(Debug)]
pub struct Doorbell {
    /// Set by the owner. Whoever sets it back by an exchange, and finds it set, interrupts the owner.
    is_asleep: AtomicBool,
}

/// What is left to do for one who rang.
#[must_use = "a needed interrupt that is not sent lets the work wait"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// The owner sleeps: interrupt it. Nobody else is told so until it sleeps again.
    Needed,
    /// The owner is awake and looks again before it sleeps, or somebody else interrupts it.
    Suppressed,
}

impl Doorbell {
    constructor! {
        /// The bell of an owner that is awake.
        pub fn new() -> Self {
            Self { is_asleep: AtomicBool::new(false) }
        }
    }

    /// The owner, before its last look for work. Whatever was put where the owner looks before a ring that answered
    /// [`Suppressed`](Ring::Suppressed) because the owner was awake is seen by that look.
    ///
    /// The look may use relaxed loads to find out whether there is anything.
    pub fn lie_down(&self) {
        // An exchange, though a store would do: the changes of the flag are then one chain, in which loom can follow them. It
        // does not know that a store comes after an exchange that has read what the same thread wrote before.
        self.is_asleep.swap(true, Ordering::Relaxed);
        // Pairs with the fence in `ring`, and with the exchange and the load of `ring_after_push`.
        fence(Ordering::SeqCst);
    }

    /// The owner, after the halt, or when its last look found work.
    pub fn get_up(&self) {
        // Acquire: pairs with the exchange in `answer`. What came before the ring that woke the owner is there, whatever an
        // interrupt orders.
        self.is_asleep.swap(false, Ordering::Acquire);
    }

    /// Whether the next ring would find the owner asleep, as far as this core can see.
    pub fn is_asleep(&self) -> bool {
        self.is_asleep.load(Ordering::Relaxed)
    }

    /// Others, after they have put work where the owner looks.
    ///
    /// At most one caller per sleep is told to interrupt.
    #[inline]
    pub fn ring(&self) -> Ring {
        // Pairs with the fence in `lie_down`.
        fence(Ordering::SeqCst);
        self.answer(self.is_asleep.load(Ordering::Relaxed))
    }

    /// [`ring`](Self::ring) for those who have put their work into a [`RawInbox`](crate::inbox::RawInbox), an `Inbox` or
    /// a `Mailbox`, or anywhere else by a sequentially consistent exchange, as the last thing they did. It spares them
    /// a fence.
    #[inline]
    pub fn ring_after_push(&self) -> Ring {
        // Sequentially consistent, as is the exchange before it: see the module.
        self.answer(self.is_asleep.load(Ordering::SeqCst))
    }

    #[inline]
    fn answer(&self, is_asleep: bool) -> Ring {
        // Release: pairs with `get_up`. (In `ring` the fence does that already.)
        if is_asleep && self.is_asleep.swap(false, Ordering::Release) { Ring::Needed } else { Ring::Suppressed }
    }
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}
