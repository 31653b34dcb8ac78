//! Threads: cooperative, stackful, each on one core for its whole life. The API is that of `std::thread`.
//!
//! A thread runs until it waits, sleeps, yields or returns; nothing interrupts it. So data shared between threads of one
//! core, by [`Rc`](alloc::rc::Rc) or otherwise, cannot change between two waiting points, and [`spawn`] asks for no
//! `Send`. A thread that computes for long should [`yield_now`] from time to time, for while it runs no packet is
//! received on its core; the watchdog reports one that does not.
//!
//! [`spawn_on`] makes a thread on another core: what it takes with it, and its result, are `Send`.
//!
//! A panic ends the whole machine, so joining a thread cannot fail.
//!
//! # Floating point
//!
//! The target has no vector registers: arithmetic on `f32` and `f64` is done in integer registers, by the same
//! functions on every machine, and gives the results that IEEE 754 demands. So threads have no floating-point state, a
//! switch saves none, and a thread may stop in the middle of any computation. Assembly code that wants vector registers
//! has to enable them for its core itself and must not stop while it uses them.
//!
//! # Example
//!
//! ```ignore
//! let worker = toro::thread::spawn(|| 6 * 7);
//! let Ok(answer) = worker.join();
//! let other = toro::thread::spawn_on(toro::core::all().last().unwrap(), || toro::core::current());
//! ```

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;
use core::time::Duration;

use super::core::Core;
use super::cores::{self, CoreId};
use super::result::Outcome;
use super::wait::Waiter;
use crate::arch::context::{self, Coroutine, Record};
use crate::io;
use crate::mm::stack::Stack;
use crate::time::Instant;

pub use super::local::LocalKey;
pub use super::scope::{Scope, ScopedJoinHandle, scope};

/// Stack of a thread that does not ask for another size. All of it is memory from the start.
pub const DEFAULT_STACK_SIZE: usize = 128 * 1024;

/// How a thread shall be.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A thread without a name and with a stack of [`DEFAULT_STACK_SIZE`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the thread, for reports of panics and faults.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the size of the stack in bytes, rounded up to whole pages.
    pub fn stack_size(mut self, size: usize) -> Self {
        self.stack_size = Some(size);
        self
    }

    /// Makes the thread on this core; it runs when this one next waits or yields.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for its stack.
    pub fn spawn<F, T>(self, function: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let outcome = Outcome::new();
        let entry = entry(function, Arc::clone(&outcome));
        let coroutine = Coroutine::new(self.stack()?, entry);
        Ok(self.start(cores::current(), coroutine, outcome))
    }

    /// Makes the thread on the core `core`, which may be this one.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_on<F, T>(self, core: CoreId, function: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let outcome = Outcome::new();
        let entry = entry_for_another_core(function, Arc::clone(&outcome));
        let coroutine = Coroutine::for_core(core.index(), self.stack()?, entry);
        Ok(self.start(core, coroutine, outcome))
    }

    fn stack(&self) -> io::Result<Stack> {
        let size = self.stack_size.unwrap_or(DEFAULT_STACK_SIZE);
        Stack::allocate(size).ok_or(io::ErrorKind::OutOfMemory.into())
    }

    fn start<T>(self, core: CoreId, coroutine: Coroutine, outcome: Arc<Outcome<T>>) -> JoinHandle<T> {
        let record = Core::current().spawn(core.index(), coroutine, self.name.map(String::into_boxed_str));
        JoinHandle { thread: Thread(record), outcome }
    }
}

/// What a thread of this core runs.
fn entry<F, T>(function: F, outcome: Arc<Outcome<T>>) -> Box<dyn FnOnce()>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Box::new(move || {
        let value = function();
        super::core::with_locals(|locals| locals.clear());
        outcome.finish(value);
    })
}

/// What a thread of another core runs.
fn entry_for_another_core<F, T>(function: F, outcome: Arc<Outcome<T>>) -> Box<dyn FnOnce() + Send>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Box::new(move || entry(function, outcome)())
}

/// Makes a thread on this core that runs `function`; see [`Builder::spawn`].
///
/// # Panics
///
/// If there is no memory for its stack.
pub fn spawn<F, T>(function: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Builder::new().spawn(function).expect("failed to spawn thread")
}

/// Makes a thread on the core `core` that runs `function`; see [`Builder::spawn_on`].
///
/// What goes to another core has to be [`Send`]; what belongs to a core, as a socket does, is not:
///
/// ```compile_fail,E0277
/// # fn spawn_on<F: FnOnce() -> T + Send + 'static, T: Send + 'static>(function: F) {}
/// let here = std::rc::Rc::new(1);
/// spawn_on(move || *here);
/// ```
///
/// # Panics
///
/// If there is no memory for its stack.
pub fn spawn_on<F, T>(core: CoreId, function: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn_on(core, function).expect("failed to spawn thread")
}

/// The right to wait for a thread and to take its result. Dropping it leaves the thread alone.
pub struct JoinHandle<T> {
    thread: Thread,
    outcome: Arc<Outcome<T>>,
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has finished and returns its result.
    ///
    /// # Errors
    ///
    /// None: a thread that panics takes the machine with it. The `Result` is there so that code written for `std` works.
    pub fn join(self) -> Result<T, Infallible> {
        Ok(self.outcome.take(None).expect("a wait without a deadline ends with a result"))
    }

    /// As [`join`](Self::join), for at most `patience`; gives the handle back then.
    ///
    /// # Errors
    ///
    /// The handle itself, if the thread has not finished in time.
    pub fn join_timeout(self, patience: Duration) -> Result<T, Self> {
        let deadline = Instant::now().saturating_add(patience);
        self.outcome.take(Some(deadline)).ok_or(self)
    }

    /// Whether the thread's function has returned.
    pub fn is_finished(&self) -> bool {
        self.outcome.is_there()
    }

    /// The thread.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JoinHandle").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// Names a thread for the life of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadId(u64);

/// A thread, as those see it who may wake it: on any core.
#[derive(Clone)]
pub struct Thread(Record);

impl Thread {
    /// The thread's number.
    pub fn id(&self) -> ThreadId {
        ThreadId(self.0.id)
    }

    /// The thread's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The core that it runs on.
    pub fn core(&self) -> CoreId {
        CoreId::of(self.0.core)
    }

    /// Lets the thread's next [`park`] return at once, or the present one. From any core.
    pub fn unpark(&self) {
        // Nothing to do if it has been unparked already and has not noticed.
        if !self.0.token.swap(true, core::sync::atomic::Ordering::SeqCst) && self.0.waits.claim_parked() {
            Core::deliver(Arc::clone(&self.0));
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Thread").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

/// The running thread.
///
/// # Panics
///
/// If called from a [`Poller`](super::Poller).
pub fn current() -> Thread {
    Thread(context::current().expect("called from a thread"))
}

/// Lets other threads run, and devices be served, before this thread goes on.
pub fn yield_now() {
    Core::current().yield_now();
}

/// Lets this thread wait for at least `duration`.
pub fn sleep(duration: Duration) {
    sleep_until(Instant::now().saturating_add(duration));
}

/// Lets this thread wait until `deadline`.
pub fn sleep_until(deadline: Instant) {
    let _ = Core::current().wait(Some(deadline), drop);
}

/// Waits until somebody [unparks](Thread::unpark) this thread, or returns at once if somebody has since it last parked.
pub fn park() {
    park_until(None);
}

/// As [`park`], for at most `duration`.
pub fn park_timeout(duration: Duration) {
    park_until(Some(Instant::now().saturating_add(duration)));
}

fn park_until(deadline: Option<Instant>) {
    use core::sync::atomic::Ordering::SeqCst;

    let take_token = || context::with_current(|me| me.token.swap(false, SeqCst)).expect("only a thread can park");
    if take_token() {
        return;
    }
    let waiter = Waiter::parked();
    if take_token() {
        let _ = waiter.cancel();
        return;
    }
    let _ = waiter.wait(deadline);
    take_token();
}
