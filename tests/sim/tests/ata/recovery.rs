//! What is tried when a command fails, in which order, and what is reported in the end.

use std::time::Duration;

use ata::Transfer;
use toro_core::driver::block::{BlockDevice, BlockError};
use toro_core::driver::{DeviceFault, Refusal};
use virtio_sim::ide::{Drive, Failure, Lies};

use crate::rig::{Rig, read, stamped, write};

const UNC: u8 = 0x40;
const IDNF: u8 = 0x10;
const ICRC: u8 = 0x80;
const AMNF: u8 = 0x01;
const ABRT: u8 = 0x04;

fn is_dma(code: u8) -> bool {
    matches!(code, 0xc8 | 0xca | 0x25 | 0x35)
}

fn failing(lba: u64, error: u8, times: u32, concerns: fn(u8) -> bool) -> Drive {
    let mut drive = stamped(Drive::disk(1000));
    drive.failures.push(Failure { lba, error, times, concerns });
    drive
}

#[test]
fn at_22_command_that_fails_is_sent_again_then_without_the_bus_master() {
    for (times, codes) in [(1, vec![0xc8, 0xc8]), (2, vec![0xc8, 0xc8, 0xc4])] {
        let mut rig = Rig::new(Transfer::Dma, [(0, failing(30, ABRT, times, is_dma))]);
        rig.commands(0);
        rig.read(0, 20, &[40]).expect("in the end it works");
        assert_eq!(rig.codes(), codes);
        assert_eq!(rig.controller.channel(0).resets, 0);
    }
}

#[test]
fn at_22_spoilt_data_is_worth_a_reset_and_other_failures_are_not() {
    let setup = [0xec, 0xc6];
    for (error, result) in [
        (ICRC, BlockError::Transfer),
        (ABRT, BlockError::Failed),
        (UNC, BlockError::Medium { sector: Some(30) }),
        (IDNF, BlockError::Medium { sector: Some(30) }),
        (AMNF, BlockError::Medium { sector: Some(30) }),
    ] {
        let mut rig = Rig::new(Transfer::Dma, [(0, failing(30, error, u32::MAX, |_| true))]);
        rig.commands(0);
        assert_eq!(rig.read(0, 20, &[40]), Err(result));
        let mut codes = vec![0xc8, 0xc8, 0xc4];
        if error == ABRT {
            // READ MULTIPLE may be what it does not know.
            assert!(rig.controller.channel(0).resets == 0);
        }
        if error == ICRC {
            codes.extend(setup);
            codes.push(0xc4);
        }
        assert_eq!(rig.codes(), codes, "{error:#x}");
        assert_eq!(rig.write(0, 500, &[3]), Ok(()), "the disk is in service");
    }
}

#[test]
fn at_13_at_18_at_22_fault_of_the_drive_itself_is_a_failure_too() {
    for transfer in [Transfer::Dma, Transfer::Pio] {
        let mut drive = stamped(Drive::disk(1000));
        drive.is_faulty = true;
        let failure = Failure { lba: 30, error: 0, times: u32::MAX, concerns: |_| true };
        drive.failures.extend([failure, Failure { lba: 0, concerns: |code| code == 0xea, ..failure }]);
        let mut rig = Rig::new(transfer, [(0, drive)]);
        assert_eq!(rig.read(0, 20, &[40]), Err(BlockError::Failed), "{transfer:?}");
        assert_eq!(rig.write(0, 20, &[40]), Err(BlockError::Failed), "{transfer:?}");
        assert_eq!(rig.flush(0), Err(BlockError::Failed), "{transfer:?}");
        rig.read(0, 31, &[40]).expect("the others are fine");
    }
}

#[test]
fn at_22_failed_sector_of_a_long_command_is_read_from_both_halves_of_the_registers() {
    let start = 0x1_2345_6780;
    let mut drive = stamped(Drive::far(start, 1000));
    drive.failures.push(Failure { lba: start + 321, error: UNC, times: u32::MAX, concerns: |_| true });
    let mut rig = Rig::new(Transfer::Dma, [(0, drive)]);
    assert_eq!(rig.read(0, start + 300, &[100]), Err(BlockError::Medium { sector: Some(start + 321) }));
    // With the upper half shown for no longer than that.
    assert!(!rig.controller.channel(0).shows_upper_half());
    rig.read(0, start, &[300]).expect("the disk is in service");
}

#[test]
fn at_22_sector_that_is_none_of_the_command_is_not_named() {
    let mut rig = Rig::new(Transfer::Dma, [(0, failing(30, UNC, u32::MAX, |_| true))]);
    rig.controller.channel(0).lies.failed_lba = Some(31_000);
    assert_eq!(rig.read(0, 20, &[40]), Err(BlockError::Medium { sector: None }));
}

#[test]
fn at_22_drive_that_does_not_answer_is_reset_and_then_out_of_service() {
    for transfer in [Transfer::Dma, Transfer::Pio] {
        let mut rig = Rig::new(transfer, [(0, stamped(Drive::disk(100))), (1, Drive::disk(50))]);
        rig.commands(0);
        rig.controller.channel(0).lies = Lies { busy: true, end_with_reset: true, ..Lies::default() };
        rig.read(0, 3, &[20]).expect("after the reset it works");
        let commands = rig.commands(0);
        // Both drives are set up again; the request is made without the bus master.
        assert_eq!(commands[1..], [(0, 0xec), (0, 0xc6), (1, 0xec), (1, 0xc6), (0, 0xc4)], "{transfer:?}");

        rig.controller.channel(0).lies = Lies { never_drq: true, only: Some(|code| code != 0xec), ..Lies::default() };
        rig.controller.channel(0).lies.no_dma = true;
        assert_eq!(rig.read(0, 3, &[20]), Err(BlockError::TimedOut));
        assert!(rig.device.disk(0).is_none(), "out of service");
        assert!(rig.device.refresh() && !rig.device.refresh());
        let data = rig.buffers(&[1], 0);
        assert_eq!(rig.refused(0, read(0), data), Refusal::Faulted(DeviceFault::Gone));
        // The other drive is not to blame.
        rig.controller.channel(0).lies = Lies::default();
        rig.write(1, 0, &[2]).expect("it works");
        // And a reset by the owner brings it back.
        rig.device.reset(&mut |_| ()).expect("both are there");
        rig.read(0, 3, &[20]).expect("it works");
    }
}

#[test]
fn at_22_drive_that_fails_with_the_bus_master_alone_is_spared_it() {
    let mut rig = Rig::new(Transfer::Dma, [(0, failing(30, ABRT, u32::MAX, is_dma))]);
    rig.read(0, 30, &[1]).expect("the port has it");
    rig.read(0, 30, &[1]).expect("the port has it");
    rig.commands(0);
    rig.read(0, 500, &[1]).expect("it works");
    assert_eq!(rig.codes(), [0xc4]);
    // A sector that is hard to read is not the master's fault, even if the port has more luck with it.
    let mut rig = Rig::new(Transfer::Dma, [(0, failing(30, UNC, u32::MAX, is_dma))]);
    for _ in 0..3 {
        rig.read(0, 30, &[1]).expect("the port has it");
    }
    rig.commands(0);
    rig.read(0, 500, &[1]).expect("it works");
    assert_eq!(rig.codes(), [0xc8]);
}

#[test]
fn at_22_other_drive_after_a_reset_is_not_used() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
    rig.controller.channel(0).lies = Lies { busy: true, end_with_reset: true, ..Lies::default() };
    rig.controller.channel(0).words(0)[15] ^= 0x0101;
    assert_eq!(rig.write(0, 0, &[1]), Err(BlockError::Interrupted));
    assert!(rig.device.disk(0).is_none() && rig.device.refresh());
}

#[test]
fn at_23_nothing_is_waited_for_longer_than_its_time() {
    for transfer in [Transfer::Dma, Transfer::Pio] {
        let mut rig = Rig::new(transfer, [(0, Drive::disk(100))]);
        let start = rig.clock.peek();
        rig.controller.channel(0).lies = Lies { busy: true, ..Lies::default() };
        assert!(rig.write(0, 0, &[1]).is_err());
        let took = rig.clock.peek().saturating_since(start);
        assert!(took > Duration::from_secs(30) && took < Duration::from_secs(100), "{took:?}");
        assert!(rig.device.disk(0).is_none());
    }
}

#[test]
fn at_23_drive_that_comes_late_is_not_given_up() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
    rig.controller.channel(0).lies.busy = true;
    let data = rig.buffers(&[10], 1000);
    rig.submit(0, read(0), data);
    rig.device.publish();
    rig.clock.advance(Duration::from_secs(29));
    assert!(rig.device.complete().expect("no fault").is_none());
    rig.controller.channel(0).lies.busy = false;
    assert!(rig.finish().result.is_ok());
    assert_eq!(rig.controller.channel(0).resets, 0);
}

#[test]
fn at_32_drive_that_is_not_there_any_more_ends_its_requests_at_once() {
    for transfer in [Transfer::Dma, Transfer::Pio] {
        let mut rig = Rig::new(transfer, [(0, Drive::disk(100)), (1, Drive::disk(100))]);
        rig.controller.channel(0).pace = virtio_sim::ide::Pace::Slow;
        for unit in [0, 1, 0] {
            let data = rig.buffers(&[4], 0);
            rig.submit(unit, write(1), data);
        }
        rig.device.publish();
        rig.controller.channel(0).lies.gone = true;
        let start = rig.clock.peek();
        for _ in 0..3 {
            assert_eq!(rig.finish().result, Err(BlockError::Interrupted));
        }
        assert!(rig.clock.peek().saturating_since(start) < Duration::from_secs(1));
        assert!((0..4).all(|unit| rig.device.disk(unit).is_none()));
        assert_eq!(rig.controller.channel(0).resets, 0, "{transfer:?}: where nobody is there is nothing to reset");
        assert!(rig.device.reset(&mut |_| ()).is_err());
    }
}

#[test]
fn requests_that_a_reset_interrupts_come_back_once_each() {
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(100)), (3, Drive::disk(100))]);
    rig.controller.change(|channel| channel.pace = virtio_sim::ide::Pace::Slow);
    let mut ids = Vec::new();
    for number in 0..10 {
        let data = rig.buffers(&[1], 0);
        ids.push(rig.submit([0, 3][number % 2], write(number as u64), data));
    }
    rig.device.publish();
    rig.controller.change(|channel| channel.pace = virtio_sim::ide::Pace::Quick);
    let mut back = Vec::new();
    rig.device.reset(&mut |done| back.push((done.id, done.result))).expect("it comes back");
    back.sort_by_key(|(id, _)| id.0);
    ids.sort_by_key(|id| id.0);
    assert_eq!(back, ids.into_iter().map(|id| (id, Err(BlockError::Interrupted))).collect::<Vec<_>>());
    rig.write(3, 0, &[1]).expect("it works");
}
