//! Nobody waits for what is true already.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::explore;
use crate::wake::{Registered, WakeSlot};

#[test]
fn one_who_registers_sees_the_condition_or_is_woken() {
    explore(3, || {
        let shared = Arc::new((WakeSlot::new(), AtomicBool::new(false)));
        let waker = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.1.store(true, Ordering::Relaxed);
                shared.0.take()
            }
        });
        let (slot, condition) = &*shared;
        let mut answers = [Registered::Waiting; 2];
        let mut seen = [true; 2];
        for handle in 0..2 {
            answers[handle] = slot.register(handle);
            seen[handle] = condition.load(Ordering::Relaxed);
        }
        let woken = waker.join().expect("it does not panic");
        for handle in 0..2 {
            match answers[handle] {
                Registered::WokenMeanwhile => assert!(seen[handle], "woken by one who has made nothing true"),
                Registered::Waiting if seen[handle] => {}
                Registered::Waiting => assert!(
                    woken == Some(handle)
                        || handle == 0 && (woken == Some(1) || answers[1] == Registered::WokenMeanwhile),
                    "it sleeps, and nobody wakes it"
                ),
            }
        }
    });
}

#[test]
fn a_registration_counts_from_its_answer_on() {
    explore(2, || {
        let shared = Arc::new((WakeSlot::new(), [AtomicBool::new(false), AtomicBool::new(false)]));
        let wakers = [0, 1].map(|number| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1[number].store(true, Ordering::Relaxed);
                shared.0.take()
            })
        });
        let (slot, conditions) = &*shared;
        let _ = slot.register(0);
        let answer = slot.register(1);
        let has_seen_all = conditions.iter().all(|condition| condition.load(Ordering::Relaxed));
        let woken = wakers.map(|waker| waker.join().expect("it does not panic"));
        if answer == Registered::Waiting && !has_seen_all {
            assert!(woken.contains(&Some(1)), "it sleeps, and only an older handle was woken, if any");
        }
    });
}

#[test]
fn a_handle_is_one_threads_at_a_time_even_if_two_register() {
    explore(3, || {
        let slot = Arc::new(WakeSlot::new());
        let other = thread::spawn({
            let slot = slot.clone();
            move || slot.register(0)
        });
        let taken = slot.take();
        let answers = [slot.register(1), other.join().expect("it does not panic")];
        let left = slot.take();
        assert!(answers.contains(&Registered::WokenMeanwhile) || taken.or(left).is_some());
        assert!(taken.is_none() || taken != left, "the same handle twice");
        assert_eq!(slot.take(), None);
    });
}

#[test]
fn two_who_take_wake_once() {
    explore(3, || {
        let slot = Arc::new(WakeSlot::new());
        assert_eq!(slot.register(7), Registered::Waiting);
        let other = thread::spawn({
            let slot = slot.clone();
            move || slot.take()
        });
        let taken = [slot.take(), other.join().expect("it does not panic")];
        assert!(taken == [Some(7), None] || taken == [None, Some(7)], "{taken:?}");
        assert_eq!(slot.register(8), Registered::Waiting);
        assert_eq!(slot.take(), Some(8));
    });
}

/// One waits until all conditions are true, and sleeps whenever it may; each is made true by another thread. A wake-up that does
/// not come is a deadlock, which loom reports.
fn wait_for<const CONDITIONS: usize>(preemptions: usize) {
    explore(preemptions, || {
        let conditions = [(); CONDITIONS].map(|()| AtomicBool::new(false));
        let shared = Arc::new((WakeSlot::<Arc<Notify>>::new(), conditions));
        let wakers: Vec<_> = (0..CONDITIONS)
            .map(|number| {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.1[number].store(true, Ordering::Relaxed);
                    if let Some(waiter) = shared.0.take() {
                        waiter.notify();
                    }
                })
            })
            .collect();
        let (slot, conditions) = &*shared;
        let waiter = Arc::new(Notify::new());
        loop {
            let registered = slot.register(waiter.clone());
            if conditions.iter().all(|condition| condition.load(Ordering::Relaxed)) {
                break;
            }
            match registered {
                Registered::Waiting => waiter.wait(),
                Registered::WokenMeanwhile => thread::yield_now(),
            }
        }
        drop(slot.take());
        wakers.into_iter().for_each(|waker| waker.join().expect("it does not panic"));
    });
}

#[test]
fn one_who_waits_for_one_condition_is_woken() {
    wait_for::<1>(3);
}

#[test]
fn one_who_waits_for_two_conditions_is_woken_for_the_second() {
    wait_for::<2>(1);
}
