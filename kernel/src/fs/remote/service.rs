//! What an owner does for other cores: takes their jobs in, and has threads do them.
//!
//! ```text
//!   other cores --job--> mailbox of the owner        and a ring of its doorbell, if it sleeps
//!                          |
//!                        poller in its loop          Close: done at once
//!                          |
//!                        calls that wait for a worker --> worker --> Exports --> answer, which wakes who asked
//! ```
//!
//! Each call wakes a worker that has nothing to do, or makes a new one, up to [`WORKERS`]; so a call that waits for the
//! device keeps none of the next ones waiting. Beyond that they wait in line. A worker that has had nothing to do for
//! [`IDLE_TIME`] ends, but for the first.
//!
//! A call that waits for a lock gets a thread of its own, however many there are: the one who unlocks may need a worker.
//!
//! A call between cores that are awake costs about a microsecond more than the same call at home. A thread for each call
//! would cost ten: it needs a stack.
//!
//! A mailbox has no limit of its own and needs none: a thread that calls waits for the answer, and a handle is closed once.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use fuse_proto::Errno;
use toro_sync::Mailbox;

use super::{Answer, Carrier, Exports, Job, Question};
use crate::arch::core_index;
use crate::arch::core_local::MAX_CORES;
use crate::core_local;
use crate::io::Result;
use crate::sched::{Armed, Outcome, Poller, Progress, WaitQueue, Wake, nudge, register_poller};
use crate::thread::Builder;
use crate::time::Instant;

/// Most calls of other cores that an owner works on at a time.
const WORKERS: usize = 16;
/// How long a worker waits for something to do before it ends.
const IDLE_TIME: Duration = Duration::from_secs(1);

type Call = Box<dyn FnOnce(&Exports) + Send>;

/// One core's, at the distance of two cache lines from another's.
#[repr(align(128))]
struct Inbox(Mailbox<Job>);

static INBOXES: [Inbox; MAX_CORES] = [const { Inbox(Mailbox::new()) }; MAX_CORES];

core_local! {
    static OFFICE: Office = Office::new();
}

/// The owner's side.
struct Office {
    exports: Exports,
    /// Calls that no worker has begun.
    calls: RefCell<VecDeque<Call>>,
    /// Workers without anything to do.
    idle: WaitQueue,
    /// How many workers there are.
    workers: Cell<usize>,
}

/// What the calling core shows to others.
pub fn exports() -> &'static Exports {
    &OFFICE.get().exports
}

/// Begins to serve other cores from this one, if it does not yet.
///
/// # Errors
///
/// `OutOfMemory` if there is none for the first worker's stack.
pub fn start() -> Result<()> {
    let office = OFFICE.get();
    if office.workers.get() == 0 {
        office.hire()?;
        register_poller(Box::new(Reception));
    }
    Ok(())
}

impl Office {
    const fn new() -> Self {
        Self {
            exports: Exports::new(),
            calls: RefCell::new(VecDeque::new()),
            idle: WaitQueue::new(),
            workers: Cell::new(0),
        }
    }

    fn accept(&'static self, job: Job) {
        match job {
            Job::Close(number) => self.exports.close(number),
            Job::LongCall(call) => self.start(call),
            Job::Call(call) => {
                self.calls.borrow_mut().push_back(call);
                if !self.idle.wake_one() && self.workers.get() < WORKERS {
                    // Without memory for another one, those that are there will come to it.
                    let _ = self.hire();
                }
            }
        }
    }

    /// Has a thread of its own do a long call. Without memory for one, the call waits in line, and its wait takes a worker.
    fn start(&'static self, call: Call) {
        let call = Rc::new(Cell::new(Some(call)));
        let work = {
            let call = Rc::clone(&call);
            move || {
                if let Some(call) = call.take() {
                    call(&self.exports);
                }
            }
        };
        if Builder::new().name(String::from("a lock for others")).spawn(work).is_err()
            && let Some(call) = call.take()
        {
            self.accept(Job::Call(call));
        }
    }

    fn hire(&'static self) -> Result<()> {
        Builder::new().name(String::from("files for others")).spawn(|| self.work())?;
        self.workers.set(self.workers.get() + 1);
        Ok(())
    }

    /// The life of a worker.
    fn work(&self) {
        loop {
            let call = self.calls.borrow_mut().pop_front();
            if let Some(call) = call {
                call(&self.exports);
                continue;
            }
            let is_last = self.workers.get() == 1;
            let deadline = Instant::now().saturating_add(IDLE_TIME);
            let wake = self.idle.wait_until((!is_last).then_some(deadline));
            let may_leave = self.workers.get() > 1 && self.calls.borrow().is_empty();
            if wake == Wake::TimedOut && may_leave {
                self.workers.set(self.workers.get() - 1);
                return;
            }
        }
    }
}

/// Takes jobs in.
struct Reception;

impl Poller for Reception {
    #[inline]
    fn poll(&mut self, _now: Instant) -> Progress {
        let inbox = &INBOXES[core_index()].0;
        if inbox.is_empty() {
            return Progress::None;
        }
        inbox.take_all().for_each(|job| OFFICE.get().accept(job));
        Progress::Made
    }

    fn arm(&mut self) -> Armed {
        // Whoever sends rings after that, and that is looked for before the core halts.
        if INBOXES[core_index()].0.is_empty() { Armed::Idle } else { Armed::WorkPending }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// The way to the core with this number.
#[derive(Clone, Copy, Debug)]
pub struct ToCore(pub usize);

impl Carrier for ToCore {
    fn post(&self, job: Job) {
        INBOXES[self.0].0.push(job);
        nudge(self.0);
    }

    fn call(&self, question: Question) -> core::result::Result<Answer, Errno> {
        self.ask(question, Job::Call)
    }

    fn call_long(&self, question: Question) -> core::result::Result<Answer, Errno> {
        self.ask(question, Job::LongCall)
    }
}

impl ToCore {
    /// Sends a job that answers, and waits for the answer.
    fn ask(self, question: Question, job: fn(Call) -> Job) -> core::result::Result<Answer, Errno> {
        let outcome = Outcome::new();
        let answer = Arc::clone(&outcome);
        self.post(job(Box::new(move |exports| answer.finish(question(exports)))));
        outcome.take(None).expect("a wait without a deadline ends with a result")
    }
}
