//! The virtqueue with its device in the same thread: what goes in comes out, and nothing else.

mod common;

use std::sync::atomic::{AtomicU8, AtomicU64};

use common::{EVENT_IDX, bench};
use toro_core::DmaBuf;
use toro_core::driver::{Armed, Refusal};
use virtio_queue_rt::{Chain, Direction, Notify};

const ROUNDS: u32 = if cfg!(miri) { 300 } else { 70_000 };

#[test]
fn vq_13_requests_keep_their_identity_over_the_wrap_of_the_indices() {
    for features in [0, EVENT_IDX] {
        let mut bench = bench::<DmaBuf, u32, (), ()>(8, features);
        let mut pending = Vec::new();
        let mut next = 0_u32;
        let mut finished = 0;
        while finished < ROUNDS {
            while bench.queue.room() > 0 {
                let buffer = bench.buffer(&next.to_le_bytes());
                bench.queue.submit((), buffer, Direction::ToDevice, (), next).expect("there is room");
                next += 1;
            }
            let _ = bench.queue.publish();
            while let Some(chain) = bench.other.pop() {
                pending.push(chain);
            }
            // Out of order: every second one first.
            let keep = pending.split_off(pending.len() / 2);
            for chain in pending.drain(..).rev() {
                assert_eq!(bench.other.read(&chain).len(), 4);
                bench.other.push(u32::from(chain.head), 0);
            }
            pending = keep;
            let pool = &mut bench.pool;
            let count = bench.queue.drain(|done| {
                assert_eq!(done.payload[..], done.cookie.to_le_bytes());
                pool.recycle(done.payload);
            });
            finished += u32::from(count.expect("an obedient device"));
        }
    }
}

#[test]
fn vq_34_a_full_queue_hands_everything_back() {
    let mut bench = bench::<DmaBuf, &str, (), ()>(4, 0);
    for _ in 0..4 {
        let buffer = bench.buffer(b"in");
        bench.queue.submit((), buffer, Direction::ToDevice, (), "in").expect("there is room");
    }
    let buffer = bench.buffer(b"out");
    let refused = bench.queue.submit((), buffer, Direction::ToDevice, (), "out").expect_err("it is full");
    assert_eq!(refused.reason, Refusal::Full);
    assert_eq!((&refused.request.0[..], refused.request.1), (&b"out"[..], "out"));
}

#[test]
fn empty_buffers_are_refused_before_the_device_sees_them() {
    let mut bench = bench::<DmaBuf, (), (), ()>(4, 0);
    let buffer = bench.buffer(b"");
    let refused = bench.queue.submit((), buffer, Direction::ToDevice, (), ()).expect_err("it is empty");
    assert_eq!(refused.reason, Refusal::Invalid);
    assert!(bench.queue.is_empty());
}

#[test]
fn header_and_trailer_live_in_queue_memory() {
    let mut bench = bench::<Option<DmaBuf>, u64, [AtomicU64; 2], AtomicU8>(16, EVENT_IDX);
    assert_eq!(bench.queue.capacity(), 5, "three descriptors each");
    for round in 0..40_u64 {
        let payload = (round % 3 != 0).then(|| bench.buffer(&[0; 32]));
        let expected = payload.as_ref().map_or(0, |buffer| buffer.len() as u32);
        let header = [round, !round];
        bench.queue.submit(header, payload, Direction::FromDevice, 0xff, round).expect("there is room");
        assert_eq!(bench.queue.publish(), Notify::Needed);
        let _ = bench.other.enable_kicks();
        let chain = bench.other.pop().expect("it was published");
        let mut bytes = Vec::from(round.to_le_bytes());
        bytes.extend((!round).to_le_bytes());
        assert_eq!(bench.other.read(&chain), bytes);
        assert_eq!(chain.writable_len(), expected + 1);
        let _ = bench.other.enable_kicks();
        let mut answer = vec![round as u8; expected as usize];
        answer.push(round as u8 % 3);
        let written = bench.other.write(&chain, &answer);
        bench.other.push(u32::from(chain.head), written);
        let done = bench.queue.poll().expect("obedient").expect("it completed");
        assert_eq!((done.cookie, done.written, done.trailer), (round, expected + 1, round as u8 % 3));
        if let Some(buffer) = done.payload {
            assert!(buffer.iter().all(|&byte| byte == round as u8));
        }
    }
}

#[test]
fn a_trailer_that_was_not_written_keeps_its_first_value() {
    let mut bench = bench::<Option<DmaBuf>, (), [AtomicU64; 2], AtomicU8>(8, 0);
    bench.queue.submit([1, 2], None, Direction::ToDevice, 0xff, ()).expect("there is room");
    let _ = bench.queue.publish();
    let chain = bench.other.pop().expect("it was published");
    bench.other.push(u32::from(chain.head), 0);
    assert_eq!(bench.queue.poll().expect("obedient").expect("it completed").trailer, 0xff);
}

#[test]
fn vq_5_a_chain_shows_readable_buffers_first() {
    let mut bench = bench::<Chain, u8, (), ()>(16, EVENT_IDX);
    assert_eq!(bench.queue.capacity(), 4);
    for shape in 1..16_u8 {
        let has = |bit: u8| shape & (1 << bit) != 0;
        let chain = Chain {
            readable: [has(0).then(|| bench.buffer(b"head")), has(1).then(|| bench.buffer(b"data"))],
            writable: [has(2).then(|| bench.buffer(&[0; 3])), has(3).then(|| bench.buffer(&[0; 5]))],
        };
        bench.queue.submit((), chain, (), (), shape).expect("there is room");
        let _ = bench.queue.publish();
        let popped = bench.other.pop().expect("it was published");
        let expected = [(has(0), &b"head"[..]), (has(1), &b"data"[..])];
        let bytes: Vec<u8> = expected.iter().filter(|(is, _)| *is).flat_map(|(_, bytes)| bytes.to_vec()).collect();
        assert_eq!(bench.other.read(&popped), bytes);
        assert_eq!(popped.writable_len(), 3 * u32::from(has(2)) + 5 * u32::from(has(3)));
        let written = bench.other.write(&popped, b"abcdefgh");
        bench.other.push(u32::from(popped.head), written);
        let done = bench.queue.poll().expect("obedient").expect("it completed");
        assert_eq!(done.cookie, shape);
        if let (Some(first), Some(second)) = (&done.payload.writable[0], &done.payload.writable[1]) {
            assert_eq!((&first[..], &second[..]), (&b"abc"[..], &b"defgh"[..]));
        }
    }
    let refused = bench.queue.submit((), Chain::default(), (), (), 0).expect_err("nothing in it");
    assert_eq!(refused.reason, Refusal::Invalid);
}

#[test]
fn vq_17_18_suppression_is_obeyed() {
    let mut flags = bench::<DmaBuf, (), (), ()>(8, 0);
    flags.other.disable_kicks();
    let buffer = flags.buffer(b"1");
    flags.queue.submit((), buffer, Direction::ToDevice, (), ()).expect("there is room");
    assert_eq!(flags.queue.publish(), Notify::Suppressed);
    assert!(flags.other.enable_kicks(), "the request is there");
    let buffer = flags.buffer(b"2");
    flags.queue.submit((), buffer, Direction::ToDevice, (), ()).expect("there is room");
    assert_eq!(flags.queue.publish(), Notify::Needed);

    let mut index = bench::<DmaBuf, (), (), ()>(8, EVENT_IDX);
    for expected in [Notify::Needed, Notify::Suppressed] {
        let buffer = index.buffer(b"x");
        index.queue.submit((), buffer, Direction::ToDevice, (), ()).expect("there is room");
        assert_eq!(index.queue.publish(), expected, "avail_event stays 0");
    }
    assert_eq!(index.queue.publish(), Notify::Suppressed, "nothing new");
}

#[test]
fn vq_19_20_22_arming_asks_for_the_next_completion_and_looks_again() {
    for features in [0, EVENT_IDX] {
        let mut bench = bench::<DmaBuf, (), (), ()>(8, features);
        for round in 0..20 {
            let buffer = bench.buffer(b"x");
            bench.queue.submit((), buffer, Direction::ToDevice, (), ()).expect("there is room");
            let _ = bench.queue.publish();
            assert_eq!(bench.queue.arm(), Armed::Idle);
            let chain = bench.other.pop().expect("it was published");
            bench.other.push(u32::from(chain.head), 0);
            assert!(bench.other.wants_interrupt(), "round {round}");
            assert_eq!(bench.queue.arm(), Armed::WorkPending);
            let done = bench.queue.poll().expect("obedient");
            assert!(done.is_some());
            assert!(bench.queue.poll().expect("obedient").is_none());
            assert_eq!(bench.other.available_flags(), u16::from(features == 0), "quiet while polling");
        }
    }
}

#[test]
fn without_arming_no_interrupt_is_wanted() {
    for features in [0, EVENT_IDX] {
        let mut bench = bench::<DmaBuf, (), (), ()>(8, features);
        // With EVENT_IDX the first completion passes used_event = 0, where the ring starts.
        for round in 0..20 {
            let buffer = bench.buffer(b"x");
            bench.queue.submit((), buffer, Direction::ToDevice, (), ()).expect("there is room");
            let _ = bench.queue.publish();
            let chain = bench.other.pop().expect("it was published");
            bench.other.push(u32::from(chain.head), 0);
            assert_eq!(bench.other.wants_interrupt(), features == EVENT_IDX && round == 0);
            assert!(bench.queue.poll().expect("obedient").is_some());
        }
    }
}
