//! [`ThreadRecord`]: a thread as all cores may see it.
//!
//! A thread belongs to one core for its whole life; only that core runs it and decides what it does next. Other cores
//! hold a reference in order to wake it: they [claim](ThreadRecord::claim) the wait that the thread is in and send the
//! record to its core.
//!
//! # A thread's life
//!
//! `New -> Ready -> (Waiting -> Ready)* -> Finished`. A thread that runs stays `Ready`. The state is written by the thread's
//! core alone.
//!
//! # A wait that other cores may end
//!
//! ```text
//!   word     0                   the thread is in no such wait
//!            n << 2 | kind       it is, or is about to be, in its n-th one
//!            ... | CLAIMED       somebody ends it, and sends the record to the thread's core
//! ```
//!
//! One compare-and-exchange decides who ends a wait: a waker on any core, the thread itself that finds its condition
//! true, or its timer. A waker that has lost knows that its wake-up went to nobody, and may spend it on somebody else;
//! one that has won knows that the thread will see it.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::local::Locals;
use super::wait::Wake;
use crate::arch::context::Coroutine;
use crate::arch::core_local::CoreBound;
use crate::arch::ready::ReadyLink;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// It is on its way to its core for the first time.
    New,
    /// It runs, or waits for its turn.
    Ready,
    /// It waits to be woken.
    Waiting,
    /// Its function has returned.
    Finished,
}

/// Why a thread waits where other cores may end the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum WaitKind {
    /// For something that whoever wakes it knows.
    Event = 0,
    /// To be unparked.
    Park = 1 << 1,
}

const CLAIMED: u64 = 1;
const PARK: u64 = WaitKind::Park as u64;
const NUMBER_SHIFT: u32 = 2;

/// Names one wait of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaitWord(u64);

/// A thread as all cores may see it.
pub struct ThreadRecord {
    /// Number, unique in the machine.
    pub(crate) id: u64,
    /// Name, if it has one.
    pub(crate) name: Option<Box<str>>,
    /// The core that it runs on.
    pub(crate) core: usize,
    pub(crate) coroutine: Coroutine,
    /// Its place among those that wait for their turn.
    pub(crate) ready: ReadyLink,
    /// Written by the thread's core alone.
    state: AtomicU8,
    /// How the last wait ended; the thread's core alone.
    wake: AtomicU8,
    /// How many waits there have been that others may end; the thread's core alone.
    waits: AtomicU64,
    /// See the module documentation.
    word: AtomicU64,
    /// Somebody has unparked the thread since it last parked.
    pub(super) token: AtomicBool,
    pub(super) locals: CoreBound<Locals>,
}

impl ThreadRecord {
    /// A thread that has not been sent to its core yet.
    pub(super) fn new(id: u64, name: Option<Box<str>>, core: usize, coroutine: Coroutine) -> Self {
        Self {
            id,
            name,
            core,
            coroutine,
            ready: ReadyLink::new(),
            state: AtomicU8::new(State::New as u8),
            wake: AtomicU8::new(Wake::Notified as u8),
            waits: AtomicU64::new(0),
            word: AtomicU64::new(0),
            token: AtomicBool::new(false),
            locals: CoreBound::new(core),
        }
    }

    pub(super) fn is(&self, state: State) -> bool {
        self.state.load(Ordering::Relaxed) == state as u8
    }

    pub(super) fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// How the last wait ended.
    pub(super) fn wake(&self) -> Wake {
        if self.wake.load(Ordering::Relaxed) == Wake::TimedOut as u8 { Wake::TimedOut } else { Wake::Notified }
    }

    pub(super) fn set_wake(&self, wake: Wake) {
        self.wake.store(wake as u8, Ordering::Relaxed);
    }

    /// Begins a wait that others may end, from now on. Called by the thread itself, before it looks once more whether it
    /// has to wait at all.
    pub(super) fn begin_wait(&self, kind: WaitKind) -> WaitWord {
        let number = self.waits.load(Ordering::Relaxed) + 1;
        self.waits.store(number, Ordering::Relaxed);
        let word = number << NUMBER_SHIFT | kind as u64;
        // A full barrier between telling that the thread waits and its last look; wakers do the opposite.
        self.word.swap(word, Ordering::SeqCst);
        WaitWord(word)
    }

    /// Tries to end a wait on behalf of somebody else. If that succeeds, the record has to be sent to its core.
    pub(super) fn claim(&self, wait: WaitWord) -> bool {
        self.word.compare_exchange(wait.0, wait.0 | CLAIMED, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// As [`claim`](Self::claim), for whatever wait for being unparked the thread is in.
    pub(super) fn claim_parked(&self) -> bool {
        let word = self.word.load(Ordering::SeqCst);
        word & (PARK | CLAIMED) == PARK && self.claim(WaitWord(word))
    }

    /// Ends the wait on behalf of the thread itself or of its timer; false if somebody else has claimed it, whose
    /// wake-up is on its way. Called on the thread's core. There need not be such a wait.
    pub(super) fn end_wait(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word == 0
            || (word & CLAIMED == 0 && self.word.compare_exchange(word, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok())
    }

    /// Whether somebody has claimed the present wait; it is over then. Called on the thread's core.
    pub(super) fn take_claim(&self) -> bool {
        let is_claimed = self.word.load(Ordering::Acquire) & CLAIMED != 0;
        if is_claimed {
            self.word.store(0, Ordering::Relaxed);
        }
        is_claimed
    }
}
