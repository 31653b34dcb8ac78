//! What the disk says, and what it means.

use crate::rig::*;

const READ: BlockOperation = BlockOperation::Read { sector: 3 };

fn lying(lie: Lie) -> Rig {
    let mut rig = Setup::default().rig();
    rig.model.lie = Some(lie);
    rig
}

#[test]
fn hd_blk_1_blk_18_every_status_but_zero_is_an_error_of_some_kind() {
    for status in 1..=u8::MAX {
        let expected = match status {
            1 => BlockError::Failed,
            2 => BlockError::Unsupported,
            _ => BlockError::Protocol,
        };
        assert_eq!(lying(Lie::Status(status)).result_of(READ, &[512]), Err(expected), "{status}");
        if cfg!(miri) && status > 3 {
            break;
        }
    }
}

#[test]
fn blk_18_hd_blk_1_a_status_that_was_not_written_is_noticed() {
    let mut rig = lying(Lie::Untouched);
    for operation in [READ, BlockOperation::Write { sector: 0 }] {
        assert_eq!(rig.result_of(operation, &[512]), Err(BlockError::Protocol));
    }
    assert_eq!(rig.flush(), Err(BlockError::Protocol));
    // The byte of a request before does not count: it starts anew.
    rig.model.lie = None;
    assert_eq!(rig.flush(), Ok(()));
    rig.model.lie = Some(Lie::Untouched);
    assert_eq!(rig.flush(), Err(BlockError::Protocol));
}

#[test]
fn hd_blk_2_a_success_without_data_leaves_the_callers_own_bytes() {
    let mut rig = lying(Lie::Idle);
    let request = rig.read(0, &[512, 1024]);
    let done = rig.run(request);
    assert_eq!((done.result, bytes(&done.request)), (Ok(()), vec![0xee; 1536]));
}

#[test]
fn hd_blk_2_blk_21_the_reported_length_changes_nothing() {
    for bus in [Bus::Mmio, Bus::LegacyPci] {
        for length in [0, 1, 512, 513, 514, u32::MAX] {
            let mut rig = Setup { bus, ..Setup::default() }.rig();
            rig.model.image.fill(7);
            rig.model.lie = Some(Lie::Length(length));
            let request = rig.read(0, &[512]);
            let done = rig.run(request);
            assert_eq!((done.result, bytes(&done.request)), (Ok(()), vec![7; 512]), "{length}");
        }
    }
}

#[test]
fn hd_blk_3_what_is_not_supported_is_an_error_once() {
    let mut rig = lying(Lie::Status(2));
    for operation in [READ, BlockOperation::Write { sector: 0 }] {
        assert_eq!(rig.result_of(operation, &[512]), Err(BlockError::Unsupported));
    }
    assert_eq!(rig.model.seen.len(), 2, "it is not tried again");
    assert!(rig.disk.complete().expect("sound rings").is_none());
}

#[test]
fn hd_blk_5_a_flush_that_is_not_supported_is_an_error() {
    assert_eq!(lying(Lie::Status(2)).flush(), Err(BlockError::Unsupported));
}

#[test]
fn blk_11_hd_blk_4_serial_numbers_come_in_exactly_twenty_bytes() {
    let mut rig = Setup::default().rig();
    for wrong in [0_usize, 19, 21, 64, 512] {
        let lengths: &[usize] = if wrong == 0 { &[] } else { &[wrong] };
        let request = rig.request(BlockOperation::Identify, lengths);
        assert_eq!(rig.refusal(request), Refusal::Invalid, "{wrong}");
    }
    let request = rig.request(BlockOperation::Identify, &[10, 10]);
    assert_eq!(rig.refusal(request), Refusal::Invalid);
    rig.model.serial = *b"no end, \x1b[0m \xff\xfe\xfd....";
    let request = rig.request(BlockOperation::Identify, &[20]);
    let done = rig.run(request);
    assert_eq!((done.result, bytes(&done.request)), (Ok(()), rig.model.serial.to_vec()));
    let serial = virtio_blk::wire::Serial::new(&done.request.data.as_slice()[0]);
    assert!(serial.to_string().is_ascii() && !serial.to_string().contains('\x1b'));
}

#[test]
fn blk_20_requests_complete_in_any_order_with_their_own_buffers() {
    let mut rig = Setup::default().rig();
    let count = if cfg!(miri) { 8 } else { 60 };
    for (sector, place) in rig.model.image.chunks_exact_mut(512).enumerate() {
        place.fill(sector as u8);
    }
    rig.model.manner = Manner::Reordering;
    let mut expected = std::collections::HashMap::new();
    for sector in 0..count {
        let request = rig.read(sector, &[512]);
        let id = rig.disk.submit(request).expect("there is room");
        assert!(expected.insert(id, sector).is_none(), "unique among those in flight");
    }
    rig.disk.publish();
    let mut order = Vec::new();
    while !expected.is_empty() {
        rig.model.serve();
        while let Some(done) = rig.disk.complete().expect("sound rings") {
            let sector = expected.remove(&done.id).expect("once each");
            assert_eq!(done.request.operation, BlockOperation::Read { sector });
            assert_eq!((done.result, bytes(&done.request)), (Ok(()), vec![sector as u8; 512]));
            order.push(sector);
        }
    }
    assert!(!order.is_sorted(), "another order than they were sent in");
}

#[test]
fn hd_vq_1_hd_vq_7_a_lie_in_the_used_ring_is_a_fault_until_a_reset() {
    use virtio_sim::DeviceQueue;
    for id in [64, 1000, 0x1_0000] {
        let mut rig = Setup::default().rig();
        let request = rig.read(0, &[512]);
        rig.disk.submit(request).expect("there is room");
        rig.disk.publish();
        let (setup, accepted) = (rig.model.device().queue(0), rig.model.device().state().accepted);
        DeviceQueue::negotiated(rig.memory, setup, accepted).push(id, 0);
        let fault = DeviceFault::UsedIdOutOfRange { id };
        assert_eq!(rig.disk.complete().map(|_| ()), Err(fault));
        assert_eq!(rig.disk.arm(), Err(fault));
        let request = rig.read(0, &[512]);
        assert_eq!(rig.refusal(request), Refusal::Faulted(fault));
        rig.disk.publish();
        let mut unfinished = Vec::new();
        rig.disk.reset(&mut |done| unfinished.push(done.result)).expect("it resets");
        assert_eq!(unfinished, [Err(BlockError::Interrupted)]);
        assert_eq!(rig.result_of(READ, &[512]), Ok(()), "it works again");
    }
}
