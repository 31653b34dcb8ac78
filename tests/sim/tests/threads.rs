//! The device as a second thread.
//!
//! Natively this is a litmus test of the two store-then-load orderings, under Miri a check of every other one: the
//! device uses the weakest accesses that the specification allows it, so an ordering missing on the driver's side
//! is a data race (buffers are plain memory) or a side that sleeps for ever.
//!
//! Each test was seen to fail without what it guards: with `publish` storing the index with release only, the
//! sleeping device misses a request; with `arm` doing the same, the driver misses a completion; with relaxed loads
//! or stores of an index, Miri reports a data race on a buffer.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{Bench, EVENT_IDX, bench};
use toro_core::DmaBuf;
use toro_core::driver::Armed;
use virtio_queue_rt::{Direction, Notify};
use virtio_sim::{DeviceQueue, Kicks};

/// How long a side may sleep before the other is accused of not having woken it.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 20 });
const REQUESTS: u32 = if cfg!(miri) { 60 } else { 300_000 };

#[derive(Clone, Copy, PartialEq)]
enum Order {
    AsTheyCome,
    Reversed,
}

/// Answers each request, a number, with that number plus one. Sleeps whenever there is nothing to do.
fn serve(mut queue: DeviceQueue, device: virtio_sim::Device, interrupts: mpsc::Sender<()>, order: Order) {
    let mut served = 0;
    while served < REQUESTS {
        let mut batch: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        if order == Order::Reversed {
            batch.reverse();
        }
        if batch.is_empty() {
            if !queue.enable_kicks() {
                assert_eq!(device.wait_for_kick(PATIENCE), Kicks::Arrived, "VQ-15: a kick was lost after {served}");
            }
            queue.disable_kicks();
            continue;
        }
        for chain in batch {
            let mut bytes = Vec::new();
            for &(address, len) in &chain.writable {
                assert_eq!(len, 4);
                bytes = queue.peek(address, 4);
            }
            let number = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            let written = queue.write(&chain, &(number + 1).to_le_bytes());
            queue.push(u32::from(chain.head), written);
            served += 1;
            if queue.wants_interrupt() {
                // The driver may have seen everything already and be gone.
                let _ = interrupts.send(());
            }
        }
    }
}

fn round_trips(size: u16, features: u64, batch: u16, order: Order) {
    let Bench { device, running, mut queue, other, mut pool, memory: _memory } =
        bench::<DmaBuf, u32, (), ()>(size, features);
    let (send, interrupts) = mpsc::channel();
    let player = thread::spawn({
        let device = device.clone();
        move || serve(other, device, send, order)
    });
    let mut next = 0;
    let mut finished = 0;
    while finished < REQUESTS {
        let mut room = queue.room().min(batch);
        while room > 0 && next < REQUESTS {
            let mut buffer = pool.take().expect("twice as many as the queue holds");
            buffer.extend(&next.to_le_bytes()).expect("64 bytes are enough");
            queue.submit((), buffer, Direction::FromDevice, (), next).expect("there is room");
            next += 1;
            room -= 1;
        }
        let wish: Notify = queue.publish();
        running.notify(&queue, wish);
        let count = queue
            .drain(|done| {
                assert_eq!(done.payload[..], (done.cookie + 1).to_le_bytes());
                pool.recycle(done.payload);
            })
            .expect("an obedient device");
        finished += u32::from(count);
        if count == 0 && queue.arm() == Armed::Idle && finished < REQUESTS {
            let woken = interrupts.recv_timeout(PATIENCE);
            assert!(woken.is_ok(), "VQ-22: an interrupt was lost after {finished} of {REQUESTS}");
        }
    }
    player.join().expect("the device is content");
}

#[test]
fn vq_15_22_nobody_misses_a_wake_up_one_request_at_a_time() {
    round_trips(8, 0, 1, Order::AsTheyCome);
    round_trips(8, EVENT_IDX, 1, Order::AsTheyCome);
}

#[test]
fn vq_15_22_nobody_misses_a_wake_up_in_batches() {
    round_trips(16, 0, 5, Order::AsTheyCome);
    round_trips(16, EVENT_IDX, 5, Order::AsTheyCome);
}

#[test]
fn hd_vq_11_completions_in_another_order_are_fine() {
    round_trips(16, EVENT_IDX, 7, Order::Reversed);
    round_trips(4, 0, 4, Order::Reversed);
}

#[test]
fn vq_14_23_a_polling_device_sees_whole_requests_and_a_polling_driver_whole_answers() {
    let Bench { mut queue, mut other, mut pool, .. } = bench::<DmaBuf, u32, (), ()>(8, EVENT_IDX);
    let player = thread::spawn(move || {
        let mut served = 0;
        while served < REQUESTS {
            let Some(chain) = other.pop() else {
                thread::yield_now();
                continue;
            };
            let bytes = other.peek(chain.writable[0].0, 4);
            let number = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            let written = other.write(&chain, &(number + 1).to_le_bytes());
            other.push(u32::from(chain.head), written);
            served += 1;
        }
    });
    let (mut next, mut finished) = (0, 0);
    while finished < REQUESTS {
        while queue.room() > 0 && next < REQUESTS {
            let mut buffer = pool.take().expect("twice as many as the queue holds");
            buffer.extend(&next.to_le_bytes()).expect("64 bytes are enough");
            queue.submit((), buffer, Direction::FromDevice, (), next).expect("there is room");
            next += 1;
        }
        let _ = queue.publish();
        match queue.poll().expect("an obedient device") {
            Some(done) => {
                assert_eq!(done.payload[..], (done.cookie + 1).to_le_bytes());
                finished += 1;
            }
            None => thread::yield_now(),
        }
    }
    player.join().expect("the device is content");
}
