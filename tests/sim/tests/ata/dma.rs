//! Data that the bus master moves.

use std::time::Duration;

use ata::Transfer;
use toro_core::driver::block::{BlockDevice, BlockError};
use virtio_sim::ide::{Drive, Lies, Pace};

use crate::rig::{Rig, read, stamped};

fn is_dma(code: u8) -> bool {
    matches!(code, 0xc8 | 0xca | 0x25 | 0x35)
}

#[test]
fn at_17_master_is_prepared_before_the_command_and_started_after_it() {
    // The model fails a driver that starts it before, or changes the table while it runs; and moves nothing without it.
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(100)), (2, Drive::disk(100))]);
    for pace in [Pace::Quick, Pace::Slow] {
        rig.controller.change(|channel| channel.pace = pace);
        for unit in [0, 2] {
            rig.write(unit, 9, &[8, 1]).expect("it works");
            rig.controller.change(|channel| assert!(!channel.is_started(), "AT-18: it is stopped at the end"));
            rig.read(unit, 9, &[2, 7]).expect("it is there");
        }
    }
    assert!(rig.overslept.is_zero());
}

#[test]
fn at_17_what_a_command_by_the_port_has_left_is_cleared_before_the_next_one() {
    // Every interrupt sets INTR. The model looks at the master when a command is written.
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100))), (1, stamped(Drive::cdrom(8)))]);
    for _ in 0..2 {
        rig.read(1, 4, &[4]).expect("packets go by the port");
        rig.read(0, 9, &[8]).expect("by the master");
        rig.flush(0).expect("no data");
        rig.write(0, 9, &[8]).expect("by the master, in the other direction");
    }
}

#[test]
fn at_18_transfer_is_over_when_master_and_drive_say_so() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
    rig.controller.channel(0).pace = Pace::Slow;
    let data = rig.buffers(&[10], 1000);
    rig.submit(0, read(0), data);
    rig.device.publish();
    for _ in 0..20 {
        assert!(rig.device.complete().expect("no fault").is_none(), "it has not even begun");
    }
    assert!(rig.finish().result.is_ok());
}

#[test]
fn at_18_early_interrupt_is_not_the_end() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
    rig.controller.channel(0).pace = Pace::Slow;
    rig.controller.channel(0).lies = Lies { early_interrupt: true, ..Lies::default() };
    rig.read(0, 5, &[20]).expect("it is waited for");
    assert!(rig.overslept < Duration::from_millis(1), "the true one was not heard: {:?}", rig.overslept);
}

#[test]
fn at_19_table_is_as_long_as_the_data() {
    // Which the model checks, region by region.
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(1000))]);
    for lengths in [&[1][..], &[128], &[129], &[255, 1], &[100, 200, 300], &[1; 60]] {
        rig.write(0, 11, lengths).expect("it works");
        rig.read(0, 11, &[lengths.iter().sum()]).expect("it is there");
    }
}

#[test]
fn at_19_transfer_that_ends_without_an_interrupt_is_no_success() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
    rig.controller.channel(0).lies = Lies { no_interrupt: true, only: Some(is_dma), ..Lies::default() };
    rig.commands(0);
    rig.read(0, 0, &[4]).expect("the port has it");
    let codes = rig.codes();
    assert_eq!((codes.first(), codes.last()), (Some(&0xc8), Some(&0xc4)));
    assert!(rig.overslept < Duration::from_secs(1), "that is noticed early: {:?}", rig.overslept);
}

#[test]
fn at_19_master_that_is_not_done_when_the_drive_is_has_failed() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
    rig.controller.channel(0).lies = Lies { stays_active: true, ..Lies::default() };
    rig.commands(0);
    rig.read(0, 0, &[4]).expect("the port has it");
    assert_eq!(rig.codes().last(), Some(&0xc4));
}

#[test]
fn at_20_regions_end_at_multiples_of_64_kib() {
    // The model checks each; its memory begins one page below such a multiple.
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(2000))]);
    rig.write(0, 0, &[700, 300]).expect("it works");
    rig.read(0, 0, &[1000]).expect("it is there");
}

#[test]
fn at_20_request_of_more_regions_than_a_table_has_becomes_several_commands() {
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(20_000))]);
    rig.commands(0);
    // Each of 20 KiB: many of them lie across a multiple of 64 KiB.
    rig.write(0, 1, &[40; 480]).expect("it works");
    assert!(rig.codes().len() >= 2);
    rig.read(0, 1, &[40; 480]).expect("it is there");

    // Of blocks of 4 KiB no command moves a part, wherever the table's last region ends.
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::with_blocks_of_4096(2500))]);
    rig.commands(0);
    rig.write(0, 8, &[41; 480]).expect("it works");
    assert!(rig.codes().len() >= 2);
    rig.read(0, 8, &[41; 480]).expect("it is there");
}

#[test]
fn at_21_master_is_stopped_before_buffers_go_back() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
    rig.controller.channel(0).pace = Pace::Slow;
    let data = rig.buffers(&[10], 1000);
    rig.submit(0, read(0), data);
    rig.device.publish();
    rig.controller.channel(0).pace = Pace::Quick;
    let mut back = Vec::new();
    rig.device.reset(&mut |done| back.push(done)).expect("it comes back");
    assert_eq!(back[0].result, Err(BlockError::Interrupted));
    assert!(!rig.controller.channel(0).is_mastering());
}

#[test]
fn controller_that_is_dropped_in_the_middle_is_stopped_or_keeps_the_memory() {
    for (active_stuck, kept) in [(false, 0), (true, 2)] {
        let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
        rig.controller.channel(0).pace = Pace::Slow;
        let data = rig.buffers(&[10], 1000);
        rig.submit(0, read(0), data);
        rig.device.publish();
        rig.controller.channel(0).lies.active_stuck = active_stuck;
        let Rig { device, memory, .. } = rig;
        drop(device);
        assert_eq!(memory.blocks(), kept);
    }
}
