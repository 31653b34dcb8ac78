//! The used ring of a lying device: each lie is a typed fault, the queue is dead afterwards, no buffer gets a
//! second owner, and after a reset everything works again.

mod common;

use common::{Bench, EVENT_IDX, bench};
use toro_core::driver::{DeviceFault, Refusal};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::{Direction, FeatureBits, QueueIndex, Reset, Virtqueue};
use virtio_sim::clock::CLOCK;
use virtio_sim::{DeviceQueue, PoppedChain};

type TestBench = Bench<DmaBuf, u32>;
type Queue = Virtqueue<DmaBuf, u32>;

/// A queue of 8 with `count` requests that the device has seen.
fn with_requests(count: u32, features: u64) -> (TestBench, Vec<PoppedChain>) {
    let mut bench = bench::<DmaBuf, u32, (), ()>(8, features);
    for cookie in 0..count {
        let mut buffer = bench.buffer(&[0xaa; 16]);
        buffer.set_len(16).expect("16 of 64");
        bench.queue.submit((), buffer, Direction::FromDevice, (), cookie).expect("there is room");
    }
    let _ = bench.queue.publish();
    let chains = std::iter::from_fn(|| bench.other.pop()).collect();
    (bench, chains)
}

/// The queue refuses to go on, and a reset brings everything back.
fn is_poisoned_and_recovers(mut bench: TestBench, fault: DeviceFault, in_flight: u32) {
    assert_eq!(bench.queue.poll().expect_err("poisoned"), fault);
    assert_eq!(bench.queue.drain(|_| panic!("nothing completes")), Err(fault));
    assert_eq!((bench.queue.fault(), bench.queue.room()), (Some(fault), 0));
    let buffer = bench.buffer(b"new");
    let refused = bench.queue.submit((), buffer, Direction::ToDevice, (), 99).expect_err("poisoned");
    assert_eq!(refused.reason, Refusal::Faulted(fault));
    drop(refused);

    let (transport, proof) = bench.running.quiesce(&CLOCK).expect("it resets");
    let mut cookies = Vec::new();
    assert!(bench.queue.retire(&proof, |_, cookie| cookies.push(cookie)).is_ok());
    assert_eq!(cookies.len() as u32, in_flight, "{cookies:?}");
    cookies.dedup();
    assert_eq!(cookies.len() as u32, in_flight, "no cookie twice");
    assert_eq!(bench.pool.available(), bench.pool.count(), "every buffer came home");

    let reset = Reset::new(transport, &CLOCK).expect("it resets");
    let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("as before");
    let mut queue: Queue = negotiated.queue(QueueIndex(0), 8, bench.memory).expect("as before");
    let _running = negotiated.run();
    let has_event_idx = bench.device.state().accepted & EVENT_IDX != 0;
    let mut other = DeviceQueue::new(bench.memory, bench.device.queue(0), has_event_idx);
    works(&mut queue, &mut other, &mut bench.pool);
}

fn works(queue: &mut Queue, other: &mut DeviceQueue, pool: &mut DmaPool) {
    let mut buffer = pool.take().expect("free buffers");
    buffer.set_len(5).expect("5 of 64");
    queue.submit((), buffer, Direction::FromDevice, (), 7).expect("there is room");
    let _ = queue.publish();
    let chain = other.pop().expect("it was published");
    let written = other.write(&chain, b"hello");
    other.push(u32::from(chain.head), written);
    let done = queue.poll().expect("obedient").expect("it completed");
    assert_eq!((&done.payload[..], done.cookie, done.written), (&b"hello"[..], 7, 5));
}

#[test]
fn hd_vq_1_an_id_beyond_the_queue_is_a_fault() {
    for id in [8, 9, 0xffff, 0x1_0000, 0x1_0003, u32::MAX] {
        let (mut bench, _) = with_requests(4, 0);
        bench.other.push(id, 16);
        let fault = DeviceFault::UsedIdOutOfRange { id };
        assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
        is_poisoned_and_recovers(bench, fault, 4);
    }
}

#[test]
fn hd_vq_1_storage_beyond_the_queue_is_beyond_the_queue() {
    // The caller's storage has more slots than the queue: an id in between names no descriptor of ours.
    let memory = virtio_sim::SimMemory::leak();
    let device = virtio_sim::Device::new(4, common::VERSION_1, &[8], &[]);
    let transport = virtio_queue_rt::MmioTransport::new(virtio_sim::MmioModel::new(device.clone())).expect("sound");
    let reset = Reset::new(transport, &CLOCK).expect("it resets");
    let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("modern");
    let storage = |slots: usize| (0..slots + 8).map(|_| Default::default()).collect();
    let mut queue: Queue = negotiated.queue_in(QueueIndex(0), 8, memory, storage).expect("there is more than enough");
    let _running = negotiated.run();
    assert_eq!(queue.capacity(), 8);
    let mut pool = DmaPool::new(memory, 1, 64).expect("memory");
    let mut buffer = pool.take().expect("one");
    buffer.extend(b"x").expect("it fits");
    queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
    let _ = queue.publish();
    let mut other = DeviceQueue::new(memory, device.queue(0), false);
    other.push(12, 0);
    assert_eq!(queue.poll().expect_err("a lie"), DeviceFault::UsedIdOutOfRange { id: 12 });
}

#[test]
fn hd_vq_2_an_id_that_is_not_in_flight_is_a_fault() {
    let (mut bench, _) = with_requests(3, EVENT_IDX);
    bench.other.push(5, 16);
    let fault = DeviceFault::UsedIdNotInFlight { id: 5 };
    assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
    is_poisoned_and_recovers(bench, fault, 3);
}

#[test]
fn hd_vq_3_a_second_completion_is_a_fault() {
    let (mut bench, chains) = with_requests(3, 0);
    let id = u32::from(chains[1].head);
    bench.other.push(id, 16);
    bench.other.push(id, 16);
    let done = bench.queue.poll().expect("the first is fine").expect("it completed");
    assert_eq!(done.cookie, 1);
    drop(done);
    let fault = DeviceFault::UsedIdNotInFlight { id };
    assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
    is_poisoned_and_recovers(bench, fault, 2);
}

#[test]
fn hd_vq_4_a_length_beyond_the_buffer_is_cut() {
    for len in [17, 0xffff_ffff] {
        let (mut bench, chains) = with_requests(1, 0);
        bench.other.push(u32::from(chains[0].head), len);
        let done = bench.queue.poll().expect("lengths are no fault").expect("it completed");
        assert_eq!(done.written, 16);
    }
}

#[test]
fn hd_vq_6_a_used_index_too_far_ahead_is_a_fault() {
    for advance in [4_u16, 8, 9, 0x7fff, 0x8000] {
        let (mut bench, _) = with_requests(3, EVENT_IDX);
        bench.other.show_used_index(advance);
        let fault = DeviceFault::UsedIndexJump { advance, in_flight: 3 };
        assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
        is_poisoned_and_recovers(bench, fault, 3);
    }
}

#[test]
fn hd_vq_7_a_used_index_that_moves_back_is_a_fault() {
    let (mut bench, chains) = with_requests(3, 0);
    bench.other.push(u32::from(chains[0].head), 0);
    assert!(bench.queue.poll().expect("fine so far").is_some());
    bench.other.show_used_index(0);
    let fault = DeviceFault::UsedIndexJump { advance: 0xffff, in_flight: 2 };
    assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
    is_poisoned_and_recovers(bench, fault, 2);
}

#[test]
fn hd_vq_8_rewriting_the_drivers_own_tables_changes_nothing() {
    let (mut bench, chains) = with_requests(8, 0);
    bench.other.scribble();
    for chain in &chains {
        bench.other.push(u32::from(chain.head), 16);
    }
    let mut cookies = Vec::new();
    let count = bench.queue.drain(|done| {
        assert_eq!(done.payload.len(), 16);
        cookies.push(done.cookie);
    });
    assert_eq!((count, cookies), (Ok(8), (0..8).collect()));
    // And the driver repairs what it uses next.
    for _ in 0..20 {
        works(&mut bench.queue, &mut bench.other, &mut bench.pool);
    }
}

#[test]
fn hd_vq_9_an_element_changed_after_it_was_read_changes_nothing() {
    let (mut bench, chains) = with_requests(2, 0);
    bench.other.push(u32::from(chains[0].head), 4);
    let done = bench.queue.poll().expect("obedient").expect("it completed");
    bench.other.write_used(0, u32::MAX, u32::MAX);
    assert_eq!((done.cookie, done.written), (0, 4));
    assert!(bench.queue.poll().expect("no fault").is_none());
}

#[test]
fn hd_vq_13_garbage_in_the_suppression_fields_only_costs_kicks() {
    let (mut bench, chains) = with_requests(2, 0);
    bench.other.scribble();
    bench.other.disable_kicks();
    for chain in chains {
        bench.other.push(u32::from(chain.head), 0);
    }
    assert_eq!(bench.queue.drain(drop), Ok(2));
}

#[test]
fn hd_vq_15_completing_what_was_not_published_is_a_fault() {
    let (mut bench, _) = with_requests(0, 0);
    let buffer = bench.buffer(b"secret");
    bench.queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
    bench.other.push(0, 0);
    let fault = DeviceFault::UsedIndexJump { advance: 1, in_flight: 0 };
    assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
    is_poisoned_and_recovers(bench, fault, 1);
}

#[test]
fn faults_in_the_middle_of_a_batch_keep_what_came_before() {
    let (mut bench, chains) = with_requests(4, 0);
    bench.other.push(u32::from(chains[2].head), 1);
    bench.other.push(u32::from(chains[0].head), 2);
    bench.other.push(77, 3);
    let mut seen = Vec::new();
    let result = bench.queue.drain(|done| seen.push((done.cookie, done.written)));
    let fault = DeviceFault::UsedIdOutOfRange { id: 77 };
    assert_eq!((result, seen), (Err(fault), vec![(2, 1), (0, 2)]));
    is_poisoned_and_recovers(bench, fault, 2);
}

#[test]
fn ini_13_a_live_queue_that_is_dropped_leaves_its_memory_alone() {
    let (bench, chains) = with_requests(2, 0);
    let memory = bench.memory;
    let blocks = memory.blocks();
    let Bench { queue, pool, other, .. } = bench;
    {
        let _gone = (queue, pool);
    }
    assert_eq!(memory.blocks(), blocks);
    // The device can still write to the buffers.
    assert_eq!(other.write(&chains[1], &[1; 16]), 16);
}

#[test]
fn a_proof_for_another_device_frees_nothing() {
    let (bench, _) = with_requests(1, 0);
    let (other, _) = with_requests(1, 0);
    let (_, proof) = other.running.quiesce(&CLOCK).expect("it resets");
    assert!(bench.queue.retire(&proof, |_, _| panic!("nothing is handed out")).is_err());
}
