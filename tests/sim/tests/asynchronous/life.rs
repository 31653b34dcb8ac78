//! The stages of an exchange, and a future that is dropped in each of them.

use std::future::Future as _;
use std::sync::{Arc, Mutex};

use toro_core::driver::{Armed, Refusal};
use virtio_queue_rt::asynchronous::ExchangeError;

use super::common::EVENT_IDX;
use super::*;

/// Interrupts are wanted whenever something is in flight, and handled by `process`.
fn interrupt(other: &mut DeviceQueue, queue: &Queue) {
    assert!(other.wants_interrupt(), "somebody waits");
    assert_eq!(queue.process(), Ok(Armed::Idle));
}

#[test]
fn an_exchange_answers_with_what_the_device_wrote() {
    for features in [0, EVENT_IDX] {
        let Scene { queue, mut other, mut pool, device, .. } = scene(4, features);
        let task = Task::new();
        for round in 0..40 {
            let mut future = ask(&queue, buffer(&mut pool, round));
            assert!(task.poll(&mut future).is_pending());
            assert_eq!(device.state().kicks.pop(), Some(0), "the device asked for every kick");
            assert_eq!(answer(&mut other), Some(round));
            let _ = other.enable_kicks();
            assert!(task.poll(&mut future).is_pending(), "nobody has processed");
            interrupt(&mut other, &queue);
            assert_eq!(task.wakes(), usize::from(round) + 1);
            assert_eq!(byte(task.poll(&mut future)), round + 1);
        }
        assert_eq!(pool.available(), 8);
    }
}

#[test]
fn nothing_happens_before_the_first_poll() {
    let mut scene = scene(4, 0);
    let payload = scene.buffer(1);
    let future = ask(&scene.queue, payload);
    assert_eq!((scene.pool.available(), answer(&mut scene.other)), (7, None));
    drop(future);
    assert_eq!((scene.pool.available(), answer(&mut scene.other)), (8, None));
    assert!(scene.device.state().kicks.is_empty());
}

#[test]
fn a_future_dropped_in_flight_leaves_its_buffer_until_the_device_is_done() {
    let Scene { queue, mut other, mut pool, .. } = scene(4, EVENT_IDX);
    let (task, neighbour) = (Task::new(), Task::new());
    let mut dropped = ask(&queue, buffer(&mut pool, 1));
    let mut kept = ask(&queue, buffer(&mut pool, 2));
    assert!(task.poll(&mut dropped).is_pending() && neighbour.poll(&mut kept).is_pending());
    drop(dropped);
    assert_eq!((pool.available(), Arc::strong_count(&task)), (6, 1), "the buffer is not free, the waker is");
    let chain = other.pop().expect("it was published");
    other.write(&chain, &[9]);
    assert_eq!(pool.available(), 6, "the device still has it");
    other.push(u32::from(chain.head), 1);
    assert_eq!(pool.available(), 6, "nobody has processed");
    interrupt(&mut other, &queue);
    assert_eq!((pool.available(), task.wakes(), neighbour.wakes()), (7, 0, 0));
    assert_eq!(answer(&mut other), Some(2));
    interrupt(&mut other, &queue);
    assert_eq!(byte(neighbour.poll(&mut kept)), 3);
    assert_eq!(pool.available(), 8);
}

#[test]
fn a_future_dropped_with_its_answer_gives_the_buffer_back() {
    let Scene { queue, mut other, mut pool, .. } = scene(4, EVENT_IDX);
    let task = Task::new();
    let mut future = ask(&queue, buffer(&mut pool, 1));
    assert!(task.poll(&mut future).is_pending());
    assert_eq!(answer(&mut other), Some(1));
    interrupt(&mut other, &queue);
    assert_eq!((pool.available(), task.wakes()), (7, 1));
    drop(future);
    assert_eq!((pool.available(), Arc::strong_count(&task)), (8, 1));
}

#[test]
fn a_future_dropped_while_it_waits_for_room_takes_its_request_along() {
    // The first, the last, and one in the middle of those who wait; then all of them.
    for leaving in [&[0][..], &[3], &[1], &[1, 2], &[3, 0], &[0, 1, 2, 3]] {
        let Scene { queue, mut other, mut pool, .. } = scene(4, EVENT_IDX);
        let task = Task::new();
        let mut futures: Vec<_> = (0..8).map(|byte| Some(ask(&queue, buffer(&mut pool, byte)))).collect();
        for future in futures.iter_mut().flatten() {
            assert!(task.poll(future).is_pending());
        }
        assert_eq!(pool.available(), 0);
        for place in leaving {
            futures[4 + place] = None;
        }
        assert_eq!(pool.available(), leaving.len(), "at once");
        let mut seen = Vec::new();
        while let Some(byte) = answer(&mut other) {
            seen.push(byte);
            interrupt(&mut other, &queue);
        }
        let stayed = (0..8).filter(|byte| *byte < 4 || !leaving.contains(&usize::from(byte - 4)));
        assert_eq!(seen, stayed.collect::<Vec<u8>>(), "in the order of arrival");
        assert!(futures.iter_mut().flatten().all(|future| matches!(task.poll(future), Poll::Ready(Ok(_)))));
        assert_eq!(pool.available(), 8);
    }
}

#[test]
fn nobody_overtakes_who_waits_for_room() {
    let Scene { queue, mut other, mut pool, .. } = scene(2, EVENT_IDX);
    let task = Task::new();
    let mut first = ask(&queue, buffer(&mut pool, 0));
    let mut second = ask(&queue, buffer(&mut pool, 1));
    let mut third = ask(&queue, buffer(&mut pool, 2));
    for future in [&mut first, &mut second, &mut third] {
        assert!(task.poll(future).is_pending());
    }
    assert_eq!(answer(&mut other), Some(0));
    interrupt(&mut other, &queue);
    // The third has the room that the first left, without having been polled since.
    assert_eq!(byte(task.poll(&mut first)), 1);
    let mut late = ask(&queue, buffer(&mut pool, 3));
    assert!(task.poll(&mut late).is_pending());
    let order: Vec<_> = std::iter::from_fn(|| answer(&mut other)).collect();
    assert_eq!(order, [1, 2]);
    interrupt(&mut other, &queue);
    assert_eq!(answer(&mut other), Some(3));
}

/// A task that makes an exchange of its own when it is woken.
struct Eager {
    queue: &'static Queue,
    first: Mutex<Option<DmaBuf>>,
    future: Mutex<Option<Future<'static>>>,
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        if let Some(buffer) = self.first.lock().expect("nobody panics with it").take() {
            let mut future = ask(self.queue, buffer);
            assert!(Task::new().poll(&mut future).is_pending());
            *self.future.lock().expect("nobody panics with it") = Some(future);
        }
    }
}

#[test]
fn nobody_overtakes_while_completions_are_being_taken_out() {
    let Scene { queue, mut other, mut pool, .. } = scene(32, EVENT_IDX);
    let queue: &'static Queue = Box::leak(Box::new(queue));
    let eager = Arc::new(Eager { queue, first: Mutex::default(), future: Mutex::default() });
    let mut futures: Vec<_> = (0..33).map(|byte| ask(queue, buffer(&mut pool, byte))).collect();
    *eager.first.lock().expect("nobody panics with it") = Some(buffer(&mut pool, 99));
    for future in &mut futures {
        assert!(Pin::new(future).poll(&mut Context::from_waker(&eager.clone().into())).is_pending());
    }
    // More than are taken out with the desk locked: those in between see room and somebody who waits for it.
    for byte in 0..32 {
        assert_eq!(answer(&mut other), Some(byte));
    }
    interrupt(&mut other, queue);
    assert_eq!([answer(&mut other), answer(&mut other), answer(&mut other)], [Some(32), Some(99), None]);
    interrupt(&mut other, queue);
    let last = eager.future.lock().expect("nobody panics with it").take();
    assert_eq!(byte(Task::new().poll(&mut last.expect("it was woken"))), 100);
}

#[test]
fn a_completion_wakes_the_last_task_that_asked_and_no_other() {
    let Scene { queue, mut other, mut pool, .. } = scene(4, EVENT_IDX);
    let (former, present, stranger) = (Task::new(), Task::new(), Task::new());
    let mut future = ask(&queue, buffer(&mut pool, 1));
    let mut elsewhere = ask(&queue, buffer(&mut pool, 2));
    assert!(former.poll(&mut future).is_pending() && stranger.poll(&mut elsewhere).is_pending());
    assert!(present.poll(&mut future).is_pending());
    assert_eq!(Arc::strong_count(&former), 1, "forgotten");
    assert_eq!(answer(&mut other), Some(1));
    interrupt(&mut other, &queue);
    assert_eq!((former.wakes(), present.wakes(), stranger.wakes()), (0, 1, 0));
    assert_eq!(byte(present.poll(&mut future)), 2);
}

#[test]
fn what_the_device_cannot_take_comes_back_at_once_or_from_among_those_who_wait() {
    let Scene { queue, mut other, mut pool, .. } = scene(2, EVENT_IDX);
    let task = Task::new();
    let empty = |pool: &mut DmaPool| ask(&queue, pool.take().expect("there are enough"));
    let is_refused = |answer: Poll<Answer>| {
        let Poll::Ready(Err(ExchangeError::Refused(refused))) = answer else { panic!("not refused") };
        refused.reason == Refusal::Invalid && refused.request.is_empty()
    };
    assert!(is_refused(task.poll(&mut empty(&mut pool))));
    let mut busy = [ask(&queue, buffer(&mut pool, 0)), ask(&queue, buffer(&mut pool, 1))];
    for future in &mut busy {
        assert!(task.poll(future).is_pending());
    }
    let waiting = Task::new();
    let mut refused = empty(&mut pool);
    let mut last = ask(&queue, buffer(&mut pool, 2));
    assert!(waiting.poll(&mut refused).is_pending() && task.poll(&mut last).is_pending());
    assert_eq!(answer(&mut other), Some(0));
    interrupt(&mut other, &queue);
    assert_eq!(waiting.wakes(), 1);
    assert!(is_refused(waiting.poll(&mut refused)));
    assert_eq!([answer(&mut other), answer(&mut other)], [Some(1), Some(2)], "it left its room to the next");
}

#[test]
fn a_turn_with_many_exchanges_costs_one_kick_where_the_device_is_awake() {
    let Scene { queue, mut other, mut pool, device, .. } = scene(16, EVENT_IDX);
    let task = Task::new();
    let mut futures: Vec<_> = (0..16).map(|byte| ask(&queue, buffer(&mut pool, byte))).collect();
    for future in &mut futures {
        assert!(task.poll(future).is_pending());
    }
    // The first wakes it up; it has not said since that it sleeps.
    assert_eq!(device.state().kicks.len(), 1);
    while answer(&mut other).is_some() {}
    interrupt(&mut other, &queue);
    assert!(futures.iter_mut().all(|future| task.poll(future).is_ready()));
}

#[test]
#[should_panic(expected = "after its end")]
fn an_exchange_has_one_answer() {
    let Scene { queue, mut other, mut pool, .. } = scene(2, 0);
    let task = Task::new();
    let mut future = ask(&queue, buffer(&mut pool, 0));
    assert!(task.poll(&mut future).is_pending());
    assert_eq!(answer(&mut other), Some(0));
    assert_eq!(queue.process(), Ok(Armed::Idle));
    assert!(task.poll(&mut future).is_ready());
    let _ = task.poll(&mut future);
}
