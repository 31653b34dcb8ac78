//! Who sleeps while there is work, and how many wake him.

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Notify as Interrupt};
use loom::thread;

use crate::cell::UnsafeCell;
use crate::doorbell::{Doorbell, Ring};
use crate::explore;
use crate::mailbox::Mailbox;

#[test]
fn an_owner_that_saw_no_work_is_interrupted_once() {
    explore(3, || {
        let shared = Arc::new((Doorbell::new(), [AtomicBool::new(false), AtomicBool::new(false)]));
        let others = [0, 1].map(|number| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (bell, work) = &*shared;
                work[number].store(true, Ordering::Relaxed);
                usize::from(bell.ring() == Ring::Needed)
            })
        });
        let (bell, work) = &*shared;
        bell.lie_down();
        let has_work = work.iter().any(|work| work.load(Ordering::Relaxed));
        let interrupts: usize = others.map(|other| other.join().expect("it does not panic")).iter().sum();
        assert!(has_work || interrupts > 0, "the owner sleeps, and nobody interrupts it");
        assert!(interrupts <= 1, "one sleep, two interrupts");
    });
}

#[test]
fn work_that_was_pushed_needs_no_other_fence() {
    explore(2, || {
        let shared = Arc::new((Doorbell::new(), Mailbox::new()));
        let others = [0, 1].map(|number| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (bell, mailbox) = &*shared;
                mailbox.push(number);
                usize::from(bell.ring_after_push() == Ring::Needed)
            })
        });
        let (bell, mailbox) = &*shared;
        bell.lie_down();
        let has_work = !mailbox.is_empty();
        let interrupts: usize = others.map(|other| other.join().expect("it does not panic")).iter().sum();
        assert!(has_work || interrupts > 0, "the owner sleeps, and nobody interrupts it");
        assert!(interrupts <= 1, "one sleep, two interrupts");
    });
}

/// The owner believes the bell, not the interrupt: whatever that orders is left out.
fn wake_by(ring: fn(&Doorbell) -> Ring) {
    explore(3, move || {
        let shared = Arc::new((Doorbell::new(), UnsafeCell::new(0)));
        let other = thread::spawn({
            let shared = shared.clone();
            move || {
                let (bell, contents) = &*shared;
                // SAFETY: the owner reads it after it was woken by the ring below.
                contents.with_mut(|contents| unsafe { *contents = 1 });
                while ring(bell) == Ring::Suppressed {
                    thread::yield_now();
                }
            }
        });
        let (bell, contents) = &*shared;
        bell.lie_down();
        while bell.is_asleep() {
            thread::yield_now();
        }
        bell.get_up();
        // SAFETY: the one who wrote it did so before the ring.
        assert_eq!(contents.with(|contents| unsafe { *contents }), 1);
        other.join().expect("it does not panic");
    });
}

#[test]
fn what_came_before_the_ring_is_there_when_the_owner_gets_up() {
    wake_by(Doorbell::ring);
    wake_by(Doorbell::ring_after_push);
}

/// An owner that sleeps whenever it may, until it has so many messages from each of the others. A wake-up that does not come is a
/// deadlock, which loom reports.
fn converse<const OTHERS: usize>(preemptions: usize, ring: fn(&Doorbell) -> Ring, messages: [usize; OTHERS]) {
    explore(preemptions, move || {
        let shared = Arc::new((Doorbell::new(), Mailbox::new(), Interrupt::new(), AtomicUsize::new(0)));
        let others = messages.map(|messages| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (bell, mailbox, interrupt, interrupts) = &*shared;
                for _ in 0..messages {
                    mailbox.push(());
                    if ring(bell) == Ring::Needed {
                        interrupts.fetch_add(1, Ordering::Relaxed);
                        interrupt.notify();
                    }
                }
            })
        });
        let (bell, mailbox, interrupt, interrupts) = &*shared;
        let (mut received, mut sleeps) = (0, 0);
        while received < messages.iter().sum() {
            bell.lie_down();
            sleeps += 1;
            if mailbox.is_empty() {
                interrupt.wait();
            }
            bell.get_up();
            received += mailbox.take_all().count();
        }
        others.into_iter().for_each(|other| other.join().expect("it does not panic"));
        assert!(interrupts.load(Ordering::Relaxed) <= sleeps, "more interrupts than sleeps");
    });
}

#[test]
fn nobody_sleeps_for_ever_with_work_of_any_kind() {
    converse(2, Doorbell::ring, [2]);
    converse(1, Doorbell::ring, [1, 1]);
}

#[test]
fn nobody_sleeps_for_ever_with_work_that_was_pushed() {
    converse(2, Doorbell::ring_after_push, [2]);
    converse(1, Doorbell::ring_after_push, [1, 1]);
}
