//! Scoped threads: threads that borrow from the stack of the thread that made them, as in `std::thread::scope`.
//!
//! [`scope`] returns when all threads of the scope have finished, however its closure ended: a panic ends the machine,
//! so the closure returns, and then everything that was spawned is waited for.
//!
//! # Unsafe code
//!
//! There is one piece: a closure with a lifetime is passed off as one without. What makes that right is all in this file.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::cores::CoreId;
use super::result::Outcome;
use super::thread::{self, Builder, Thread};
use crate::io;

/// Where scoped threads are made; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    running: Arc<Running>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// The threads of a scope that have not finished.
struct Running {
    count: AtomicUsize,
    owner: Thread,
}

/// Counts a thread as running until it is dropped, by that thread, last thing.
struct Share(Arc<Running>);

impl Drop for Share {
    fn drop(&mut self) {
        // The owner may return as soon as it sees 0: nothing that belongs to it is touched afterwards.
        let Running { count, owner } = &*self.0;
        let owner = owner.clone();
        if count.fetch_sub(1, Ordering::AcqRel) == 1 {
            owner.unpark();
        }
    }
}

/// Calls `function` with a scope in which threads can be made that borrow what lives longer than this call, on this core
/// and on others; returns when all of them have finished.
///
/// ```ignore
/// let numbers = [1, 2, 3, 4];
/// let sum: u64 = toro::thread::scope(|scope| {
///     let halves: Vec<_> = numbers.chunks(2).zip(toro::core::all().cycle())
///         .map(|(half, core)| scope.spawn_on(core, move || half.iter().sum::<u64>()))
///         .collect();
///     halves.into_iter().map(|half| half.join().unwrap()).sum()
/// });
/// ```
pub fn scope<'env, F, T>(function: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let running = Arc::new(Running { count: AtomicUsize::new(0), owner: thread::current() });
    let scope = Scope { running, scope: PhantomData, env: PhantomData };
    let value = function(&scope);
    while scope.running.count.load(Ordering::Acquire) > 0 {
        thread::park();
    }
    value
}

impl<'scope> Scope<'scope, '_> {
    /// Makes a thread of the scope on this core.
    ///
    /// # Panics
    ///
    /// If there is no memory for its stack.
    pub fn spawn<F, T>(&'scope self, function: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let (body, handle) = self.body(function);
        // SAFETY: the closure owns a share of the scope, and drops everything else before it.
        let body = unsafe { erase(Box::new(body)) };
        Builder::new().spawn(body).expect("failed to spawn thread");
        handle
    }

    /// Makes a thread of the scope on the core `core`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for its stack.
    pub fn spawn_on<F, T>(&'scope self, core: CoreId, function: F) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let (body, handle) = self.body(function);
        // SAFETY: as in `spawn`.
        let body = unsafe { erase_send(Box::new(body)) };
        Builder::new().spawn_on(core, body).map(|_| handle)
    }

    /// What a thread of the scope runs: everything in it is dropped before its share of the scope.
    fn body<F, T>(&'scope self, function: F) -> (impl FnOnce() + use<'scope, F, T>, ScopedJoinHandle<'scope, T>)
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        self.running.count.fetch_add(1, Ordering::Relaxed);
        let share = Share(Arc::clone(&self.running));
        let outcome = Outcome::new();
        let handle = ScopedJoinHandle { outcome: Arc::clone(&outcome), scope: PhantomData };
        // Captured in this order, in which a closure that is never called drops them.
        let body = (function, outcome, share);
        let body = move || {
            let (function, outcome, share) = body;
            outcome.finish(function());
            drop(outcome);
            drop(share);
        };
        (body, handle)
    }
}

/// Passes a closure off as one that borrows nothing.
///
/// # Safety
///
/// The closure owns a [`Share`] of a scope that outlives nothing that the closure borrows, and drops it after everything
/// else: [`scope`] does not return before.
unsafe fn erase<'scope>(body: Box<dyn FnOnce() + 'scope>) -> Box<dyn FnOnce()> {
    // SAFETY: the two types differ in the lifetime only. All of `'scope` lies in a call of `scope`, which ends after the
    // share has been dropped (this function's contract), hence after the closure and what it owns are gone.
    unsafe { core::mem::transmute(body) }
}

/// As [`erase`].
///
/// # Safety
///
/// As for [`erase`].
unsafe fn erase_send<'scope>(body: Box<dyn FnOnce() + Send + 'scope>) -> Box<dyn FnOnce() + Send> {
    // SAFETY: as in `erase`.
    unsafe { core::mem::transmute(body) }
}

/// The right to wait for a thread of a scope and to take its result.
pub struct ScopedJoinHandle<'scope, T> {
    outcome: Arc<Outcome<T>>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the thread has finished and returns its result.
    ///
    /// # Errors
    ///
    /// None, as [`JoinHandle::join`](super::thread::JoinHandle::join).
    pub fn join(self) -> Result<T, Infallible> {
        Ok(self.outcome.take(None).expect("a wait without a deadline ends with a result"))
    }

    /// Whether the thread's function has returned.
    pub fn is_finished(&self) -> bool {
        self.outcome.is_there()
    }
}
