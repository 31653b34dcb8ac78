//! Bad sectors, silence, faults and death.

use std::vec::Vec;

use toro_core::driver::DeviceFault;
use toro_core::driver::block::BlockError;

use super::*;

fn errors(tickets: Vec<Ticket>) -> Vec<Result<(), DiskError>> {
    tickets.into_iter().map(|ticket| ticket.wait().result).collect()
}

#[test]
fn an_error_reaches_only_the_caller_whose_sectors_are_bad() {
    for order in [0, 1, 77] {
        let machine = Machine::with_sectors(1000);
        machine.model.lock().behaviour.order = order;
        machine.model.lock().behaviour.bad.extend([12, 15]);
        let reads: Vec<_> = (10..18).map(|sector| machine.read(sector, 1)).collect();
        let writes: Vec<_> = (8..19).map(|sector| machine.write(sector, 1, 0xEE)).collect();
        let bad = |sector| {
            let is_bad = matches!(sector, 12 | 15);
            if is_bad { Err(BlockError::Medium { sector: Some(sector) }.into()) } else { Ok(()) }
        };
        assert_eq!(errors(reads), (10..18).map(bad).collect::<Vec<_>>());
        assert_eq!(errors(writes), (8..19).map(bad).collect::<Vec<_>>());
        let contents = machine.model.lock().contents();
        for (sector, row) in contents.iter().enumerate().skip(8).take(11) {
            let byte = if matches!(sector, 12 | 15) { sector as u8 } else { 0xEE };
            assert_eq!(*row, [byte; 512], "sector {sector}");
        }
    }
}

#[test]
fn a_piece_that_fails_fails_the_request() {
    let model = Model::new(1000);
    model.lock().limits.sectors = 10;
    model.lock().behaviour.bad.insert(25);
    let machine = Machine::new(model);
    let finished = machine.read(0, 40).wait();
    assert_eq!(finished.result, Err(BlockError::Medium { sector: Some(25) }.into()));
    assert_eq!(finished.buffer.map(|buffer| buffer.len()), Some(40 * 512), "whole again");
    assert_eq!(machine.model.lock().asked.len(), 3, "nothing behind it is asked for");
}

#[test]
fn a_device_that_hangs_is_reset_and_reads_are_tried_once_more() {
    let machine = Machine::with_sectors(100);
    machine.model.lock().behaviour.swallow = 2;
    let (read, write) = (machine.read(1, 1), machine.write(9, 1, 9));
    assert_eq!(bytes(read.wait()), [1; 512]);
    assert_eq!(write.wait().result, Err(BlockError::TimedOut.into()), "whether it was done is unknown");
    assert_eq!(machine.model.lock().resets, 1);
    assert!(machine.pump.time() >= PATIENCE && machine.pump.time() < PATIENCE + SECOND);
    assert_eq!(bytes(machine.read(3, 1).wait()), [3; 512]);
}

#[test]
fn a_device_that_hangs_for_ever_ends_in_errors() {
    let machine = Machine::with_sectors(1000);
    machine.model.lock().behaviour.is_hanging = true;
    let reads: Vec<_> = (0..100).map(|index| machine.read(index * 10, 1)).collect();
    let results = errors(reads);
    assert!(results.iter().all(Result::is_err));
    assert!(results.contains(&Err(BlockError::TimedOut.into())) && results.contains(&Err(DiskError::Dead)));
    assert!(machine.pump.time() < 5 * PATIENCE, "{:?}", machine.pump.time());
    let before = machine.pump.time();
    assert_eq!(machine.read(0, 1).wait().result, Err(DiskError::Dead));
    assert_eq!(machine.pump.time(), before, "at once");
    assert_eq!(machine.queue.deadline(), None);
}

#[test]
fn a_device_that_never_has_room_ends_in_errors() {
    let machine = Machine::with_sectors(1000);
    machine.model.lock().behaviour.is_full = true;
    assert_eq!(machine.read(0, 1).wait().result, Err(DiskError::Dead));
    assert!(machine.pump.time() < 5 * PATIENCE);
}

#[test]
fn a_request_that_does_not_come_back_is_missed_among_others_that_do() {
    let machine = Machine::with_sectors(1000);
    machine.model.lock().behaviour.swallow = 1;
    let lost = machine.write(0, 1, 1);
    machine.pump.turn();
    for _ in 0..200 {
        assert_eq!(machine.read(50, 1).wait().result, Ok(()));
        machine.pump.advance(SECOND);
        if lost.is_finished() {
            break;
        }
    }
    assert_eq!(lost.wait().result, Err(BlockError::TimedOut.into()));
    assert!(machine.pump.time() < PATIENCE + 3 * SECOND);
}

#[test]
fn a_fault_is_answered_with_a_reset() {
    let machine = Machine::with_sectors(100);
    machine.model.lock().behaviour.delay = 3;
    let (read, write) = (machine.read(1, 1), machine.write(9, 1, 9));
    machine.pump.turn();
    machine.model.lock().behaviour.fault = Some(DeviceFault::NeedsReset);
    assert_eq!(bytes(read.wait()), [1; 512]);
    assert_eq!(write.wait().result, Err(BlockError::Interrupted.into()));
    // And one that shows when something is handed in.
    machine.model.lock().behaviour.fault = Some(DeviceFault::NeedsReset);
    assert_eq!(bytes(machine.read(4, 1).wait()), [4; 512]);
    assert_eq!(machine.model.lock().resets, 2);
}

#[test]
fn a_device_that_cannot_be_reset_keeps_the_buffers_and_is_dead() {
    let machine = Machine::with_sectors(100);
    machine.model.lock().behaviour.delay = 3;
    machine.model.lock().behaviour.is_beyond_reset = true;
    let (read, write) = (machine.read(1, 1), machine.write(9, 1, 9));
    machine.pump.turn();
    let waiting = machine.read(50, 1);
    machine.model.lock().behaviour.fault = Some(DeviceFault::Gone);
    let finished = read.wait();
    assert_eq!(finished.result, Err(BlockError::Interrupted.into()));
    assert!(finished.buffer.is_none());
    assert_eq!(write.wait().result, Err(BlockError::Interrupted.into()));
    assert!(waiting.wait().result.is_err());
    let late = machine.read(7, 1).wait();
    assert_eq!((late.result, late.buffer.is_some()), (Err(DiskError::Dead), true));
    assert_eq!(machine.pump.turn(), crate::fs::scheduler::Work::None);
}
