//! The frame that all operations share: FU-FR and FU-RV.

use std::vec;

use proptest::prelude::*;

use super::*;
use crate::file_type::FileType;
use crate::id::FileHandle;
use crate::ops::{Lookup, LookupReply, OpenFlags, Read, Release, StatFs};
use crate::testing::{UNIQUE, config, node, reply, reply_claiming, wire_entry};

fn read(size: u32) -> Read {
    Read { node: node(5), handle: FileHandle(6), offset: 0, size, flags: OpenFlags::default() }
}

fn lookup() -> Lookup<'static> {
    Lookup { parent: NodeId::ROOT, name: Name::new(b"motd").expect("a good name") }
}

fn release() -> Release {
    Release::new(node(5), FileHandle(6), OpenFlags::default())
}

#[test]
fn fu_fr_1_fu_fr_2_a_request_is_header_and_body_and_says_how_long() {
    let caller = Caller { uid: 0x0102_0304, gid: 0x0506_0708, pid: 0x090a_0b0c };
    let unique = Unique::new(0x1122_3344_5566_7788).expect("even, not zero, bit 63 clear");
    let mut buffer = [0xff; 64];
    let len = lookup().encode(unique, caller, &mut buffer);
    assert_eq!(len, Ok(45));
    #[rustfmt::skip]
    let expected = [
        45, 0, 0, 0,   1, 0, 0, 0,
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        1, 0, 0, 0, 0, 0, 0, 0,
        4, 3, 2, 1,   8, 7, 6, 5,
        0x0c, 0x0b, 0x0a, 9,   0, 0,   0, 0,
        b'm', b'o', b't', b'd', 0,
    ];
    assert_eq!(buffer[..45], expected);
    assert!(buffer[45..].iter().all(|&byte| byte == 0xff), "wrote too far");
}

#[test]
fn the_measured_length_is_the_encoded_one_and_one_byte_less_is_too_small() {
    let len = lookup().request_len().expect("it can be encoded");
    assert_eq!(len, 45);
    let mut buffer = vec![0; len];
    assert_eq!(lookup().encode(UNIQUE, Caller::SUPERUSER, &mut buffer), Ok(len));
    for short in 0..len {
        let result = lookup().encode(UNIQUE, Caller::SUPERUSER, &mut buffer[..short]);
        assert_eq!(result, Err(EncodeError::BufferTooSmall), "{short}");
    }
}

#[test]
fn fu_fr_3_the_writable_part_is_exactly_the_largest_reply() {
    assert_eq!(read(8192).reply_capacity(), 16 + 8192);
    assert_eq!(lookup().reply_capacity(), 16 + 128);
    assert_eq!(release().reply_capacity(), 16);
}

#[test]
fn fu_fr_8_a_reply_that_was_never_written_is_malformed() {
    let untouched = [0; 144];
    assert_eq!(lookup().decode(UNIQUE, &untouched), Err(Defect::HeaderLength.into()));
}

#[test]
fn hd_fs_1_a_length_below_the_header_is_malformed() {
    for len in 0..16 {
        let bytes = reply_claiming(len, 0, &[0; 128]);
        assert_eq!(lookup().decode(UNIQUE, &bytes), Err(Defect::HeaderLength.into()), "{len}");
    }
}

#[test]
fn fu_rv_1_hd_fs_2_a_length_beyond_the_capacity_is_malformed() {
    for len in [16 + 129, 4096, i32::MAX as u32, u32::MAX] {
        let bytes = reply_claiming(len, 0, &[0; 4096]);
        assert_eq!(lookup().decode(UNIQUE, &bytes), Err(Defect::Overlong.into()), "{len}");
    }
}

#[test]
fn a_length_beyond_the_buffer_is_malformed() {
    let bytes = reply_claiming(16 + 100, 0, &[7; 99]);
    assert_eq!(read(4096).decode(UNIQUE, &bytes), Err(Defect::Overlong.into()));
    assert_eq!(read(4096).decode(UNIQUE, &bytes[..15]), Err(Defect::HeaderLength.into()));
}

#[test]
fn fu_rv_2_hd_fs_5_another_unique_is_malformed() {
    let payload = wire_entry(9, FileType::Regular);
    let bytes = reply(0, payload.as_bytes());
    let other = Unique::new(UNIQUE.get() + 2).expect("even");
    assert_eq!(lookup().decode(other, &bytes), Err(Defect::WrongUnique.into()));
    // Not even an error is believed that belongs to somebody else.
    assert_eq!(lookup().decode(other, &reply(-2, &[])), Err(Defect::WrongUnique.into()));
}

#[test]
fn fu_rv_3_hd_fs_6_an_impossible_error_is_malformed() {
    for error in [1, 2, i32::MAX, -512, -4096, i32::MIN] {
        assert_eq!(release().decode(UNIQUE, &reply(error, &[])), Err(Defect::ErrorRange.into()), "{error}");
    }
}

#[test]
fn fu_rv_4_hd_fs_7_an_error_wins_over_its_payload() {
    let payload = wire_entry(9, FileType::Regular);
    let bytes = reply(-13, payload.as_bytes());
    assert_eq!(lookup().decode(UNIQUE, &bytes), Err(ReplyError::Remote(Errno::EACCES)));
}

#[test]
fn fu_rv_5_hd_fs_3_hd_fs_8_a_short_payload_is_malformed() {
    let payload = wire_entry(9, FileType::Regular);
    for short in [0, 1, 120, 127] {
        let bytes = reply(0, &payload.as_bytes()[..short]);
        assert_eq!(lookup().decode(UNIQUE, &bytes), Err(Defect::PayloadLength.into()), "{short}");
        // The header alone is enough to tell.
        let header = bytes.first_chunk().expect("16 bytes");
        assert_eq!(lookup().payload_range(UNIQUE, header), Err(Defect::PayloadLength.into()));
    }
}

#[test]
fn fu_rv_5_hd_fs_4_a_payload_where_none_belongs_is_malformed() {
    assert_eq!(release().decode(UNIQUE, &reply(0, &[])), Ok(()));
    assert_eq!(release().decode(UNIQUE, &reply(0, &[0; 8])), Err(Defect::Overlong.into()));
}

#[test]
fn fu_rv_6_hd_fs_9_only_the_header_says_how_long_a_reply_is() {
    // The buffer is larger than the reply, as if the device had reported any other number.
    let mut bytes = reply(0, b"hello");
    bytes.resize(16 + 4096, 0xee);
    assert_eq!(read(4096).decode(UNIQUE, &bytes), Ok(&b"hello"[..]));
}

#[test]
fn hd_fs_10_the_header_alone_tells_where_the_data_lies() {
    let bytes = reply_claiming(16 + 4096, 0, &[]);
    let header: [u8; 16] = bytes[..16].try_into().expect("16 bytes");
    assert_eq!(read(4096).payload_range(UNIQUE, &header), Ok(16..16 + 4096));
    assert_eq!(read(4095).payload_range(UNIQUE, &header), Err(Defect::Overlong.into()));
}

#[test]
fn parse_by_itself_checks_the_length_as_well() {
    let malformed = Defect::PayloadLength.into();
    assert_eq!(lookup().parse(&[0; 129]), Err(malformed));
    assert_eq!(read(8).parse(&[0; 9]), Err(malformed));
    assert_eq!(release().parse(&[0]), Err(malformed));
    assert_eq!(StatFs { node: node(1) }.parse(&[0; 79]), Err(malformed));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_header_check_never_yields_a_range_outside_the_capacity(
        header: [u8; 16],
        size in 0u32..=1 << 20,
    ) {
        let read = read(size);
        if let Ok(range) = read.payload_range(UNIQUE, &header) {
            prop_assert_eq!(range.start, 16);
            prop_assert!(range.end >= 16);
            prop_assert!(range.end <= read.reply_capacity());
        }
    }

    #[test]
    fn a_good_header_yields_the_range_it_says(size in 0u32..=4096, len in 0usize..=4096) {
        let bytes = reply_claiming(16 + u32::try_from(len).expect("small"), 0, &[]);
        let header: [u8; 16] = bytes[..16].try_into().expect("16 bytes");
        let result = read(size).payload_range(UNIQUE, &header);
        if len <= usize::try_from(size).expect("small") {
            prop_assert_eq!(result, Ok(16..16 + len));
        } else {
            prop_assert_eq!(result, Err(Defect::Overlong.into()));
        }
    }

    #[test]
    fn lookup_survives_any_reply(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = lookup().decode(UNIQUE, &bytes);
    }

    #[test]
    fn lookup_survives_any_entry(payload in prop::collection::vec(any::<u8>(), 128)) {
        match lookup().decode(UNIQUE, &reply(0, &payload)) {
            Ok(LookupReply::Found(entry)) => {
                prop_assert!(!entry.node.is_root());
                prop_assert!(entry.attributes.size <= i64::MAX as u64);
            }
            Ok(LookupReply::Negative { .. }) => prop_assert_eq!(&payload[..8], &[0; 8]),
            Err(error) => prop_assert!(error.forget().is_none_or(|node| !node.is_root())),
        }
    }
}
