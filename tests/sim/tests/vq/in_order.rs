//! Queues whose requests finish in the order in which they were made available.

use toro_core::DmaBuf;
use virtio_queue_rt::{Chain, Direction, FeatureBits, MmioTransport, Reset};
use virtio_sim::clock::CLOCK;
use virtio_sim::queue::feature::VERSION_1;
use virtio_sim::{Device, MmioModel, RawDescriptor};

use crate::rig::{EVENT_IDX, Header, IN_ORDER, INDIRECT_DESC, Trailer, buffer, chain, count, rig};

/// IN_ORDER is accepted together with tables only.
const ORDERED: u64 = INDIRECT_DESC | IN_ORDER;
const ROUNDS: u16 = if cfg!(miri) { 40 } else { 2_000 };

#[test]
fn vq_27_in_order_is_accepted_only_where_descriptors_can_be_in_order() {
    for (offered, expected) in [(IN_ORDER, 0), (ORDERED, ORDERED), (INDIRECT_DESC, INDIRECT_DESC)] {
        let device = Device::new(4, VERSION_1 | offered, &[8], &[]);
        let transport = MmioTransport::new(MmioModel::new(device)).expect("a sound device");
        let negotiated = Reset::new(transport, &CLOCK)
            .expect("it resets")
            .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits)
            .expect("it is a modern device");
        assert_eq!(negotiated.features().bits(), VERSION_1 | expected);
    }
    // Nor does it survive where the driver refuses tables.
    let transport = MmioTransport::new(MmioModel::new(Device::new(4, VERSION_1 | ORDERED, &[8], &[])));
    let negotiated = Reset::new(transport.expect("a sound device"), &CLOCK)
        .expect("it resets")
        .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits & !FeatureBits::INDIRECT_DESC)
        .expect("it is a modern device");
    assert_eq!(negotiated.features().bits(), VERSION_1);
}

#[test]
fn vq_27_descriptors_are_used_in_the_order_of_the_table() {
    let mut rig = rig::<DmaBuf, u16, (), ()>(8, ORDERED | EVENT_IDX);
    let (mut next, mut finished) = (0_u16, 0_u16);
    let mut pending = Vec::new();
    while finished < ROUNDS {
        for _ in 0..rig.queue.room().min(1 + next % 5) {
            let payload = buffer(&mut rig.pool, &next.to_le_bytes());
            rig.queue.submit((), payload, Direction::ToDevice, (), next).expect("there is room");
            next += 1;
        }
        // `pop` panics at a descriptor out of order.
        pending.extend(rig.pop_all());
        for chain in pending.drain(..pending.len().div_ceil(2)) {
            rig.other.push(chain.head.into(), 0);
            let done = rig.queue.poll().expect("obedient").expect("completed");
            assert_eq!(done.payload[..], done.cookie.to_le_bytes());
            assert_eq!(done.token.0, finished % 8);
            rig.pool.recycle(done.payload);
            finished += 1;
        }
    }
}

#[test]
fn vq_28_tables_are_in_order_too() {
    let mut rig = rig::<Chain, u8, Header, Trailer>(16, ORDERED);
    for parts in (0..16).chain(0..16) {
        let payload = chain(&mut rig.pool, parts);
        rig.queue.submit([0; 2], payload, (), 0, parts).expect("there is room");
        let popped = rig.pop_all().pop().expect("it was published");
        let (table, _) = popped.table.expect("more than one part");
        let last = count(parts) as u16 + 1;
        for index in 0..=last {
            let entry = rig.other.descriptor_in(table, index);
            let expected = if index < last { (RawDescriptor::NEXT, index + 1) } else { (0, entry.next) };
            assert_eq!((entry.flags & RawDescriptor::NEXT, entry.next), expected, "entry {index} of {parts:#b}");
        }
        rig.other.push(popped.head.into(), 0);
        assert_eq!(rig.queue.poll().expect("obedient").expect("completed").cookie, parts);
    }
}

#[test]
fn vq_29_one_used_element_completes_a_batch() {
    let mut rig = rig::<Chain, u16, Header, Trailer>(16, ORDERED | EVENT_IDX);
    let (mut next, mut finished) = (0_u16, 0_u16);
    let mut pending = std::collections::VecDeque::new();
    while finished < ROUNDS {
        while rig.queue.room() > 0 {
            let payload = chain(&mut rig.pool, (next % 16) as u8);
            rig.queue.submit([u64::from(next), 0], payload, (), 0, next).expect("there is room");
            next += 1;
        }
        pending.extend(rig.pop_all());
        // Batches of 1 to 16, the whole queue; in pieces of which the driver sees one or two.
        let size = 1 + (finished / 3) % pending.len() as u16;
        let batch: Vec<_> = pending.drain(..usize::from(size)).collect();
        let last = batch.last().expect("at least one");
        rig.other.push_batch(size, last.head.into(), 1);
        for (number, chain) in batch.iter().enumerate() {
            let done = rig.queue.poll().expect("obedient").expect("completed");
            assert_eq!(done.cookie, finished);
            // What has no element of its own was used in full; the last says how far.
            let expected = if number + 1 < batch.len() { chain.writable_len() } else { 1 };
            assert_eq!(done.written, expected, "{number} of {size}");
            finished += 1;
        }
        assert!(rig.queue.poll().expect("no fault").is_none());
    }
}

#[test]
fn vq_29_batches_shown_together_are_taken_apart() {
    for drains in [false, true] {
        let mut rig = rig::<DmaBuf, u16, (), ()>(8, ORDERED);
        for round in 0..if cfg!(miri) { 5 } else { 40_u16 } {
            for cookie in 0..8 {
                let payload = buffer(&mut rig.pool, &[0; 4]);
                rig.queue.submit((), payload, Direction::FromDevice, (), cookie).expect("there is room");
            }
            let heads: Vec<u32> = rig.pop_all().iter().map(|chain| chain.head.into()).collect();
            // Three, one, and four: the elements lie where each batch begins.
            rig.other.push_batch(3, heads[2], 1);
            rig.other.push_batch(1, heads[3], 2);
            rig.other.push_batch(4, heads[7], 3);
            let mut seen = Vec::new();
            if drains {
                assert_eq!(rig.queue.drain(|done| seen.push((done.cookie, done.written))), Ok(8));
            } else {
                while let Some(done) = rig.queue.poll().expect("no fault") {
                    seen.push((done.cookie, done.written));
                }
            }
            let expected = [(0, 4), (1, 4), (2, 1), (3, 2), (4, 4), (5, 4), (6, 4), (7, 3)];
            assert_eq!(seen, expected, "round {round}");
        }
    }
}
