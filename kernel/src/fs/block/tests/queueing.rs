//! Batches, merging, splitting, room.

use std::vec::Vec;

use super::*;
use crate::fs::scheduler::Work;

#[test]
fn what_several_threads_submit_is_shown_to_the_device_at_once() {
    let machine = Machine::with_sectors(1000);
    let tickets: Vec<_> = (0..10).map(|index| machine.read(index * 50, 1)).collect();
    assert_eq!(machine.model.lock().notifications, 0);
    for (index, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(bytes(ticket.wait()), [(index * 50) as u8; 512]);
    }
    let inner = machine.model.lock();
    assert_eq!((inner.notifications, inner.asked.len()), (1, 10));
}

#[test]
fn an_answer_is_awaited_while_the_device_has_a_request() {
    let machine = Machine::with_sectors(100);
    assert!(!machine.queue.awaits_answer(), "nothing was asked");
    machine.model.lock().behaviour.delay = 3;
    let ticket = machine.read(0, 1);
    assert_eq!(machine.pump.turn(), Work::Done);
    assert_eq!(machine.pump.turn(), Work::None);
    assert!(machine.queue.awaits_answer());
    ticket.wait();
    assert!(!machine.queue.awaits_answer(), "it was answered");
    machine.model.lock().behaviour.is_hanging = true;
    let ticket = machine.read(0, 1);
    machine.pump.turn();
    machine.model.lock().behaviour.is_beyond_reset = true;
    assert!(ticket.wait().result.is_err());
    assert!(!machine.queue.awaits_answer(), "a dead device does not answer");
}

#[test]
fn a_full_batch_does_not_wait_for_the_loop() {
    let machine = Machine::with_sectors(1000);
    let tickets: Vec<_> = (0..40).map(|index| machine.read(index * 20, 1)).collect();
    assert_eq!(machine.model.lock().asked.len(), 16, "as many as the device takes");
    assert_eq!(machine.model.lock().notifications, 0);
    tickets.into_iter().for_each(|ticket| drop(bytes(ticket.wait())));
    assert!(machine.model.lock().most_in_flight <= 16);
}

#[test]
fn neighbours_are_one_request_up_to_the_limits() {
    let machine = Machine::with_sectors(1000);
    // Onwards, backwards, and around the limit of 8 buffers.
    let mut order: Vec<u64> = (8..20).collect();
    order.extend([3, 2, 1, 0]);
    let tickets: Vec<_> = order.iter().map(|&sector| machine.read(sector, 1)).collect();
    for (ticket, sector) in tickets.into_iter().zip(&order) {
        assert_eq!(bytes(ticket.wait()), [*sector as u8; 512]);
    }
    let asked: Vec<_> = machine.model.lock().asked.iter().map(|asked| (asked.operation, asked.segments)).collect();
    let read = |sector| BlockOperation::Read { sector };
    assert_eq!(asked, [(read(8), 8), (read(16), 4), (read(0), 4)]);
}

#[test]
fn reads_and_writes_are_not_merged_nor_more_sectors_than_the_device_takes() {
    let machine = Machine::with_sectors(2000);
    let first = [machine.write(0, 1, 0xAA), machine.read(1, 1), machine.write(2, 1, 0xBB)];
    let second = [machine.read(100, 128), machine.read(228, 128), machine.read(356, 1)];
    first.into_iter().chain(second).for_each(|ticket| assert_eq!(ticket.wait().result, Ok(())));
    let segments: Vec<_> = machine.model.lock().asked.iter().map(|asked| asked.segments).collect();
    assert_eq!(segments, [1, 1, 1, 2, 1]);
    assert_eq!(machine.model.lock().contents()[2], [0xBB; 512]);
}

#[test]
fn a_request_that_is_too_long_is_done_in_pieces_of_the_same_buffer() {
    let model = Model::new(4000);
    model.lock().limits.sectors = 100;
    let machine = Machine::new(model);
    let mut buffer = machine.buffer(600);
    // With something in front that is not the device's business.
    buffer.reset(1024).and_then(|()| buffer.set_len(300 * 512)).expect("it fits");
    let finished = machine.queue.submit(0, BlockOperation::Read { sector: 7 }, Some(buffer)).wait();
    let buffer = finished.buffer.expect("it comes back");
    assert_eq!((finished.result, buffer.headroom(), buffer.len()), (Ok(()), 1024, 300 * 512));
    assert!(buffer.chunks(512).zip(7u64..).all(|(row, sector)| row == [sector as u8; 512]));
    let asked: Vec<_> = machine.model.lock().asked.iter().map(|asked| asked.bytes / 512).collect();
    assert_eq!(asked, [100, 100, 100]);
}

#[test]
fn pieces_are_whole_blocks_of_the_disk() {
    let model = Model::new(4096);
    {
        let mut inner = model.lock();
        (inner.disk.block_size, inner.limits.sectors) = (4096, 15);
    }
    let machine = Machine::new(model);
    assert_eq!(bytes(machine.read(8, 24).wait()).len(), 24 * 512);
    let asked: Vec<_> = machine.model.lock().asked.iter().map(|asked| asked.bytes).collect();
    assert_eq!(asked, [4096, 4096, 4096]);
    machine.model.lock().disk.block_size = 16384;
    assert_eq!(machine.read(32, 32).wait().result, Err(DiskError::Unsupported), "no piece is short enough");
}

#[test]
fn one_large_buffer_is_one_request_where_the_limits_allow() {
    let model = Model::new(8192);
    {
        let mut inner = model.lock();
        (inner.limits.sectors, inner.limits.segment_bytes) = (8192, 4 << 20);
    }
    let machine = Machine::new(model);
    assert_eq!(bytes(machine.read(0, 2048).wait()).len(), 1 << 20);
    assert_eq!(machine.model.lock().asked.len(), 1);
}

#[test]
fn a_dropped_ticket_leaves_its_buffer_to_the_pool() {
    let machine = Machine::with_sectors(10);
    drop(machine.write(3, 1, 9));
    let (late, early) = (machine.read(1, 1), machine.read(5, 1));
    drop(early);
    machine.pump.settle();
    assert!(late.is_finished() && !machine.queue.is_busy());
    drop(late);
    assert_eq!(machine.model.lock().contents()[3], [9; 512]);
    // Places and buffers are used again.
    (0..1000).for_each(|_| drop(bytes(machine.read(3, 1).wait())));
    assert_eq!(machine.pump.turn(), Work::None);
}

#[test]
fn whoever_comes_too_many_waits_for_room() {
    let machine = Machine::with_sectors(64);
    let waiting: Vec<_> = (0..4096).map(|index| machine.write(index % 64, 1, 1)).collect();
    assert!(waiting.iter().all(|ticket| !ticket.is_finished()));
    let late = machine.read(5, 1);
    assert!(waiting.iter().any(Ticket::is_finished), "it was let in when one had ended");
    assert_eq!(late.wait().result, Ok(()));
    waiting.into_iter().for_each(|ticket| assert_eq!(ticket.wait().result, Ok(())));
}

#[test]
fn what_the_device_cannot_take_is_refused_with_its_buffer() {
    let machine = Machine::with_sectors(10);
    let beyond = machine.read(9, 2).wait();
    assert_eq!((beyond.result, beyond.buffer.map(|buffer| buffer.len())), (Err(DiskError::Misplaced), Some(1024)));
    // Of two that were merged, only the one that is wrong is refused.
    let (good, bad) = (machine.read(9, 1), machine.read(10, 1));
    assert_eq!((good.wait().result, bad.wait().result), (Ok(()), Err(DiskError::Misplaced)));
    let flush = machine.queue.submit(0, BlockOperation::Discard { sector: 0, sectors: 1 }, None).wait();
    assert_eq!(flush.result, Err(DiskError::Unsupported));
    machine.model.lock().disk.is_read_only = true;
    assert_eq!(machine.write(0, 1, 1).wait().result, Err(DiskError::ReadOnly));
}
