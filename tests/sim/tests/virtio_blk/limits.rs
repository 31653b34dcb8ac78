//! How much goes into a request, and what is refused.

use crate::rig::*;

#[test]
fn blk_6_no_request_reaches_beyond_the_disk_whatever_its_blocks_are() {
    for (blk_size, last) in [(512, 63), (4096, 56)] {
        let config = BlockConfig { blk_size, ..BlockConfig::default() };
        let mut rig = Setup::with_config(config).rig();
        let len = blk_size as usize;
        assert_eq!(rig.result_of(BlockOperation::Read { sector: last }, &[len]), Ok(()));
        for sector in [64, 72, last + u64::from(blk_size) / 512, u64::MAX - 7, u64::MAX] {
            for operation in [BlockOperation::Read { sector }, BlockOperation::Write { sector }] {
                let request = rig.request(operation, &[len]);
                assert_eq!(rig.refusal(request), Refusal::Invalid, "{operation:?}");
            }
        }
        let request = rig.read(last, &[len, len]);
        assert_eq!(rig.refusal(request), Refusal::Invalid, "it ends beyond");
    }
}

#[test]
fn blk_9_19_data_is_whole_sectors_and_whole_blocks() {
    let mut rig = Setup::default().rig();
    for lengths in [&[][..], &[1], &[511], &[513], &[256, 256], &[512, 100]] {
        let request = rig.read(0, lengths);
        assert_eq!(rig.refusal(request), Refusal::Invalid, "{lengths:?}");
    }
    let empty = BlockRequest {
        unit: 0,
        operation: BlockOperation::Read { sector: 0 },
        data: vec![rig.buffer(512), rig.buffer(0)].into(),
    };
    assert_eq!(rig.refusal(empty), Refusal::Invalid, "an empty buffer");
    let config = BlockConfig { blk_size: 1024, ..BlockConfig::default() };
    let mut rig = Setup::with_config(config).rig();
    for (sector, lengths) in [(0, &[512][..]), (1, &[1024]), (0, &[1024, 512])] {
        let request = rig.read(sector, lengths);
        assert_eq!(rig.refusal(request), Refusal::Invalid, "{sector} {lengths:?}");
    }
    // Buffers may be parts of a block.
    assert_eq!(rig.result_of(BlockOperation::Read { sector: 2 }, &[512, 512]), Ok(()));
    let mut elsewhere = rig.read(0, &[1024]);
    elsewhere.unit = 1;
    assert_eq!(rig.refusal(elsewhere), Refusal::Invalid, "another unit");
}

#[test]
fn blk_16_hd_cfg_6_buffers_are_as_many_and_as_long_as_the_disk_says() {
    let setup = |features, seg_max, size_max| Setup {
        features,
        ..Setup::with_config(BlockConfig { seg_max, size_max, ..BlockConfig::default() })
    };
    let ring = INDIRECT_DESC;
    for (features, seg_max, size_max, segments, bytes) in [
        (ring | SEG_MAX | SIZE_MAX, 4, 1024, 4, 1024),
        (ring | SEG_MAX | SIZE_MAX, 0, 0, 1, 1 << 29),
        (ring | SEG_MAX | SIZE_MAX, u32::MAX, u32::MAX, 30, 1 << 29),
        (ring | SEG_MAX, 126, 1, 30, 1 << 29),
        (ring | SIZE_MAX, 126, 100, 1, 512),
        (SEG_MAX, 126, 0, 1, 1 << 29),
    ] {
        let mut rig = setup(features, seg_max, size_max).rig();
        let limits = rig.disk.limits();
        assert_eq!((limits.segments, limits.segment_bytes), (segments, bytes), "{features:#x} {seg_max} {size_max}");
        let request = rig.read(0, &vec![512; segments]);
        assert_eq!(rig.run(request).result, Ok(()));
        let request = rig.read(0, &vec![512; segments + 1]);
        assert_eq!(rig.refusal(request), Refusal::Invalid);
        if bytes < 4096 {
            let request = rig.read(0, &[bytes + 512]);
            assert_eq!(rig.refusal(request), Refusal::Invalid);
        }
    }
}

#[test]
fn blk_16_a_chain_is_never_longer_than_its_queue() {
    for (size, ring, segments, in_flight) in
        [(4, INDIRECT_DESC, 2, 4), (8, INDIRECT_DESC, 6, 8), (4, 0, 1, 1), (8, 0, 1, 2), (64, 0, 1, 21)]
    {
        let mut rig = Setup { size, ..Setup::with_features(ring | SEG_MAX) }.rig();
        let limits = rig.disk.limits();
        assert_eq!((limits.segments, limits.in_flight), (segments, in_flight), "{size} {ring:#x}");
        let request = rig.read(0, &vec![512; segments]);
        assert_eq!(rig.run(request).result, Ok(()));
    }
    let options = Options { segments: 1000, ..Options::default() };
    let config = BlockConfig { seg_max: 1000, ..BlockConfig::default() };
    let rig = Setup { options, config, size: 1024, ..Setup::with_features(INDIRECT_DESC | SEG_MAX) }.rig();
    assert_eq!((rig.disk.limits().segments, rig.disk.limits().in_flight), (254, 256));
}

#[test]
fn hundreds_of_requests_are_in_flight() {
    let options = Options { descriptors: 1024, ..Options::default() };
    let mut rig = Setup { options, size: 1024, ..Setup::default() }.rig();
    rig.model.manner = Manner::Reordering;
    rig.pool = DmaPool::new(rig.memory, 1025, 512).expect("memory");
    for i in 0..1024 {
        let request = rig.read(i % 64, &[512]);
        rig.disk.submit(request).expect("there is room");
    }
    let request = rig.read(0, &[512]);
    assert_eq!(rig.refusal(request), Refusal::Full);
    rig.disk.publish();
    let mut done = 0;
    while done < 1024 {
        rig.model.serve();
        while let Some(completion) = rig.disk.complete().expect("sound rings") {
            assert_eq!(completion.result, Ok(()));
            done += 1;
        }
    }
}

#[test]
fn a_transfer_that_is_too_long_altogether_is_refused() {
    // Two gigabytes and one sector, of few buffers that are never touched.
    let config = BlockConfig { capacity: 1 << 30, ..BlockConfig::default() };
    let mut rig = Setup::with_config(BlockConfig { size_max: 0, ..config }).rig();
    let mut pool = DmaPool::new(rig.memory, 5, 1 << 29).expect("memory that is not used takes no room");
    let whole = |len| {
        let mut buffer = pool.take().expect("there are five");
        buffer.set_len(len).expect("as long as it is");
        buffer
    };
    let lengths = if cfg!(miri) { return } else { [1 << 29, 1 << 29, 1 << 29, 1 << 29, 512] };
    let data: Vec<DmaBuf> = lengths.map(whole).into();
    let request = BlockRequest { unit: 0, operation: BlockOperation::Read { sector: 0 }, data: data.into() };
    let refused = rig.disk.submit(request).expect_err("too long");
    assert_eq!(refused.reason, Refusal::Invalid);
    let Segments::Many(buffers) = refused.request.data else { panic!("it comes back") };
    let four: Vec<DmaBuf> = buffers.into_vec().into_iter().take(4).collect();
    let request = BlockRequest { unit: 0, operation: BlockOperation::Read { sector: 0 }, data: four.into() };
    rig.disk.submit(request).expect("just as long as can be");
}
