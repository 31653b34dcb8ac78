//! Seeking, copying and mapping: numbers that have to lie in a file or a window.

use super::*;

const END: u64 = i64::MAX as u64;

fn seek(offset: u64, what: SeekWhat) -> LSeek {
    LSeek { node: node(9), handle: FileHandle(5), offset, what }
}

#[test]
fn seeking_says_from_where_and_for_what() {
    let (header, body) = encode(&seek(0x0102, SeekWhat::Data));
    assert_eq!((header.opcode.get(), header.node.get()), (46, 9));
    assert_eq!(body, [5, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(super::body(&seek(0, SeekWhat::Hole))[16], 4);
    assert_eq!(encode_error(&seek(END + 1, SeekWhat::Data)), EncodeError::OffsetOutOfRange);
}

#[test]
fn what_was_found_is_behind_where_the_search_began() {
    let found = |from: u64, offset: u64| seek(from, SeekWhat::Hole).decode(UNIQUE, &reply(0, &offset.to_le_bytes()));
    for (from, offset) in [(0, 0), (7, 7), (7, 8), (0, END), (END, END)] {
        assert_eq!(found(from, offset), Ok(offset));
    }
    for (from, offset) in [(7, 6), (1, 0), (0, END + 1), (0, u64::MAX)] {
        assert_eq!(found(from, offset), Err(Defect::Offset.into()), "{from} {offset}");
    }
    let nothing = seek(0, SeekWhat::Data).decode(UNIQUE, &reply(-6, &[]));
    assert_eq!(nothing, Err(ReplyError::Remote(Errno::ENXIO)));
}

fn copy(offset: u64, to_offset: u64, length: u64) -> CopyFileRange {
    CopyFileRange {
        node: node(9),
        handle: FileHandle(5),
        offset,
        to_node: node(8),
        to_handle: FileHandle(4),
        to_offset,
        length,
    }
}

fn copy_64(offset: u64, to_offset: u64, length: u64) -> CopyFileRange64 {
    let CopyFileRange { node, handle, to_node, to_handle, .. } = copy(0, 0, 0);
    CopyFileRange64 { node, handle, offset, to_node, to_handle, to_offset, length }
}

#[test]
fn copying_says_from_where_to_where() {
    let (header, body) = encode(&copy(1, 2, 3));
    assert_eq!((header.opcode.get(), header.node.get()), (47, 9));
    let expected: Vec<u8> = [5u64, 1, 8, 4, 2, 3, 0].iter().flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(body, expected);
    let (header, body) = encode(&copy_64(1, 2, 3));
    assert_eq!((header.opcode.get(), body), (53, expected));
}

#[test]
fn a_copy_is_no_longer_than_its_answer_can_count() {
    let most = CopyFileRange::MAX_LENGTH;
    assert!(copy(0, 0, most).request_len().is_ok());
    assert_eq!(encode_error(&copy(0, 0, most + 1)), EncodeError::LengthOutOfRange);
    assert!(copy_64(0, 0, 1 << 32).request_len().is_ok());
    for (offset, to_offset, length) in [(END, 0, 1), (0, END, 1), (u64::MAX, 0, 1), (0, u64::MAX, 1)] {
        assert_eq!(encode_error(&copy(offset, to_offset, length)), EncodeError::OffsetOutOfRange);
        assert_eq!(encode_error(&copy_64(offset, to_offset, length)), EncodeError::OffsetOutOfRange);
    }
}

#[test]
fn no_more_is_copied_than_was_asked_for() {
    let copied = |size: u32| {
        let wire = WireWritten { size: U32::new(size), padding: U32::MAX_VALUE };
        copy(0, 0, 100).decode(UNIQUE, &reply(0, wire.as_bytes()))
    };
    let copied_64 = |size: u64| copy_64(0, 0, 100).decode(UNIQUE, &reply(0, &size.to_le_bytes()));
    for size in [0, 1, 100] {
        assert_eq!(copied(size), Ok(size));
        assert_eq!(copied_64(size.into()), Ok(size.into()));
    }
    for size in [101, u32::MAX] {
        assert_eq!(copied(size), Err(Defect::Copied.into()));
        assert_eq!(copied_64(size.into()), Err(Defect::Copied.into()));
    }
    assert_eq!(copied_64(u64::MAX), Err(Defect::Copied.into()));
}

fn map(file_offset: u64, length: u64, window_offset: u64) -> SetupMapping {
    let flags = MappingFlags::READ | MappingFlags::WRITE;
    SetupMapping { node: node(9), handle: None, file_offset, length, flags, window_offset }
}

#[test]
fn mapping_says_what_and_where() {
    let (header, body) = encode(&map(1, 2, 3));
    assert_eq!((header.opcode.get(), header.node.get()), (48, 9));
    let expected: Vec<u8> = [u64::MAX, 1, 2, 3, 3].iter().flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(body, expected);
    let with = SetupMapping { handle: Some(FileHandle(5)), ..map(1, 2, 3) };
    assert_eq!(super::body(&with)[0], 5);
    for nothing in [map(0, 0, 0), map(0, 2, u64::MAX)] {
        assert_eq!(encode_error(&nothing), EncodeError::MappingOutOfRange);
    }
    assert_eq!(encode_error(&map(END, 2, 0)), EncodeError::OffsetOutOfRange);
    assert_eq!(encode_error(&map(u64::MAX, 2, 0)), EncodeError::OffsetOutOfRange);
}

#[test]
fn hd_fs_44_a_mapping_lies_in_the_window_that_the_device_has() {
    const WINDOW: u64 = 64 << 20;
    const GRANULE: u32 = 2 << 20;
    let granule = u64::from(GRANULE);
    assert_eq!(map(0, WINDOW, 0).check(WINDOW, GRANULE), Ok(()));
    assert_eq!(map(granule, granule, WINDOW - granule).check(WINDOW, GRANULE), Ok(()));
    let outside = [
        map(0, granule, WINDOW),
        map(0, WINDOW, granule),
        map(0, granule, u64::MAX - granule + 1),
        map(1, granule, 0),
        map(0, granule + 1, 0),
        map(0, granule, 4096),
        map(0, 0, 0),
    ];
    for mapping in outside {
        assert_eq!(mapping.check(WINDOW, GRANULE), Err(EncodeError::MappingOutOfRange), "{mapping:?}");
    }
    assert_eq!(map(0, granule, 0).check(WINDOW, 0), Err(EncodeError::MappingOutOfRange), "an alignment of nothing");
    // What the server says afterwards changes nothing of that: its answer has no numbers.
    assert_eq!(map(0, granule, 0).decode(UNIQUE, &reply(0, &[])), Ok(()));
    assert_eq!(map(0, granule, 0).decode(UNIQUE, &reply(0, &[0; 8])), Err(Defect::Overlong.into()));
}

#[test]
fn ranges_to_remove_begin_at_the_fourth_byte() {
    let ranges = [(1, 2), (3, 4)].map(|(offset, length)| WindowRange { offset, length });
    let (header, body) = encode(&RemoveMapping { node: node(9), ranges: &ranges });
    assert_eq!((header.opcode.get(), header.node.get()), (49, 9));
    let mut expected = vec![2, 0, 0, 0];
    expected.extend([1u64, 2, 3, 4].iter().flat_map(|number| number.to_le_bytes()));
    assert_eq!(body, expected);
}

#[test]
fn ranges_to_remove_are_some_and_a_page_of_them_at_most() {
    let remove = |ranges: &[WindowRange]| RemoveMapping { node: node(9), ranges }.request_len();
    let ranges = [WindowRange { offset: 0, length: 1 }; 257];
    assert_eq!(remove(&ranges[1..]), Ok(40 + 4 + 256 * 16));
    for bad in
        [&ranges[..], &[], &[WindowRange { offset: 0, length: 0 }], &[WindowRange { offset: 9, length: u64::MAX }]]
    {
        assert_eq!(remove(bad), Err(EncodeError::MappingOutOfRange));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_seek_reads_back_as_it_was_written(node in any_node(), handle: u64, offset in 0..=END, hole: bool) {
        let what = if hole { SeekWhat::Hole } else { SeekWhat::Data };
        let request = LSeek { node, handle: FileHandle(handle), offset, what };
        let (header, body) = encode(&request);
        let wire = WireLSeek::read_from_bytes(&body).expect("24 bytes");
        let read_back = LSeek {
            node: NodeId::new(header.node.get()).expect("not zero"),
            handle: FileHandle(wire.handle.get()),
            offset: wire.offset.get(),
            what: if wire.whence.get() == 4 { SeekWhat::Hole } else { SeekWhat::Data },
        };
        prop_assert_eq!(read_back, request);
    }

    #[test]
    fn a_copy_reads_back_as_it_was_written(
        [node, to_node] in [any_node(), any_node()],
        [handle, to_handle]: [u64; 2],
        [offset, to_offset, length] in [0u64..1 << 62, 0u64..1 << 62, 0u64..1 << 62],
    ) {
        let request = CopyFileRange64 {
            node,
            handle: FileHandle(handle),
            offset,
            to_node,
            to_handle: FileHandle(to_handle),
            to_offset,
            length,
        };
        let (header, body) = encode(&request);
        let wire = WireCopyFileRange::read_from_bytes(&body).expect("56 bytes");
        prop_assert_eq!(wire.flags.get(), 0);
        let read_back = CopyFileRange64 {
            node: NodeId::new(header.node.get()).expect("not zero"),
            handle: FileHandle(wire.handle.get()),
            offset: wire.offset.get(),
            to_node: NodeId::new(wire.to_node.get()).expect("not zero"),
            to_handle: FileHandle(wire.to_handle.get()),
            to_offset: wire.to_offset.get(),
            length: wire.length.get(),
        };
        prop_assert_eq!(read_back, request);
    }

    #[test]
    fn hd_fs_44_what_fits_ends_in_the_window(offset: u64, length: u64, window: u64, shift in 0u32..32) {
        let range = WindowRange { offset, length };
        if range.fits(window, 1 << shift) {
            prop_assert!(length > 0 && u128::from(offset) + u128::from(length) <= u128::from(window));
            prop_assert_eq!((offset | length).trailing_zeros().min(shift), shift);
        }
    }
}
