//! What chains look like: order, number and length of their descriptors.

use std::sync::atomic::Ordering;

use toro_core::DmaBuf;
use toro_core::driver::Refusal;
use virtio_queue_rt::queue::Next;
use virtio_queue_rt::{Chain, Direction};
use virtio_sim::RawDescriptor;

use crate::rig::{Header, INDIRECT_DESC, RINGS, Trailer, buffer, chain, count, rig};

#[test]
fn vq_5_6_every_combination_of_parts_is_one_descriptor_each_and_readable_ones_first() {
    for features in RINGS.iter().copied() {
        let mut rig = rig::<Chain, u8, Header, Trailer>(16, features);
        for round in 0..if cfg!(miri) { 1 } else { 3 } {
            for parts in 0..16 {
                let payload = chain(&mut rig.pool, parts);
                rig.queue.submit([1, 2], payload, (), 0xff, parts).expect("there is room");
                let popped = rig.pop_all().pop().expect("it was published");
                assert_eq!(popped.len(), count(parts) + 2, "VQ-6: header, parts, trailer");
                let lens = |buffers: &[(u64, u32)]| buffers.iter().map(|&(_, len)| len).collect::<Vec<_>>();
                let expected = |from: usize, first: u32, lens: [u32; 2], last: u32| {
                    let has = |part: usize| parts >> (from + part) & 1 == 1;
                    let parts = (0..2).filter(|&part| has(part)).map(|part| lens[part]);
                    [first].into_iter().chain(parts).chain([last]).filter(|&len| len > 0).collect::<Vec<_>>()
                };
                assert_eq!(lens(&popped.readable), expected(0, 16, [3, 5], 0), "round {round}, parts {parts}");
                assert_eq!(lens(&popped.writable), expected(2, 0, [7, 11], 1), "round {round}, parts {parts}");
                rig.other.push(popped.head.into(), 0);
                assert_eq!(rig.queue.poll().expect("obedient").expect("completed").cookie, parts);
            }
        }
    }
}

#[test]
fn vq_7_8_the_longest_chain_fits_the_smallest_queue_that_takes_it() {
    // Six descriptors: a queue of eight is the smallest.
    for features in RINGS.iter().copied() {
        let mut rig = rig::<Chain, (), Header, Trailer>(8, features);
        for _ in 0..20 {
            let payload = chain(&mut rig.pool, 15);
            rig.queue.submit([0; 2], payload, (), 0, ()).expect("there is room");
            let popped = rig.pop_all().pop().expect("it was published");
            assert_eq!(popped.len(), 6);
            rig.other.push(popped.head.into(), 0);
            rig.queue.poll().expect("obedient").expect("completed");
        }
    }
}

#[test]
fn vq_7_no_buffer_is_so_large_that_a_chain_of_them_reaches_4_gib() {
    let rig = rig::<Chain, (), Header, Trailer>(8, 0);
    let largest = toro_core::dma::LARGEST_BUFFER;
    assert!(4 * largest as u64 + 17 < 1 << 32);
    let before = rig.memory.blocks();
    assert!(toro_core::DmaPool::new(rig.memory, 1, largest + 1).is_err());
    assert_eq!(rig.memory.blocks(), before);
}

#[test]
fn vq_13_the_available_index_counts_requests_and_only_moves_forward() {
    let mut rig = rig::<DmaBuf, (), (), ()>(8, 0);
    let rounds = if cfg!(miri) { 40 } else { 70_000 };
    for published in 0..rounds {
        assert_eq!(rig.other.available_index(Ordering::Relaxed), published as u16);
        let payload = buffer(&mut rig.pool, b"x");
        rig.queue.submit((), payload, Direction::ToDevice, (), ()).expect("there is room");
        assert_eq!(rig.other.available_index(Ordering::Relaxed), published as u16, "not before it is published");
        let popped = rig.pop_all().pop().expect("it was published");
        assert_eq!(rig.other.available_entry(published as u16), popped.head);
        rig.other.push(popped.head.into(), 0);
        rig.pool.recycle(rig.queue.poll().expect("obedient").expect("completed").payload);
    }
}

#[test]
fn vq_33_chains_are_remembered_in_private_memory() {
    for features in RINGS.iter().copied() {
        let mut rig = rig::<Chain, u8, Header, Trailer>(16, features);
        for parts in [15, 5, 0, 8] {
            if rig.queue.room() > 0 {
                let payload = chain(&mut rig.pool, parts);
                rig.queue.submit([7, 8], payload, (), 0, parts).expect("there is room");
            }
        }
        let popped = rig.pop_all();
        // All that the driver wrote is lost: descriptors, tables, available ring.
        rig.other.scribble();
        for chain in &popped {
            if let Some((address, len)) = chain.table {
                rig.other.scribble_table(address, len);
            }
            rig.other.push(chain.head.into(), u32::MAX);
        }
        for (number, chain) in popped.iter().enumerate() {
            let done = rig.queue.poll().expect("no lie that matters").expect("completed");
            assert_eq!((done.cookie, done.written), ([15, 5, 0, 8][number], chain.writable_len()));
            let buffers = done.payload.readable.iter().chain(&done.payload.writable).flatten().count();
            assert_eq!(buffers, count(done.cookie));
        }
    }
}

#[test]
fn vq_34_a_full_queue_refuses_and_overwrites_nothing() {
    for features in RINGS.iter().copied() {
        let mut rig = rig::<Chain, u16, Header, Trailer>(32, features);
        let capacity = rig.queue.capacity();
        assert_eq!(capacity, if features & INDIRECT_DESC == 0 { 5 } else { 32 });
        for cookie in 0..capacity {
            let payload = chain(&mut rig.pool, 15);
            rig.queue.submit([cookie.into(), 0], payload, (), 0, cookie).expect("there is room");
        }
        let table: Vec<RawDescriptor> = (0..32).map(|index| rig.other.descriptor(index)).collect();
        let extra = chain(&mut rig.pool, 15);
        let refused = rig.queue.submit([99, 99], extra, (), 0, 99).expect_err("it is full");
        assert_eq!((refused.reason, refused.request.1), (Refusal::Full, 99));
        assert_eq!(table, (0..32).map(|index| rig.other.descriptor(index)).collect::<Vec<_>>());
        let popped = rig.pop_all();
        assert_eq!(popped.len(), usize::from(capacity));
        for (cookie, chain) in popped.iter().enumerate() {
            assert_eq!(rig.other.read(chain)[..8], (cookie as u64).to_le_bytes());
        }
    }
}

#[test]
fn vq_34_many_requests_are_queued_while_there_is_room_and_not_asked_for_beyond() {
    for features in RINGS.iter().copied() {
        let mut rig = rig::<DmaBuf, u16, (), ()>(8, features);
        let mut cookie = 0_u16;
        // Rounds that end at any slot, by the caller, by the queue, and with nothing in between.
        for round in 0..if cfg!(miri) { 5 } else { 100 } {
            let (first, most) = (cookie, round % 12);
            let (queue, pool) = (&mut rig.queue, &mut rig.pool);
            let mut is_skipped = false;
            let next = || {
                is_skipped = !is_skipped;
                if is_skipped {
                    return Next::Nothing;
                }
                if cookie - first == most {
                    return Next::End;
                }
                cookie += 1;
                Next::Request(buffer(pool, &cookie.to_le_bytes()), cookie)
            };
            assert!(queue.submit_each(Direction::ToDevice, next).is_ok());
            assert_eq!(cookie - first, most.min(8), "what has no room is not asked for");
            assert_eq!(queue.len(), cookie - first);
            for (popped, cookie) in rig.pop_all().iter().zip(first + 1..=cookie) {
                assert_eq!(rig.other.read(popped), cookie.to_le_bytes());
                rig.other.push(popped.head.into(), 0);
            }
            let mut expected = first;
            let drained = rig.queue.drain(|done| {
                expected += 1;
                assert_eq!((done.cookie, &done.payload[..]), (expected, &expected.to_le_bytes()[..]));
            });
            assert_eq!((drained, expected), (Ok(cookie - first), cookie));
        }
    }
}

#[test]
fn vq_34_of_many_requests_the_first_that_no_device_accepts_is_handed_back() {
    let mut rig = rig::<DmaBuf, u16, (), ()>(8, 0);
    let (queue, pool) = (&mut rig.queue, &mut rig.pool);
    let mut cookie = 0;
    let next = || {
        cookie += 1;
        Next::Request(buffer(pool, if cookie == 3 { &[] } else { &[1] }), cookie)
    };
    let refused = queue.submit_each(Direction::ToDevice, next).expect_err("the third is empty");
    assert_eq!((refused.reason, refused.request.1), (Refusal::Invalid, 3));
    assert_eq!((rig.queue.len(), rig.pop_all().len()), (2, 2));
    // The slot that it would have had is another's.
    let payload = buffer(&mut rig.pool, &[4]);
    rig.queue.submit((), payload, Direction::ToDevice, (), 4).expect("there is room");
    let popped = rig.pop_all().pop().expect("it was published");
    assert_eq!((popped.head, rig.other.read(&popped)), (2, vec![4]));
}
