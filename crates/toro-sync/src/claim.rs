//! [`Waits`]: who may end a wait, when many could.
//!
//! ```text
//!   word     0                   its owner is in no wait
//!            number | kind       it is, or is about to be, in the wait with this number
//!            ... | CLAIMED       somebody ends it, and tells the owner
//! ```
//!
//! A thread that waits may be woken by several others at once, by a timer, or find by itself that it need not wait. One
//! compare-and-exchange decides who ends the wait. A waker that has lost knows that its wake-up went to nobody, and may spend
//! it on somebody else; one that has won knows that the owner will see it, and has to bring it there. Waits are
//! numbered, so that a handle to a wait that is over ends no other.
//!
//! # Ownership
//!
//! One owner [begins](Waits::begin) waits and [ends](Waits::end) them, or [notices](Waits::take_claim) that somebody else has.
//! Everybody may [claim](Waits::claim).
//!
//! # Ordering
//!
//! The owner begins a wait, then looks once more whether it has to wait; others make its condition true, then look for the
//! wait. That one of the two sees the other is for the condition to see to: by a full fence on each side, as in
//! [`WakeSlot`](crate::wake::WakeSlot), or by changing the condition with exchanges on both sides, as parking does: of two exchanges
//! of a token the later one sees what came before the earlier. What came before a claim is there when the owner takes it: a
//! release and an acquire. All else can be relaxed.

use crate::atomic::{AtomicU64, Ordering, constructor};

const CLAIMED: u64 = 1;
const KIND: u64 = 1 << 1;
const NUMBER_SHIFT: u32 = 2;

/// Why the owner waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum WaitKind {
    /// For something that whoever wakes it knows by the wait's name.
    Event = 0,
    /// For whoever [claims](Waits::claim_parked) a wait of this kind, without a name.
    Park = KIND,
}

/// Names one wait of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitId(u64);

/// The waits of one owner, one after the other.
#[derive(Debug)]
pub struct Waits {
    /// How many there have been. Changed by the owner alone.
    count: AtomicU64,
    /// See the module.
    word: AtomicU64,
}

impl Waits {
    constructor! {
        /// The owner is in no wait.
        pub fn new() -> Self {
            Self { count: AtomicU64::new(0), word: AtomicU64::new(0) }
        }
    }

    /// The owner, before it looks once more whether it has to wait at all.
    pub fn begin(&self, kind: WaitKind) -> WaitId {
        let number = self.count.load(Ordering::Relaxed) + 1;
        self.count.store(number, Ordering::Relaxed);
        let word = number << NUMBER_SHIFT | kind as u64;
        // Nobody changes it meanwhile: no claim fits what was there. The condition orders it before the last look.
        self.word.store(word, Ordering::Relaxed);
        WaitId(word)
    }

    /// Others: ends this wait, if it has not ended. Who succeeds has to tell the owner.
    pub fn claim(&self, wait: WaitId) -> bool {
        // Release: pairs with `take_claim`.
        self.word.compare_exchange(wait.0, wait.0 | CLAIMED, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Others: as [`claim`](Self::claim), for the present wait if it is of the kind [`WaitKind::Park`].
    pub fn claim_parked(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & (KIND | CLAIMED) == KIND && self.claim(WaitId(word))
    }

    /// The owner, or its timer: ends the wait, if there is one; false if somebody else has claimed it, and is about to tell.
    pub fn end(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let try_to_end = || self.word.compare_exchange(word, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        word == 0 || (word & CLAIMED == 0 && try_to_end())
    }

    /// The owner: whether somebody has claimed the present wait, which is over then.
    pub fn take_claim(&self) -> bool {
        // Acquire: pairs with `claim`. What came before it is there.
        let is_claimed = self.word.load(Ordering::Acquire) & CLAIMED != 0;
        if is_claimed {
            self.word.store(0, Ordering::Relaxed);
        }
        is_claimed
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self::new()
    }
}
