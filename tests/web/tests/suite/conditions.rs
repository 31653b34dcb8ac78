//! `conditional` and `range`: what a client has already, and what part it wants.

use std::mem::MaybeUninit;

use proptest::prelude::*;
use web_tests::{
    conditional::{EntityTag, Verdict, evaluate, range_applies},
    date::UnixTime,
    range::{Selection, select},
    request::{FIELD_LIMIT, Fields, parse},
    storage::Metadata,
};

/// 06 Nov 1994 08:49:37, and a bit.
const MODIFIED: UnixTime = UnixTime { seconds: 784_111_777, nanoseconds: 5 };
const NOW: UnixTime = UnixTime::from_seconds(1_700_000_000);
const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const TAG: &str = "\"2a-1000-ae1b981bc490a05\"";

fn metadata() -> Metadata {
    Metadata { length: 0x1000, modified: Some(MODIFIED), identity: 42 }
}

fn verdict_for(fields: &[(&str, &str)], modified: Option<UnixTime>) -> (Verdict, bool) {
    let mut head = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let mut room: Fields<'_> = [const { MaybeUninit::uninit() }; FIELD_LIMIT];
    let request = parse(head.as_bytes(), &mut room).expect("a good request");
    let tag = EntityTag::new(&metadata());
    (evaluate(&request, &tag, modified, NOW), range_applies(&request, &tag, modified, NOW))
}

fn verdict(fields: &[(&str, &str)]) -> Verdict {
    verdict_for(fields, Some(MODIFIED)).0
}

fn if_range(value: &str) -> bool {
    verdict_for(&[("If-Range", value)], Some(MODIFIED)).1
}

#[test]
fn the_tag_is_identity_length_and_time_in_hex() {
    assert_eq!(EntityTag::new(&metadata()).as_bytes(), TAG.as_bytes());
    let without_time = Metadata { modified: None, ..metadata() };
    assert_eq!(EntityTag::new(&without_time).as_bytes(), b"\"2a-1000\"");
    let largest =
        Metadata { length: u64::MAX, modified: Some(UnixTime { seconds: -1, nanoseconds: 0 }), identity: u64::MAX };
    let expected = "\"ffffffffffffffff-ffffffffffffffff-ffffffffc4653600\"";
    assert_eq!(EntityTag::new(&largest).as_bytes(), expected.as_bytes());
}

#[test]
fn a_change_of_length_time_or_file_changes_the_tag() {
    let later = UnixTime { nanoseconds: 6, ..MODIFIED };
    for other in [
        Metadata { length: 0x1001, ..metadata() },
        Metadata { modified: Some(later), ..metadata() },
        Metadata { identity: 43, ..metadata() },
    ] {
        assert_ne!(EntityTag::new(&other), EntityTag::new(&metadata()));
    }
}

#[test]
fn if_none_match_compares_weakly_in_lists_and_star() {
    let weak = format!("W/{TAG}");
    let list = format!("\"a\", W/\"b,\" ,{weak}");
    for value in [TAG, &weak, &list, "*"] {
        assert_eq!(verdict(&[("If-None-Match", value)]), Verdict::NotModified, "{value}");
    }
    for value in ["\"x\"", "", "2a-1000-ae1b981bc490a05", "w/\"2a-1000-ae1b981bc490a05\"", "\"unterminated"] {
        assert_eq!(verdict(&[("If-None-Match", value)]), Verdict::Proceed, "{value}");
    }
    let split = [("If-None-Match", "\"x\""), ("If-None-Match", TAG)];
    assert_eq!(verdict(&split), Verdict::NotModified);
}

#[test]
fn if_modified_since_compares_whole_seconds_in_every_form() {
    let rfc_850 = "Sunday, 06-Nov-94 08:49:37 GMT";
    let asctime = "Sun Nov  6 08:49:37 1994";
    for value in [AT, AFTER, rfc_850, asctime] {
        assert_eq!(verdict(&[("If-Modified-Since", value)]), Verdict::NotModified, "{value}");
    }
    for value in [BEFORE, "", "nonsense", "0"] {
        assert_eq!(verdict(&[("If-Modified-Since", value)]), Verdict::Proceed, "{value}");
    }
    let twice = [("If-Modified-Since", AT), ("If-Modified-Since", AT)];
    assert_eq!(verdict(&twice), Verdict::Proceed);
}

#[test]
fn if_none_match_makes_if_modified_since_meaningless() {
    let fields = [("If-Modified-Since", AFTER), ("If-None-Match", "\"x\"")];
    assert_eq!(verdict(&fields), Verdict::Proceed);
    let fields = [("If-Modified-Since", BEFORE), ("If-None-Match", TAG)];
    assert_eq!(verdict(&fields), Verdict::NotModified);
}

#[test]
fn if_match_compares_strongly_and_comes_first() {
    assert_eq!(verdict(&[("If-Match", TAG)]), Verdict::Proceed);
    assert_eq!(verdict(&[("If-Match", "*")]), Verdict::Proceed);
    assert_eq!(verdict(&[("If-Match", "\"x\"")]), Verdict::Failed);
    assert_eq!(verdict(&[("If-Match", &format!("W/{TAG}"))]), Verdict::Failed);
    assert_eq!(verdict(&[("If-Match", "\"x\""), ("If-None-Match", TAG)]), Verdict::Failed);
    assert_eq!(verdict(&[("If-Match", TAG), ("If-Unmodified-Since", BEFORE)]), Verdict::Proceed);
}

#[test]
fn if_unmodified_since_fails_for_a_later_change() {
    assert_eq!(verdict(&[("If-Unmodified-Since", BEFORE)]), Verdict::Failed);
    assert_eq!(verdict(&[("If-Unmodified-Since", AT)]), Verdict::Proceed);
    assert_eq!(verdict(&[("If-Unmodified-Since", "nonsense")]), Verdict::Proceed);
}

#[test]
fn without_a_date_only_tags_count() {
    for name in ["If-Modified-Since", "If-Unmodified-Since"] {
        assert_eq!(verdict_for(&[(name, BEFORE)], None).0, Verdict::Proceed);
        assert_eq!(verdict_for(&[(name, AFTER)], None).0, Verdict::Proceed);
    }
    assert!(!verdict_for(&[("If-Range", AT)], None).1);
}

#[test]
fn if_range_wants_exactly_this_version() {
    assert!(if_range(TAG));
    assert!(if_range(AT));
    for value in [BEFORE, AFTER, "\"x\"", "", "*"] {
        assert!(!if_range(value), "{value}");
    }
    assert!(!if_range(&format!("W/{TAG}")));
    assert!(!verdict_for(&[("If-Range", TAG), ("If-Range", TAG)], Some(MODIFIED)).1);
    assert!(verdict_for(&[], Some(MODIFIED)).1);
}

#[test]
fn single_ranges_select_their_bytes() {
    let part = |first, last| Selection::Part { first, last };
    for (value, expected) in [
        ("bytes=0-0", part(0, 0)),
        ("bytes=0-499", part(0, 499)),
        ("BYTES=10-19", part(10, 19)),
        ("bytes= 10-19 ", part(10, 19)),
        ("bytes=990-", part(990, 999)),
        ("bytes=990-5000", part(990, 999)),
        ("bytes=0-99999999999999999999999", part(0, 999)),
        ("bytes=-1", part(999, 999)),
        ("bytes=-1000", part(0, 999)),
        ("bytes=-99999999999999999999999", part(0, 999)),
        ("bytes=1000-", Selection::Unsatisfiable),
        ("bytes=1000-1001", Selection::Unsatisfiable),
        ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
        ("bytes=-0", Selection::Unsatisfiable),
    ] {
        assert_eq!(select(value.as_bytes(), 1000), expected, "{value}");
    }
}

#[test]
fn ranges_that_are_not_ours_select_everything() {
    for value in [
        "bytes=0-1,3-4",
        "bytes=5-4",
        "bytes=-",
        "bytes=",
        "bytes",
        "",
        "bytes=a-b",
        "bytes=1",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes =0-1",
        "lines=0-1",
        "bytes:0-1",
        "bytes=0- 5",
    ] {
        assert_eq!(select(value.as_bytes(), 1000), Selection::Whole, "{value}");
    }
}

#[test]
fn an_empty_file_has_no_satisfiable_range() {
    for value in ["bytes=0-", "bytes=0-0", "bytes=-5"] {
        assert_eq!(select(value.as_bytes(), 0), Selection::Unsatisfiable, "{value}");
    }
}

proptest! {
    #[test]
    fn a_selected_part_is_always_inside_the_file(value in "bytes=[0-9]{0,21}-[0-9]{0,21}", length: u64) {
        if let Selection::Part { first, last } = select(value.as_bytes(), length) {
            prop_assert!(first <= last && last < length);
        }
    }
}
