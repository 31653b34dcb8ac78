//! What requests look like to the device.

use crate::rig::*;

/// What may become of a ring.
const RINGS: [u64; 4] = [0, EVENT_IDX, INDIRECT_DESC, INDIRECT_DESC | EVENT_IDX | IN_ORDER];

#[test]
fn blk_8_9_24_requests_have_a_header_their_data_and_a_status() {
    for bus in ALL_BUSES {
        for ring in RINGS {
            if bus.is_legacy() && ring & IN_ORDER != 0 {
                continue;
            }
            let mut rig = Setup { bus, ..Setup::with_features(ring | EVERYTHING) }.rig();
            let all = [
                (BlockOperation::Read { sector: 5 }, 1024, kind::IN, 5),
                (BlockOperation::Write { sector: 6 }, 512, kind::OUT, 6),
                (BlockOperation::Flush, 0, kind::FLUSH, 0),
                (BlockOperation::Identify, 20, kind::GET_ID, 0),
            ];
            // Twice, so that slots come round with requests of another shape.
            for (operation, len, kind, sector) in all.into_iter().chain(all.into_iter().rev()) {
                let lengths: &[usize] = if len == 0 { &[] } else { &[len] };
                assert_eq!(rig.result_of(operation, lengths), Ok(()), "{bus:?} {ring:#x} {operation:?}");
                let seen = rig.model.seen.last().expect("it was sent");
                let expected: &[u32] = if len == 0 { &[] } else { &[len as u32] };
                assert_eq!((seen.kind, seen.sector, &seen.buffers[..]), (kind, sector, expected));
                assert_eq!((seen.has_table, seen.status_before), (ring & INDIRECT_DESC != 0, 0xff), "BLK-18");
            }
        }
    }
}

#[test]
fn blk_24_firecracker_gets_exactly_three_descriptors_and_85_requests() {
    let features = EVENT_IDX | FLUSH;
    let setup = Setup { framing: Framing::Three, size: 256, ..Setup::with_features(features) };
    let mut rig = setup.rig();
    assert_eq!((rig.disk.limits().in_flight, rig.disk.limits().segments), (85, 1));
    rig.model.manner = Manner::Silent;
    for sector in 0..85 {
        let request = rig.read(sector % 64, &[512]);
        rig.disk.submit(request).expect("there is room");
    }
    let request = rig.read(0, &[512]);
    assert_eq!(rig.refusal(request), Refusal::Full);
    rig.disk.publish();
    rig.model.serve();
    assert_eq!(rig.model.waiting(), 85);
    rig.model.manner = Manner::Reordering;
    let mut done = 0;
    while done < 85 {
        rig.model.serve();
        while let Some(completion) = rig.disk.complete().expect("sound rings") {
            assert_eq!(completion.result, Ok(()));
            done += 1;
        }
    }
    // And flushes, which have two.
    assert_eq!(rig.flush(), Ok(()));
    assert_eq!(rig.model.seen.last().map(|seen| seen.buffers.len()), Some(0));
    let request = rig.read(0, &[512, 512]);
    assert_eq!(rig.refusal(request), Refusal::Invalid);
}

#[test]
fn blk_16_many_buffers_are_one_request_and_arrive_in_their_order() {
    for (features, options) in [
        (INDIRECT_DESC | SEG_MAX, Options::default()),
        (SEG_MAX, Options { segments_without_tables: 6, ..Options::default() }),
    ] {
        let mut rig = Setup { options, ..Setup::with_features(features) }.rig();
        let lengths = [512, 1024, 512, 2048, 512, 1024];
        for (sector, place) in rig.model.image.chunks_exact_mut(512).enumerate() {
            place.fill(sector as u8);
        }
        let expected = rig.model.image[3 * 512..][..11 * 512].to_vec();
        let request = rig.read(3, &lengths);
        let done = rig.run(request);
        assert_eq!((done.result, bytes(&done.request)), (Ok(()), expected.clone()));
        // The very same buffers are written elsewhere.
        let request = BlockRequest { operation: BlockOperation::Write { sector: 40 }, ..done.request };
        assert_eq!(rig.run(request).result, Ok(()));
        assert_eq!(rig.model.image[40 * 512..][..11 * 512], expected);
        assert_eq!(rig.model.seen[1].buffers, lengths.map(|len| len as u32));
        // Fewer, in a slot that had more.
        for lengths in [&[512][..], &[512, 512], &[512]] {
            let request = rig.read(0, lengths);
            assert_eq!(rig.run(request).result, Ok(()));
        }
    }
}
