//! Each piece between threads, natively and under Miri, which reports data races and tries stale values.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};

use toro_sync::spsc::{Full, channel};
use toro_sync::{Doorbell, Inbox, Mailbox, Node, Pushed, Registered, Ring, WakeSlot};

/// How much each thread sends.
const COUNT: usize = if cfg!(miri) { 8 } else { 20_000 };
const SENDERS: usize = 2;

#[test]
fn every_message_arrives_once_and_those_of_one_sender_in_order() {
    let mailbox = Mailbox::new();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let mailbox = &mailbox;
            scope.spawn(move || {
                for number in 0..COUNT {
                    mailbox.push(Box::new((sender, number)));
                }
            });
        }
        let mut next = [0; SENDERS];
        while next != [COUNT; SENDERS] {
            for message in mailbox.take_all() {
                let (sender, number) = *message;
                assert_eq!(number, next[sender]);
                next[sender] += 1;
            }
            thread::yield_now();
        }
    });
    assert!(mailbox.is_empty());
}

#[test]
fn an_owner_that_sleeps_whenever_it_may_gets_every_message() {
    /// What senders and owner share. The owner is parked by the standard library, which keeps a wake-up that comes early.
    #[derive(Default)]
    struct Core {
        mailbox: Mailbox<usize>,
        bell: Doorbell,
    }
    for ring in [Doorbell::ring, Doorbell::ring_after_push] {
        let core = Arc::new(Core::default());
        let owner = thread::spawn({
            let core = core.clone();
            move || {
                let (mut received, mut sum) = (0, 0);
                while received < SENDERS * COUNT {
                    core.bell.lie_down();
                    // Awake only by the bell: a lost ring hangs the test.
                    while core.mailbox.is_empty() && core.bell.is_asleep() {
                        thread::park();
                    }
                    core.bell.get_up();
                    for number in core.mailbox.take_all() {
                        received += 1;
                        sum += number;
                    }
                }
                sum
            }
        });
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    for number in 0..COUNT {
                        core.mailbox.push(number);
                        if ring(&core.bell) == Ring::Needed {
                            owner.thread().unpark();
                        }
                    }
                });
            }
        });
        assert_eq!(owner.join().expect("it does not panic"), SENDERS * COUNT * (COUNT - 1) / 2);
    }
}

#[test]
fn what_came_before_a_push_is_seen_by_whoever_takes_the_node() {
    struct Task {
        wanted: AtomicUsize,
        done: AtomicUsize,
    }
    let inbox = Inbox::new();
    let task = Arc::new(Node::new(Task { wanted: AtomicUsize::new(0), done: AtomicUsize::new(0) }));
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                for _ in 0..COUNT {
                    task.wanted.fetch_add(1, Ordering::Relaxed);
                    let (Pushed::Queued | Pushed::AlreadyQueued) = inbox.push(task.clone());
                }
            });
        }
        while task.done.load(Ordering::Relaxed) < SENDERS * COUNT {
            for task in inbox.take_all() {
                task.done.store(task.wanted.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            thread::yield_now();
        }
    });
    drop(inbox);
    assert_eq!(Arc::strong_count(&task), 1);
}

#[test]
fn nodes_wander_between_inboxes_that_others_take_from() {
    let inboxes = [Inbox::new(), Inbox::new()];
    let visits = AtomicUsize::new(0);
    for number in 0..4 {
        assert_eq!(inboxes[number % 2].push(Arc::new(Node::new(Box::new(number)))), Pushed::Queued);
    }
    thread::scope(|scope| {
        for here in 0..2 {
            let (inboxes, visits) = (&inboxes, &visits);
            scope.spawn(move || {
                while visits.load(Ordering::Relaxed) < COUNT {
                    for node in inboxes[here].take_all() {
                        visits.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(inboxes[1 - here].push(node), Pushed::Queued);
                    }
                    thread::yield_now();
                }
            });
        }
    });
    let mut left: Vec<_> = inboxes.iter().flat_map(Inbox::take_all).map(|node| ***node).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3]);
}

#[test]
fn a_ring_carries_everything_in_order_and_ends() {
    for capacity in [1, 2, 3] {
        let (mut producer, mut consumer) = channel(capacity);
        thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..COUNT {
                    let mut element = Box::new(number);
                    while let Err(Full(refused)) = producer.push(element) {
                        element = refused;
                        thread::yield_now();
                    }
                }
            });
            let mut next = 0;
            loop {
                let is_closed = consumer.is_closed();
                match consumer.pop() {
                    Some(number) => {
                        assert_eq!(*number, next);
                        next += 1;
                    }
                    None if is_closed => break,
                    None => thread::yield_now(),
                }
            }
            assert_eq!(next, COUNT);
        });
    }
}

#[test]
fn a_ring_whose_halves_leave_at_the_same_time_drops_what_is_left() {
    for _ in 0..COUNT.div_ceil(20) {
        let element = Arc::new(());
        let (mut producer, mut consumer) = channel(4);
        thread::scope(|scope| {
            let sent = element.clone();
            scope.spawn(move || while !producer.is_closed() && producer.push(sent.clone()).is_ok() {});
            scope.spawn(move || drop(consumer.pop()));
        });
        assert_eq!(Arc::strong_count(&element), 1);
    }
}

#[test]
fn one_who_waits_in_a_slot_hears_of_every_round() {
    let slot = WakeSlot::<Thread>::new();
    let round = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                for _ in 0..COUNT {
                    round.fetch_add(1, Ordering::Relaxed);
                    if let Some(waiter) = slot.take() {
                        waiter.unpark();
                    }
                }
            });
        }
        let mut seen = 0;
        while seen < SENDERS * COUNT {
            if slot.register(thread::current()) == Registered::Waiting && round.load(Ordering::Relaxed) == seen {
                thread::park();
            }
            seen = round.load(Ordering::Relaxed);
        }
    });
}
