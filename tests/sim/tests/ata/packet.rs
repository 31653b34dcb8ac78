//! CD-ROM drives.

use ata::Transfer;
use toro_core::driver::block::{BlockDevice, BlockError};
use virtio_sim::ide::{Drive, Failure, Pace};

use crate::rig::{Rig, stamped};

#[test]
fn at_29_blocks_of_2048_bytes_are_read_by_packets() {
    let mut rig = Rig::new(Transfer::Dma, [(2, stamped(Drive::cdrom(100)))]);
    for pace in [Pace::Quick, Pace::Slow] {
        rig.controller.channel(1).pace = pace;
        rig.read(2, 0, &[4]).expect("it works");
        rig.read(2, 40, &[1, 3, 100, 4]).expect("it works");
        rig.read(2, 396, &[4]).expect("it works");
    }
    assert!(rig.overslept.as_millis() < 2, "interrupts were lost: {:?}", rig.overslept);
    rig.flush(2).expect("there is nothing to do");
}

#[test]
fn at_29_change_is_reported_once_and_the_request_made_again() {
    let mut rig = Rig::new(Transfer::Dma, [(2, stamped(Drive::cdrom(100)))]);
    rig.controller.channel(1).drives[0].as_mut().expect("a drive").attentions = 1;
    rig.read(2, 8, &[8]).expect("it is asked again");
    assert!(rig.device.refresh(), "somebody should know");
}

#[test]
fn at_29_failed_block_is_an_error_of_the_medium() {
    let mut drive = stamped(Drive::cdrom(100));
    drive.failures.push(Failure { lba: 20, error: 3, times: u32::MAX, concerns: |_| true });
    let mut rig = Rig::new(Transfer::Dma, [(2, drive)]);
    assert_eq!(rig.read(2, 72, &[40]), Err(BlockError::Medium { sector: None }));
    rig.read(2, 0, &[40]).expect("the others are fine");
}

#[test]
fn at_29_drive_without_a_medium_is_no_disk() {
    let mut drive = Drive::cdrom(100);
    drive.has_medium = false;
    let mut rig = Rig::new(Transfer::Dma, [(2, drive)]);
    assert!(rig.device.has_drives() && rig.device.disk(2).is_none());
    // It comes, and a reset looks for it.
    rig.controller.channel(1).drives[0].as_mut().expect("a drive").has_medium = true;
    rig.device.reset(&mut |_| ()).expect("it comes back");
    assert!(rig.device.disk(2).is_some());
    // It goes.
    rig.controller.channel(1).drives[0].as_mut().expect("a drive").has_medium = false;
    assert_eq!(rig.read(2, 0, &[4]), Err(BlockError::Failed));
}
