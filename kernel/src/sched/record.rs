//! [`ThreadRecord`]: a thread as all cores may see it.
//!
//! A thread belongs to one core for its whole life; only that core runs it and decides what it does next. Other cores
//! hold a reference in order to wake it: they [claim](Waits::claim) the wait that the thread is in and send the
//! record to its core.
//!
//! # A thread's life
//!
//! `New -> Ready -> (Waiting -> Ready)* -> Finished`. A thread that runs stays `Ready`. The state is written by the thread's
//! core alone.
//!
//! # A wait that other cores may end
//!
//! [`Waits`] decides who ends it: a waker on any core, the thread itself that finds its condition true, or its timer. Who
//! has claimed it sends the record to the thread's core.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use toro_sync::Waits;

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
    /// Its waits that others may end.
    pub(super) waits: Waits,
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
            waits: Waits::new(),
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
}
