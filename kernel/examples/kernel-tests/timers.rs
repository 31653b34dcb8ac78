//! Timers of all cores: in order, never early, and gone when their wait has ended in another way.

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};

use toro::sched::{WaitQueue, Wake};
use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};

use crate::crew::{Random, count, crew, neighbours};

const SMALL_STACK: usize = 16 * 1024;

/// No test waits that long.
const LONG: Duration = Duration::from_secs(3600);

pub fn run() {
    let sleepers = count("sleepers", 1000);
    crew(1, |_| sleepers_wake_in_order(sleepers));
    crew(1, |_| a_wake_up_cancels_the_timer());
    crew(2, deadlines_near_and_far);
    crew(1, |_| the_wheel_turns());
    wake_ups_and_deadlines_meet();
}

/// Threads that sleep until different moments, set in no order; each core for itself.
fn sleepers_wake_in_order(sleepers: u64) {
    // Who comes to sleep when the first moments are over wakes up late, and out of order: then it was not a test.
    let is_valid = (0..12).any(|attempt| try_sleepers(sleepers, Duration::from_millis(20 << attempt)));
    assert!(is_valid, "{sleepers} threads do not come to sleep within a minute");
}

/// One attempt, with the first moment after `notice`; false if that was too short.
fn try_sleepers(sleepers: u64, notice: Duration) -> bool {
    let (begin, first) = (Rc::new(WaitQueue::new()), Rc::new(Cell::new(None::<Instant>)));
    let (is_valid, order) = (Rc::new(Cell::new(true)), Rc::new(RefCell::new(Vec::new())));
    let threads: Vec<_> = (0..sleepers)
        .map(|number| {
            let (begin, first) = (begin.clone(), first.clone());
            let (is_valid, order) = (is_valid.clone(), order.clone());
            let body = move || {
                begin.wait();
                let first = first.get().expect("it is set before anybody is woken");
                let deadline = first + Duration::from_nanos(Random::new(number).below(30_000_000));
                if Instant::now() >= first {
                    is_valid.set(false);
                    return;
                }
                thread::sleep_until(deadline);
                assert!(Instant::now() >= deadline, "a thread woke up early");
                order.borrow_mut().push(deadline);
            };
            Builder::new().stack_size(SMALL_STACK).spawn(body).expect("memory for the sleepers")
        })
        .collect();
    thread::yield_now();
    first.set(Some(Instant::now() + notice));
    assert_eq!(begin.wake_all() as u64, sleepers);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let order = order.borrow();
    assert!(!is_valid.get() || order.len() as u64 == sleepers);
    assert!(!is_valid.get() || order.is_sorted(), "threads woke up out of order");
    is_valid.get()
}

/// A wait with a deadline that ends before does not leave a timer that would end a later wait.
fn a_wake_up_cancels_the_timer() {
    let queue = Rc::new(WaitQueue::new());
    let threads: Vec<_> = (0..200u64)
        .map(|number| {
            let queue = queue.clone();
            let body = move || {
                // Some of the timers are due soon after they have been cancelled.
                let deadline = Instant::now() + if number % 2 == 0 { LONG } else { Duration::from_millis(500) };
                let mut wake = queue.wait_until(Some(deadline));
                assert!(wake == Wake::Notified || Instant::now() >= deadline);
                let start = Instant::now();
                wake = WaitQueue::new().wait_until(Some(start + Duration::from_millis(5)));
                assert_eq!(wake, Wake::TimedOut);
                assert!(start.elapsed() >= Duration::from_millis(5), "a timer of another wait ended this one");
            };
            Builder::new().stack_size(SMALL_STACK).spawn(body).expect("memory")
        })
        .collect();
    thread::yield_now();
    queue.wake_all();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Deadlines of all lengths that cannot be told in one level of the wheel; those that are far off end by a wake-up.
fn deadlines_near_and_far(_: usize) {
    for round in 0..3u64 {
        let queue = Rc::new(WaitQueue::new());
        let threads: Vec<_> = (0..63)
            .map(|bit| {
                let queue = queue.clone();
                let body = move || {
                    let patience = Duration::from_nanos((1 << bit) + round);
                    let deadline = Instant::now().saturating_add(patience);
                    match queue.wait_until(Some(deadline)) {
                        Wake::TimedOut => assert!(Instant::now() >= deadline, "a wait ended early"),
                        Wake::Notified => {}
                    }
                };
                Builder::new().stack_size(SMALL_STACK).spawn(body).expect("memory")
            })
            .collect();
        // The first of them are over, others are in the middle, when the rest is woken.
        thread::sleep(Duration::from_millis(8));
        queue.wake_all();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// The present passes from slot to slot and from level to level while timers far ahead are set and cancelled.
fn the_wheel_turns() {
    let mut random = Random::new(5);
    let queue = Rc::new(WaitQueue::new());
    let far: Vec<_> = (0..100u64)
        .map(|number| {
            let queue = queue.clone();
            let body = move || {
                for round in 0..50u64 {
                    let patience = LONG + Duration::from_nanos(1 << ((number + round) % 50));
                    assert_eq!(queue.wait_until(Some(Instant::now() + patience)), Wake::Notified);
                }
            };
            Builder::new().stack_size(SMALL_STACK).spawn(body).expect("memory")
        })
        .collect();
    for _ in 0..50 {
        let deadline = Instant::now() + Duration::from_nanos(random.below(300_000));
        thread::sleep_until(deadline);
        assert!(Instant::now() >= deadline, "a thread woke up early");
        assert_eq!(queue.wake_all(), far.len(), "a timer ended a wait before its time");
    }
    far.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A thread is unparked by another core at about the moment when its time is over. One of the two ends the wait; in the
/// end the thread has seen everything.
fn wake_ups_and_deadlines_meet() {
    const ROUNDS: u64 = 2_000;
    let pairs: Vec<_> = neighbours()
        .map(|(from, to)| {
            let value = Arc::new(AtomicU64::new(0));
            let sleeper = thread::spawn_on(to, {
                let value = Arc::clone(&value);
                move || {
                    let mut random = Random::new(6);
                    while value.load(Ordering::Acquire) < ROUNDS / 2 {
                        thread::park_timeout(Duration::from_nanos(random.below(20_000)));
                    }
                    // And without deadlines: a wake-up that one of those took with it would be missing here.
                    while value.load(Ordering::Acquire) < ROUNDS {
                        thread::park();
                    }
                }
            });
            let target = sleeper.thread().clone();
            let waker = thread::spawn_on(from, move || {
                let mut random = Random::new(7);
                for _ in 0..ROUNDS {
                    value.fetch_add(1, Ordering::Release);
                    target.unpark();
                    if random.below(2) == 0 {
                        thread::sleep(Duration::from_nanos(random.below(20_000)));
                    } else {
                        thread::yield_now();
                    }
                }
            });
            (sleeper, waker)
        })
        .collect();
    for (sleeper, waker) in pairs {
        let (Ok(()), Ok(())) = (sleeper.join(), waker.join());
    }
}
