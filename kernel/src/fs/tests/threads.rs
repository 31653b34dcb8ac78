//! Threads of one core for tests: threads of the host, of which exactly one runs at any time.
//!
//! ```text
//!   the baton:  whose turn it is      a thread runs until it waits; then the next that is ready gets the baton
//!   the clock:  virtual               moves to the next deadline when nobody is ready
//! ```
//!
//! What the threads share is not `Send`, as in the kernel. That is sound because the baton is handed over under a mutex:
//! one thread's accesses come before the next one's.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
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

struct Table {
    threads: Vec<State>,
    /// How the last wait of each thread ended.
    wakes: Vec<Wake>,
    running: usize,
    now: u64,
    events: u64,
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
        table
    }

    fn choose(&self, table: &mut Table) {
        loop {
            let count = table.threads.len();
            let order = (1..=count).map(|step| (table.running + step) % count);
            if let Some(next) = order.into_iter().find(|&thread| table.threads[thread] == State::Ready) {
                table.running = next;
                return self.changed.notify_all();
            }
            let deadlines = table.threads.iter().filter_map(|state| match state {
                State::Waiting(_, deadline) => Some(*deadline),
                _ => None,
            });
            // Everybody has finished: so has the one that asks.
            let Some(next) = deadlines.min() else { return };
            assert_ne!(next, u64::MAX, "everybody waits for ever");
            table.now = table.now.max(next);
            for (state, wake) in table.threads.iter_mut().zip(&mut table.wakes) {
                if matches!(state, State::Waiting(_, deadline) if *deadline <= next) {
                    (*state, *wake) = (State::Ready, Wake::TimedOut);
                }
            }
        }
    }
}

/// What a test has of the core.
#[derive(Clone)]
pub struct Crew {
    core: Arc<Core>,
    handles: Rc<core::cell::RefCell<Vec<std::thread::JoinHandle<()>>>>,
}

/// Runs `start` as the first thread, then all threads that it spawned to their ends, then what it returned.
pub fn run<R, F: FnOnce() -> R>(start: impl FnOnce(&Crew) -> F) -> R {
    let table =
        Table { threads: Vec::from([State::Ready]), wakes: Vec::from([Wake::Notified]), running: 0, now: 0, events: 0 };
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
            core.choose(&mut table);
            drop(table);
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
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
            // It waits for the others by having no event: it is ready when nobody else is.
            while table.threads.iter().skip(1).any(|state| *state != State::Finished) {
                let soon = table.now;
                table.threads[0] = State::Waiting(0, soon.saturating_add(1_000_000));
                table = self.core.pass(table, 0);
            }
            drop(table);
            for handle in handles {
                if let Err(panic) = handle.join() {
                    std::panic::resume_unwind(panic);
                }
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
