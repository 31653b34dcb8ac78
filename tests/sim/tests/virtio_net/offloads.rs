//! Work on transmitted frames that is left to the card.

use core::num::NonZeroU16;

use crate::card::*;

const OVER_4: SegmentationKind = SegmentationKind::Tcp4;
const OVER_6: SegmentationKind = SegmentationKind::Tcp6;
/// Where TCP starts over IPv4 and over IPv6.
const AT_4: u16 = 34;
const AT_6: u16 = 54;

fn partial(start: u16, offset: u16) -> Notes {
    Notes { checksum: Checksum::Partial { start, offset }, ..Notes::default() }
}

/// The notes of a TCP segment that is to be cut.
fn cut(over: SegmentationKind, segment_size: u16) -> Notes {
    let start = if over == OVER_4 { AT_4 } else { AT_6 };
    let segment_size = NonZeroU16::new(segment_size).expect("a size");
    Notes { segmentation: Some(Segmentation { over, segment_size, header_len: start + 20 }), ..partial(start, 16) }
}

/// Sends a frame with these notes; what is on the wire.
fn send(nic: &mut Nic, bytes: &[u8], notes: Notes) -> Option<(Header, Vec<u8>)> {
    let mut frame = nic.frame(bytes);
    frame.set_notes(notes);
    let mut burst = Burst::new();
    burst.push(frame).expect("there is room");
    nic.net.transmit(&mut burst).expect("an obedient card");
    assert!(burst.is_empty(), "sent or refused");
    let sent = nic.on_the_wire().pop()?;
    nic.complete(1);
    let (header, frame) = Header::read_from_prefix(&sent).expect("a header");
    Some((header, frame.to_vec()))
}

fn is_refused(nic: &mut Nic, bytes: &[u8], notes: Notes) -> bool {
    let before = nic.net.counters().refused;
    let is_lost = send(nic, bytes, notes).is_none();
    assert_eq!(nic.net.counters().refused, before + u64::from(is_lost));
    is_lost
}

#[test]
fn net_8_12_13_14_a_partial_checksum_is_completed_where_the_notes_say() {
    for bus in ALL_BUSES {
        let mut setup = Setup { bus, ..Setup::offloading() };
        if bus.is_legacy() {
            // Twelve bytes, since buffers are merged (NET-29).
            setup.features &= 0xffff_ffff;
        }
        let mut nic = setup.nic();
        assert!(nic.net.limits().offloads.checksum);
        let bytes = numbered(7);
        let (header, frame) = send(&mut nic, &bytes, partial(34, 6)).expect("it is sent");
        let expected = Header {
            flags: flags::NEEDS_CSUM,
            hdr_len: 42.into(),
            csum_start: 34.into(),
            csum_offset: 6.into(),
            ..Header::default()
        };
        assert_eq!((header, frame), (expected, bytes.clone()), "{bus:?}");
        // Up to the last byte.
        assert!(!is_refused(&mut nic, &bytes, partial(14, 44)) && !is_refused(&mut nic, &bytes, partial(58, 0)));
        // The next plain frame has a plain header again.
        for checksum in [Checksum::Plain, Checksum::Verified] {
            let (header, _) = send(&mut nic, &bytes, Notes { checksum, ..Notes::default() }).expect("it is sent");
            assert_eq!(header, Header::default());
        }
    }
}

#[test]
fn net_29_a_legacy_header_of_ten_bytes_says_the_same() {
    for bus in LEGACY_BUSES {
        for fixed_layout in [false, true] {
            let features = (features::CSUM | features::HOST_TSO4).bits();
            let mut nic = Setup { bus, features, fixed_layout, ..Setup::default() }.nic();
            let mut frame = nic.frame(&vec![0; 4000]);
            frame.set_notes(cut(OVER_4, 1460));
            let mut burst = Burst::new();
            burst.push(frame).expect("there is room");
            nic.net.transmit(&mut burst).expect("an obedient card");
            let sent = nic.on_the_wire().pop().expect("it is sent");
            assert_eq!(sent[..10], [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0]);
            assert_eq!(sent.len(), 10 + 4000);
        }
    }
}

#[test]
fn net_9_without_the_feature_no_checksum_is_left_to_the_card() {
    let mut nic = Setup::offloading().without(features::CSUM).nic();
    assert_eq!(nic.net.limits().offloads, Offloads::NONE);
    assert!(is_refused(&mut nic, &numbered(1), partial(34, 6)));
    assert!(!is_refused(&mut nic, &numbered(1), Notes::default()));
}

#[test]
fn net_12_a_checksum_outside_its_frame_is_refused() {
    let mut nic = Setup::offloading().nic();
    for (start, offset) in [(0, 6), (13, 0), (34, 25), (59, 0), (60, 0), (0xffff, 0), (34, 0xffff), (0xffff, 0xffff)] {
        assert!(is_refused(&mut nic, &numbered(1), partial(start, offset)), "{start} + {offset}");
    }
}

#[test]
fn net_10_11_12_13_a_long_segment_says_all_that_cutting_takes() {
    let mut nic = Setup::offloading().nic();
    let Offloads { checksum, max_tcp4, max_tcp6 } = nic.net.limits().offloads;
    assert!(checksum && max_tcp4 == max_tcp6 && (65_000..=14 + 65_535).contains(&max_tcp4));
    for (over, gso_type, start) in [(OVER_4, gso::TCPV4, AT_4), (OVER_6, gso::TCPV6, AT_6)] {
        for len in [1000, 1515, 9000, max_tcp4] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8 & 0x7f).collect();
            let (header, frame) = send(&mut nic, &bytes, cut(over, 1440)).expect("it is sent");
            let expected = Header {
                flags: flags::NEEDS_CSUM,
                gso_type,
                hdr_len: (start + 20).into(),
                gso_size: 1440.into(),
                csum_start: start.into(),
                csum_offset: 16.into(),
                num_buffers: 0.into(),
            };
            assert_eq!(header, expected);
            assert!(frame == bytes, "{len} bytes");
        }
    }
    assert_eq!(nic.net.counters(), Counters::default());
}

#[test]
fn net_4_10_11_more_than_was_promised_or_nonsense_is_refused() {
    let mut nic = Setup::offloading().nic();
    let longest = nic.net.limits().offloads.max_tcp4;
    let mut large = nic.net.frame(longest).expect("one of the large ones");
    assert!(large.set_len(longest + 1).is_err(), "there is no longer one");
    drop(large);
    let bytes = vec![0; 3000];
    let sound = cut(OVER_4, 1460);
    assert!(!is_refused(&mut nic, &bytes, sound));
    assert!(is_refused(&mut nic, &bytes, Notes::default()), "too long for the link");
    assert!(is_refused(&mut nic, &bytes, partial(34, 16)), "also with a checksum to complete");
    assert!(is_refused(&mut nic, &bytes, Notes { checksum: Checksum::Plain, ..sound }), "NET-11");
    assert!(is_refused(&mut nic, &bytes, Notes { checksum: Checksum::Partial { start: 34, offset: 6 }, ..sound }));
    assert!(is_refused(&mut nic, &bytes, Notes { continues: true, ..sound }));
    assert!(is_refused(&mut nic, &bytes, Notes { continues: true, ..Notes::default() }));
    assert!(is_refused(&mut nic, &bytes, cut(OVER_4, 1461)), "NET-4: segments too long for the link");
    let with = |header_len| {
        let segmentation = sound.segmentation.map(|segmentation| Segmentation { header_len, ..segmentation });
        Notes { segmentation, ..sound }
    };
    for header_len in [0, 14, 53, 1055, 3001, u16::MAX] {
        assert!(is_refused(&mut nic, &bytes, with(header_len)), "headers of {header_len} bytes");
    }
    assert!(is_refused(&mut nic, &[0; 40], with(54)), "headers longer than the frame");
}

#[test]
fn net_10_each_kind_is_cut_only_with_its_feature() {
    let bytes = vec![0; 3000];
    let mut only_4 = Setup::offloading().without(features::HOST_TSO6).nic();
    let offloads = only_4.net.limits().offloads;
    assert!(offloads.max_tcp4 > 60_000 && offloads.max_tcp6 == 0);
    assert!(!is_refused(&mut only_4, &bytes, cut(OVER_4, 1400)) && is_refused(&mut only_4, &bytes, cut(OVER_6, 1400)));
    let mut only_6 = Setup::offloading().without(features::HOST_TSO4).nic();
    let offloads = only_6.net.limits().offloads;
    assert!(offloads.max_tcp6 > 60_000 && offloads.max_tcp4 == 0);
    assert!(is_refused(&mut only_6, &bytes, cut(OVER_4, 1400)) && !is_refused(&mut only_6, &bytes, cut(OVER_6, 1400)));
    let mut neither = Setup::offloading().without(features::SEGMENTING).nic();
    assert!(neither.net.frame(1515).is_none(), "beyond all limits");
    assert!(is_refused(&mut neither, &[0; 1000], cut(OVER_4, 100)));
}

#[test]
fn net_15_segments_with_cwr_are_cut_only_where_that_was_negotiated() {
    let mut bytes = vec![0; 3000];
    bytes[usize::from(AT_4) + 13] = 0x90;
    let mut nic = Setup::offloading().nic();
    let (header, _) = send(&mut nic, &bytes, cut(OVER_4, 1400)).expect("it is sent");
    assert_eq!(header.gso_type, gso::TCPV4 | gso::ECN);
    let mut nic = Setup::offloading().without(features::HOST_ECN).nic();
    assert!(is_refused(&mut nic, &bytes, cut(OVER_4, 1400)));
    bytes[usize::from(AT_4) + 13] = 0x10;
    let (header, _) = send(&mut nic, &bytes, cut(OVER_4, 1400)).expect("it is sent");
    assert_eq!(header.gso_type, gso::TCPV4);
}

#[test]
fn large_frames_run_out_and_come_home_by_themselves() {
    let options = Options { large_frames: 3, ..Options::default() };
    let mut nic = Setup { options, ..Setup::offloading() }.nic();
    let blocks = nic.memory.blocks();
    for round in 0..20 {
        let held: Vec<_> = std::iter::from_fn(|| nic.net.frame(20_000)).collect();
        assert_eq!(held.len(), 3, "round {round}");
        assert!(nic.net.frame(60).is_some(), "the others are not touched");
        let mut burst = Burst::new();
        for mut frame in held {
            frame.set_len(20_000).expect("it is long enough");
            frame.fill(0);
            frame.set_notes(cut(OVER_4, 1400));
            burst.push(frame).expect("there is room");
        }
        nic.net.transmit(&mut burst).expect("an obedient card");
        assert!(nic.net.frame(20_000).is_none(), "the card has them");
        assert_eq!(nic.on_the_wire().len(), 3);
        nic.complete(3);
    }
    assert_eq!((nic.memory.blocks(), nic.net.counters()), (blocks, Counters::default()));
}

#[test]
fn without_memory_for_large_frames_there_is_no_cutting() {
    let needed = Setup::offloading().nic().memory.blocks();
    let memory = SimMemory::leak();
    memory.limit(needed - 1);
    let (_, nic) = Setup::offloading().attach_with(memory);
    let mut nic = nic.expect("the rest is there");
    assert_eq!(nic.net.limits().offloads, Offloads { checksum: true, ..Offloads::NONE });
    assert!(nic.net.frame(1515).is_none());
}
