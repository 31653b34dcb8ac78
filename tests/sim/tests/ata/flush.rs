//! What is made stable, and how.

use std::time::Duration;

use ata::Transfer;
use toro_core::driver::block::{BlockDevice, BlockError};
use virtio_sim::ide::{Drive, Failure, Pace};

use crate::rig::Rig;

#[test]
fn at_24_flush_is_the_long_one_the_short_one_or_none() {
    let mut drive = Drive::disk(10);
    let mut rig = Rig::new(Transfer::Dma, [(0, drive.clone())]);
    rig.commands(0);
    rig.controller.channel(0).pace = Pace::Slow;
    rig.flush(0).expect("it works");
    assert_eq!(rig.codes(), [0xea]);
    assert!(rig.overslept.is_zero(), "it interrupts");

    drive.words[83] &= !(1 << 13);
    let mut rig = Rig::new(Transfer::Dma, [(0, drive.clone())]);
    rig.commands(0);
    rig.flush(0).expect("it works");
    assert_eq!(rig.codes(), [0xe7]);

    // Without any, and with a cache: it is switched off.
    drive.words[83] &= !(1 << 12);
    let mut rig = Rig::new(Transfer::Dma, [(0, drive.clone())]);
    assert!(rig.device.disk(0).is_some_and(|disk| !disk.has_cache));
    assert!(rig.controller.channel(0).drives[0].as_ref().is_some_and(|drive| drive.is_cache_off));
    rig.commands(0);
    rig.flush(0).expect("there is nothing to do");
    assert_eq!(rig.codes(), [0_u8; 0]);

    // And if that does not work, it cannot be made stable, which is said.
    drive.refuses_features = true;
    let mut rig = Rig::new(Transfer::Dma, [(0, drive)]);
    assert!(rig.device.disk(0).is_some_and(|disk| disk.has_cache));
    assert_eq!(rig.flush(0), Err(BlockError::Unsupported));
}

#[test]
fn at_25_flush_that_fails_is_tried_again_and_then_reported() {
    for (times, result) in [(1, Ok(())), (u32::MAX, Err(BlockError::Failed))] {
        let mut drive = Drive::disk(10);
        drive.failures.push(Failure { lba: 0, error: 0x04, times, concerns: |code| code == 0xea });
        let mut rig = Rig::new(Transfer::Dma, [(0, drive)]);
        rig.commands(0);
        assert_eq!(rig.flush(0), result);
        assert_eq!(rig.codes(), [0xea, 0xea]);
        rig.write(0, 0, &[1]).expect("the disk is in service");
    }
}

#[test]
fn at_23_flush_may_take_longer_than_anything_else() {
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(10))]);
    rig.controller.channel(0).lies.busy = true;
    rig.submit(0, toro_core::driver::block::BlockOperation::Flush, toro_core::dma::Segments::None);
    rig.device.publish();
    rig.clock.advance(Duration::from_secs(70));
    assert!(rig.device.complete().expect("no fault").is_none());
    rig.controller.channel(0).lies.busy = false;
    assert_eq!(rig.finish().result, Ok(()));
    assert_eq!(rig.codes(), [0xec, 0xc6, 0xea], "nobody lost patience");
}
