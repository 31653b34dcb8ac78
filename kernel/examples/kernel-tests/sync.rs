//! Locks, conditions, barriers, what happens once, and groups: among threads of all cores that wait inside.
//!
//! A lock that lets two in, or a wake-up that goes to nobody, shows as a wrong number or as a run that does not end.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use toro::core as cores;
use toro::sched::Wake;
use toro::sync::{Barrier, Condvar, Mutex, Once, OnceLock, RwLock, WaitGroup};
use toro::thread;
use toro::time::{Duration, Instant};

use crate::crew::{Random, crew, last_core};

/// How long somebody may be passed over before that counts as for ever. Nothing here takes a thousandth of that.
const FOR_EVER: Duration = Duration::from_secs(20);

pub fn run() {
    a_mutex_lets_one_in();
    a_mutex_that_is_wanted_again_and_again_comes_round();
    a_lock_for_readers_and_writers_keeps_them_apart();
    readers_are_in_together();
    readers_do_not_starve_a_writer();
    writers_do_not_starve_a_reader();
    conditions_carry_everything();
    conditions_time_out();
    a_notification_goes_to_one_who_still_waits();
    barriers();
    once();
    groups();
}

/// Waits in one of several ways, or not at all.
fn pause(random: &mut Random) {
    match random.below(40) {
        0 => thread::sleep(Duration::from_micros(50)),
        1..=10 => thread::yield_now(),
        _ => {}
    }
}

fn a_mutex_lets_one_in() {
    const ROUNDS: u64 = 300;
    let mut pair = Mutex::new((0u64, 0u64));
    let members = crew(4, |number| {
        let mut random = Random::new(number as u64);
        for _ in 0..ROUNDS {
            let mut guard = pair.lock();
            assert_eq!(guard.0, guard.1, "somebody else is in the middle of a change");
            guard.0 += 1;
            pause(&mut random);
            guard.1 += 1;
            if random.below(10) == 0 {
                assert!(pair.try_lock().is_none());
            }
            drop(guard);
            pause(&mut random);
        }
    });
    let expected = ROUNDS * members.len() as u64;
    assert_eq!(*pair.get_mut(), (expected, expected));
    assert!(pair.try_lock().is_some());
    assert_eq!(pair.into_inner(), (expected, expected));
}

/// A thread that takes the lock anew as soon as it has let go of it, and waits while it holds it, does not keep others
/// from it for ever: neither on its own core nor on another.
fn a_mutex_that_is_wanted_again_and_again_comes_round() {
    for core in [cores::current(), last_core()] {
        let (lock, has_been) = (Mutex::new(()), AtomicBool::new(false));
        thread::scope(|scope| {
            let guard = lock.lock();
            let other = || {
                let guard = lock.lock();
                has_been.store(true, Ordering::Relaxed);
                drop(guard);
            };
            scope.spawn_on(core, other).expect("memory");
            thread::sleep(Duration::from_millis(1));
            drop(guard);
            is_in_time("the lock", || {
                let _guard = lock.lock();
                thread::yield_now();
                has_been.load(Ordering::Relaxed)
            });
        });
    }
}

/// Does `round` until it says that it is done.
fn is_in_time(what: &str, mut round: impl FnMut() -> bool) {
    let start = Instant::now();
    while !round() {
        assert!(start.elapsed() < FOR_EVER, "somebody waits for {what} and never gets it");
    }
}

fn a_lock_for_readers_and_writers_keeps_them_apart() {
    const ROUNDS: u64 = 200;
    let pair = RwLock::new((0u64, 0u64));
    let writes = crew(4, |number| {
        let mut random = Random::new(number as u64);
        let mut writes = 0;
        for _ in 0..ROUNDS {
            if random.below(3) == 0 {
                let mut guard = pair.write();
                assert_eq!(guard.0, guard.1, "two write at a time");
                guard.0 += 1;
                pause(&mut random);
                guard.1 += 1;
                writes += 1;
            } else {
                let guard = pair.read();
                let before = *guard;
                assert_eq!(before.0, before.1, "somebody writes while others read");
                pause(&mut random);
                assert_eq!(*guard, before, "somebody writes while others read");
            }
            pause(&mut random);
        }
        writes
    });
    let expected = writes.iter().sum();
    assert_eq!(pair.into_inner(), (expected, expected));
}

/// A barrier inside the lock, for all of them: nobody would come out if one was kept out.
fn readers_are_in_together() {
    let members = 2 * cores::count();
    let (lock, barrier) = (RwLock::new(7), Barrier::new(members));
    crew(2, |_| {
        for _ in 0..20 {
            let guard = lock.read();
            barrier.wait();
            assert_eq!(*guard, 7);
            assert!(lock.try_write().is_none());
            assert!(lock.try_read().is_some());
            barrier.wait();
        }
    });
    assert!(lock.try_write().is_some());
}

/// Two readers on every core, of whom one is always in when the other goes out; until a writer has been in.
fn readers_do_not_starve_a_writer() {
    let (lock, has_written) = (RwLock::new(0), AtomicBool::new(false));
    let reader = || {
        is_in_time("the lock, to write", || {
            let guard = lock.read();
            thread::yield_now();
            drop(guard);
            has_written.load(Ordering::Relaxed)
        });
    };
    thread::scope(|scope| {
        for core in cores::all().chain(cores::all()) {
            scope.spawn_on(core, reader).expect("memory");
        }
        thread::sleep(Duration::from_millis(1));
        *lock.write() += 1;
        has_written.store(true, Ordering::Relaxed);
    });
    assert_eq!(lock.into_inner(), 1);
}

/// The same the other way around.
fn writers_do_not_starve_a_reader() {
    let (lock, has_read) = (RwLock::new(0u64), AtomicBool::new(false));
    let writer = || {
        is_in_time("the lock, to read", || {
            let mut guard = lock.write();
            *guard += 1;
            thread::yield_now();
            drop(guard);
            has_read.load(Ordering::Relaxed)
        });
    };
    thread::scope(|scope| {
        for core in cores::all().chain(cores::all()) {
            scope.spawn_on(core, writer).expect("memory");
        }
        thread::sleep(Duration::from_millis(1));
        drop(lock.read());
        has_read.store(true, Ordering::Relaxed);
    });
}

/// A queue of four places between threads of all cores, half of which fill it.
fn conditions_carry_everything() {
    const ROUNDS: u64 = 300;
    const PLACES: usize = 4;
    let queue = Mutex::new(VecDeque::new());
    let (not_empty, not_full) = (Condvar::new(), Condvar::new());
    let sums = crew(4, |number| {
        let mut random = Random::new(number as u64);
        let mut sum = 0u64;
        for round in 0..ROUNDS {
            if (number / cores::count()).is_multiple_of(2) {
                let value = number as u64 * ROUNDS + round;
                let mut guard = not_full.wait_while(queue.lock(), |queue| queue.len() == PLACES);
                guard.push_back(value);
                pause(&mut random);
                drop(guard);
                not_empty.notify_one();
                sum = sum.wrapping_add(value);
            } else {
                let mut guard = not_empty.wait_while(queue.lock(), |queue| queue.is_empty());
                let value = guard.pop_front().expect("it is not empty");
                drop(guard);
                not_full.notify_one();
                pause(&mut random);
                sum = sum.wrapping_sub(value);
            }
        }
        sum
    });
    assert_eq!(sums.into_iter().fold(0, u64::wrapping_add), 0, "what was put in is not what came out");
}

fn conditions_time_out() {
    let (lock, condition) = (Mutex::new(false), Condvar::new());
    crew(2, |_| {
        let start = Instant::now();
        let (guard, wake) = condition.wait_timeout(lock.lock(), Duration::from_millis(2));
        assert_eq!(wake, Wake::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(2));
        drop(guard);
    });
    // A long timeout ends with the notification.
    thread::scope(|scope| {
        let waiter = || {
            let mut guard = lock.lock();
            while !*guard {
                let wake;
                (guard, wake) = condition.wait_timeout(guard, Duration::from_secs(3600));
                assert_eq!(wake, Wake::Notified);
            }
        };
        for core in cores::all() {
            scope.spawn_on(core, waiter).expect("memory");
        }
        thread::sleep(Duration::from_millis(1));
        *lock.lock() = true;
        condition.notify_all();
    });
}

/// Tokens, each of them announced to one thread. Half of the threads keep giving up waiting and begin anew, the others
/// wait for good: a notification that is spent on one who has just given up would be missing at the end.
fn a_notification_goes_to_one_who_still_waits() {
    const TOKENS: u64 = 100;
    let (tokens, condition) = (Mutex::new(0u64), Condvar::new());
    let members = 4 * cores::count();
    thread::scope(|scope| {
        for (number, core) in (0..members).zip(cores::all().cycle()) {
            let (tokens, condition) = (&tokens, &condition);
            let body = move || {
                let mut random = Random::new(number as u64);
                for _ in 0..TOKENS {
                    let mut guard = tokens.lock();
                    while *guard == 0 {
                        guard = if (number / cores::count()).is_multiple_of(2) {
                            condition.wait(guard)
                        } else {
                            condition.wait_timeout(guard, Duration::from_micros(random.below(100))).0
                        };
                    }
                    *guard -= 1;
                }
            };
            scope.spawn_on(core, body).expect("memory");
        }
        let mut random = Random::new(99);
        for _ in 0..TOKENS * members as u64 {
            *tokens.lock() += 1;
            condition.notify_one();
            pause(&mut random);
        }
    });
    assert_eq!(tokens.into_inner(), 0);
}

fn barriers() {
    const ROUNDS: usize = 300;
    let members = 3 * cores::count();
    let (barrier, arrivals) = (Barrier::new(members), AtomicUsize::new(0));
    let leads = crew(3, |number| {
        let mut random = Random::new(number as u64);
        let mut leads = 0;
        for round in 1..=ROUNDS {
            arrivals.fetch_add(1, Ordering::Relaxed);
            leads += usize::from(barrier.wait().is_leader());
            assert_eq!(arrivals.load(Ordering::Relaxed), round * members, "somebody came through early");
            pause(&mut random);
            leads += usize::from(barrier.wait().is_leader());
        }
        leads
    });
    assert_eq!(leads.into_iter().sum::<usize>(), 2 * ROUNDS, "one leads each time");
    assert!(Barrier::new(1).wait().is_leader());
}

fn once() {
    for round in 0..40u64 {
        let (value, times) = (OnceLock::new(), AtomicU64::new(0));
        let (done, calls) = (Once::new(), AtomicU64::new(0));
        assert!(value.get().is_none() && !done.is_completed());
        crew(3, |number| {
            let mut random = Random::new(number as u64 + round);
            pause(&mut random);
            let make = || {
                times.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(300));
                thread::yield_now();
                round
            };
            assert_eq!(*value.get_or_init(make), round);
            assert_eq!(value.get(), Some(&round));
            assert_eq!(value.set(99), Err(99));
            done.call_once(|| {
                thread::yield_now();
                calls.fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.is_completed());
            assert_eq!(calls.load(Ordering::Relaxed), 1, "it returns before it has been done");
        });
        assert_eq!((times.into_inner(), calls.into_inner()), (1, 1));
        assert_eq!(value.into_inner(), Some(round));
    }
}

fn groups() {
    for round in 0..50usize {
        let (group, done) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        let members = 3 * cores::count();
        for (number, core) in (0..members).zip(cores::all().cycle()) {
            let (share, done) = (group.clone(), Arc::clone(&done));
            thread::spawn_on(core, move || {
                pause(&mut Random::new((number + round) as u64));
                done.fetch_add(1, Ordering::Relaxed);
                if number % 2 == 0 {
                    // Waits for the others, as the group's maker does.
                    share.wait();
                    assert_eq!(done.load(Ordering::Relaxed), members);
                }
            });
        }
        group.wait();
        assert_eq!(done.load(Ordering::Relaxed), members, "the work is not done");
    }
    WaitGroup::new().wait();
}
