//! Drives that lie.

use std::time::Duration;

use ata::{Ata, Transfer};
use toro_core::driver::block::{BlockDevice, BlockError, BlockRequest};
use toro_core::driver::{Armed, AttachError, DeviceFault, Refusal};
use virtio_sim::ide::{Controller, Drive, Lies, Pace, Words, checksum};

use crate::rig::{Rig, controller, options, read, registers, stamped, write};

/// Attaches to a disk whose description has been changed.
fn disk_with(change: impl Fn(&mut Words)) -> Rig {
    let mut drive = stamped(Drive::disk(200));
    change(&mut drive.words);
    Rig::new(Transfer::Dma, [(0, drive)])
}

#[test]
fn hd_ata_1_channel_that_is_busy_for_ever_is_given_up_when_it_is_looked_at_first() {
    for lies in [
        Lies { busy: true, ..Lies::default() },
        Lies { never_drq: true, ..Lies::default() },
        Lies { extra_drq: true, ..Lies::default() },
        Lies { gone: true, ..Lies::default() },
    ] {
        let (controller, memory, clock) = controller([(0, Drive::disk(200)), (2, Drive::disk(100))]);
        controller.channel(0).lies = lies.clone();
        let start = clock.peek();
        let device = Ata::new(registers(&controller), memory, clock, &options(Transfer::Dma));
        let took = clock.peek().saturating_since(start);
        assert!(took < Duration::from_secs(10), "{lies:?}: {took:?}");
        assert!(device.disk(2).is_some(), "the other channel is not to blame");
    }
}

#[test]
fn hd_ata_1_requests_to_such_a_drive_end() {
    for transfer in [Transfer::Dma, Transfer::Pio] {
        for lies in [
            Lies { busy: true, ..Lies::default() },
            Lies { never_drq: true, ..Lies::default() },
            Lies { no_interrupt: true, ..Lies::default() },
        ] {
            let mut rig = Rig::new(transfer, [(0, stamped(Drive::disk(200)))]);
            rig.controller.channel(0).pace = Pace::Slow;
            rig.controller.channel(0).lies = lies.clone();
            let start = rig.clock.peek();
            let _ = rig.read(0, 0, &[40]);
            let data = rig.buffers(&[1], 0);
            let request = BlockRequest { unit: 0, operation: write(0), data };
            if rig.device.submit(request).is_ok() {
                let _ = rig.finish();
            }
            let took = rig.clock.peek().saturating_since(start);
            assert!(took < Duration::from_secs(300), "{transfer:?} {lies:?}: {took:?}");
        }
    }
}

#[test]
fn hd_ata_2_blocks_are_counted_by_the_request() {
    for transfer in [Transfer::Pio, Transfer::Dma] {
        let mut rig = Rig::new(transfer, [(0, stamped(Drive::disk(200)))]);
        rig.controller.channel(0).lies =
            Lies { extra_drq: true, end_with_reset: true, only: Some(|code| code != 0xec), ..Lies::default() };
        rig.read(0, 8, &[20]).expect("after a reset");
        assert_eq!(rig.controller.channel(0).resets, 1, "{transfer:?}");
        rig.controller.channel(0).lies =
            Lies { extra_drq: true, end_with_reset: true, only: Some(|code| code != 0xec), ..Lies::default() };
        rig.write(0, 8, &[20]).expect("after a reset");
        assert_eq!(rig.controller.channel(0).resets, 2, "{transfer:?}");
        rig.read(0, 8, &[20]).expect("it is there");
    }
    // It never stops.
    let mut rig = Rig::new(Transfer::Pio, [(0, stamped(Drive::disk(200)))]);
    rig.controller.channel(0).lies = Lies { extra_drq: true, ..Lies::default() };
    assert!(rig.read(0, 8, &[20]).is_err());
    assert!(rig.device.disk(0).is_none());
}

#[test]
fn hd_ata_2_drq_before_a_command_is_no_invitation() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(200)))]);
    rig.controller.channel(0).be_in_the_middle();
    rig.read(0, 8, &[20]).expect("after a reset");
    assert_eq!(rig.controller.channel(0).resets, 1);
}

#[test]
fn hd_ata_3_disk_that_describes_nonsense_is_none() {
    let nonsense: [fn(&mut Words); 9] = [
        |words| words.fill(0),
        |words| words.fill(0xffff),
        |words| words[0] |= 0x8000,
        |words| words[49] &= !(1 << 9),
        |words| (words[60], words[61], words[100]) = (0, 0, 0),
        |words| words[103] = 2,
        |words| (words[106], words[117], words[118]) = (1 << 14 | 1 << 12, 300, 0),
        |words| (words[106], words[117], words[118]) = (1 << 14 | 1 << 12, 0xffff, 0xffff),
        |words| words[255] = 0x12a5,
    ];
    for (number, change) in nonsense.into_iter().enumerate() {
        let rig = disk_with(change);
        assert!(rig.device.disk(0).is_none() && !rig.device.has_drives(), "{number}");
    }
    assert!(disk_with(checksum).device.disk(0).is_some());
}

#[test]
fn hd_ata_3_what_can_be_done_without_is_corrected() {
    for (word, multiple) in [(0, 0), (1, 0), (2, 2), (16, 16), (64, 32), (100, 0), (255, 0)] {
        let mut rig = disk_with(|words| words[47] = 0x8000 | word);
        let agreed = rig.controller.channel(0).drives[0].as_ref().map(|drive| drive.multiple);
        assert_eq!(agreed, Some(multiple), "{word}");
        rig.read(0, 1, &[50]).expect("it works");
    }
    let rig = disk_with(|words| words[106] = 1 << 14 | 1 << 13 | 3);
    assert_eq!(rig.device.disk(0).map(|disk| disk.physical_block_size), Some(4096));
    let rig = disk_with(|words| words[106] = 1 << 14 | 1 << 13 | 15);
    assert_eq!(rig.device.disk(0).map(|disk| disk.physical_block_size), Some(512));
}

#[test]
fn hd_ata_4_bus_master_that_fails_is_done_without() {
    for lies in [
        Lies { master_error: true, ..Lies::default() },
        Lies { late_master_error: true, ..Lies::default() },
        Lies { stays_active: true, ..Lies::default() },
    ] {
        let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(200)))]);
        rig.controller.channel(0).lies = lies;
        for _ in 0..2 {
            rig.read(0, 5, &[30]).expect("the port has it");
        }
        rig.commands(0);
        rig.write(0, 5, &[30]).expect("it works");
        assert_eq!(rig.codes(), [0xc5], "twice is enough");
    }
}

#[test]
fn hd_ata_4_memory_stays_with_a_master_that_does_not_stop() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(200)))]);
    rig.controller.channel(0).lies = Lies { active_stuck: true, ..Lies::default() };
    let data = rig.buffers(&[1], 0);
    rig.submit(0, read(0), data);
    assert_eq!(rig.try_finish().map(|done| done.result), Err(DeviceFault::NeedsReset));
    assert_eq!(rig.device.arm(), Err(DeviceFault::NeedsReset));
    let data = rig.buffers(&[1], 0);
    assert_eq!(rig.refused(0, write(0), data), Refusal::Faulted(DeviceFault::NeedsReset));
    let refused = rig.device.reset(&mut |_| panic!("not while the master runs"));
    assert_eq!(refused, Err(AttachError::Fault(DeviceFault::NeedsReset)));
    // When it has stopped after all, the request comes back.
    rig.controller.channel(0).lies = Lies::default();
    let mut back = Vec::new();
    rig.device.reset(&mut |done| back.push(done.result)).expect("it has stopped");
    assert_eq!(back, [Err(BlockError::Interrupted)]);
    rig.read(0, 5, &[3]).expect("it works");
}

#[test]
fn hd_ata_5_interrupt_of_somebody_else_changes_nothing() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(200)))]);
    // With nothing in flight, and with a request that has not ended.
    assert!(rig.device.complete().expect("no fault").is_none());
    assert_eq!(rig.device.arm(), Ok(Armed::Idle));
    assert_eq!(rig.device.deadline(), None);
    rig.controller.channel(0).pace = Pace::Slow;
    rig.controller.channel(0).status_reads = 0;
    let data = rig.buffers(&[5], 77);
    rig.submit(0, read(20), data);
    rig.device.publish();
    for _ in 0..10 {
        assert!(rig.device.complete().expect("no fault").is_none());
        assert_eq!(rig.device.arm(), Ok(Armed::Idle));
    }
    assert_eq!(rig.controller.channel(0).status_reads, 0, "nothing was taken back that was not ours");
    assert!(rig.finish().result.is_ok());
}

#[test]
fn hd_ata_6_packet_device_that_miscounts_is_cut_to_the_buffer() {
    for (count, reason) in
        [(0, None), (1, None), (2047, None), (4096, None), (0xffff, None), (512, Some(0)), (512, Some(3))]
    {
        let (controller, memory, clock) = controller([(2, stamped(Drive::cdrom(16)))]);
        let mut rig = Rig::with(controller, memory, clock, &options(Transfer::Dma));
        rig.controller.channel(1).lies = Lies { packet_count: Some(count), reason, only: None, ..Lies::default() };
        // The pool's memory ends with the buffer: a byte more, and the test fails.
        let result = rig.read(2, 8, &[4]);
        assert!(result.is_err(), "{count}: {result:?}");
        // Once only: it is asked again.
        let mut rig = Rig::new(Transfer::Dma, [(2, stamped(Drive::cdrom(16)))]);
        rig.controller.channel(1).lies = Lies {
            packet_count: Some(count),
            packet_count_once: true,
            reason,
            end_with_reset: true,
            ..Lies::default()
        };
        rig.read(2, 8, &[4]).unwrap_or_else(|error| panic!("{count}: {error}"));
        // What is too much is thrown away, so that the drive ends its command by itself.
        let is_hopeless = count == 0 || reason.is_some();
        assert_eq!(rig.controller.channel(1).resets, u32::from(is_hopeless), "{count}");
    }
}

#[test]
fn hd_ata_6_packet_device_that_gives_too_little_or_says_what_makes_no_sense_has_failed() {
    let answer = |lies: Lies| {
        let mut rig = Rig::new(Transfer::Dma, [(2, stamped(Drive::cdrom(16)))]);
        rig.controller.channel(1).lies = lies;
        rig.read(2, 8, &[16])
    };
    for bytes in [0, 2, 2048, 8190] {
        let lies = Lies { most_packet_bytes: Some(bytes), ..Lies::default() };
        assert_eq!(answer(lies), Err(BlockError::Protocol), "{bytes}");
    }
    // Neither a packet is wanted now, nor is it over, nor are these data of ours. After a reset it is no drive any more.
    for reason in [0, 1, 3] {
        assert!(answer(Lies { reason: Some(reason), ..Lies::default() }).is_err(), "{reason}");
    }
    for packet_reason in [0, 2, 3] {
        let lies = Lies { packet_reason: Some(packet_reason), ..Lies::default() };
        assert!(answer(lies).is_err(), "no packet is wanted: {packet_reason}");
    }
}

#[test]
fn hd_ata_7_names_are_made_printable() {
    let rig = disk_with(|words| {
        words[10..20].fill(0xff07);
        words[27] = 0x2041;
        words[28] = 0x0042;
        words[29..47].fill(0x1b1b);
    });
    assert!(rig.device.model(0).bytes().all(|byte| matches!(byte, b' '..=b'~')), "{:?}", rig.device.model(0));
    assert_eq!(rig.device.model(0), "A");
}

#[test]
fn hd_ata_1_to_7_combined_lies_end_too() {
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for _ in 0..60 {
        let (controller, memory, clock) = controller([(0, stamped(Drive::disk(200))), (1, stamped(Drive::cdrom(16)))]);
        controller.be_lenient();
        let transfer = if random() & 1 == 0 { Transfer::Dma } else { Transfer::Pio };
        let mut rig = Rig::with(controller, memory, clock, &options(transfer));
        for _ in 0..4 {
            lie(&rig.controller, random());
            if rig.device.disk((random() & 1) as u8).is_none() {
                let _ = rig.device.reset(&mut |_| ());
            }
            let unit = (random() & 1) as u8;
            let data = rig.buffers(&[4, 4], 0);
            let operation = if unit == 0 && random() & 1 == 0 { write(8) } else { read(8) };
            if rig.device.submit(BlockRequest { unit, operation, data }).is_ok() && rig.try_finish().is_err() {
                rig.controller.channel(0).lies = Lies::default();
                let _ = rig.device.reset(&mut |_| ());
            }
        }
    }
}

fn lie(controller: &Controller, bits: u64) {
    let has = |bit: u32| bits >> (3 * bit) & 7 == 0;
    controller.channel(0).lies = Lies {
        busy: has(0),
        never_drq: has(1),
        extra_drq: has(2),
        no_interrupt: has(3),
        early_interrupt: has(4),
        master_error: has(5),
        active_stuck: has(6),
        packet_count: has(7).then_some(bits as u16),
        end_with_reset: bits & 1 == 0,
        gone: has(8) && has(9),
        ..Lies::default()
    };
}
