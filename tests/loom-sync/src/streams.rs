//! A slot of the ring is read and written by one at a time, and the end comes last.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::explore;
use crate::spsc::{Full, channel};

/// One sends so many numbers and leaves; the other takes until it hears of that.
fn stream(preemptions: usize, capacity: usize, count: usize) {
    explore(preemptions, move || {
        let (mut producer, mut consumer) = channel(capacity);
        let sender = thread::spawn(move || {
            for mut number in 0..count {
                while let Err(Full(refused)) = producer.push(number) {
                    number = refused;
                    thread::yield_now();
                }
            }
        });
        let mut next = 0;
        loop {
            let is_closed = consumer.is_closed();
            match consumer.pop() {
                Some(number) => {
                    assert_eq!(number, next);
                    next += 1;
                }
                None if is_closed => break,
                None => thread::yield_now(),
            }
        }
        assert_eq!(next, count, "the end came before the last element");
        sender.join().expect("it does not panic");
    });
}

#[test]
fn everything_comes_out_of_a_ring_of_one_slot_before_the_end() {
    stream(2, 1, 3);
}

#[test]
fn everything_comes_out_of_a_ring_of_two_slots_before_the_end() {
    stream(2, 2, 3);
}

#[test]
fn everything_comes_out_of_a_ring_with_a_slot_to_spare_before_the_end() {
    stream(1, 3, 4);
}

#[test]
fn room_and_length_promise_no_more_than_there_is() {
    explore(3, || {
        let (mut producer, mut consumer) = channel(2);
        let sender = thread::spawn(move || {
            for number in 0..3 {
                if producer.room() > 0 {
                    producer.push(number).expect("there was room");
                }
            }
        });
        for _ in 0..2 {
            if !consumer.is_empty() {
                consumer.pop().expect("something was there");
            }
        }
        sender.join().expect("it does not panic");
    });
}

/// Counts how often elements are dropped.
struct Element(Arc<AtomicUsize>);

impl Drop for Element {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whoever_leaves_last_drops_what_is_left() {
    explore(3, || {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut producer, mut consumer) = channel(2);
        let sender = thread::spawn({
            let drops = drops.clone();
            move || {
                for _ in 0..2 {
                    let _ = producer.push(Element(drops.clone()));
                }
            }
        });
        drop(consumer.pop());
        drop(consumer);
        sender.join().expect("it does not panic");
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    });
}
