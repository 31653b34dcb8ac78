//! What a device may write into its own part of the rings, and into everybody's buffers.

use std::time::Duration;

use toro_core::driver::{Armed, DeviceFault, Refusal};
use toro_core::{Deadline, DmaPool};
use virtio_queue_rt::{Direction, FeatureBits, MmioTransport, Notify, QueueIndex, Reset};
use virtio_sim::clock::CLOCK;
use virtio_sim::{Device, DeviceQueue, MmioModel, SimMemory};

use crate::common::{Bench, EVENT_IDX, VERSION_1};
use crate::rig::{
    HASTE, KINDS, Queue, UNORDERED, is_poisoned_and_recovers, recovers, with_cells, with_requests, works,
};

#[test]
fn hd_vq_1_an_id_beyond_the_queue_is_a_fault() {
    for features in KINDS.iter().copied() {
        for id in [8, 9, 0xffff, 0x1_0000, 0x1_0003, u32::MAX] {
            let (mut bench, _) = with_requests(4, features);
            bench.other.push(id, 16);
            let fault = DeviceFault::UsedIdOutOfRange { id };
            assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
            is_poisoned_and_recovers(bench, fault, 4);
        }
    }
}

#[test]
fn hd_vq_1_storage_beyond_the_queue_is_beyond_the_queue() {
    // The caller's storage has more slots than the queue: an id in between names no descriptor of ours.
    let memory = SimMemory::leak();
    let device = Device::new(4, VERSION_1, &[8], &[]);
    let transport = MmioTransport::new(MmioModel::new(device.clone())).expect("sound");
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
    for features in UNORDERED.iter().copied() {
        let (mut bench, _) = with_requests(3, features);
        bench.other.push(5, 16);
        let fault = DeviceFault::UsedIdNotInFlight { id: 5 };
        assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
        is_poisoned_and_recovers(bench, fault, 3);
    }
}

#[test]
fn hd_vq_2_a_descriptor_in_the_middle_of_a_chain_is_no_head() {
    // Slots 0 to 4 in the first row, their payloads in 5 to 9, their trailers in 10 to 14.
    let (mut bench, chains) = with_cells(3, 0);
    assert_eq!((bench.queue.capacity(), chains[1].len()), (5, 3));
    let id = u32::from(bench.other.descriptor(chains[1].head).next);
    bench.other.push(id, 1);
    assert_eq!(bench.queue.poll().expect_err("a lie"), DeviceFault::UsedIdOutOfRange { id });
    recovers(bench, 3);
}

#[test]
fn hd_vq_3_a_second_completion_is_a_fault() {
    for features in UNORDERED.iter().copied() {
        let (mut bench, chains) = with_requests(3, features);
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
}

#[test]
fn hd_vq_4_a_length_beyond_the_writable_part_is_cut() {
    for features in KINDS.iter().copied() {
        for len in [17, 18, 0x8000_0000, u32::MAX] {
            let (mut bench, chains) = with_requests(1, features);
            bench.other.push(u32::from(chains[0].head), len);
            let done = bench.queue.poll().expect("lengths are no fault").expect("it completed");
            assert_eq!((done.written, done.payload.len()), (16, 16));
            drop(done);
            recovers(bench, 0);
            // With the trailer it is one more.
            let (mut bench, chains) = with_cells(1, features);
            bench.other.push(u32::from(chains[0].head), len);
            assert_eq!(bench.queue.poll().expect("lengths are no fault").expect("it completed").written, 17);
            recovers(bench, 0);
        }
    }
}

#[test]
fn hd_vq_5_a_length_too_small_for_a_reply_is_told_and_the_buffer_comes_back() {
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_cells(2, features);
        for (chain, len) in chains.iter().zip([0, 5]) {
            bench.other.push(u32::from(chain.head), len);
            let done = bench.queue.poll().expect("lengths are no fault").expect("it completed");
            // Enough for the driver to say no: what was written, and a trailer that still says nothing.
            assert_eq!((done.written, done.trailer), (len, 0xff));
            assert_eq!(done.payload.expect("as submitted").len(), 16);
        }
        recovers(bench, 0);
    }
}

#[test]
fn hd_vq_6_a_used_index_too_far_ahead_is_a_fault() {
    for features in KINDS.iter().copied() {
        for advance in [4_u16, 8, 9, 0x7fff, 0x8000] {
            let (mut bench, _) = with_requests(3, features);
            bench.other.show_used_index(advance);
            let fault = DeviceFault::UsedIndexJump { advance, in_flight: 3 };
            assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
            is_poisoned_and_recovers(bench, fault, 3);
        }
    }
}

#[test]
fn hd_vq_7_a_used_index_that_moves_back_is_a_fault() {
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_requests(3, features);
        bench.other.push(u32::from(chains[0].head), 0);
        assert!(bench.queue.poll().expect("fine so far").is_some());
        bench.other.show_used_index(0);
        let fault = DeviceFault::UsedIndexJump { advance: 0xffff, in_flight: 2 };
        assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
        is_poisoned_and_recovers(bench, fault, 2);
    }
}

#[test]
fn hd_vq_8_rewriting_the_drivers_own_tables_changes_nothing() {
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_requests(8, features);
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
        recovers(bench, 0);
    }
}

#[test]
fn hd_vq_8_rewriting_what_never_changes_is_mended_by_a_reset() {
    // Descriptors of headers, of trailers and of tables are written once; without them requests cannot go through, and
    // that is all.
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_cells(5, features);
        bench.other.scribble();
        for chain in &chains {
            if let Some((table, len)) = chain.table {
                bench.other.scribble_table(table, len);
            }
            bench.other.push(u32::from(chain.head), u32::MAX);
        }
        assert_eq!(bench.queue.drain(|done| assert_eq!((done.written, done.trailer), (17, 0xff))), Ok(5));
        for cookie in 0..3 {
            let buffer = bench.buffer(b"more");
            bench.queue.submit([3, 4], Some(buffer), Direction::ToDevice, 0, cookie).expect("there is room");
        }
        let _ = bench.queue.publish();
        recovers(bench, 3);
    }
}

#[test]
fn hd_vq_9_an_element_changed_after_it_was_read_changes_nothing() {
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_requests(2, features);
        bench.other.push(u32::from(chains[0].head), 4);
        let done = bench.queue.poll().expect("obedient").expect("it completed");
        bench.other.write_used(0, u32::MAX, u32::MAX);
        assert_eq!((done.cookie, done.written), (0, 4));
        assert!(bench.queue.poll().expect("no fault").is_none());
        drop(done);
        recovers(bench, 1);
    }
}

#[test]
fn hd_vq_10_an_index_shown_before_its_elements_finds_stale_ids_which_are_faults() {
    for features in UNORDERED.iter().copied() {
        let (mut bench, chains) = with_requests(8, features);
        // A whole lap, backwards, so that every element has held an id.
        for chain in chains.iter().rev() {
            bench.other.push(u32::from(chain.head), 16);
        }
        assert_eq!(bench.queue.drain(drop), Ok(8));
        for cookie in 0..2 {
            let buffer = bench.buffer(b"second lap");
            bench.queue.submit((), buffer, Direction::ToDevice, (), cookie).expect("there is room");
        }
        let _ = bench.queue.publish();
        let heads: Vec<u32> = std::iter::from_fn(|| bench.other.pop()).map(|chain| chain.head.into()).collect();
        // The first element is written, with the second request; what the next one holds is from the lap before.
        let (stale, position) = (heads[1], bench.other.used_index());
        assert_eq!(bench.other.used_element(position.wrapping_add(1)).0, stale, "as it happens");
        bench.other.write_used(position, stale, 0);
        bench.other.show_used_index(position.wrapping_add(2));
        assert_eq!(bench.queue.poll().expect("that one is true").expect("it completed").cookie, 1);
        let fault = DeviceFault::UsedIdNotInFlight { id: stale };
        assert_eq!(bench.queue.poll().expect_err("stale"), fault);
        is_poisoned_and_recovers(bench, fault, 1);
    }
}

#[test]
fn hd_vq_11_completions_in_any_order_are_no_lie() {
    for features in UNORDERED.iter().copied() {
        for skip in [1, 3, 5, 7] {
            let (mut bench, chains) = with_requests(8, features);
            let order: Vec<usize> = (0..8).map(|step| (step * skip + 2) % 8).collect();
            for &number in &order {
                bench.other.push(u32::from(chains[number].head), number as u32);
            }
            let mut seen = Vec::new();
            assert_eq!(bench.queue.drain(|done| seen.push((done.cookie as usize, done.written as usize))), Ok(8));
            assert_eq!(seen, order.iter().map(|&number| (number, number)).collect::<Vec<_>>());
            recovers(bench, 0);
        }
    }
}

#[test]
fn hd_vq_13_garbage_in_the_suppression_fields_only_costs_kicks() {
    for features in KINDS.iter().copied() {
        let mut kicks = Vec::new();
        for word in [0, 1, 7, 0x7fff, 0x8000, 0xfffe, 0xffff] {
            let (mut bench, _) = with_requests(0, features);
            bench.other.scribble_kick_wish(word);
            let buffer = bench.buffer(b"x");
            bench.queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
            let wish = bench.queue.publish();
            bench.running.notify(&bench.queue, wish);
            kicks.push(wish);
            // When nothing comes of it, the caller kicks whatever the device says, and is heard.
            bench.device.state().kicks.clear();
            bench.running.notify(&bench.queue, Notify::Needed);
            assert_eq!(bench.device.state().kicks, [0]);
            let chain = bench.other.pop().expect("it was published all the same");
            bench.other.push(chain.head.into(), 0);
            assert_eq!(bench.queue.poll().expect("no fault").expect("it completed").cookie, 1);
            recovers(bench, 0);
        }
        assert!(kicks.contains(&Notify::Needed) && kicks.contains(&Notify::Suppressed), "{kicks:?}");
    }
}

#[test]
fn hd_vq_14_a_device_that_never_completes_costs_a_reset_and_nothing_is_freed_before() {
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_cells(4, features);
        let blocks = bench.memory.blocks();
        let free = bench.pool.available();
        // As a caller waits: it looks until its patience ends, then kicks once more, then gives up.
        let deadline = Deadline::after(&HASTE, Duration::from_secs(1));
        while !deadline.is_over() {
            assert!(bench.queue.poll().expect("silence is no fault").is_none());
        }
        bench.running.notify(&bench.queue, Notify::Needed);
        assert!(bench.queue.poll().expect("silence is no fault").is_none());
        assert_eq!((bench.queue.len(), bench.queue.fault()), (4, None));
        assert_eq!((bench.memory.blocks(), bench.pool.available()), (blocks, free), "the device owns them still");
        // It may still write there.
        for chain in &chains {
            assert_eq!(bench.other.write(chain, &[5; 17]), 17);
        }
        recovers(bench, 4);
    }
}

#[test]
fn hd_vq_14_a_device_that_does_not_even_reset_keeps_the_memory() {
    let (bench, chains) = with_requests(3, EVENT_IDX);
    let Bench { memory, device, running, queue, other, mut pool, .. } = bench;
    let (blocks, free) = (memory.blocks(), pool.available());
    device.lie(|lies| lies.never_resets = true);
    let (running, error) = running.quiesce(&HASTE).expect_err("it does not confirm");
    assert_eq!(error, virtio_queue_rt::TransportError::TimedOut);
    assert_eq!((memory.blocks(), pool.available()), (blocks, free));
    assert_eq!(other.write(&chains[2], &[1; 16]), 16, "it may still write there");
    // When it does in the end, all comes back.
    device.lie(|lies| lies.never_resets = false);
    let (_, proof) = running.quiesce(&HASTE).expect("it resets");
    let mut count = 0;
    assert!(queue.retire(&proof, |_, _| count += 1).is_ok());
    assert_eq!((count, pool.available()), (3, pool.count()));
}

#[test]
fn hd_vq_15_completing_what_was_not_published_is_a_fault() {
    for features in KINDS.iter().copied() {
        let (mut bench, _) = with_requests(0, features);
        let buffer = bench.buffer(b"secret");
        bench.queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
        bench.other.push(0, 0);
        let fault = DeviceFault::UsedIndexJump { advance: 1, in_flight: 0 };
        assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
        is_poisoned_and_recovers(bench, fault, 1);
    }
}

#[test]
fn hd_vq_15_naming_what_was_not_published_for_what_was_is_a_fault() {
    for features in KINDS.iter().copied() {
        let (mut bench, _) = with_requests(2, features);
        let buffer = bench.buffer(b"secret");
        let token = bench.queue.submit((), buffer, Direction::ToDevice, (), 2).expect("there is room").0;
        bench.other.push(token.into(), 0);
        let fault = bench.queue.poll().expect_err("a lie");
        assert!(
            matches!(fault, DeviceFault::UsedIdNotInFlight { .. } | DeviceFault::UsedIdOutOfOrder { .. }),
            "{fault}"
        );
        is_poisoned_and_recovers(bench, fault, 3);
    }
}

#[test]
fn hd_vq_15_completing_what_was_published_without_a_kick_is_fine() {
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_requests(2, features);
        assert!(bench.device.state().kicks.is_empty());
        for chain in &chains {
            bench.other.push(u32::from(chain.head), 0);
        }
        assert_eq!(bench.queue.drain(drop), Ok(2));
        recovers(bench, 0);
    }
}

#[test]
fn hd_vq_17_what_changes_after_a_completion_was_read_once() {
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_cells(1, features);
        let answer: Vec<u8> = [7; 16].into_iter().chain([1]).collect();
        bench.other.write(&chains[0], &answer);
        bench.other.push(u32::from(chains[0].head), 17);
        let done = bench.queue.poll().expect("obedient").expect("it completed");
        // The device goes on writing to the trailer and to the element.
        bench.other.write(&chains[0], &[9; 17]);
        bench.other.write_used(0, 0, 3);
        assert_eq!((done.trailer, done.written, done.cookie), (1, 17, 0));
        drop(done);
        recovers(bench, 0);
    }
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
fn hd_g_7_an_element_put_right_after_the_fault_does_not_undo_it() {
    for features in KINDS.iter().copied() {
        let (mut bench, chains) = with_requests(2, features);
        bench.other.push(77, 16);
        let fault = DeviceFault::UsedIdOutOfRange { id: 77 };
        assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
        bench.other.write_used(0, chains[0].head.into(), 16);
        assert_eq!(bench.queue.poll().expect_err("still faulted"), fault);
        is_poisoned_and_recovers(bench, fault, 2);
    }
}

#[test]
fn a_poisoned_queue_says_so_when_it_is_armed_and_published() {
    let (mut bench, _) = with_requests(2, EVENT_IDX);
    bench.other.push(9, 0);
    let fault = bench.queue.poll().expect_err("a lie");
    assert_eq!(bench.queue.publish(), Notify::Suppressed);
    assert_eq!(bench.queue.arm(), Armed::WorkPending, "the caller looks, and finds the fault");
    let buffer = bench.buffer(b"x");
    let refused = bench.queue.submit((), buffer, Direction::ToDevice, (), 3).expect_err("poisoned");
    assert_eq!(refused.reason, Refusal::Faulted(fault));
    drop(refused);
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
