use std::cell::Cell;
use std::rc::Rc;

use toro_sync::spsc::{Full, channel};

fn is_send<T: Send>(_: &T) {}

#[test]
fn as_many_elements_fit_as_were_asked_for() {
    for capacity in 1..=9 {
        let (mut producer, mut consumer) = channel(capacity);
        assert_eq!(producer.capacity(), capacity);
        // Twice around and a little, from every slot.
        for start in 0..2 * capacity + 1 {
            for i in 0..capacity {
                assert_eq!((producer.room(), consumer.len()), (capacity - i, i));
                assert_eq!(consumer.is_empty(), i == 0);
                producer.push(start + i).expect("there is room");
            }
            assert_eq!(producer.room(), 0);
            assert_eq!(producer.push(99), Err(Full(99)));
            for i in 0..capacity {
                assert_eq!(consumer.pop(), Some(start + i));
            }
            assert_eq!(consumer.pop(), None);
            producer.push(0).expect("there is room");
            assert_eq!(consumer.pop(), Some(0));
        }
    }
}

#[test]
fn elements_without_size_are_counted() {
    let (mut producer, mut consumer) = channel(2);
    assert!(producer.push(()).is_ok() && producer.push(()).is_ok() && producer.push(()).is_err());
    assert_eq!((consumer.pop(), consumer.pop(), consumer.pop()), (Some(()), Some(()), None));
}

#[test]
fn what_is_left_is_dropped_with_the_second_half_and_what_was_taken_is_not() {
    let element = Rc::new(());
    for capacity in [3, 4] {
        let (mut producer, mut consumer) = channel(capacity);
        for _ in 0..capacity {
            producer.push(element.clone()).expect("there is room");
        }
        consumer.pop().expect("it is full");
        producer.push(element.clone()).expect("there is room");
        assert_eq!(Rc::strong_count(&element), 1 + capacity);
        let taken = consumer.pop();
        drop(producer);
        assert_eq!(Rc::strong_count(&element), 1 + capacity);
        drop(consumer);
        assert_eq!(Rc::strong_count(&element), 2);
        drop(taken);
    }
}

#[test]
fn each_half_hears_that_the_other_is_gone_and_the_rest_can_be_taken() {
    let (mut producer, mut consumer) = channel(2);
    assert!(!producer.is_closed() && !consumer.is_closed());
    producer.push(1).expect("there is room");
    drop(producer);
    assert!(consumer.is_closed());
    assert_eq!((consumer.pop(), consumer.pop()), (Some(1), None));
    let (mut producer, consumer) = channel(1);
    drop(consumer);
    assert!(producer.is_closed());
    assert_eq!((producer.push(1), producer.push(2)), (Ok(()), Err(Full(2))));
}

#[test]
fn elements_need_not_be_shareable() {
    let (producer, consumer) = channel::<Cell<u8>>(1);
    is_send(&producer);
    is_send(&consumer);
}

#[test]
#[should_panic(expected = "a ring has room for something")]
fn a_ring_without_room_is_refused() {
    channel::<u8>(0);
}

#[test]
#[should_panic(expected = "a ring has no more slots than there are indices")]
fn a_ring_beyond_all_bounds_is_refused() {
    channel::<()>(usize::MAX);
}
