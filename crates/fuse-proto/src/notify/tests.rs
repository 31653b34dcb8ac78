//! Good notifications, and all the ways in which one can be wrong (HD-FS-43).

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use zerocopy::little_endian::I32;

use super::*;
use crate::testing::{config, node};

fn framed(code: i32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + payload.len()).expect("tests are small");
    let header = ReplyHeader { len: U32::new(len), error: I32::new(code), unique: U64::ZERO };
    [header.as_bytes(), payload].concat()
}

/// The payload of a code, out of 64-bit numbers and what follows them.
fn payload(numbers: &[u64], rest: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    bytes.extend(rest);
    bytes
}

fn good(code: i32, payload: &[u8], expected: Notification<'_>) {
    let bytes = framed(code, payload);
    assert_eq!(Notification::parse(&bytes), Ok(expected));
    // Whatever lies behind it in the buffer.
    let longer = [&bytes[..], &[0xff; 20]].concat();
    assert_eq!(Notification::parse(&longer), Ok(expected));
    // Every one of them is exactly as long as it says.
    for len in 0..bytes.len() {
        assert!(Notification::parse(&bytes[..len]).is_err(), "{len}");
    }
}

fn bad(code: i32, payload: &[u8], defect: Defect) {
    assert_eq!(Notification::parse(&framed(code, payload)), Err(defect), "{payload:?}");
}

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).expect("a good name")
}

#[test]
fn good_notifications_mean_what_they_say() {
    good(1, &payload(&[7], b""), Notification::Poll { wake_up: WakeUp(7) });
    let entry = |staleness| Notification::InvalidateEntry { parent: node(9), name: name(b"file"), staleness };
    good(3, &payload(&[9, 4], b"file\0"), entry(Staleness::Drop));
    good(3, &payload(&[9, 4 | 1 << 32], b"file\0"), entry(Staleness::Expire));
    good(4, &payload(&[9, 100, 3], b"abc"), Notification::Store { node: node(9), offset: 100, data: b"abc" });
    let asked = Notification::Retrieve { question: Question(u64::MAX), node: node(9), offset: 100, size: 4096 };
    good(5, &payload(&[u64::MAX, 9, 100, 4096], b""), asked);
    let deleted = Notification::Delete { parent: node(1), child: node(8), name: name(b"file") };
    good(6, &payload(&[1, 8, 4], b"file\0"), deleted);
    good(7, b"", Notification::Resend);
    good(8, b"", Notification::NextEpoch);
    let nodes = [U64::new(3), U64::new(4), U64::new(3)];
    good(9, &payload(&[3, 0, 3, 4, 3], b""), Notification::Prune(PrunedNodes(&nodes)));
    let listed: Vec<_> = PrunedNodes(&nodes).iter().collect();
    assert_eq!(listed, [node(3), node(4), node(3)]);
}

#[test]
fn stale_data_is_a_range_the_rest_or_none() {
    let stale = |offset: i64, length: i64, data| {
        let numbers = [9, u64::from_ne_bytes(offset.to_ne_bytes()), u64::from_ne_bytes(length.to_ne_bytes())];
        good(2, &payload(&numbers, b""), Notification::InvalidateNode { node: node(9), data });
    };
    stale(-1, 5, StaleData::None);
    stale(i64::MIN, i64::MIN, StaleData::None);
    stale(0, 0, StaleData::From(0));
    stale(100, -1, StaleData::From(100));
    stale(100, 5, StaleData::Range { offset: 100, length: 5 });
    stale(i64::MAX - 1, 1, StaleData::Range { offset: i64::MAX as u64 - 1, length: 1 });
    bad(2, &payload(&[9, i64::MAX as u64, 1], b""), Defect::Offset);
    bad(2, &payload(&[0, 0, 0], b""), Defect::NoNode);
}

#[test]
fn hd_fs_43_an_unknown_code_is_kept_and_means_nothing() {
    for code in [10, 11, 4096, i32::MAX] {
        let expected = Notification::Unknown { code: code.unsigned_abs(), payload: b"any" };
        assert_eq!(Notification::parse(&framed(code, b"any")), Ok(expected));
    }
    for code in [0, -1, i32::MIN] {
        bad(code, b"", Defect::ErrorRange);
    }
}

#[test]
fn hd_fs_43_a_length_that_lies_is_refused() {
    let mut bytes = framed(7, b"");
    for len in [0u32, 15] {
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        assert_eq!(Notification::parse(&bytes), Err(Defect::HeaderLength));
    }
    for len in [17u32, 4096, u32::MAX] {
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        assert_eq!(Notification::parse(&bytes), Err(Defect::Overlong));
    }
    for code in 1..=6 {
        bad(code, b"", Defect::PayloadLength);
    }
    bad(1, &[0; 9], Defect::PayloadLength);
    bad(2, &[1; 25], Defect::PayloadLength);
    bad(5, &[1; 33], Defect::PayloadLength);
    bad(7, b"x", Defect::PayloadLength);
    bad(8, b"x", Defect::PayloadLength);
    bad(9, &payload(&[2, 0, 3], b""), Defect::PayloadLength);
    bad(9, &payload(&[1, 0, 3, 4], b""), Defect::PayloadLength);
    bad(9, &payload(&[u64::MAX, 0, 3], b""), Defect::PayloadLength);
    bad(9, &payload(&[1, 0], b"1234567"), Defect::PayloadLength);
    bad(4, &payload(&[9, 0, 4], b"abc"), Defect::PayloadLength);
    bad(4, &payload(&[9, 0, 2], b"abc"), Defect::PayloadLength);
    bad(4, &payload(&[9, 0, u32::MAX.into()], b"abc"), Defect::PayloadLength);
}

#[test]
fn hd_fs_43_a_name_beyond_its_buffer_or_without_end_is_refused() {
    for (code, head) in [(3, vec![9]), (6, vec![9, 8])] {
        let with = |len: u64, rest: &[u8]| payload(&[&head[..], &[len]].concat(), rest);
        bad(code, &with(5, b"file\0"), Defect::PayloadLength);
        bad(code, &with(3, b"file\0"), Defect::PayloadLength);
        bad(code, &with(u32::MAX.into(), b"file\0"), Defect::PayloadLength);
        bad(code, &with(4, b"file"), Defect::PayloadLength);
        bad(code, &with(4, b""), Defect::PayloadLength);
        bad(code, &with(4, b"file!"), Defect::NameBytes);
        bad(code, &with(0, b"\0"), Defect::NameLength);
        bad(code, &with(256, &[[b'x'; 256].as_slice(), &[0]].concat()), Defect::NameLength);
        for name in [&b"a/b"[..], b"a\0b", b"..", b"."] {
            bad(code, &with(name.len() as u64, &[name, &[0]].concat()), Defect::NameBytes);
        }
    }
}

#[test]
fn hd_fs_43_no_node_and_the_root_as_a_child_are_refused() {
    bad(3, &payload(&[0, 4], b"file\0"), Defect::NoNode);
    bad(4, &payload(&[0, 0, 1], b"a"), Defect::NoNode);
    bad(5, &payload(&[1, 0, 0, 1], b""), Defect::NoNode);
    bad(6, &payload(&[0, 8, 4], b"file\0"), Defect::NoNode);
    bad(6, &payload(&[9, 0, 4], b"file\0"), Defect::NoNode);
    bad(6, &payload(&[9, 1, 4], b"file\0"), Defect::RootNode);
    bad(6, &payload(&[9, 9, 4], b"file\0"), Defect::ParentNode);
    bad(9, &payload(&[2, 0, 3, 0], b""), Defect::NoNode);
}

#[test]
fn hd_fs_43_a_range_that_no_file_has_is_refused() {
    let end = i64::MAX as u64;
    bad(4, &payload(&[9, end, 1], b"a"), Defect::Offset);
    bad(4, &payload(&[9, u64::MAX, 1], b"a"), Defect::Offset);
    bad(5, &payload(&[1, 9, end, 1], b""), Defect::Offset);
    bad(5, &payload(&[1, 9, u64::MAX, u32::MAX.into()], b""), Defect::Offset);
}

#[test]
fn hd_fs_43_the_reply_to_a_request_is_no_notification() {
    let mut bytes = framed(7, b"");
    bytes[8] = 2;
    assert_eq!(Notification::parse(&bytes), Err(Defect::WrongUnique));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn hd_fs_43_no_bytes_make_a_notification_panic(
        code in -2i32..12,
        payload in prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..80),
    ) {
        match Notification::parse(&framed(code, &payload)) {
            Ok(Notification::Store { offset, data, .. }) => {
                prop_assert!(offset + data.len() as u64 <= i64::MAX as u64);
            }
            Ok(Notification::Prune(nodes)) => prop_assert_eq!(nodes.iter().len() * 8 + 16, payload.len()),
            Ok(Notification::Unknown { code, payload: kept }) => {
                prop_assert!(code > 9);
                prop_assert_eq!(kept, &payload[..]);
            }
            _ => {}
        }
    }
}
