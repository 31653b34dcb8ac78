//! A core: its threads that are ready, its timers, its pollers, and the loop that runs them.
//!
//! ```text
//!   loop:  take threads out of the inbox
//!          run ready threads, BUDGET switches at most
//!          fire timers, poll the pollers ------------- something happened? again
//!          keep polling for a while, ever less often
//!          lie down, arm every poller, each looks once more, and so does the core
//!                                        ------------- work pending?       again
//!          set the timer for the next deadline, halt
//! ```
//!
//! A thread that stops hands the core over to the next one that is ready, directly; the loop has its turn when the
//! budget is used up or nobody is ready.
//!
//! # How long it polls
//!
//! As long as its [`patience`](super::patience) lasts, which each sleep changes. There is one for waits in which a poller awaits
//! an answer of its device, and a shorter one for all others. Which it is, the pollers are asked once, when a wait begins:
//! whatever changes that is something that happened, and so the beginning of another wait.
//!
//! # Who may end a wait
//!
//! A wait queue and a timer may both hold on to a thread that waits; the first to come wins, as the second finds it
//! `Ready`, and the thread takes itself out of the other's list before it goes on. So nobody holds on to a wait that is
//! over once its thread runs. Other cores end a wait by claiming it first: see [`super::record`].
//!
//! # No wake-up is lost
//!
//! No interrupt is admitted from the last look to the halt, and what came in between ends the halt at once: what a device
//! does after `arm`, and what another core sends after the look into the inbox, see [`super::port`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use toro_sync::Node;

use super::local::Locals;
use super::patience::{Expected, LEAST_PAUSE, MOST_PAUSE, Patience};
use super::poll::{Armed, Poller, Progress};
use super::port::{self, Port};
use super::record::{State, ThreadRecord};
use super::timer::TimerQueue;
use super::wait::Wake;
use super::watchdog;
use crate::arch::context::{self, Coroutine, Record};
use crate::arch::core_local::MAX_CORES;
use crate::arch::ready::{Ready, ReadyList};
use crate::arch::{apic, core_index, interrupt, smp};
use crate::core_local;
use crate::mm::{heap, stack, tlb};
use crate::time::Instant;

/// Between two looks passes this part of the time for which there has been nothing to do. So looks become rarer, which saves
/// most of them, and what comes is noticed late by no more than that part of the time that it took to come. A look may cost
/// more than it seems to: a device's register that is read is an exit of the virtual machine.
/// It is [`LEAST_PAUSE`] to [`MOST_PAUSE`]; messages of other cores are looked for meanwhile.
const RARER: u64 = 3;
/// Pauses between two looks at what other cores send, and such looks between two at the clock, which costs as much as a few of
/// them.
const PAUSES: u32 = 4;
const LOOKS: u32 = 4;
/// How many threads run, one after the other, before timers and devices have their turn.
const BUDGET: u32 = 64;

core_local! {
    static CORE: Core = Core::new();
}

/// One of the machine's cores, for itself.
pub struct Core {
    ready: ReadyList,
    /// Switches left until the loop has its turn. Read by an interrupt handler.
    budget: AtomicU32,
    /// How often the loop has had its turn. Likewise.
    rounds: AtomicU64,
    timers: RefCell<TimerQueue<Record>>,
    pollers: RefCell<Vec<Box<dyn Poller>>>,
    /// Pollers registered since the loop last looked, possibly by a poller.
    new_pollers: RefCell<Vec<Box<dyn Poller>>>,
    /// Threads made here so far.
    spawned: Cell<u64>,
    /// How long the loop polls on.
    patience: Patience,
}

/// A time in which there is nothing to do.
#[derive(Clone, Copy)]
struct Wait {
    since: Instant,
    expected: Expected,
}

impl Core {
    const fn new() -> Self {
        Self {
            ready: ReadyList::new(),
            budget: AtomicU32::new(0),
            rounds: AtomicU64::new(0),
            timers: RefCell::new(TimerQueue::new()),
            pollers: RefCell::new(Vec::new()),
            new_pollers: RefCell::new(Vec::new()),
            spawned: Cell::new(0),
            patience: Patience::new(),
        }
    }

    /// The core that executes this.
    #[inline(always)]
    pub(super) fn current() -> &'static Self {
        CORE.get()
    }

    /// A number that changes whenever this core switches to a thread.
    pub(super) fn switches(&self) -> u64 {
        let (rounds, budget) = (self.rounds.load(Ordering::Relaxed), self.budget.load(Ordering::Relaxed));
        rounds.wrapping_mul(u64::from(BUDGET) + 1).wrapping_sub(u64::from(budget))
    }

    /// Makes a thread that will run `coroutine` on the core with number `core`, and sends it there.
    pub(super) fn spawn(&self, core: usize, coroutine: Coroutine, name: Option<Box<str>>) -> Record {
        let number = self.spawned.get();
        self.spawned.set(number + 1);
        let id = number * MAX_CORES as u64 + core_index() as u64 + 1;
        let record = Arc::new(Node::new(ThreadRecord::new(id, name, core, coroutine)));
        Self::deliver(Arc::clone(&record));
        record
    }

    /// Takes a thread that is new or whose wait has been claimed to its core.
    #[inline]
    pub(super) fn deliver(record: Record) {
        if record.core == core_index() {
            Self::current().receive(record);
        } else {
            port::send(record);
        }
    }

    /// Makes a thread ready that is new or whose wait has been claimed. Anything else has ended in another way.
    fn receive(&self, record: Record) {
        if record.is(State::Waiting) && record.waits.take_claim() {
            self.wake_waiting(record, Wake::Notified);
        } else if record.is(State::New) {
            record.set(State::Ready);
            self.ready.push(record);
        }
    }

    /// Lets every other ready thread run, and devices be served from time to time, before this one goes on.
    pub(super) fn yield_now(&self) {
        self.stop(|record| self.ready.push(record));
    }

    /// Suspends the running thread until it is woken or `deadline` passes. `keep` gets it, for whoever may wake it.
    pub(super) fn wait(&self, deadline: Option<Instant>, keep: impl FnOnce(Record)) -> Wake {
        let mut timer = None;
        self.stop(|record| {
            record.set(State::Waiting);
            timer = deadline.map(|deadline| self.timers.borrow_mut().set(deadline, Arc::clone(&record)));
            keep(record);
        });
        let wake = context::with_current(|record| record.wake()).unwrap_or(Wake::Notified);
        if let (Some(timer), Wake::Notified) = (timer, wake) {
            drop(self.timers.borrow_mut().cancel(timer));
        }
        wake
    }

    /// Ends a wait of a thread of this core; false if it had ended already, or if another core is ending it.
    pub(super) fn wake(&self, record: Record, wake: Wake) -> bool {
        let is_ours = record.is(State::Waiting) && record.waits.end();
        if is_ours {
            self.wake_waiting(record, wake);
        }
        is_ours
    }

    fn wake_waiting(&self, record: Record, wake: Wake) {
        record.set_wake(wake);
        record.set(State::Ready);
        self.ready.push(record);
    }

    /// Stops the running thread and runs the next one, or the loop.
    #[inline]
    fn stop(&self, keep: impl FnOnce(Record)) {
        match self.next() {
            Some(next) => context::switch_to(next, keep),
            None => context::suspend(keep),
        }
    }

    /// The next thread to run, if there is one and the budget allows.
    #[inline]
    fn next(&self) -> Option<Ready> {
        let left = self.budget.load(Ordering::Relaxed).checked_sub(1)?;
        let next = self.ready.pop()?;
        self.budget.store(left, Ordering::Relaxed);
        Some(next)
    }

    /// Adds a poller.
    pub(super) fn add_poller(&self, poller: Box<dyn Poller>) {
        self.new_pollers.borrow_mut().push(poller);
    }

    /// The core's loop. Does not return; the machine ends by [`crate::process::exit`].
    fn run(&self) -> ! {
        watchdog::start();
        interrupt::admit_urgent();
        loop {
            let wait = self.work();
            self.sleep(wait);
        }
    }

    /// Runs threads and pollers until there has been nothing to do for so long that polling on is not worth it; what that wait
    /// was, if there is anything to poll.
    fn work(&self) -> Option<Wait> {
        let mut wait = None;
        loop {
            tlb::pass();
            heap::collect();
            self.empty_inbox();
            let has_run = self.run_ready();
            if self.poll() || !self.ready.is_empty() {
                wait = None;
                continue;
            }
            if has_run {
                // What the threads have left to do, the pollers have just looked for.
                wait = None;
            }
            stack::reclaim();
            if self.pollers.borrow().is_empty() && smp::count() == 1 {
                return None;
            }
            let now = Instant::now();
            let Wait { since, expected } = *wait.get_or_insert_with(|| Wait { since: now, expected: self.expected() });
            let idle_nanoseconds = nanoseconds_between(since, now);
            if idle_nanoseconds >= self.patience.nanoseconds(expected) {
                return wait;
            }
            Self::pause(now, (idle_nanoseconds / RARER).clamp(LEAST_PAUSE, MOST_PAUSE));
        }
    }

    /// What there is to wait for, now that there is nothing to do.
    fn expected(&self) -> Expected {
        let is_owed = self.pollers.borrow().iter().any(|poller| poller.awaits_answer());
        if is_owed { Expected::Answer } else { Expected::Anything }
    }

    /// Lets time pass between two looks, unless another core sends something.
    fn pause(from: Instant, nanoseconds: u64) {
        let port = Port::own();
        while nanoseconds_between(from, Instant::now()) < nanoseconds {
            for _ in 0..LOOKS {
                (0..PAUSES).for_each(|_| core::hint::spin_loop());
                if !port.inbox.is_empty() {
                    return;
                }
            }
        }
    }

    /// Makes the threads ready that other cores have sent.
    #[inline]
    fn empty_inbox(&self) {
        let inbox = &Port::own().inbox;
        if !inbox.is_empty() {
            inbox.take_all().for_each(|record| self.receive(record));
        }
    }

    /// Halts until something happens, unless something has.
    fn sleep(&self, wait: Option<Wait>) {
        let port = Port::own();
        interrupt::admit_none();
        port.doorbell.lie_down();
        if let Some(deadline) = self.look_once_more(port) {
            // No poll in between: `arm` has looked already, and looking may take the wish for an interrupt back.
            apic::set_timer(watchdog::limit(deadline).map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)));
            let sleep = tlb::fall_asleep();
            interrupt::halt();
            tlb::wake_up(sleep);
            if let Some(Wait { since, expected }) = wait {
                self.patience.learn(expected, nanoseconds_between(since, Instant::now()));
            }
            port.be_hopeful();
            watchdog::wake_up();
        }
        port.doorbell.get_up();
        interrupt::admit_urgent();
    }

    /// Arms everything that may wake this core; then, if there is really nothing to do, how long to sleep at most.
    fn look_once_more(&self, port: &Port) -> Option<Option<Duration>> {
        let mut pending = false;
        for poller in self.pollers.borrow_mut().iter_mut() {
            // Every poller is armed, also after one has answered that it has work.
            pending |= matches!(poller.arm(), Armed::WorkPending);
        }
        if pending || !self.ready.is_empty() || !port.inbox.is_empty() {
            return None;
        }
        let pollers = self.pollers.borrow();
        let timer = self.timers.borrow_mut().next_deadline();
        let deadline = pollers.iter().filter_map(|poller| poller.deadline()).chain(timer).min();
        let is_deadlock = port.is_deadlock(deadline.is_none() && pollers.is_empty());
        assert!(!is_deadlock, "deadlock: every thread waits, and nothing can wake one");
        let wait = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        (wait != Some(Duration::ZERO)).then_some(wait)
    }

    /// Runs threads that are ready, [`BUDGET`] of them at most; false if there was none.
    fn run_ready(&self) -> bool {
        self.budget.store(BUDGET, Ordering::Relaxed);
        self.rounds.store(self.rounds.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        let mut progress = false;
        while let Some(next) = self.next() {
            progress = true;
            match context::resume(next) {
                Some(finished) => finished.set(State::Finished),
                // Nobody else was ready, or the budget is used up.
                None => break,
            }
        }
        progress
    }

    /// Fires timers and polls the pollers; true if something happened.
    fn poll(&self) -> bool {
        let now = Instant::now();
        let mut progress = false;
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some(record) = due else { break };
            progress |= self.wake(record, Wake::TimedOut);
        }
        let mut pollers = self.pollers.borrow_mut();
        pollers.append(&mut self.new_pollers.borrow_mut());
        for poller in pollers.iter_mut() {
            progress |= poller.poll(now) == Progress::Made;
        }
        progress
    }
}

/// How long `later` is after `earlier`; zero if it is not. As a number, because the loop asks for it all the time.
#[inline]
fn nanoseconds_between(earlier: Instant, later: Instant) -> u64 {
    later.as_nanos().saturating_sub(earlier.as_nanos())
}

/// The loop of the calling core, for ever.
pub(crate) fn run_core() -> ! {
    Core::current().run()
}

/// Calls `look` with the running thread's own values.
pub(super) fn with_locals<R>(look: impl FnOnce(&Locals) -> R) -> R {
    let record = context::current().expect("only a thread has values of its own");
    look(record.locals.get_or_init(Locals::default))
}
