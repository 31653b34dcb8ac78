//! Threads of one core for tests: threads of the host, of which exactly one runs at any time.
//!
//! ```text
//!   the baton:  whose turn it is      a thread runs until it waits; then one that is ready gets the baton: the next, or
//!                                     in shuffled runs any
//!   the clock:  virtual               moves to the next deadline when nobody is ready
//! ```
//!
//! The test's own thread is the first. It fails as soon as another one has panicked, or when everybody waits for ever; those
//! that are left then never run again.
//!
//! What the threads share is not `Send`, as in the kernel. That is sound because the baton is handed over under a mutex:
//! one thread's accesses come before the next one's.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use toro_core::Instant;

use crate::fs::scheduler::{Event, Scheduler, Wake};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// Until this event is announced, or this time.
    Waiting(u64, u64),
    Finished,
}

/// Why the first thread shall fail.
enum Trouble {
    Stuck,
    Panic(Box<dyn Any + Send>),
}

/// The event that nobody announces: the end of all threads but the first.
const END: u64 = 0;

struct Table {
    threads: Vec<State>,
    /// How the last wait of each thread ended.
    wakes: Vec<Wake>,
    running: usize,
    now: u64,
    events: u64,
    /// The state of a generator that picks who is next; `None` is in turn.
    shuffle: Option<u64>,
    trouble: Option<Trouble>,
}

impl Table {
    /// Who runs next, of those that are ready.
    fn pick(&mut self) -> Option<usize> {
        let count = self.threads.len();
        let in_turn = (1..=count).map(|step| (self.running + step) % count);
        let ready: Vec<_> = in_turn.filter(|&thread| self.threads[thread] == State::Ready).collect();
        let index = match &mut self.shuffle {
            Some(state) => {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (*state >> 33) as usize % ready.len().max(1)
            }
            None => 0,
        };
        ready.get(index).copied()
    }

    fn have_others_finished(&self) -> bool {
        self.threads.iter().skip(1).all(|state| *state == State::Finished)
    }

    /// Lets the first thread fail, and no other one run.
    fn fail(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
        self.running = 0;
    }
}

struct Core {
    table: Mutex<Table>,
    changed: Condvar,
}

/// Something that only whoever has the baton touches.
struct Baton<T>(T);

// SAFETY: of all threads that can reach the value exactly one runs at any time, as `Core` lets a thread run only when it is
// `running`; that changes under a mutex, so what one thread did happens before what the next one does.
unsafe impl<T> Send for Baton<T> {}

impl<T> Baton<T> {
    fn into_inner(self) -> T {
        self.0
    }
}

std::thread_local! {
    static ME: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others run, as this thread's state has changed, until it is its turn again.
    fn pass<'c>(&'c self, mut table: MutexGuard<'c, Table>, me: usize) -> MutexGuard<'c, Table> {
        self.choose(&mut table);
        while table.running != me {
            table = self.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        match table.trouble.take() {
            Some(Trouble::Stuck) => panic!("everybody waits for ever"),
            Some(Trouble::Panic(panic)) => std::panic::resume_unwind(panic),
            None => table,
        }
    }

    fn choose(&self, table: &mut Table) {
        loop {
            if let Some(next) = table.pick() {
                table.running = next;
                break;
            }
            let deadlines = table.threads.iter().filter_map(|state| match state {
                State::Waiting(_, deadline) => Some(*deadline),
                _ => None,
            });
            // The first thread never finishes, so there is one.
            let next = deadlines.min().unwrap_or(u64::MAX);
            if next == u64::MAX {
                table.fail(Trouble::Stuck);
                break;
            }
            table.now = table.now.max(next);
            for (state, wake) in table.threads.iter_mut().zip(&mut table.wakes) {
                if matches!(state, State::Waiting(_, deadline) if *deadline <= next) {
                    (*state, *wake) = (State::Ready, Wake::TimedOut);
                }
            }
        }
        self.changed.notify_all();
    }
}

/// What a test has of the core.
#[derive(Clone)]
pub struct Crew {
    core: Arc<Core>,
    handles: Rc<core::cell::RefCell<Vec<std::thread::JoinHandle<()>>>>,
}

/// Runs `start` as the first thread, then all threads that it spawned to their ends, then what it returned. They run in
/// turn.
pub fn run<R, F: FnOnce() -> R>(start: impl FnOnce(&Crew) -> F) -> R {
    run_crew(None, start)
}

/// As [`run`], but who runs next is drawn, from what `seed` gives.
pub fn run_shuffled<R, F: FnOnce() -> R>(seed: u64, start: impl FnOnce(&Crew) -> F) -> R {
    run_crew(Some(seed), start)
}

fn run_crew<R, F: FnOnce() -> R>(shuffle: Option<u64>, start: impl FnOnce(&Crew) -> F) -> R {
    let table = Table {
        threads: Vec::from([State::Ready]),
        wakes: Vec::from([Wake::Notified]),
        running: 0,
        now: 0,
        events: END,
        shuffle,
        trouble: None,
    };
    let core = Arc::new(Core { table: Mutex::new(table), changed: Condvar::new() });
    let crew = Crew { core, handles: Rc::default() };
    ME.set(0);
    let end = start(&crew);
    crew.join();
    end()
}

impl Crew {
    /// The scheduler that their waits are made with.
    pub fn scheduler(&self) -> Box<dyn Scheduler> {
        Box::new(Clock(Arc::clone(&self.core)))
    }

    /// Another thread of the core. It runs when the others wait.
    pub fn spawn(&self, work: impl FnOnce() + 'static) {
        let me = {
            let mut table = self.core.lock();
            table.threads.push(State::Ready);
            table.wakes.push(Wake::Notified);
            table.threads.len() - 1
        };
        let (core, work) = (Arc::clone(&self.core), Baton(Box::new(work) as Box<dyn FnOnce()>));
        let handle = std::thread::spawn(move || {
            ME.set(me);
            let mut table = core.lock();
            while table.running != me {
                table = core.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
            }
            drop(table);
            let work = work.into_inner();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let mut table = core.lock();
            table.threads[me] = State::Finished;
            if let Err(panic) = outcome {
                table.fail(Trouble::Panic(panic));
                return core.changed.notify_all();
            }
            if table.have_others_finished() && matches!(table.threads[0], State::Waiting(END, _)) {
                table.threads[0] = State::Ready;
            }
            core.choose(&mut table);
        });
        self.handles.borrow_mut().push(handle);
    }

    /// Lets all others run to their ends.
    pub fn join(&self) {
        loop {
            let handles = self.handles.take();
            if handles.is_empty() {
                return;
            }
            let mut table = self.core.lock();
            if !table.have_others_finished() {
                table.threads[0] = State::Waiting(END, u64::MAX);
                table = self.core.pass(table, 0);
            }
            drop(table);
            for handle in handles {
                // What a thread panicked with has been passed on by now.
                drop(handle.join());
            }
        }
    }
}

struct Clock(Arc<Core>);

struct Bell {
    core: Arc<Core>,
    number: u64,
}

impl Scheduler for Clock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.lock().now)
    }

    fn event(&self) -> Rc<dyn Event> {
        let mut table = self.0.lock();
        table.events += 1;
        Rc::new(Bell { core: Arc::clone(&self.0), number: table.events })
    }
}

impl Event for Bell {
    fn wait_until(&self, deadline: Instant) -> Wake {
        let me = ME.get();
        let mut table = self.core.lock();
        table.threads[me] = State::Waiting(self.number, deadline.as_nanos());
        let table = self.core.pass(table, me);
        table.wakes[me]
    }

    fn announce(&self) {
        let mut table = self.core.lock();
        let Table { threads, wakes, .. } = &mut *table;
        for (state, wake) in threads.iter_mut().zip(wakes) {
            if matches!(state, State::Waiting(number, _) if *number == self.number) {
                (*state, *wake) = (State::Ready, Wake::Notified);
            }
        }
    }
}
