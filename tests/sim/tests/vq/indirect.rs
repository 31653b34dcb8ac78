//! Chains in tables of their own.

use toro_core::DmaBuf;
use virtio_queue_rt::{Chain, Direction, FeatureBits, InitError, MmioTransport, QueueIndex, Reset, Virtqueue};
use virtio_sim::clock::CLOCK;
use virtio_sim::queue::feature::VERSION_1;
use virtio_sim::{Device, MmioModel, RawDescriptor, SimMemory};

use crate::rig::{EVENT_IDX, Header, INDIRECT_DESC, Trailer, buffer, chain, count, rig};

#[test]
fn vq_8_tables_do_not_make_chains_longer_than_the_queue() {
    // Six descriptors do not fit a queue of four, though one with a table would.
    for features in [0, INDIRECT_DESC] {
        let memory = SimMemory::leak();
        let device = Device::new(4, VERSION_1 | features, &[4], &[]);
        let transport = MmioTransport::new(MmioModel::new(device)).expect("a sound device");
        let mut negotiated = Reset::new(transport, &CLOCK)
            .expect("it resets")
            .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits)
            .expect("it is a modern device");
        let queue = negotiated.queue::<Chain, (), Header, Trailer>(QueueIndex(0), 4, memory);
        assert_eq!(queue.expect_err("no request fits"), InitError::QueueTooSmall(QueueIndex(0)));
        let queue = negotiated.queue::<Chain, (), (), ()>(QueueIndex(0), 4, memory).expect("four fit");
        assert_eq!(queue.capacity(), if features == 0 { 1 } else { 4 });
    }
}

#[test]
fn vq_9_there_are_no_tables_unless_they_were_negotiated() {
    for features in [0, EVENT_IDX] {
        let mut rig = rig::<Chain, u8, Header, Trailer>(16, features);
        for parts in 0..16 {
            let payload = chain(&mut rig.pool, parts);
            rig.queue.submit([0; 2], payload, (), 0, parts).expect("there is room");
            let popped = rig.pop_all().pop().expect("it was published");
            assert_eq!(popped.table, None);
            for index in 0..16 {
                assert!(!rig.other.descriptor(index).is(RawDescriptor::INDIRECT));
            }
            rig.other.push(popped.head.into(), 0);
            rig.queue.poll().expect("obedient").expect("completed");
        }
    }
}

#[test]
fn vq_10_11_12_tables_are_of_one_level_of_whole_descriptors_and_linked() {
    let mut rig = rig::<Chain, u8, Header, Trailer>(16, INDIRECT_DESC);
    for parts in (0..16).chain((0..16).rev()) {
        let payload = chain(&mut rig.pool, parts);
        rig.queue.submit([0; 2], payload, (), 0, parts).expect("there is room");
        let popped = rig.pop_all().pop().expect("it was published");
        let head = rig.other.descriptor(popped.head);
        assert_eq!(head.flags, RawDescriptor::INDIRECT, "VQ-11, VQ-12: neither NEXT nor WRITE");
        let (table, len) = popped.table.expect("more than one part");
        assert_eq!((head.address, head.len), (table, len));
        assert_eq!(table % 16, 0, "an aligned table");
        assert!(len > 0 && len % 16 == 0, "VQ-12: {len}");
        let needed = count(parts) as u32 + 2;
        assert!((needed..=6).contains(&(len / 16)), "VQ-12: {len} bytes for {needed}");
        // In one live block, and no level below it.
        rig.memory.at(table, len as usize);
        let mut index = 0;
        for left in (0..needed).rev() {
            let entry = rig.other.descriptor_in(table, index);
            assert!(!entry.is(RawDescriptor::INDIRECT), "VQ-10");
            assert_eq!(entry.is(RawDescriptor::NEXT), left > 0, "VQ-12: linked to the last");
            index = entry.next;
        }
        rig.other.push(popped.head.into(), 0);
        let done = rig.queue.poll().expect("obedient").expect("completed");
        assert_eq!(done.cookie, parts);
    }
}

#[test]
fn vq_12_tables_of_requests_in_flight_are_apart() {
    let mut rig = rig::<Chain, u16, Header, Trailer>(16, INDIRECT_DESC | EVENT_IDX);
    let mut pending = Vec::new();
    for round in 0..if cfg!(miri) { 20 } else { 200_u16 } {
        while rig.queue.room() > 0 {
            let payload = chain(&mut rig.pool, (round % 16) as u8);
            rig.queue.submit([u64::from(round), 0], payload, (), 0, round).expect("there is room");
        }
        pending.extend(rig.pop_all());
        let mut tables: Vec<(u64, u64)> = pending
            .iter()
            .map(|chain| chain.table.expect("a table"))
            .map(|(at, len)| (at, at + u64::from(len)))
            .collect();
        tables.sort_unstable();
        assert!(tables.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{tables:x?}");
        // Some stay for long.
        let chain = pending.swap_remove(usize::from(round * 7) % pending.len());
        rig.other.push(chain.head.into(), 0);
        rig.queue.poll().expect("obedient").expect("completed");
    }
}

#[test]
fn vq_12_single_buffers_need_no_table() {
    let mut rig = rig::<DmaBuf, (), (), ()>(4, INDIRECT_DESC);
    let payload = buffer(&mut rig.pool, b"x");
    rig.queue.submit((), payload, Direction::ToDevice, (), ()).expect("there is room");
    assert_eq!(rig.pop_all().pop().expect("it was published").table, None);
    let _: &Virtqueue<DmaBuf, ()> = &rig.queue;
}
