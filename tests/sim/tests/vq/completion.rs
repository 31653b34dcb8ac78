//! What may be concluded from a used element.

use toro_core::DmaBuf;
use virtio_queue_rt::{Chain, Direction};

use crate::rig::{Header, RINGS, Trailer, buffer, chain, rig};

#[test]
fn vq_24_25_bytes_behind_the_reported_length_are_told_apart() {
    for features in RINGS.iter().copied() {
        let mut rig = rig::<DmaBuf, (), (), ()>(4, features);
        // The device writes eight bytes and reports so many of them, or more than there are.
        for (reported, written) in [(0, 0), (3, 3), (8, 8), (16, 16), (17, 16), (u32::MAX, 16)] {
            let payload = buffer(&mut rig.pool, &[0; 16]);
            rig.queue.submit((), payload, Direction::FromDevice, (), ()).expect("there is room");
            let popped = rig.pop_all().pop().expect("it was published");
            rig.other.write(&popped, b"\x01\x02\x03\x04\x05\x06\x07\x08");
            rig.other.push(popped.head.into(), reported);
            let done = rig.queue.poll().expect("lengths are no fault").expect("completed");
            assert_eq!((done.written, done.payload.len()), (written, 16));
            // What the device did not write is what the caller had put there: no earlier request shows through.
            assert_eq!(done.payload[8..], [0; 8]);
        }
    }
}

#[test]
fn vq_24_a_length_is_cut_to_what_all_writable_parts_hold_together() {
    for features in RINGS.iter().copied() {
        let mut rig = rig::<Chain, u8, Header, Trailer>(16, features);
        for parts in 0..16 {
            let room = 7 * u32::from(parts >> 2 & 1) + 11 * u32::from(parts >> 3) + 1;
            let payload = chain(&mut rig.pool, parts);
            rig.queue.submit([0; 2], payload, (), 0x5a, parts).expect("there is room");
            let popped = rig.pop_all().pop().expect("it was published");
            assert_eq!(popped.writable_len(), room);
            rig.other.push(popped.head.into(), room + 1 + u32::from(parts));
            let done = rig.queue.poll().expect("lengths are no fault").expect("completed");
            assert_eq!((done.written, done.trailer, done.cookie), (room, 0x5a, parts));
        }
    }
}

#[test]
fn vq_24_what_the_device_only_reads_has_no_length() {
    for features in RINGS.iter().copied() {
        let mut rig = rig::<DmaBuf, (), (), ()>(4, features);
        for reported in [0, 1, 2, u32::MAX] {
            let payload = buffer(&mut rig.pool, b"question");
            rig.queue.submit((), payload, Direction::ToDevice, (), ()).expect("there is room");
            let popped = rig.pop_all().pop().expect("it was published");
            rig.other.push(popped.head.into(), reported);
            let done = rig.queue.poll().expect("lengths are no fault").expect("completed");
            assert_eq!((done.written, &done.payload[..]), (0, &b"question"[..]));
        }
    }
}

#[test]
fn there_is_news_of_what_is_finished_and_not_taken_out() {
    for features in RINGS.iter().copied() {
        let mut rig = rig::<DmaBuf, u8, (), ()>(8, features);
        assert!(!rig.queue.has_news());
        for cookie in 0..3 {
            let payload = buffer(&mut rig.pool, &[1]);
            rig.queue.submit((), payload, Direction::ToDevice, (), cookie).expect("there is room");
        }
        let popped = rig.pop_all();
        assert!(!rig.queue.has_news(), "nothing is finished");
        for chain in &popped {
            rig.other.push(chain.head.into(), 0);
        }
        for _ in 0..3 {
            assert!(rig.queue.has_news());
            rig.queue.poll().expect("obedient").expect("completed");
        }
        assert!(!rig.queue.has_news());
        // What names nothing in flight is news, and stays it.
        rig.other.push(9, 0);
        for _ in 0..2 {
            assert!(rig.queue.has_news());
            assert!(rig.queue.poll().is_err());
        }
    }
}
