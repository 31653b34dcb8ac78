//! [`WakeSlot`]: one waits for a condition, others make it true and wake it.
//!
//! ```text
//!   the waiter                           others
//!   register: handle in the slot         make the condition true
//!       -- full fence --                     -- full fence --
//!   last look: true? go on               take: a handle in the slot? wake it
//!   not true? sleep until woken
//! ```
//!
//! As with the doorbell, each side stores and then loads what the other stores, and with both fences one of the two sees
//! the other. The handle `W` is anything that wakes somebody: a thread, a `Waker`, a core's number.
//!
//! # The states
//!
//! ```text
//!             register               register
//!   EMPTY ---------------> WRITING ------------> FULL        the handle is there
//!     ^ ^                   |   ^      register   |
//!     | |              take |   +-----------------+
//!     | |                   v                     | take
//!     | +------ WRITING_AND_WOKEN                 v
//!     |  register, WokenMeanwhile               TAKING
//!     +-------------------------------------------+
//! ```
//!
//! Whoever brings the slot into `WRITING` or `TAKING` owns the handle until he brings it out of there; nobody
//! waits for him. One who takes while a handle is being written tells so by the state, and one who registers while the old
//! handle is being taken is too late: both times `register` answers [`WokenMeanwhile`](Registered::WokenMeanwhile). The
//! others who take at such a moment may go, as somebody is already waking.
//!
//! # Ordering
//!
//! The handle goes from thread to thread with the state: written before a release, read after an acquire. That the one who
//! is woken meanwhile sees the condition, and all else, is the work of the fences.

use core::fmt;

use crate::atomic::{AtomicU8, Ordering, constructor, fence};
use crate::cell::UnsafeCell;

/// Nobody is registered.
const EMPTY: u8 = 0;
/// The slot belongs to one who registers.
const WRITING: u8 = 1;
/// The same, and he is woken already.
const WRITING_AND_WOKEN: u8 = 2;
/// A handle is in the slot.
const FULL: u8 = 3;
/// The slot belongs to one who takes.
const TAKING: u8 = 4;

/// A place for one who waits, and who others wake.
pub struct WakeSlot<W> {
    state: AtomicU8,
    /// There in the states `FULL` and `TAKING`. Belongs to whoever brought about `WRITING` or `TAKING`.
    handle: UnsafeCell<Option<W>>,
}

// SAFETY: a handle is moved from thread to thread, which `W` permits; the state keeps it from being touched by two at a time.
unsafe impl<W: Send> Sync for WakeSlot<W> {}

/// What has become of a registration.
#[must_use = "who was woken meanwhile must not sleep"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The handle is in the slot. Look once more, then sleep.
    Waiting,
    /// Somebody has made the condition true and taken just now; the handle is *not* in the slot. Look, and register
    /// anew before going to sleep.
    WokenMeanwhile,
}

impl<W> WakeSlot<W> {
    constructor! {
        /// A slot in which nobody is registered.
        pub fn new() -> Self {
            Self { state: AtomicU8::new(EMPTY), handle: UnsafeCell::new(None) }
        }
    }

    /// The waiter, before its last look. Replaces what it has registered before.
    ///
    /// There is one waiter. A second one who registers at the same moment is answered as if woken; later he replaces the
    /// first, who is then not woken.
    pub fn register(&self, handle: W) -> Registered {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state != EMPTY && state != FULL {
                // Pairs with the fence in `take`, before the exchange to `TAKING`: what its thread has made true is there.
                fence(Ordering::Acquire);
                return Registered::WokenMeanwhile;
            }
            // Acquire: pairs with what brought about `EMPTY` or `FULL`. Whoever had the slot before is through with it.
            match self.state.compare_exchange_weak(state, WRITING, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => state = other,
            }
        }
        // SAFETY: this thread has brought about `WRITING`, out of which nobody else brings the slot.
        let old = self.handle.with_mut(|place| unsafe { (*place).replace(handle) });
        // Release: pairs with `take`. The handle is in its place.
        let written = self.state.compare_exchange(WRITING, FULL, Ordering::Release, Ordering::Relaxed);
        let unused = match written {
            Ok(_) => None,
            Err(_) => {
                // SAFETY: as above; `WRITING_AND_WOKEN` is left by this thread alone.
                let unused = self.handle.with_mut(|place| unsafe { (*place).take() });
                // Release: pairs with the next `register`. This thread is through with the slot.
                self.state.store(EMPTY, Ordering::Release);
                unused
            }
        };
        // Pairs with the one in `take`. If the exchange failed, it is also what acquires from there. Dropping handles is code of others, which comes after it.
        fence(Ordering::SeqCst);
        drop((old, unused));
        if written.is_ok() { Registered::Waiting } else { Registered::WokenMeanwhile }
    }

    /// Others, after they have made the condition true: the handle of the one who has to be woken, if somebody has.
    ///
    /// If nobody is registered, that is a fence and a load. A waiter that need not sleep takes its own handle back by this.
    #[inline]
    pub fn take(&self) -> Option<W> {
        // Pairs with the one in `register`.
        fence(Ordering::SeqCst);
        match self.state.load(Ordering::Relaxed) {
            EMPTY => None,
            state => self.take_from(state),
        }
    }

    /// The end of `take`, when the state was not `EMPTY`.
    fn take_from(&self, mut state: u8) -> Option<W> {
        loop {
            let next = match state {
                FULL => TAKING,
                WRITING => WRITING_AND_WOKEN,
                // Nobody to wake, or somebody else does.
                _ => return None,
            };
            // Acquire: pairs with the exchange to `FULL`. The handle is in its place. For one who is woken meanwhile, the
            // fence in `take` releases.
            match self.state.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(FULL) => break,
                Ok(_) => return None,
                Err(other) => state = other,
            }
        }
        // SAFETY: this thread has brought about `TAKING`, out of which nobody else brings the slot.
        let handle = self.handle.with_mut(|place| unsafe { (*place).take() });
        // Release: pairs with the next `register`. This thread is through with the slot.
        self.state.store(EMPTY, Ordering::Release);
        handle
    }
}

impl<W> Default for WakeSlot<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> fmt::Debug for WakeSlot<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_empty = self.state.load(Ordering::Relaxed) == EMPTY;
        formatter.debug_struct("WakeSlot").field("is_empty", &is_empty).finish_non_exhaustive()
    }
}
