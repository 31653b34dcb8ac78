//! A core: its threads that are ready, its timers, its pollers, and the loop that runs them.
//!
//! ```text
//!   loop:  run every thread that is ready now, once
//!          fire timers, poll the pollers ------------- something happened? again
//!          keep polling for POLL_TIME
//!          arm every poller, each looks once more ---- work pending?       again
//!          set the timer for the next deadline, sti; hlt
//! ```
//!
//! # A thread's life
//!
//! `Ready -> Running -> (Ready | Waiting -> Ready)* -> Finished`. A wait queue and a timer may both hold on to a thread
//! that waits; the first to come wins, as the second finds it `Ready`, and the thread takes itself out of the other's
//! list before it goes on. So nobody holds on to a wait that is over once its thread runs.
//!
//! # No wake-up is lost
//!
//! Interrupts are off from the last look to the `hlt`, and `sti; hlt` is one step to the processor: what a device does
//! after `arm` is a pending interrupt that ends the halt at once.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use super::poll::{Armed, Poller, Progress};
use super::timer::TimerQueue;
use super::wait::Wake;
use crate::arch::context::{self, CoreLocal, Coroutine, Outcome};
use crate::arch::{apic, cpu};
use crate::time::Instant;

/// How long the loop polls on before it goes to sleep. An interrupt and the way back from a halt cost a virtual machine
/// several microseconds, more than most packets of a busy connection take to follow each other.
const POLL_TIME: Duration = Duration::from_micros(50);

static CORE: CoreLocal<Core> = CoreLocal::new(Core::new());

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Waiting,
    Finished,
}

/// A thread as the core sees it.
pub struct ThreadRecord {
    /// Number, from 1 on.
    pub id: u64,
    /// Name, if it has one.
    pub name: Option<Box<str>>,
    coroutine: Coroutine,
    state: Cell<State>,
    wake: Cell<Wake>,
}

/// A thread that waits, or is about to.
#[derive(Clone)]
pub struct Waiter(Rc<ThreadRecord>);

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// The boot core.
pub struct Core {
    ready: RefCell<VecDeque<Rc<ThreadRecord>>>,
    running: RefCell<Option<Rc<ThreadRecord>>>,
    timers: RefCell<TimerQueue<Waiter>>,
    pollers: RefCell<Vec<Box<dyn Poller>>>,
    /// Pollers registered since the loop last looked, possibly by a poller.
    new_pollers: RefCell<Vec<Box<dyn Poller>>>,
    next_id: Cell<u64>,
}

impl Core {
    const fn new() -> Self {
        Self {
            ready: RefCell::new(VecDeque::new()),
            running: RefCell::new(None),
            timers: RefCell::new(TimerQueue::new()),
            pollers: RefCell::new(Vec::new()),
            new_pollers: RefCell::new(Vec::new()),
            next_id: Cell::new(1),
        }
    }

    /// The core that executes this.
    pub fn current() -> &'static Self {
        CORE.get()
    }

    /// Adds a thread that is ready to run `coroutine`.
    pub fn spawn(&self, coroutine: Coroutine, name: Option<Box<str>>) -> Rc<ThreadRecord> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let thread = Rc::new(ThreadRecord {
            id,
            name,
            coroutine,
            state: Cell::new(State::Ready),
            wake: Cell::new(Wake::Notified),
        });
        self.ready.borrow_mut().push_back(thread.clone());
        thread
    }

    /// The running thread; `None` in the core's loop.
    pub fn running(&self) -> Option<Rc<ThreadRecord>> {
        self.running.try_borrow().ok()?.clone()
    }

    /// Lets every other ready thread run, and the pollers, before this one goes on.
    pub fn yield_now(&self) {
        let thread = self.running().expect("only a thread can yield");
        thread.state.set(State::Ready);
        self.ready.borrow_mut().push_back(thread);
        context::suspend();
    }

    /// The running thread, to be told to whoever may end the [`wait`](Self::wait) that follows.
    pub fn prepare_to_wait(&self) -> Waiter {
        Waiter(self.running().expect("only a thread can wait"))
    }

    /// Suspends the running thread until somebody wakes `waiter` or `deadline` passes.
    pub fn wait(&self, waiter: &Waiter, deadline: Option<Instant>) -> Wake {
        let timer = deadline.map(|deadline| self.timers.borrow_mut().set(deadline, waiter.clone()));
        waiter.0.state.set(State::Waiting);
        context::suspend();
        let wake = waiter.0.wake.get();
        if let (Some(timer), Wake::Notified) = (timer, wake) {
            self.timers.borrow_mut().cancel(timer);
        }
        wake
    }

    /// Ends a wait; false if it had ended already.
    pub fn wake(&self, waiter: &Waiter, wake: Wake) -> bool {
        let Waiter(thread) = waiter;
        if thread.state.get() != State::Waiting {
            return false;
        }
        thread.wake.set(wake);
        thread.state.set(State::Ready);
        self.ready.borrow_mut().push_back(thread.clone());
        true
    }

    /// Adds a poller.
    pub fn add_poller(&self, poller: Box<dyn Poller>) {
        self.new_pollers.borrow_mut().push(poller);
    }

    /// The core's loop. Does not return; the machine ends by [`crate::process::exit`].
    pub fn run(&self) -> ! {
        loop {
            self.work();
            self.sleep();
        }
    }

    /// Runs threads and pollers until there has been nothing to do for [`POLL_TIME`].
    fn work(&self) {
        let mut idle_since = None;
        loop {
            if self.run_ready() | self.poll() {
                idle_since = None;
                continue;
            }
            if self.pollers.borrow().is_empty() {
                return;
            }
            let now = Instant::now();
            if now.saturating_duration_since(*idle_since.get_or_insert(now)) >= POLL_TIME {
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// Halts until something happens, unless something has.
    fn sleep(&self) {
        let mut pending = false;
        for poller in self.pollers.borrow_mut().iter_mut() {
            // Every poller is armed, also after one has answered that it has work.
            pending |= matches!(poller.arm(), Armed::WorkPending);
        }
        // No poll in between: `arm` has looked already, and looking may take the wish for an interrupt back.
        if pending || !self.ready.borrow().is_empty() {
            return;
        }
        let pollers = self.pollers.borrow();
        let timer = self.timers.borrow().next_deadline();
        let deadline = pollers.iter().filter_map(|poller| poller.deadline()).chain(timer).min();
        assert!(deadline.is_some() || !pollers.is_empty(), "deadlock: every thread waits, and nothing can wake one");
        let wait = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if wait == Some(Duration::ZERO) {
            return;
        }
        apic::set_timer(wait.map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)));
        cpu::wait_for_interrupt();
    }

    /// Runs every thread that is ready now, once; false if there was none.
    fn run_ready(&self) -> bool {
        let count = self.ready.borrow().len();
        for _ in 0..count {
            let Some(thread) = self.ready.borrow_mut().pop_front() else { break };
            thread.state.set(State::Running);
            *self.running.borrow_mut() = Some(thread.clone());
            let outcome = thread.coroutine.resume();
            *self.running.borrow_mut() = None;
            if outcome == Outcome::Finished {
                thread.state.set(State::Finished);
            }
        }
        count > 0
    }

    /// Fires timers and polls the pollers; true if something happened.
    fn poll(&self) -> bool {
        let now = Instant::now();
        let mut progress = false;
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some(waiter) = due else { break };
            progress |= self.wake(&waiter, Wake::TimedOut);
        }
        let mut pollers = self.pollers.borrow_mut();
        pollers.append(&mut self.new_pollers.borrow_mut());
        for poller in pollers.iter_mut() {
            progress |= poller.poll(now) == Progress::Made;
        }
        progress
    }
}
