//! Received packets that take several buffers, and what headers say about received packets.

use crate::card::*;

/// The room in a merged buffer: 2 KiB without the headroom.
const ROOM: usize = 2048 - 128;
/// A header of a long segment over IPv4, as an honest card writes it.
const LONG: [u8; 10] = [flags::NEEDS_CSUM, gso::TCPV4, 54, 0, 0xb4, 5, 34, 0, 16, 0];

fn header(bytes: [u8; 10]) -> Header {
    let mut all = [0; HEADER_LEN];
    all[..10].copy_from_slice(&bytes);
    Header::read_from_bytes(&all).expect("as long as it is")
}

fn long() -> Header {
    header(LONG)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 253) as u8).collect()
}

/// The notes of the next packet, and its bytes; holds that its parts are told to belong together.
fn next(frames: &mut Burst<Frame>) -> Option<(Notes, Vec<u8>, usize)> {
    let first = frames.pop()?;
    let notes = first.notes();
    let (mut bytes, mut parts, mut continues) = (first.to_vec(), 1, notes.continues);
    while continues {
        let mut part = frames.pop().expect("all parts come in one call");
        let Notes { checksum, segmentation, continues: more } = part.notes();
        assert_eq!((checksum, segmentation), (Checksum::Plain, None), "the first says it for all");
        bytes.extend_from_slice(&part);
        assert!(part.push_front(128).is_ok(), "there is room for headers");
        parts += 1;
        continues = more;
    }
    Some((notes, bytes, parts))
}

fn is_dropped(nic: &mut Nic) -> bool {
    let before = nic.net.counters().malformed;
    let is_nothing = nic.received().is_empty();
    assert_eq!(nic.net.counters().malformed, before + u64::from(is_nothing));
    is_nothing
}

/// The next good frame comes through, and every buffer went back.
fn is_well(nic: &mut Nic, blocks: usize) {
    nic.deliver(&numbered(77));
    let mut frames = nic.received();
    assert_eq!(number(&next(&mut frames).expect("it arrived").1), 77);
    assert!(frames.is_empty());
    drop(frames);
    assert_eq!(nic.memory.blocks(), blocks);
}

#[test]
fn net_17_31_hd_net_5_a_long_segment_comes_in_several_buffers_and_leaves_in_one_call() {
    for bus in ALL_BUSES {
        let mut setup = Setup { bus, ..Setup::offloading() };
        if bus.is_legacy() {
            setup.features &= 0xffff_ffff;
        }
        let mut nic = setup.nic();
        for len in [60, 1515, ROOM - HEADER_LEN, ROOM - HEADER_LEN + 1, 9000, 40_000, 65_549, 65_589] {
            let packet = pattern(len);
            let header = if len < 1515 { Header::default() } else { long() };
            let buffers = nic.deliver_merged(header, &packet, None);
            assert_eq!(buffers, (len + HEADER_LEN).div_ceil(ROOM), "{bus:?}");
            let mut frames = nic.received();
            assert_eq!(frames.len(), buffers);
            let (notes, bytes, parts) = next(&mut frames).expect("it arrived");
            assert!(bytes == packet && parts == buffers && frames.is_empty(), "{len} bytes");
            let segmentation = notes.segmentation.map(|s| (s.over, s.segment_size.get(), s.header_len));
            match len {
                60 => assert_eq!((notes.checksum, segmentation), (Checksum::Plain, None)),
                _ => {
                    assert_eq!(notes.checksum, Checksum::Partial { start: 34, offset: 16 });
                    assert_eq!(segmentation, Some((SegmentationKind::Tcp4, 1460, 0)));
                }
            }
        }
        assert_eq!(nic.net.counters(), Counters::default());
    }
}

#[test]
fn net_16_17_an_ordinary_frame_takes_one_buffer_whatever_the_unit_and_the_option() {
    for (mtu, merged_buffer, expected) in [(1500, 2048, 2048), (1500, 0, 1664), (1500, 4096, 4096), (9000, 2048, 9216)]
    {
        let options = Options { merged_buffer, ..Options::default() };
        let mut nic = Setup { config: config(MAC, 1, mtu), options, ..Setup::offloading() }.nic();
        let longest = nic.net.limits().max_frame;
        assert_eq!(nic.deliver_merged(Header::default(), &pattern(longest), None), 1);
        assert_eq!(nic.received().len(), 1);
        let chain = nic.receive.pop().expect("it is filled");
        assert_eq!(chain.writable_len() + 128, expected);
    }
}

#[test]
fn net_31_hd_net_5_parts_that_come_one_by_one_are_waited_for() {
    let mut nic = Setup::offloading().nic();
    let packet = pattern(7000);
    let bytes = [Header { num_buffers: 4.into(), ..long() }.as_bytes(), &packet].concat();
    for _ in 0..40 {
        for (i, part) in bytes.chunks(ROOM).enumerate() {
            assert!(nic.received().is_empty(), "{i} of 4");
            assert_eq!(nic.net.arm(), Ok(Armed::Idle), "nothing to do before the rest is there");
            nic.deliver_raw(part, None);
        }
        let mut frames = nic.received();
        assert_eq!(next(&mut frames).expect("it is complete").1, packet);
    }
    assert_eq!(nic.net.counters(), Counters::default());
}

#[test]
fn a_packet_waits_until_the_burst_has_room_for_all_of_it() {
    let mut nic = Setup::offloading().nic();
    for i in 0..62 {
        nic.deliver(&numbered(i));
    }
    let packet = pattern(5000);
    assert_eq!(nic.deliver_merged(long(), &packet, None), 3);
    nic.deliver(&numbered(62));
    let mut frames = nic.received();
    assert_eq!(frames.len(), 62);
    assert_eq!(nic.net.arm(), Ok(Armed::WorkPending), "there is a packet to be taken");
    frames.pop();
    nic.net.receive(&mut frames).expect("an obedient card");
    assert_eq!(frames.len(), BURST, "now it fits");
    for i in 1..62 {
        assert_eq!(number(&next(&mut frames).expect("in order").1), i);
    }
    assert_eq!(next(&mut frames).expect("in order").1, packet);
    assert_eq!(number(&next(&mut nic.received()).expect("in order").1), 62);
}

#[test]
fn hd_net_4_a_packet_in_no_buffer_is_dropped() {
    let mut nic = Setup::offloading().nic();
    let blocks = nic.memory.blocks();
    for _ in 0..300 {
        nic.deliver_raw(&[&[0; HEADER_LEN][..], &numbered(1)].concat(), None);
        assert!(is_dropped(&mut nic));
    }
    is_well(&mut nic, blocks);
}

#[test]
fn hd_net_5_a_packet_in_more_buffers_than_the_queue_has_is_a_fault() {
    for buffers in [257, 1000, 0xffff] {
        let mut nic = Setup::offloading().nic();
        nic.deliver(&numbered(3));
        nic.deliver_raw(&[Header { num_buffers: buffers.into(), ..long() }.as_bytes(), &pattern(1000)].concat(), None);
        let fault = DeviceFault::PacketTooLong { buffers };
        let mut burst = Burst::new();
        assert_eq!(nic.net.receive(&mut burst), Err(fault));
        assert_eq!(burst.len(), 1, "what came before is delivered");
        assert_eq!((nic.net.receive(&mut burst), nic.net.arm()), (Err(fault), Err(fault)));
    }
}

#[test]
fn hd_net_5_7_a_packet_in_more_buffers_than_a_burst_holds_is_dropped_with_all_of_them() {
    let mut nic = Setup::offloading().nic();
    let blocks = nic.memory.blocks();
    for buffers in [65, 100, 256] {
        let header = Header { num_buffers: buffers.into(), ..long() };
        nic.deliver_raw(&[header.as_bytes(), &pattern(100)].concat(), None);
        for _ in 1..buffers {
            assert!(nic.received().is_empty());
            nic.deliver_raw(&pattern(100), None);
        }
        assert!(is_dropped(&mut nic), "{buffers} buffers");
        is_well(&mut nic, blocks);
    }
}

#[test]
fn hd_net_7_a_packet_longer_than_packets_can_be_is_dropped() {
    let mut nic = Setup::offloading().nic();
    let blocks = nic.memory.blocks();
    for len in [65_590, 65_600, 100_000] {
        nic.deliver_merged(long(), &pattern(len), None);
        assert!(is_dropped(&mut nic), "{len} bytes");
        is_well(&mut nic, blocks);
    }
}

#[test]
fn hd_net_8_a_part_that_was_not_written_or_beyond_its_end_spoils_its_packet() {
    for claimed in [0, ROOM as u32 + 1, 4096, u32::MAX] {
        for which in 1..4 {
            let mut nic = Setup::offloading().nic();
            let blocks = nic.memory.blocks();
            let header = Header { num_buffers: 4.into(), ..long() };
            nic.deliver_raw(&[header.as_bytes(), &pattern(1000)].concat(), None);
            for part in 1..4 {
                nic.deliver_raw(&pattern(500), (part == which).then_some(claimed));
            }
            assert!(is_dropped(&mut nic), "part {which} of {claimed} bytes");
            is_well(&mut nic, blocks);
        }
    }
}

#[test]
fn hd_net_1_2_3_a_first_part_that_is_no_start_spoils_its_packet() {
    for claimed in [12, 25, ROOM as u32 + 1, u32::MAX] {
        let mut nic = Setup::offloading().nic();
        let blocks = nic.memory.blocks();
        let header = Header { num_buffers: 3.into(), ..long() };
        nic.deliver_raw(&[header.as_bytes(), &pattern(1000)].concat(), Some(claimed));
        nic.deliver_raw(&pattern(500), None);
        nic.deliver_raw(&pattern(500), None);
        assert!(is_dropped(&mut nic), "{claimed} bytes");
        // And one in a single buffer.
        nic.deliver_raw(
            &[Header { num_buffers: 1.into(), ..long() }.as_bytes(), &pattern(1000)].concat(),
            Some(claimed),
        );
        assert!(is_dropped(&mut nic), "{claimed} bytes");
        nic.deliver_raw(&[1; 11], None);
        assert!(is_dropped(&mut nic), "no header");
        is_well(&mut nic, blocks);
    }
}

#[test]
fn hd_net_5_an_unfinished_packet_holds_up_nothing_but_its_own_queue() {
    let mut nic = Setup::offloading().nic();
    let header = Header { num_buffers: 200.into(), ..long() };
    nic.deliver_raw(&[header.as_bytes(), &pattern(1000)].concat(), None);
    for _ in 0..20 {
        assert!(nic.received().is_empty());
        assert_eq!(nic.net.arm(), Ok(Armed::Idle));
    }
    assert!(nic.fill(0, 4).is_empty());
    assert_eq!(nic.on_the_wire().len(), 4);
}

/// What a card that checks, and one that merges, says with a header about a packet of 1,000 bytes.
fn said(bytes: [u8; 10]) -> [Option<Notes>; 2] {
    [Setup::offloading(), Setup::offloading().without(features::MRG_RXBUF)].map(|setup| {
        let mut nic = setup.nic();
        nic.deliver_merged(header(bytes), &pattern(1000), None);
        let found = next(&mut nic.received()).map(|(notes, ..)| notes);
        assert_eq!(nic.net.counters().malformed, u64::from(found.is_none()));
        found
    })
}

fn checksum(bytes: [u8; 10]) -> [Option<Checksum>; 2] {
    said(bytes).map(|notes| notes.filter(|notes| notes.segmentation.is_none()).map(|notes| notes.checksum))
}

#[test]
fn net_19_20_21_22_what_a_header_says_about_the_checksum() {
    let partial = Checksum::Partial { start: 34, offset: 16 };
    let with = |flags: u8, rest: [u8; 9]| {
        let mut bytes = [flags; 10];
        bytes[1..].copy_from_slice(&rest);
        bytes
    };
    // Of the length of the headers nothing is believed.
    let fields = [gso::NONE, 0xff, 0xff, 0, 0, 34, 0, 16, 0];
    assert_eq!(checksum(with(0, fields)), [Some(Checksum::Plain); 2], "NET-22");
    assert_eq!(checksum(with(flags::DATA_VALID, fields)), [Some(Checksum::Verified); 2]);
    assert_eq!(checksum(with(flags::NEEDS_CSUM, fields)), [Some(partial); 2]);
    assert_eq!(checksum(with(flags::NEEDS_CSUM | flags::DATA_VALID, fields)), [Some(partial); 2]);
    for unknown in [8, 0x10, 0x80, 0xf8] {
        assert_eq!(checksum(with(unknown, fields)), [Some(Checksum::Plain); 2], "NET-19");
        assert_eq!(checksum(with(unknown | flags::NEEDS_CSUM, fields)), [Some(partial); 2], "NET-19");
        assert_eq!(checksum(with(unknown | flags::DATA_VALID, fields)), [Some(Checksum::Verified); 2], "NET-19");
    }
    let both = flags::RSC_INFO | flags::NEEDS_CSUM;
    assert_eq!(checksum(with(both, fields)), [Some(Checksum::Plain); 2], "NET-20");
    assert_eq!(said(with(both, [gso::TCPV4, 54, 0, 0xb4, 5, 34, 0, 16, 0])), [None; 2], "NET-20");
}

#[test]
fn hd_net_11_a_checksum_outside_the_packet_or_behind_its_first_buffer_is_dropped() {
    for (start, offset) in [(0, 16), (13, 16), (999, 0), (1000, 0), (34, 965), (0xffff, 0xffff), (0xfff0, 0x12)] {
        let (start, offset) = (u16::to_le_bytes(start), u16::to_le_bytes(offset));
        let bytes = [flags::NEEDS_CSUM, 0, 0, 0, 0, 0, start[0], start[1], offset[0], offset[1]];
        assert_eq!(said(bytes), [None; 2]);
    }
    let mut nic = Setup::offloading().nic();
    nic.deliver_merged(header([1, 1, 54, 0, 0xb4, 5, 0xd0, 7, 16, 0]), &pattern(9000), None);
    assert!(is_dropped(&mut nic), "at 2,000, in the second buffer");
}

#[test]
fn hd_net_12_what_was_not_negotiated_about_checksums_is_not_believed() {
    let mut nic = Setup::offloading().without(features::GUEST_CSUM).nic();
    for flags in [flags::DATA_VALID, flags::NEEDS_CSUM, 0xff] {
        nic.deliver_merged(header([flags, 0, 0, 0, 0, 0, 34, 0, 16, 0]), &numbered(1), None);
        assert_eq!(nic.received().pop().expect("it arrived").notes(), Notes::default());
    }
}

#[test]
fn hd_net_9_segmentation_that_was_not_negotiated_or_is_none_is_dropped() {
    let long = |flags, gso_type| [flags, gso_type, 54, 0, 0xf4, 1, 34, 0, 16, 0];
    assert!(matches!(said(long(1, gso::TCPV4)), [Some(_), None]), "the second card merges nothing");
    assert!(matches!(said(long(1, gso::TCPV6 | gso::ECN)), [Some(_), None]));
    for gso_type in [2, 3, 5, 6, 0x20, 0x21, 0x40, 0x41, 0x7f, 0x83, gso::ECN, 0xff] {
        assert_eq!(said(long(1, gso_type)), [None; 2], "type {gso_type:#x}");
    }
    for flags in [0, flags::DATA_VALID] {
        assert_eq!(said(long(flags, gso::TCPV4)), [None; 2], "a segment whose checksum is not partial");
    }
    let mut other = long(1, gso::TCPV4);
    other[8] = 6;
    assert_eq!(said(other), [None; 2], "the checksum of TCP is elsewhere");
    for (missing, gso_type) in [
        (features::GUEST_TSO4, gso::TCPV4),
        (features::GUEST_TSO6, gso::TCPV6),
        (features::GUEST_ECN, gso::TCPV4 | gso::ECN),
    ] {
        let mut nic = Setup::offloading().without(missing).nic();
        nic.deliver_merged(header(long(1, gso_type)), &pattern(1000), None);
        assert!(is_dropped(&mut nic), "{missing:?}");
    }
}

#[test]
fn hd_net_10_a_segment_size_of_zero_or_beyond_the_packet_is_dropped() {
    for size in [0_u16, 1001, 0xffff] {
        let size = size.to_le_bytes();
        assert_eq!(said([1, 1, 54, 0, size[0], size[1], 34, 0, 16, 0]), [None; 2]);
    }
    // The length of the headers may be anything.
    let [found, _] = said([1, 1, 0xff, 0xff, 0xe8, 3, 34, 0, 16, 0]);
    assert_eq!(found.and_then(|notes| notes.segmentation).map(|s| s.segment_size.get()), Some(1000));
}

#[test]
fn hd_net_13_a_packet_longer_than_the_link_carries_is_a_segment_or_dropped() {
    let mut nic = Setup::offloading().nic();
    nic.deliver_merged(Header::default(), &pattern(LONGEST + 1), None);
    assert!(is_dropped(&mut nic));
    nic.deliver_merged(header([flags::DATA_VALID, 0, 0, 0, 0, 0, 0, 0, 0, 0]), &pattern(5000), None);
    assert!(is_dropped(&mut nic));
}

#[test]
fn hd_net_6_without_merging_the_number_of_buffers_is_not_looked_at() {
    let mut nic = Setup::offloading().without(features::MRG_RXBUF).nic();
    for buffers in [0, 2, 0xffff] {
        nic.deliver_raw(
            &[Header { num_buffers: buffers.into(), ..Header::default() }.as_bytes(), &numbered(5)].concat(),
            None,
        );
        assert_eq!(number(&nic.received().pop().expect("it is one frame")), 5);
    }
}

#[test]
fn net_29_a_legacy_header_has_twelve_bytes_where_buffers_are_merged() {
    for bus in LEGACY_BUSES {
        let mut setup = Setup { bus, ..Setup::offloading() };
        setup.features &= 0xffff_ffff;
        let mut nic = setup.nic();
        assert!(nic.fill(4, 1).is_empty());
        let wire = nic.on_the_wire();
        assert_eq!(wire[0], [vec![0; HEADER_LEN], numbered(4)].concat(), "NET-8: in both directions");
        // Where the layout is fixed, there is no merging, and ten bytes.
        let mut setup = Setup { bus, fixed_layout: true, ..Setup::offloading() };
        setup.features &= 0xffff_ffff;
        let nic = setup.nic();
        assert_eq!(nic.device.state().accepted & (features::MERGING | features::MRG_RXBUF).bits(), 0);
    }
}

#[test]
fn merged_buffers_come_home_and_take_no_memory() {
    let mut nic = Setup::offloading().nic();
    let blocks = nic.memory.blocks();
    let mut held = VecDeque::new();
    for round in 0..400 {
        let packet = pattern(1600 + 97 * (round % 300));
        nic.deliver_merged(long(), &packet, None);
        let mut frames = nic.received();
        held.push_back(drained(&mut frames));
        if held.len() > 2 {
            held.pop_front();
        }
    }
    assert_eq!((nic.memory.blocks(), nic.net.counters()), (blocks, Counters::default()));
}
