//! Listings, good and bad: HD-FS-24 to HD-FS-30, FU-T-3.

use std::vec::Vec;

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::testing::{config, node, wire_entry};

const START: DirOffset = DirOffset::START;
const DIRECTORY: u64 = 5;

fn wire_dirent(name_len: usize, next: u64, kind: u32) -> WireDirEntry {
    WireDirEntry {
        inode: U64::new(next ^ 0x60),
        next: U64::new(next),
        name_len: U32::new(u32::try_from(name_len).expect("tests are small")),
        kind: U32::new(kind),
    }
}

/// A record, padded with bytes that are not zero: nobody promised that they are.
fn record(head: &[u8], name: &[u8]) -> Vec<u8> {
    let mut bytes = [head, name].concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0xaa);
    bytes
}

fn plain(name: &[u8], next: u64) -> Vec<u8> {
    record(wire_dirent(name.len(), next, 8).as_bytes(), name)
}

fn plus_with(entry: WireEntry, name: &[u8], next: u64) -> Vec<u8> {
    let head = WireDirEntryPlus { entry, dirent: wire_dirent(name.len(), next, 8) };
    record(head.as_bytes(), name)
}

fn plus(node: u64, name: &[u8], next: u64) -> Vec<u8> {
    plus_with(wire_entry(node, FileType::Regular), name, next)
}

fn list(payload: &[u8]) -> Vec<Result<DirEntry<'_>, ReplyError>> {
    DirEntries::new(payload, START).collect()
}

fn list_plus(payload: &[u8]) -> DirEntriesPlus<'_> {
    DirEntriesPlus::new(payload, node(DIRECTORY), START)
}

fn malformed<T>(defect: Defect) -> Result<T, ReplyError> {
    Err(defect.into())
}

#[test]
fn an_empty_reply_is_the_end_of_the_directory() {
    assert_eq!(list(&[]), []);
    assert_eq!(list_plus(&[]).count(), 0);
}

#[test]
fn records_come_in_order_with_names_kinds_and_cookies() {
    let mut payload = plain(b"a", 7);
    payload.extend(record(wire_dirent(8, 3, 4).as_bytes(), b"eightltr"));
    payload.extend(record(wire_dirent(3, u64::MAX, 0).as_bytes(), b"\xff\xfe."));
    let mut entries = DirEntries::new(&payload, START);
    assert_eq!(entries.position(), START);

    let first = entries.next().expect("three").expect("good");
    assert_eq!((first.name, first.inode), (&b"a"[..], 0x67));
    assert_eq!(first.file_type, Some(FileType::Regular));
    assert_eq!(entries.position(), DirOffset(7));

    let second = entries.next().expect("three").expect("good");
    assert_eq!(second.name, b"eightltr");
    assert_eq!(second.file_type, Some(FileType::Directory));
    assert_eq!(entries.position(), DirOffset(3), "cookies are not ordered");

    let third = entries.next().expect("three").expect("good");
    assert_eq!(third.name, b"\xff\xfe.");
    assert_eq!(third.file_type, None);
    assert_eq!(entries.next(), None);
    assert_eq!(entries.position(), DirOffset(u64::MAX));
}

#[test]
fn hd_fs_24_hd_fs_26_an_impossible_name_length_ends_the_listing() {
    for len in [0, 256, 4095, 1 << 31, u32::MAX - 24, u32::MAX - 6, u32::MAX] {
        let mut head = wire_dirent(1, 1, 8);
        head.name_len = U32::new(len);
        let mut payload = plain(b"good", 9);
        payload.extend(record(head.as_bytes(), &[b'x'; 4200]));
        payload.extend(plain(b"after", 10));
        let entries = list(&payload);
        assert_eq!(entries.len(), 2, "{len}");
        assert!(entries[0].is_ok());
        assert_eq!(entries[1], malformed(Defect::NameLength), "{len}");
    }
}

#[test]
fn hd_fs_24_the_longest_name_is_accepted() {
    let name = [b'x'; 255];
    let payload = plain(&name, 1);
    assert_eq!(payload.len(), 280);
    assert_eq!(list(&payload)[0].expect("good").name, name);
}

#[test]
fn hd_fs_25_a_partial_last_record_is_left_out() {
    let whole = plain(b"first", 1);
    let next = plain(b"second", 2);
    for cut in 0..next.len() {
        let payload = [&whole[..], &next[..cut]].concat();
        let mut entries = DirEntries::new(&payload, START);
        assert_eq!(entries.next().expect("one").expect("good").name, b"first");
        assert_eq!(entries.next(), None, "{cut}");
        assert_eq!(entries.position(), DirOffset(1));
    }
}

#[test]
fn hd_fs_25_nothing_but_a_partial_record_is_malformed() {
    let record = plain(b"first", 1);
    for cut in 1..record.len() {
        let mut entries = DirEntries::new(&record[..cut], START);
        assert_eq!(entries.next(), Some(malformed(Defect::TruncatedEntry)), "{cut}");
        assert_eq!(entries.next(), None);
    }
}

#[test]
fn hd_fs_27_a_path_is_not_a_name_and_the_rest_still_is() {
    for bad in [&b"a/b"[..], b"/", b"../x", b"a\0b", b"\0"] {
        let mut payload = plain(bad, 1);
        payload.extend(plain(b"good", 2));
        let entries = list(&payload);
        assert_eq!(entries[0], malformed(Defect::NameBytes));
        assert_eq!(entries[1].expect("good").name, b"good");
        assert_eq!(entries.len(), 2);
    }
}

#[test]
fn hd_fs_28_a_listing_that_would_start_over_is_malformed() {
    let mut payload = plain(b"a", 41);
    payload.extend(plain(b"b", 42));
    let mut entries = DirEntries::new(&payload, DirOffset(42));
    assert!(entries.next().expect("a").is_ok());
    assert!(entries.next().expect("b").is_ok());
    assert_eq!(entries.next(), Some(malformed(Defect::NoProgress)));
    assert_eq!(entries.next(), None);

    let all: Vec<_> = DirEntries::new(&payload, DirOffset(41)).collect();
    assert!(all.iter().all(Result::is_ok), "a repeated cookie in between");
}

#[test]
fn dots_are_listed_and_known_as_such() {
    let mut payload = plain(b".", 1);
    payload.extend(plain(b"..", 2));
    payload.extend(plain(b"...", 3));
    let dots: Vec<_> = list(&payload).into_iter().map(|entry| entry.expect("good").is_dot_or_dot_dot()).collect();
    assert_eq!(dots, [true, true, false]);
}

#[test]
fn fu_sem_1_each_plus_record_with_a_node_is_a_reference() {
    let mut payload = plus(9, b"nine", 1);
    payload.extend(plus(0, b"none", 2));
    payload.extend(plus(10, b"ten", 3));
    let listed: Vec<_> = list_plus(&payload).map(|item| item.expect("good")).collect();
    assert_eq!(listed[0].dirent.name, b"nine");
    match listed[0].node {
        ListedNode::Known(entry) => assert_eq!(entry.node, node(9)),
        other => panic!("{other:?}"),
    }
    assert_eq!(listed[1].node, ListedNode::Unknown);
    let references: Vec<_> = list_plus(&payload).into_references().collect();
    assert_eq!(references, [node(9), node(10)]);
}

#[test]
fn fu_sem_1_dots_are_no_references_even_with_a_node() {
    let mut payload = plus(DIRECTORY, b".", 1);
    payload.extend(plus(77, b"..", 2));
    for item in list_plus(&payload) {
        assert_eq!(item.expect("good").node, ListedNode::Unknown);
    }
    assert_eq!(list_plus(&payload).into_references().count(), 0);
}

#[test]
fn hd_fs_30_a_bad_node_is_refused_forgotten_and_its_name_listed() {
    let mut bad_mode = wire_entry(9, FileType::Regular);
    bad_mode.attributes.mode = U32::ZERO;
    let cases = [
        (bad_mode, Defect::FileType, Some(node(9))),
        (wire_entry(1, FileType::Directory), Defect::RootNode, None),
        (wire_entry(DIRECTORY, FileType::Directory), Defect::ParentNode, Some(node(DIRECTORY))),
    ];
    for (entry, defect, forget) in cases {
        let payload = plus_with(entry, b"name", 1);
        let listed = list_plus(&payload).next().expect("one").expect("listed");
        assert_eq!(listed.dirent.name, b"name");
        assert_eq!(listed.node, ListedNode::Rejected { defect, forget });
        let references: Vec<_> = list_plus(&payload).into_references().collect();
        assert_eq!(references, Vec::from_iter(forget));
    }
}

#[test]
fn fu_rv_8_a_bad_name_leaves_its_node_to_forget() {
    let mut payload = plus(9, b"a/b", 1);
    payload.extend(plus(10, b"ok", 2));
    payload.extend(plus(11, b"", 3));
    payload.extend(plus(12, b"lost", 4));
    let mut entries = list_plus(&payload);
    let error = entries.next().expect("first").expect_err("a path");
    assert_eq!(error.forget(), Some(node(9)));
    assert!(entries.next().expect("second").is_ok());
    let error = entries.next().expect("third").expect_err("no name");
    assert_eq!(error, ReplyError::owing(Defect::NameLength, Some(node(11))));
    assert_eq!(entries.next(), None);
    let references: Vec<_> = list_plus(&payload).into_references().collect();
    assert_eq!(references, [node(9), node(10), node(11)]);
}

#[test]
fn references_of_a_listing_broken_off_are_those_not_yet_taken() {
    let mut payload = plus(9, b"taken", 1);
    payload.extend(plus(10, b"left", 2));
    payload.extend(plus(11, b"behind", 3));
    let mut entries = list_plus(&payload);
    assert!(entries.next().expect("one").is_ok());
    assert_eq!(entries.position(), DirOffset(1));
    let left: Vec<_> = entries.into_references().collect();
    assert_eq!(left, [node(10), node(11)]);
}

#[test]
fn hd_fs_29_no_record_is_larger_than_the_smallest_read() {
    let largest = plus(9, &[b'x'; 255], 1);
    assert_eq!(largest.len(), 408);
    assert_eq!(list_plus(&largest).count(), 1);
    const { assert!(MIN_DIRECTORY_READ >= 414) };
    // The one that ends 24 bytes behind a page.
    for len in [256, 4095] {
        let payload = plain(&[b'x'; 4096][..len], 1);
        assert_eq!(list(&payload), [malformed(Defect::NameLength)]);
        let payload = plus(9, &[b'x'; 4096][..len], 1);
        assert_eq!(list_plus(&payload).filter(Result::is_ok).count(), 0);
    }
}

fn names() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = any::<u8>().prop_filter("a name byte", |&byte| byte != b'/' && byte != 0);
    prop::collection::vec(prop::collection::vec(byte, 1..=255), 1..6)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fu_t_3_what_was_written_is_listed_up_to_any_cut(names in names(), cut: prop::sample::Index) {
        let mut payload = Vec::new();
        let mut ends = Vec::new();
        for (name, next) in names.iter().zip(1..) {
            payload.extend(plain(name, next));
            ends.push(payload.len());
        }
        let cut = cut.index(payload.len() + 1);
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        let listed = list(&payload[..cut]);
        if whole == 0 && cut > 0 {
            prop_assert_eq!(listed, [malformed(Defect::TruncatedEntry)]);
        } else {
            let listed: Vec<_> = listed.into_iter().map(|entry| entry.expect("good").name).collect();
            prop_assert_eq!(&listed[..], &names[..whole]);
        }
    }

    #[test]
    fn any_bytes_are_listed_in_bounded_time(payload in prop::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(list(&payload).len() <= payload.len() / 32 + 1);
        prop_assert!(list_plus(&payload).count() <= payload.len() / 160 + 1);
        prop_assert!(list_plus(&payload).into_references().all(|node| !node.is_root()));
    }

    #[test]
    fn any_entry_before_a_good_name_is_listed(entry in prop::collection::vec(any::<u8>(), 128)) {
        let entry = WireEntry::read_from_bytes(&entry).expect("any 128 bytes");
        let owed = NodeId::owed(entry.node.get());
        let payload = plus_with(entry, b"name", 1);
        prop_assert!(list_plus(&payload).next().expect("one").is_ok());
        let references: Vec<_> = list_plus(&payload).into_references().collect();
        prop_assert_eq!(references, Vec::from_iter(owed));
    }
}
