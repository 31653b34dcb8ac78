//! What is written: heads, listings, log lines, types, and what is read from the command line.

use proptest::prelude::*;
use std::{ops::ControlFlow, time::Duration};
use web_tests::{
    bundled::Bundled,
    config::{AccessLog, Config, Preload},
    date::{HttpDate, UnixTime},
    listing::{Completeness, ENTRY_LIMIT, page},
    log::{LINE_LIMIT, Record},
    mime::{TYPES, content_type},
    request::Persistence,
    response::{Head, Status, push_decimal},
    storage::{Entry, EntryKind, Node, Storage, StorageError, StoredFile},
};

const TIME: UnixTime = UnixTime::from_seconds(784_111_777);

fn entry(name: &[u8], kind: EntryKind, length: u64) -> Entry {
    Entry { name: name.to_vec(), kind, length, modified: Some(TIME) }
}

fn listing(path: &str, entries: &mut [Entry]) -> String {
    let mut out = Vec::new();
    page(path.as_bytes(), entries, Completeness::Complete, &mut out);
    String::from_utf8(out).expect("a page is UTF-8")
}

#[test]
fn a_head_is_written_byte_by_byte_as_expected() {
    let mut out = b"left over".to_vec();
    Head::begin(&mut out, Status::PartialContent, &HttpDate::new(TIME))
        .number("Content-Length", 0)
        .content_range(5, 9, 10)
        .field("ETag", b"\"x\"")
        .end(Persistence::Close);
    let expected = "HTTP/1.1 206 Partial Content\r\nServer: Toro\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\
        Content-Range: bytes 5-9/10\r\nETag: \"x\"\r\nConnection: close\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn a_listing_sorts_directories_first_and_shows_sizes_and_dates() {
    let page = listing(
        "/a b",
        &mut [
            entry(b"z.txt", EntryKind::File, 1023),
            entry(b"b", EntryKind::Directory, 4096),
            entry(b"A.txt", EntryKind::File, 1536),
            entry(b"big", EntryKind::File, 64 << 20),
            entry(b"a", EntryKind::Directory, 4096),
        ],
    );
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("<tr><td>")).collect();
    assert_eq!(
        rows,
        [
            "<tr><td><a href=\"../\">../</a><td><td>",
            "<tr><td><a href=\"a/\">a/</a><td><td>1994-11-06 08:49",
            "<tr><td><a href=\"b/\">b/</a><td><td>1994-11-06 08:49",
            "<tr><td><a href=\"A.txt\">A.txt</a><td>1.5 KiB<td>1994-11-06 08:49",
            "<tr><td><a href=\"big\">big</a><td>64.0 MiB<td>1994-11-06 08:49",
            "<tr><td><a href=\"z.txt\">z.txt</a><td>1023 B<td>1994-11-06 08:49",
        ]
    );
    assert!(page.contains("<h1>Index of /a b/</h1>"));
}

#[test]
fn the_root_has_no_parent() {
    let page = listing("/", &mut []);
    assert!(!page.contains("../"));
    assert!(page.contains("<h1>Index of /</h1>"));
}

#[test]
fn names_are_escaped_for_link_and_text() {
    let name = "<b>\"x\"&'é\n";
    let page = listing(
        "/<i>",
        &mut [
            entry(name.as_bytes(), EntryKind::File, 0),
            entry(b"\xff\xfe?", EntryKind::File, 0),
            entry(b"javascript:alert(1)", EntryKind::File, 0),
            entry(b"100%25", EntryKind::File, 0),
        ],
    );
    assert!(page.contains("Index of /&lt;i&gt;/"));
    assert!(page.contains("<a href=\"%3Cb%3E%22x%22%26%27%C3%A9%0A\">&lt;b&gt;&quot;x&quot;&amp;&#39;é\u{fffd}</a>"));
    assert!(page.contains("<a href=\"%FF%FE%3F\">\u{fffd}\u{fffd}?</a>"));
    assert!(page.contains("<a href=\"javascript%3Aalert%281%29\">"));
    assert!(page.contains("<a href=\"100%2525\">100%25</a>"));
    assert!(!page.contains("<b>") && !page.contains("<i>"));
}

#[test]
fn sizes_grow_through_the_units() {
    for (length, text) in [
        (0, "0 B"),
        (1, "1 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1023.9 KiB"),
        (1 << 30, "1.0 GiB"),
        (u64::MAX, "15.9 EiB"),
    ] {
        let page = listing("/", &mut [entry(b"x", EntryKind::File, length)]);
        assert!(page.contains(&format!("<td>{text}<td>")), "{text}");
    }
}

#[test]
fn a_page_that_shows_not_everything_says_so() {
    let mut out = Vec::new();
    page(b"/", &mut [], Completeness::Truncated, &mut out);
    let text = String::from_utf8_lossy(&out).into_owned();
    assert!(text.contains(&format!("more than {ENTRY_LIMIT} entries")));
    assert!(!listing("/", &mut []).contains("more than"));
}

fn logged(line: &[u8]) -> String {
    let mut out = "left over".to_owned();
    let peer = "10.0.2.2".parse().expect("an address");
    Record { peer, time: TIME, line, status: Status::Ok, body_bytes: 1234 }.write(&mut out);
    out
}

#[test]
fn a_log_line_has_the_common_format() {
    assert_eq!(logged(b"GET / HTTP/1.1"), "10.0.2.2 - - [06/Nov/1994:08:49:37 +0000] \"GET / HTTP/1.1\" 200 1234");
    assert!(logged(b"").contains("] \"-\" 200"));
}

#[test]
fn a_log_line_stays_one_line_whatever_was_sent() {
    let line = logged(b"GET /\"\\\n\r\x1b[31m\xc3\xa9\x00\x7f");
    assert!(line.contains("\"GET /\\\"\\\\\\x0a\\x0d\\x1b[31m\\xc3\\xa9\\x00\\x7f\""));
    let long = logged(&[b'a'; LINE_LIMIT + 1]);
    assert!(long.contains(&format!("{}...\" 200", "a".repeat(LINE_LIMIT))));
}

#[test]
fn types_are_sorted_in_lower_case_and_found() {
    assert!(TYPES.is_sorted_by(|a, b| a.0 < b.0));
    for (extension, media_type) in TYPES {
        assert_eq!(*extension, extension.to_lowercase());
        assert_eq!(content_type(format!("/a.b/c.{extension}").as_bytes()), *media_type);
        assert_eq!(content_type(format!("/C.{}", extension.to_uppercase()).as_bytes()), *media_type);
    }
}

#[test]
fn names_without_known_extension_are_octets() {
    for name in ["/", "/a", "/a.html/b", "/.html", "/a.", "/a.unknown", "/a.html~", "/a/.css"] {
        assert_eq!(content_type(name.as_bytes()), "application/octet-stream", "{name}");
    }
    assert_eq!(content_type(b"/index.html"), "text/html; charset=utf-8");
    assert_eq!(content_type(b"/a.tar.gz"), "application/gzip");
}

fn config(words: &'static [(&str, &str)]) -> Result<Config, String> {
    let lookup = |name: &str| words.iter().find(|word| word.0 == name).map(|word| word.1);
    Config::from_options(lookup).map_err(|error| error.to_string())
}

#[test]
fn without_options_the_defaults_hold() {
    assert_eq!(config(&[]), Ok(Config::default()));
    assert!(Config::default().max_connections >= 64);
}

#[test]
fn every_option_is_read() {
    let expected = Config {
        port: 8080,
        root: Some("/www"),
        preload: Preload::On,
        max_connections: 7,
        access_log: AccessLog::Off,
        header_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(2),
        write_timeout: Duration::from_secs(3),
    };
    let words = &[
        ("port", "8080"),
        ("root", "/www"),
        ("preload", "on"),
        ("max-connections", "7"),
        ("access-log", "off"),
        ("header-timeout", "1"),
        ("idle-timeout", "2"),
        ("write-timeout", "3"),
        ("somebody-elses", "!"),
    ];
    assert_eq!(config(words), Ok(expected));
}

#[test]
fn a_wrong_option_is_an_error_that_says_what_is_right() {
    assert_eq!(config(&[("port", "0")]), Err("port=0: expected a port from 1 to 65535".into()));
    assert_eq!(config(&[("access-log", "no")]), Err("access-log=no: expected on or off".into()));
    for words in [
        &[("port", "65536")],
        &[("port", "http")],
        &[("port", "")],
        &[("root", "www")],
        &[("max-connections", "0")],
        &[("preload", "yes")],
        &[("header-timeout", "-1")],
        &[("idle-timeout", "1s")],
    ] {
        assert!(config(words).is_err(), "{words:?}");
    }
}

#[test]
fn the_bundled_site_is_complete() {
    let Ok(Node::File { file, metadata }) = Bundled.open(b"/index.html") else {
        panic!("the site has an index");
    };
    let mut text = vec![0; metadata.length as usize + 10];
    let length = file.read_at(&mut text, 0).expect("it can be read");
    assert_eq!(length as u64, metadata.length);
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    for reference in text.split("href=\"").skip(1).chain(text.split("src=\"").skip(1)) {
        let name = reference.split('"').next().expect("split gives at least one");
        let opened = Bundled.open(format!("/{name}").as_bytes());
        assert!(matches!(opened, Ok(Node::File { .. })), "{name}");
    }
    assert_eq!(file.read_at(&mut [0; 4], metadata.length), Ok(0));
    assert_eq!(file.read_at(&mut [0; 4], u64::MAX), Ok(0));
    assert!(matches!(Bundled.open(b"/"), Ok(Node::Directory)));
    assert!(matches!(Bundled.open(b"/x"), Err(StorageError::NotFound)));
    let mut names = Vec::new();
    let listed = Bundled.list(b"/", &mut |entry| {
        names.push(entry.name);
        ControlFlow::Continue(())
    });
    assert_eq!(listed, Ok(()));
    assert_eq!(names.len(), 3);
    assert_eq!(Bundled.list(b"/x", &mut |_| ControlFlow::Continue(())), Err(StorageError::NotFound));
}

proptest! {
    #[test]
    fn any_number_is_written_in_decimal(value: u64) {
        let mut out = Vec::new();
        push_decimal(&mut out, value);
        prop_assert_eq!(String::from_utf8(out).expect("digits"), value.to_string());
    }

    #[test]
    fn any_names_make_a_page_without_foreign_markup(
        names in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..12), 0..8),
    ) {
        let mut entries: Vec<Entry> =
            names.iter().map(|name| entry(name, EntryKind::File, 1)).collect();
        let page = listing("/", &mut entries);
        // One row per name and one line per row; the only markup is ours.
        let rows = page.lines().filter(|line| line.starts_with("<tr><td><a href=\"")).count();
        prop_assert_eq!(rows, names.len());
        prop_assert_eq!(page.matches("<a ").count(), names.len());
    }
}
