//! Threads, joining, sleeping, waiting and locks.

use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use toro::sched::{WaitQueue, Wake};
use toro::sync::{Condvar, Mutex};
use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};

const SMALL_STACK: usize = 16 * 1024;

pub fn run() {
    thousand();
    sleeping_in_order();
    yielding_takes_turns();
    wait_queues();
    a_wait_that_is_over_is_over();
    the_first_to_end_a_wait_wins();
    locks();
    assert_eq!(thread::current().name(), Some("main"));
}

fn thousand() {
    let threads: Vec<_> = (0..1000u64)
        .map(|number| {
            let builder = Builder::new().name(number.to_string()).stack_size(SMALL_STACK);
            let body = move || {
                thread::yield_now();
                assert_eq!(thread::current().name(), Some(number.to_string().as_str()));
                number * number
            };
            builder.spawn(body).expect("there is memory for a thousand small threads")
        })
        .collect();
    let sum: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sum, (0..1000u64).map(|number| number * number).sum());
}

fn sleeping_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let start = Instant::now();
    let threads: Vec<_> = [30u64, 10, 20, 0]
        .into_iter()
        .map(|milliseconds| {
            let order = order.clone();
            thread::spawn(move || {
                // All deadlines count from the same moment, so their order does not depend on a host that takes the
                // CPU away while the threads start.
                let deadline = start + Duration::from_millis(milliseconds);
                assert_eq!(WaitQueue::new().wait_until(Some(deadline)), Wake::TimedOut);
                assert!(Instant::now() >= deadline);
                order.borrow_mut().push(milliseconds);
            })
        })
        .collect();
    for thread in threads {
        let Ok(()) = thread.join();
    }
    assert_eq!(*order.borrow(), vec![0, 10, 20, 30]);
}

fn yielding_takes_turns() {
    let turns = Rc::new(RefCell::new(Vec::new()));
    let body = |name: char| {
        let turns = turns.clone();
        move || {
            for _ in 0..3 {
                turns.borrow_mut().push(name);
                thread::yield_now();
            }
        }
    };
    let (first, second) = (thread::spawn(body('a')), thread::spawn(body('b')));
    let (Ok(()), Ok(())) = (first.join(), second.join());
    assert_eq!(*turns.borrow(), ['a', 'b', 'a', 'b', 'a', 'b']);
}

fn wait_queues() {
    let queue = Rc::new(WaitQueue::new());
    let woken = Rc::new(RefCell::new(Vec::new()));
    assert!(!queue.wake_one());
    let spawn = |name: char, patience: Option<u64>| {
        let (queue, woken) = (queue.clone(), woken.clone());
        thread::spawn(move || {
            let deadline = patience.map(|patience| Instant::now() + Duration::from_millis(patience));
            let wake = queue.wait_until(deadline);
            woken.borrow_mut().push((name, wake));
        })
    };
    let threads = [spawn('a', None), spawn('b', Some(5)), spawn('c', Some(5000)), spawn('d', None)];
    thread::yield_now();
    while woken.borrow().is_empty() {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(*woken.borrow(), [('b', Wake::TimedOut)]);
    assert!(queue.wake_one());
    thread::yield_now();
    assert_eq!(queue.wake_all(), 2);
    assert_eq!(queue.wake_all(), 0);
    for thread in threads {
        let Ok(()) = thread.join();
    }
    let expected = [('b', Wake::TimedOut), ('a', Wake::Notified), ('c', Wake::Notified), ('d', Wake::Notified)];
    assert_eq!(*woken.borrow(), expected);
}

/// Neither the timer nor the queue of a wait that has ended can end the thread's next wait.
fn a_wait_that_is_over_is_over() {
    let queues = Rc::new([const { WaitQueue::new() }; 3]);
    let waiter = {
        let queues = queues.clone();
        thread::spawn(move || {
            let soon = Some(Instant::now() + Duration::from_millis(100));
            assert_eq!(queues[0].wait_until(soon), Wake::Notified);
            // The timer of the first wait would end this one.
            assert_eq!(queues[1].wait_until(None), Wake::Notified);
            assert_eq!(queues[0].wait_until(Some(Instant::now())), Wake::TimedOut);
            // A wake-up of the first queue would end this one.
            assert_eq!(queues[2].wait_until(None), Wake::Notified);
        })
    };
    thread::yield_now();
    assert!(queues[0].wake_one());
    thread::sleep(Duration::from_millis(120));
    assert!(queues[1].wake_one(), "a timer ended another wait than its own");
    // The thread times out in the first queue and goes on to the third.
    thread::sleep(Duration::from_millis(20));
    assert!(!queues[0].wake_one(), "a queue holds on to a thread that waits elsewhere");
    assert!(queues[2].wake_one());
    let Ok(()) = waiter.join();
}

/// A thread whose deadline has passed, but that has not run since, cannot be woken a second time.
fn the_first_to_end_a_wait_wins() {
    let queue = Rc::new(WaitQueue::new());
    let deadline = Instant::now() + Duration::from_millis(5);
    let waiter = {
        let queue = queue.clone();
        thread::spawn(move || queue.wait_until(Some(deadline)))
    };
    thread::yield_now();
    while Instant::now() <= deadline {
        core::hint::spin_loop();
    }
    // This thread comes first in the queue of ready threads, then the timer adds the other.
    thread::yield_now();
    assert!(!queue.wake_one(), "a thread that is ready was woken");
    assert_eq!(waiter.join(), Ok(Wake::TimedOut));
}

fn locks() {
    let pair = Rc::new((Mutex::new(0), Condvar::new()));
    let inside = Rc::new(Cell::new(false));
    let threads: Vec<_> = (0..10)
        .map(|_| {
            let (pair, inside) = (pair.clone(), inside.clone());
            thread::spawn(move || {
                for _ in 0..10 {
                    let mut count = pair.0.lock();
                    assert!(!inside.replace(true), "two threads hold the lock");
                    thread::yield_now();
                    inside.set(false);
                    *count += 1;
                    drop(count);
                    pair.1.notify_all();
                }
            })
        })
        .collect();
    let mut count = pair.0.lock();
    while *count < 100 {
        count = pair.1.wait(count);
    }
    drop(count);
    for thread in threads {
        let Ok(()) = thread.join();
    }
}
