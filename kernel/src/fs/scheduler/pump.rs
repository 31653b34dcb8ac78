//! A scheduler for one thread of a test: whoever waits lets what is driven, and the clock, run until the event has happened.
//! Other threads are played by tasks that run, nested, while somebody waits.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use toro_core::Instant;

use super::{Event, Scheduler, Wake, Work};

/// One round of what the core's loop would do; it is told the time.
type Round = Rc<dyn Fn(Instant) -> Work>;

/// More than any wait of a test takes: half an hour, a millisecond each.
const MOST_ROUNDS: u32 = 2_000_000;

#[derive(Clone, Default)]
pub struct Pump(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now: Cell<u64>,
    round: RefCell<Option<Round>>,
    tasks: RefCell<VecDeque<Box<dyn FnOnce()>>>,
}

struct Announced {
    pump: Pump,
    times: Cell<u64>,
}

impl Pump {
    /// Drives this from now on, and nothing else.
    pub fn drive(&self, round: impl Fn(Instant) -> Work + 'static) {
        *self.0.round.borrow_mut() = Some(Rc::new(round));
    }

    pub fn advance(&self, duration: Duration) {
        self.0.now.set(self.0.now.get() + u64::try_from(duration.as_nanos()).expect("tests do not last 584 years"));
    }

    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.0.now.get())
    }

    /// Runs `task` at the next wait.
    pub fn meanwhile(&self, task: impl FnOnce() + 'static) {
        self.0.tasks.borrow_mut().push_back(Box::new(task));
    }

    /// One round of the core's loop.
    pub fn turn(&self) -> Work {
        let round = self.0.round.borrow().clone();
        round.map_or(Work::None, |round| round(self.now()))
    }

    /// Rounds until nothing happens any more.
    pub fn settle(&self) {
        let mut idle = 0;
        while idle < 20 {
            idle = if self.turn() == Work::Done { 0 } else { idle + 1 };
            self.advance(Duration::from_micros(100));
        }
    }
}

impl Event for Announced {
    fn wait_until(&self, deadline: Instant) -> Wake {
        let before = self.times.get();
        for _ in 0..MOST_ROUNDS {
            let task = self.pump.0.tasks.borrow_mut().pop_front();
            if let Some(task) = task {
                task();
            }
            if self.times.get() != before {
                return Wake::Notified;
            }
            if self.pump.now() >= deadline {
                return Wake::TimedOut;
            }
            let idle = self.pump.turn() == Work::None;
            self.pump.advance(if idle { Duration::from_millis(1) } else { Duration::from_micros(10) });
        }
        panic!("a thread waits for ever");
    }

    fn announce(&self) {
        self.times.set(self.times.get() + 1);
    }
}

impl Scheduler for Pump {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.now.get())
    }

    fn event(&self) -> Rc<dyn Event> {
        Rc::new(Announced { pump: self.clone(), times: Cell::new(0) })
    }
}
