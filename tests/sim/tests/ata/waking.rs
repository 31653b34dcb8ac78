//! Who may sleep, and what wakes him; and that a channel does one thing at a time.

use std::time::Duration;

use ata::Transfer;
use toro_core::driver::block::BlockDevice;
use toro_core::driver::{Armed, Refusal};
use virtio_sim::ide::{Drive, Pace};

use crate::rig::{Rig, read, stamped, write};

#[test]
fn at_27_channel_serves_its_drives_one_after_the_other_and_the_other_channel_meanwhile() {
    // The model refuses a second command.
    let mut rig = Rig::new(Transfer::Dma, (0..4).map(|unit| (unit, stamped(Drive::disk(100)))));
    rig.controller.change(|channel| channel.pace = Pace::Slow);
    let mut open: Vec<_> = (0..24_u64)
        .map(|number| {
            let data = rig.buffers(&[2], 0);
            rig.submit((number % 4) as u8, read(number), data)
        })
        .collect();
    rig.device.publish();
    rig.controller.change(|channel| assert_eq!(channel.deferred_commands(), 1));
    while !open.is_empty() {
        let done = rig.finish();
        assert!(done.result.is_ok());
        let place = open.iter().position(|id| *id == done.id).expect("it is open, and completes once");
        open.remove(place);
    }
    assert!(rig.overslept.is_zero());
}

#[test]
fn at_5_next_command_waits_until_the_drive_is_free() {
    let mut rig = Rig::new(Transfer::Pio, [(0, stamped(Drive::disk(100)))]);
    // Busy for a while after it has given all its data.
    rig.controller.channel(0).lingers = true;
    for _ in 0..3 {
        rig.read(0, 3, &[20]).expect("it works");
        rig.write(0, 3, &[20]).expect("it works");
    }
    assert!(rig.overslept < Duration::from_millis(50), "{:?}", rig.overslept);
}

#[test]
fn at_31_what_has_ended_before_one_looks_is_no_reason_to_sleep() {
    for transfer in [Transfer::Dma, Transfer::Pio] {
        let mut rig = Rig::new(transfer, [(0, stamped(Drive::disk(100)))]);
        rig.controller.channel(0).pace = Pace::Slow;
        let data = rig.buffers(&[2], 0);
        rig.submit(0, read(1), data);
        assert_eq!(rig.device.arm(), Ok(Armed::WorkPending), "it has not been shown to the drive");
        rig.device.publish();
        assert_eq!(rig.device.arm(), Ok(Armed::Idle));
        rig.controller.run();
        assert_eq!(rig.device.arm(), Ok(Armed::WorkPending));
        assert!(rig.finish().result.is_ok());
        assert_eq!(rig.device.arm(), Ok(Armed::Idle));
        assert_eq!(rig.device.deadline(), None);
    }
}

#[test]
fn at_31_each_sleep_ends_with_an_interrupt() {
    for transfer in [Transfer::Dma, Transfer::Pio] {
        let mut rig = Rig::new(transfer, [(0, stamped(Drive::disk(1000))), (2, stamped(Drive::cdrom(100)))]);
        rig.controller.change(|channel| channel.pace = Pace::Slow);
        for number in 0..40 {
            rig.read(0, 5 * number, &[17, 3]).expect("it works");
            rig.read(2, 4 * number, &[8]).expect("it works");
        }
        // The packets' turn is not announced, and looked for.
        assert!(rig.overslept < Duration::from_millis(10), "{transfer:?}: {:?}", rig.overslept);
    }
}

#[test]
fn as_many_requests_as_promised_fit_and_the_next_one_is_told_to_wait() {
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(100)), (1, Drive::disk(100))]);
    let most = rig.device.limits().in_flight;
    for number in 0..most {
        let data = rig.buffers(&[1], 0);
        rig.submit((number % 2) as u8, write(number as u64), data);
    }
    let data = rig.buffers(&[1], 0);
    assert_eq!(rig.refused(1, write(0), data), Refusal::Full);
    for _ in 0..most {
        assert!(rig.finish().result.is_ok());
    }
    rig.write(1, 0, &[1]).expect("there is room again");
}
