//! Ranges of sectors, and the commands beyond what every disk has.

use crate::rig::*;
use virtio_blk::wire::Lifetime;

const DISCARD_SOME: BlockOperation = BlockOperation::Discard { sector: 8, sectors: 16 };
const ZERO_SOME: BlockOperation = BlockOperation::WriteZeroes { sector: 8, sectors: 16, may_discard: false };
const ERASE_SOME: BlockOperation = BlockOperation::SecureErase { sector: 8, sectors: 16 };

/// The next thing that the disk is done with, if it is a command.
fn command(rig: &mut Rig) -> (RequestId, Command, Result<(), BlockError>, DmaBuf) {
    match rig.disk.finished().expect("sound rings").expect("it completed") {
        Finished::Command(done) => (done.id, done.command, done.result, done.buffer),
        Finished::Request(done) => panic!("{done:?}"),
    }
}

#[test]
fn blk_10_12_17_ranges_are_sixteen_bytes_and_only_zeros_may_have_a_flag() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::default() }.rig();
        let unmapping = BlockOperation::WriteZeroes { sector: 0, sectors: 32, may_discard: true };
        for (operation, kind, range) in [
            (DISCARD_SOME, kind::DISCARD, (8, 16, 0)),
            (ZERO_SOME, kind::WRITE_ZEROES, (8, 16, 0)),
            (unmapping, kind::WRITE_ZEROES, (0, 32, 1)),
            (ERASE_SOME, kind::SECURE_ERASE, (8, 16, 0)),
        ] {
            let request = rig.request(operation, &[64]);
            let done = rig.run(request);
            assert_eq!((done.result, done.request.operation), (Ok(()), operation), "{bus:?}");
            let seen = rig.model.seen.last().expect("it was sent");
            assert_eq!((seen.kind, seen.sector, &seen.ranges[..]), (kind, 0, &[range][..]), "{bus:?}");
        }
    }
}

#[test]
fn blk_12_what_was_discarded_is_anything_and_what_was_zeroed_is_zero() {
    let mut rig = Setup::default().rig();
    rig.model.image.fill(9);
    assert_eq!(rig.result_of(ZERO_SOME, &[64]), Ok(()));
    let request = rig.read(7, &[1024]);
    let done = rig.run(request);
    assert_eq!(bytes(&done.request), [[9; 512], [0; 512]].concat());
}

#[test]
fn zeros_may_only_be_unmapped_where_the_disk_says_so() {
    let mut rig = Setup::with_config(BlockConfig { may_unmap: 0, ..BlockConfig::default() }).rig();
    let operation = BlockOperation::WriteZeroes { sector: 0, sectors: 1, may_discard: true };
    assert_eq!(rig.result_of(operation, &[64]), Ok(()));
    assert_eq!(rig.model.seen[0].ranges, [(0, 1, 0)]);
}

#[test]
fn blk_17_commands_are_refused_without_their_feature() {
    for bus in ALL_BUSES {
        let all = [(DISCARD, DISCARD_SOME), (WRITE_ZEROES, ZERO_SOME), (SECURE_ERASE, ERASE_SOME)];
        for (feature, operation) in all {
            let mut rig = Setup { bus, ..Setup::with_features(EVERYTHING & !feature) }.rig();
            let request = rig.request(operation, &[64]);
            assert_eq!(rig.refusal(request), Refusal::Invalid, "{operation:?}");
            let kinds = [
                RangeOperation::Discard,
                RangeOperation::WriteZeroes { may_discard: true },
                RangeOperation::SecureErase,
            ];
            let none = kinds.into_iter().filter(|&kind| rig.disk.most_ranges(kind) == 0).count();
            assert_eq!(none, 1);
        }
        let mut rig = Setup { bus, ..Setup::with_features(EVERYTHING & !LIFETIME) }.rig();
        let buffer = rig.buffer(64);
        assert_eq!(rig.disk.submit_lifetime(buffer).expect_err("no feature").reason, Refusal::Invalid);
    }
}

#[test]
fn blk_10_17_ranges_keep_to_limits_the_disk_and_its_blocks() {
    let config = BlockConfig { blk_size: 4096, ..BlockConfig::default() };
    let mut rig = Setup::with_config(config).rig();
    for (sector, sectors) in
        [(0, 0), (0, 33), (0, 40), (64, 8), (60, 8), (1, 8), (0, 7), (u64::MAX - 7, 8), (0, u32::MAX)]
    {
        for operation in [
            BlockOperation::Discard { sector, sectors },
            BlockOperation::WriteZeroes { sector, sectors, may_discard: false },
            BlockOperation::SecureErase { sector, sectors },
        ] {
            let request = rig.request(operation, &[64]);
            assert_eq!(rig.refusal(request), Refusal::Invalid, "{operation:?}");
        }
    }
    let request = rig.request(BlockOperation::SecureErase { sector: 0, sectors: 24 }, &[64]);
    assert_eq!(rig.refusal(request), Refusal::Invalid, "beyond its own limit of 16");
    // A buffer of the wrong number, or that is too small; a length that is not the one sent does not matter.
    for lengths in [&[][..], &[64, 64]] {
        let request = rig.request(BlockOperation::Discard { sector: 0, sectors: 8 }, lengths);
        assert_eq!(rig.refusal(request), Refusal::Invalid);
    }
    let mut small = DmaPool::new(rig.memory, 1, 63).expect("memory");
    let data = small.take().expect("there is one").into();
    let request = BlockRequest { unit: 0, operation: BlockOperation::Discard { sector: 0, sectors: 8 }, data };
    assert_eq!(rig.refusal(request), Refusal::Invalid);
    assert_eq!(rig.result_of(BlockOperation::Discard { sector: 0, sectors: 8 }, &[1]), Ok(()));
}

#[test]
fn blk_10_14_several_ranges_go_in_one_request_and_fail_together() {
    let mut rig = Setup::default().rig();
    rig.model.image.fill(5);
    let buffer = rig.buffer(64);
    let operation = RangeOperation::WriteZeroes { may_discard: false };
    let ranges = [(0, 1), (8, 2), (63, 1)];
    let id = rig.disk.submit_ranges(operation, &ranges, buffer).expect("four at most");
    rig.disk.publish();
    rig.model.serve();
    let (done, kind, result, buffer) = command(&mut rig);
    assert_eq!((done, kind, result), (id, Command::Ranges(operation), Ok(())));
    assert_eq!(rig.model.seen[0].ranges, [(0, 1, 0), (8, 2, 0), (63, 1, 0)]);
    assert_eq!([0, 1, 8, 9, 10, 63].map(|sector| rig.model.image[sector * 512]), [0, 5, 0, 0, 5, 0]);

    rig.model.lie = Some(Lie::Status(1));
    rig.disk.submit_ranges(operation, &ranges, buffer).expect("again");
    rig.disk.publish();
    rig.model.serve();
    assert_eq!(command(&mut rig).2, Err(BlockError::Failed), "BLK-14: of the request, not of a range");
}

#[test]
fn blk_10_more_ranges_than_the_disk_takes_are_refused_with_their_buffer() {
    let mut rig = Setup::default().rig();
    let range = (0, 1);
    for (ranges, len) in [(&[][..], 64), (&[range; 5], 64), (&[range, (64, 1)], 64), (&[range, (0, 33)], 64)] {
        let mut buffer = rig.buffer(len);
        buffer.fill(3);
        let refused = rig.disk.submit_ranges(RangeOperation::Discard, ranges, buffer).expect_err("no such");
        assert_eq!((refused.reason, &refused.request[..]), (Refusal::Invalid, &[3; 64][..]), "{ranges:?}");
    }
    assert_eq!(rig.disk.most_ranges(RangeOperation::SecureErase), 2);
    let mut small = DmaPool::new(rig.memory, 1, 64).expect("memory");
    let buffer = small.take().expect("there is one");
    let mut rig = Setup::with_config(BlockConfig { discard: [32, u32::MAX], ..BlockConfig::default() }).rig();
    let refused = rig.disk.submit_ranges(RangeOperation::Discard, &[range; 5], buffer);
    assert_eq!(refused.expect_err("the buffer is too small").reason, Refusal::Invalid);
    // Nor is there more in the buffer than the disk takes in one.
    let config = BlockConfig { discard: [32, u32::MAX], size_max: 512, ..BlockConfig::default() };
    let mut rig = Setup::with_config(config).rig();
    let buffer = rig.buffer(1024);
    let refused = rig.disk.submit_ranges(RangeOperation::Discard, &[range; 33], buffer).expect_err("528 bytes");
    assert_eq!(refused.reason, Refusal::Invalid, "BLK-16");
    rig.disk.submit_ranges(RangeOperation::Discard, &[range; 32], refused.request).expect("512 bytes");
}

#[test]
fn a_request_for_which_there_is_no_room_comes_back_as_it_was() {
    let mut rig = Setup::default().rig();
    let operation = BlockOperation::Discard { sector: 0, sectors: 8 };
    for _ in 0..rig.disk.limits().in_flight {
        let flush = rig.request(BlockOperation::Flush, &[]);
        rig.disk.submit(flush).expect("as many as promised");
    }
    let mut request = rig.request(operation, &[64]);
    request.data.as_mut_slice()[0].fill(3);
    let refused = rig.disk.submit(request).expect_err("the queue is full");
    assert_eq!((refused.reason, bytes(&refused.request)), (Refusal::Full, vec![3; 64]));
}

#[test]
fn lifetimes_are_asked_for_and_nobody_else_sees_them() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::default() }.rig();
        let buffer = rig.buffer(0);
        let id = rig.disk.submit_lifetime(buffer).expect("the disk has it");
        rig.disk.publish();
        rig.model.serve();
        let (done, kind, result, buffer) = command(&mut rig);
        assert_eq!((done, kind, result), (id, Command::Lifetime, Ok(())));
        let lifetime = Lifetime::parse(&buffer).expect("six bytes");
        assert_eq!((lifetime.pre_eol_info.get(), lifetime.estimate_a.get(), lifetime.estimate_b.get()), (1, 2, 3));
        // Through the trait it goes by, and the next request comes.
        rig.disk.submit_lifetime(buffer).expect("the disk has it");
        assert_eq!(rig.result_of_second_request(), Ok(()));
    }
}

impl Rig {
    /// The result of a flush behind a command, which the trait passes over.
    fn result_of_second_request(&mut self) -> Result<(), BlockError> {
        let flush = self.request(BlockOperation::Flush, &[]);
        let id = self.disk.submit(flush).expect("there is room");
        self.disk.publish();
        self.model.serve();
        let done = self.completion();
        assert_eq!(done.id, id);
        assert!(self.disk.complete().expect("sound rings").is_none());
        done.result
    }
}
