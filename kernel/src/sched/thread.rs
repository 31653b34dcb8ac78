//! Threads: cooperative, stackful, on the boot core. The API is that of `std::thread`.
//!
//! A thread runs until it waits, sleeps, yields or returns; nothing interrupts it. So data shared between threads, by
//! [`Rc`] or otherwise, cannot change between two waiting points, and closures need not be `Send`. A thread that computes
//! for long should [`yield_now`] from time to time, for while it runs no packet is received.
//!
//! A panic ends the whole machine, so joining a thread cannot fail.
//!
//! # Example
//!
//! ```ignore
//! let worker = toro::thread::spawn(|| 6 * 7);
//! let Ok(answer) = worker.join();
//! ```

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt;
use core::time::Duration;

use super::core::{Core, ThreadRecord};
use super::wait::WaitQueue;
use crate::arch::context::Coroutine;
use crate::io;
use crate::mm::stack::Stack;
use crate::time::Instant;

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

    /// Makes the thread, which runs when this one next waits or yields.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for its stack.
    pub fn spawn<F, T>(self, function: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let size = self.stack_size.unwrap_or(DEFAULT_STACK_SIZE);
        let stack = Stack::allocate(size).ok_or(io::ErrorKind::OutOfMemory)?;
        let outcome = Rc::new(Outcome { value: RefCell::new(None), done: WaitQueue::new() });
        let entry = {
            let outcome = outcome.clone();
            Box::new(move || {
                let value = function();
                *outcome.value.borrow_mut() = Some(value);
                outcome.done.wake_all();
            })
        };
        let coroutine = Coroutine::new(stack, entry);
        let thread = Thread(Core::current().spawn(coroutine, self.name.map(String::into_boxed_str)));
        Ok(JoinHandle { thread, outcome })
    }
}

/// What a thread leaves to whoever joins it.
struct Outcome<T> {
    value: RefCell<Option<T>>,
    done: WaitQueue,
}

/// Makes a thread that runs `function`; see [`Builder::spawn`].
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

/// The right to wait for a thread and to take its result. Dropping it leaves the thread alone.
pub struct JoinHandle<T> {
    thread: Thread,
    outcome: Rc<Outcome<T>>,
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has finished and returns its result.
    ///
    /// # Errors
    ///
    /// None: a thread that panics takes the machine with it. The `Result` is there so that code written for `std` works.
    pub fn join(self) -> Result<T, Infallible> {
        loop {
            let value = self.outcome.value.borrow_mut().take();
            match value {
                Some(value) => return Ok(value),
                None => self.outcome.done.wait(),
            }
        }
    }

    /// Whether the thread's function has returned.
    pub fn is_finished(&self) -> bool {
        self.outcome.value.borrow().is_some()
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

/// A thread's name and number.
#[derive(Clone)]
pub struct Thread(Rc<ThreadRecord>);

impl Thread {
    /// The thread's number.
    pub fn id(&self) -> ThreadId {
        ThreadId(self.0.id)
    }

    /// The thread's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
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
    Thread(Core::current().running().expect("called from a thread"))
}

/// Lets other threads run, and devices be served, before this thread goes on.
pub fn yield_now() {
    Core::current().yield_now();
}

/// Lets this thread wait for at least `duration`.
pub fn sleep(duration: Duration) {
    let core = Core::current();
    let deadline = Instant::now().saturating_add(duration);
    let waiter = core.prepare_to_wait();
    let _ = core.wait(&waiter, Some(deadline));
}
