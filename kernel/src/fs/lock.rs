//! [`Lock`]: something that one thread at a time works with, also while that thread waits for a disk.
//!
//! Threads of a core are cooperative, so what never waits needs no lock. A file system that waits for its disk in the
//! middle of a change does. The lock is of one core; those who come while it is taken are served in the order of coming:
//! whoever lets go of it gives it to the next, so a thread that works without ever waiting cannot keep it for ever.
//!
//! # Failure
//!
//! A wait ends with ETIMEDOUT if one and the same thread kept the lock for longer than the lock's patience. Whoever has it
//! waits for nothing but its disk, whose requests end, so this is for mistakes.

// Without `fs-write` nobody asks for much of it.
#![cfg_attr(not(feature = "fs-write"), allow(dead_code))]

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use fuse_proto::Errno;

use super::scheduler::{Event, Scheduler, Wake};

/// Something that one thread of the core at a time works with.
pub struct Lock<T> {
    value: RefCell<T>,
    scheduler: Box<dyn Scheduler>,
    patience: Duration,
    is_taken: Cell<bool>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    /// How often the lock went from one thread to the next.
    turns: Cell<u64>,
}

struct Waiter {
    event: Rc<dyn Event>,
    has_turn: Cell<bool>,
}

impl<T> Lock<T> {
    /// A lock that nobody has. Nobody may have it for longer than `patience` while others wait.
    pub fn new(value: T, scheduler: Box<dyn Scheduler>, patience: Duration) -> Self {
        Self {
            value: RefCell::new(value),
            scheduler,
            patience,
            is_taken: Cell::new(false),
            waiting: RefCell::default(),
            turns: Cell::new(0),
        }
    }

    /// Waits for its turn, and works with the value.
    ///
    /// # Errors
    ///
    /// ETIMEDOUT; see the module. EDEADLK if the thread that has the lock asks for it again while nobody else can run.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Result<R, Errno> {
        self.take()?;
        let _turn = Turn(self);
        let mut value = self.value.try_borrow_mut().map_err(|_| Errno::EDEADLK)?;
        Ok(work(&mut value))
    }

    fn take(&self) -> Result<(), Errno> {
        if !self.is_taken.replace(true) {
            return Ok(());
        }
        let me = Rc::new(Waiter { event: self.scheduler.event(), has_turn: Cell::new(false) });
        self.waiting.borrow_mut().push_back(Rc::clone(&me));
        loop {
            let turns = self.turns.get();
            let wake = me.event.wait_until(self.scheduler.now().saturating_add(self.patience));
            if me.has_turn.get() {
                return Ok(());
            }
            if wake == Wake::TimedOut && self.turns.get() == turns {
                self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &me));
                return Err(Errno::ETIMEDOUT);
            }
        }
    }
}

/// The time in which a thread has the lock.
struct Turn<'l, T>(&'l Lock<T>);

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let lock = self.0;
        lock.turns.set(lock.turns.get().wrapping_add(1));
        let next = lock.waiting.borrow_mut().pop_front();
        match next {
            Some(next) => {
                next.has_turn.set(true);
                next.event.announce();
            }
            None => lock.is_taken.set(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::tests::threads::{Crew, run};

    #[test]
    fn whoever_comes_is_served_in_the_order_of_coming_and_alone() {
        let served = run(|crew: &Crew| {
            let lock = Rc::new(Lock::new(Vec::new(), crew.scheduler(), Duration::from_secs(1)));
            for number in 0..5 {
                let (lock, event) = (Rc::clone(&lock), crew.scheduler().event());
                let now = crew.scheduler();
                crew.spawn(move || {
                    for _ in 0..3 {
                        let work = |served: &mut Vec<u32>| {
                            served.push(number);
                            // As if for a disk: the others run meanwhile.
                            event.wait_until(now.now().saturating_add(Duration::from_millis(3)));
                            assert_eq!(served.last(), Some(&number));
                        };
                        lock.with(work).expect("nobody keeps it");
                    }
                });
            }
            move || lock.with(|served| served.clone()).expect("nobody has it")
        });
        assert_eq!(served, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_lock_that_one_thread_keeps_is_given_up_by_the_others_and_served_on_afterwards() {
        let results = run(|crew: &Crew| {
            let lock = Rc::new(Lock::new((), crew.scheduler(), Duration::from_secs(1)));
            let results = Rc::new(RefCell::new(Vec::new()));
            for hold in [1500, 300, 300] {
                let (lock, results) = (Rc::clone(&lock), Rc::clone(&results));
                let (event, now) = (crew.scheduler().event(), crew.scheduler());
                crew.spawn(move || {
                    let wait = |milliseconds| {
                        event.wait_until(now.now().saturating_add(Duration::from_millis(milliseconds)));
                    };
                    let first = lock.with(|()| wait(hold));
                    wait(1000);
                    let second = lock.with(|()| wait(hold));
                    results.borrow_mut().push((first, second));
                });
            }
            move || results.borrow().clone()
        });
        let late = Err(Errno::ETIMEDOUT);
        assert_eq!(results.iter().filter(|(first, _)| *first == late).count(), 2, "{results:?}");
        assert!(results.iter().all(|(_, second)| second.is_ok()), "{results:?}");
    }
}
