//! Devices that lie or are silent, and the end of service.

use toro_core::driver::{Armed, DeviceFault, Refusal};
use virtio_queue_rt::asynchronous::ExchangeError;
use virtio_sim::clock::CLOCK;

use super::common::EVENT_IDX;
use super::*;

/// Takes the device out of service and hands everything back.
fn end(queue: &Queue) {
    let (ring, running) = queue.stop().expect("it was not stopped before");
    assert!(queue.stop().is_none());
    let (_, proof) = running.quiesce(&CLOCK).expect("it resets");
    ring.retire(&proof, |payload, ticket| queue.hand_back(ticket, payload)).expect("it is its proof");
}

/// Ways to break the protocol while requests 0 and 1 are in flight and the device holds their chains.
type Lie = fn(&mut DeviceQueue);

const LIES: [(Lie, DeviceFault); 4] = [
    (|other| other.push(7777, 1), DeviceFault::UsedIdOutOfRange { id: 7777 }),
    (|other| other.push(0x1_0000, 1), DeviceFault::UsedIdOutOfRange { id: 0x1_0000 }),
    (|other| other.show_used_index(3), DeviceFault::UsedIndexJump { advance: 3, in_flight: 2 }),
    (|other| other.show_used_index(u16::MAX), DeviceFault::UsedIndexJump { advance: u16::MAX, in_flight: 2 }),
];

#[test]
fn hd_vq_1_6_7_a_lie_ends_everybodys_wait() {
    for (lie, expected) in LIES {
        let Scene { queue, mut other, mut pool, memory, .. } = scene(2, EVENT_IDX);
        let task = Task::new();
        let mut futures: Vec<_> = (0..4).map(|byte| ask(&queue, buffer(&mut pool, byte))).collect();
        for future in &mut futures {
            assert!(task.poll(future).is_pending());
        }
        let mut dropped = futures.remove(0);
        assert!(task.poll(&mut dropped).is_pending());
        drop(dropped);
        let _held = [other.pop(), other.pop()];
        lie(&mut other);
        assert_eq!(queue.process(), Err(expected));
        assert_eq!((queue.process(), queue.fault()), (Err(expected), Some(expected)), "and stays so");
        assert_eq!(task.wakes(), 3, "each of them once");
        let mut answers = futures.iter_mut().map(|future| task.poll(future));
        let Some(Poll::Ready(Err(ExchangeError::Lost(fault)))) = answers.next() else { panic!("it was in flight") };
        assert_eq!(fault, expected);
        for answer in answers {
            let Poll::Ready(Err(ExchangeError::Refused(refused))) = answer else { panic!("it waited for room") };
            assert_eq!(refused.reason, Refusal::Faulted(expected));
        }
        let Poll::Ready(Err(ExchangeError::Refused(refused))) = task.poll(&mut ask(&queue, buffer(&mut pool, 9)))
        else {
            panic!("it came too late")
        };
        assert_eq!((refused.reason, refused.request[0]), (Refusal::Faulted(expected), 9));
        drop(refused);
        assert_eq!(pool.available(), 2, "those in flight are the device's until it is reset");
        end(&queue);
        drop(pool);
        assert_eq!(memory.blocks(), 0, "all is back");
    }
}

#[test]
fn hd_vq_3_a_request_that_completes_twice_has_one_answer() {
    let Scene { queue, mut other, mut pool, memory, .. } = scene(4, EVENT_IDX);
    let task = Task::new();
    let mut first = ask(&queue, buffer(&mut pool, 1));
    let mut second = ask(&queue, buffer(&mut pool, 2));
    assert!(task.poll(&mut first).is_pending() && task.poll(&mut second).is_pending());
    let chain = other.pop().expect("it was published");
    other.push(u32::from(chain.head), 1);
    other.push(u32::from(chain.head), 1);
    let fault = DeviceFault::UsedIdNotInFlight { id: u32::from(chain.head) };
    assert_eq!(queue.process(), Err(fault));
    // What was true before the lie stays true.
    assert_eq!(byte(task.poll(&mut first)), 1);
    let Poll::Ready(Err(ExchangeError::Lost(lost))) = task.poll(&mut second) else { panic!("it has no answer") };
    assert_eq!(lost, fault);
    drop(second);
    end(&queue);
    drop(pool);
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn hd_vq_14_a_silent_device_is_given_up_by_its_owner() {
    let Scene { queue, mut other, mut pool, memory, .. } = scene(2, EVENT_IDX);
    let task = Task::new();
    let mut futures: Vec<_> = (0..4).map(|byte| ask(&queue, buffer(&mut pool, byte))).collect();
    for future in &mut futures {
        assert!(task.poll(future).is_pending());
    }
    queue.fail(DeviceFault::Gone);
    queue.fail(DeviceFault::NeedsReset);
    assert_eq!((queue.fault(), queue.process()), (Some(DeviceFault::Gone), Err(DeviceFault::Gone)), "the first stays");
    assert_eq!(task.wakes(), futures.len());
    // An answer that comes now comes too late.
    assert_eq!(answer(&mut other), Some(0));
    assert_eq!(queue.process(), Err(DeviceFault::Gone));
    assert!(futures.iter_mut().all(|future| matches!(task.poll(future), Poll::Ready(Err(_)))));
    drop(futures);
    assert_eq!(pool.available(), 2);
    end(&queue);
    drop(pool);
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn everybody_is_woken_however_many_they_are() {
    let Scene { queue, mut pool, memory, .. } = scene(32, EVENT_IDX);
    let tasks: Vec<_> = (0..50).map(|_| Task::new()).collect();
    let mut futures: Vec<_> = (0..50).map(|byte| ask(&queue, buffer(&mut pool, byte))).collect();
    for (task, future) in tasks.iter().zip(&mut futures) {
        assert!(task.poll(future).is_pending());
    }
    queue.fail(DeviceFault::Gone);
    assert!(tasks.iter().all(|task| task.wakes() == 1));
    drop(futures);
    end(&queue);
    drop(pool);
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn the_end_of_service_delivers_what_is_finished_and_hands_the_rest_back() {
    let Scene { queue, mut other, mut pool, memory, .. } = scene(2, EVENT_IDX);
    let task = Task::new();
    let mut futures: Vec<_> = (0..4).map(|byte| ask(&queue, buffer(&mut pool, byte))).collect();
    for future in &mut futures {
        assert!(task.poll(future).is_pending());
    }
    let [finished, in_flight, detached, waiting] = &mut futures[..] else { panic!("four of them") };
    assert_eq!(answer(&mut other), Some(0));
    // Makes room for the third, which is dropped in flight.
    assert_eq!(queue.process(), Ok(Armed::Idle));
    assert!(task.poll(detached).is_pending());
    let (ring, running) = queue.stop().expect("it was not stopped before");
    assert_eq!(byte(task.poll(finished)), 1);
    let Poll::Ready(Err(ExchangeError::Stopped(payload))) = task.poll(waiting) else { panic!("it waited for room") };
    assert_eq!(payload[0], 3);
    assert!(task.poll(in_flight).is_pending(), "the device still has it");
    let Poll::Ready(Err(ExchangeError::Stopped(late))) = task.poll(&mut ask(&queue, payload)) else {
        panic!("it came too late")
    };
    assert_eq!((late[0], queue.process()), (3, Ok(Armed::Idle)));
    drop(late);
    drop(futures.remove(2));
    let (_, proof) = running.quiesce(&CLOCK).expect("it resets");
    let before = task.wakes();
    ring.retire(&proof, |payload, ticket| queue.hand_back(ticket, payload)).expect("it is its proof");
    assert_eq!(task.wakes(), before + 1, "one of the two has somebody who waits");
    let Poll::Ready(Err(ExchangeError::Stopped(payload))) = task.poll(&mut futures[1]) else { panic!("handed back") };
    assert_eq!(payload[0], 1);
    drop((payload, futures));
    assert_eq!(pool.available(), 4);
    drop(pool);
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn a_payload_handed_back_to_nobody_goes_to_its_pool() {
    let Scene { queue, mut pool, .. } = scene(2, EVENT_IDX);
    let other = scene(2, EVENT_IDX);
    // The ticket of another queue's request, and one that is not in flight any more.
    let task = Task::new();
    let mut future = ask(&other.queue, buffer(&mut pool, 1));
    assert!(task.poll(&mut future).is_pending());
    let (ring, running) = other.queue.stop().expect("it was not stopped before");
    let wakes = task.wakes();
    let (_, proof) = running.quiesce(&CLOCK).expect("it resets");
    ring.retire(&proof, |payload, ticket| {
        queue.hand_back(ticket, payload);
        queue.hand_back(ticket, buffer(&mut pool, 2));
    })
    .expect("it is its proof");
    assert_eq!((pool.available(), task.wakes()), (4, wakes));
}
