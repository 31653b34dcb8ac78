//! `target`: where a request target leads, and where it never does.

use proptest::prelude::*;
use web_tests::target::{Slash, TargetError, encode, parse};

fn path(target: &str) -> Result<String, TargetError> {
    let mut path = Vec::new();
    let parsed = parse(target, &mut path)?;
    let slash = if parsed.slash == Slash::Trailing && path != b"/" { "/" } else { "" };
    Ok(String::from_utf8(path).expect("these are UTF-8") + slash)
}

fn is(target: &str, expected: &str) {
    assert_eq!(path(target).as_deref(), Ok(expected), "{target}");
}

#[test]
fn plain_paths_are_themselves() {
    is("/", "/");
    is("/a", "/a");
    is("/a/", "/a/");
    is("/a/b.txt", "/a/b.txt");
}

#[test]
fn escapes_are_decoded_once() {
    is("/a%20b", "/a b");
    is("/%C3%A9t%c3%a9", "/été");
    is("/été", "/été");
    is("/100%25", "/100%");
    is("/%2541", "/%41");
    is("/a+b", "/a+b");
}

#[test]
fn dots_are_resolved_escaped_or_not() {
    is("/a/./b", "/a/b");
    is("/a/../b", "/b");
    is("/a/%2e%2E/b", "/b");
    is("/a/.%2e/b", "/b");
    is("/a/b/..", "/a/");
    is("/a/.", "/a/");
    is("/a/..", "/");
    is("/...", "/...");
    is("/.a", "/.a");
    is("/a..", "/a..");
}

#[test]
fn nothing_climbs_above_the_root() {
    for target in ["/..", "/../etc", "/%2e%2e/etc", "/a/../../etc", "/a/%2e./../etc/passwd", "//.."] {
        assert_eq!(path(target), Err(TargetError::Malformed), "{target}");
    }
}

#[test]
fn an_escaped_slash_is_no_separator_and_no_name() {
    for target in ["/a%2fb", "/..%2f..%2fetc", "/%2F", "/%2fhost/"] {
        assert_eq!(path(target), Err(TargetError::Unnameable), "{target}");
    }
}

#[test]
fn a_backslash_is_part_of_a_name() {
    is("/..\\..\\etc", "/..\\..\\etc");
    is("/%5c..%5C", "/\\..\\");
}

#[test]
fn empty_segments_vanish() {
    is("//", "/");
    is("//host/a", "/host/a");
    is("/a//b", "/a/b");
    is("/a//", "/a/");
}

#[test]
fn bad_escapes_and_nul_are_refused() {
    for target in ["/%", "/%2", "/%zz", "/%-1", "/a%", "/%00", "/a%00.html", "/%2%30"] {
        assert_eq!(path(target), Err(TargetError::Malformed), "{target}");
    }
}

#[test]
fn the_query_is_set_apart_and_not_decoded() {
    let mut buffer = Vec::new();
    let target = parse("/a%3Fb?c=%zz&d=/../..", &mut buffer).expect("a target");
    assert_eq!(target.query, Some("c=%zz&d=/../.."));
    assert_eq!(buffer, b"/a?b");
    assert_eq!(parse("/a?", &mut buffer).map(|target| target.query), Ok(Some("")));
    assert_eq!(parse("/a", &mut buffer).map(|target| target.query), Ok(None));
}

#[test]
fn the_absolute_form_is_accepted() {
    is("http://example.org/a/b", "/a/b");
    is("HTTP://example.org:8080/a?x", "/a");
    is("http://example.org", "/");
    is("http://[::1]:80?x", "/");
}

#[test]
fn other_forms_are_refused() {
    for target in [
        "*",
        "example.org:443",
        "a",
        "?x",
        "https://example.org/",
        "ftp://a/",
        "http://",
        "http:///a",
        "http://u@h/",
        "/a#b",
    ] {
        assert_eq!(path(target), Err(TargetError::Malformed), "{target}");
    }
}

#[test]
fn encoding_keeps_what_is_asked_and_escapes_the_rest() {
    let mut out = Vec::new();
    encode(b"/a b/\xff\"<>%?#:", b"/", &mut out);
    assert_eq!(out, b"/a%20b/%FF%22%3C%3E%25%3F%23%3A");
}

proptest! {
    #[test]
    fn any_target_is_refused_or_a_path_below_the_root(target in "(/|http://|)[a./%25eEfF0?#\\\\é]{0,24}") {
        let mut path = Vec::new();
        if let Ok(parsed) = parse(&target, &mut path) {
            prop_assert!(path.starts_with(b"/"));
            if path == b"/" {
                prop_assert_eq!(parsed.slash, Slash::Trailing);
            } else {
                for component in path[1..].split(|byte| *byte == b'/') {
                    prop_assert!(!matches!(component, b"" | b"." | b".."));
                    prop_assert!(!component.contains(&0));
                }
            }
        }
    }

    #[test]
    fn any_name_survives_encoding(name in prop::collection::vec(1_u8.., 1..20)) {
        prop_assume!(!name.contains(&b'/') && name != b"." && name != b"..");
        let mut target = b"/".to_vec();
        encode(&name, b"", &mut target);
        let target = String::from_utf8(target).expect("encoded text is ASCII");
        let mut path = Vec::new();
        prop_assert!(parse(&target, &mut path).is_ok());
        prop_assert_eq!(&path[1..], &name[..]);
    }
}
