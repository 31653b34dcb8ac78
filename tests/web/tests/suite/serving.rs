//! Whole connections against a directory and against files that misbehave, over real sockets.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    sync::Arc,
};

use web_tests::{
    bundled::Bundled,
    config::{AccessLog, Config},
    copied::Copied,
    host::{Directory, Running},
    respond::BUFFER_LENGTH,
    storage::OneOf,
};

use crate::{
    client::{Client, Expect, ask},
    site::{End, Odd, OddStorage, Scratch, pattern},
};

fn share(scratch: &Scratch) -> Running<Directory> {
    Running::start(Directory::new(scratch.path()), Config::default())
}

fn odd(odd: Odd) -> (Running<OddStorage>, Arc<Odd>) {
    let odd = Arc::new(odd);
    (Running::start(OddStorage(Arc::clone(&odd)), Config::default()), odd)
}

#[test]
fn a_file_is_served_with_everything_that_describes_it() {
    let scratch = Scratch::new();
    scratch.file("a/hello.txt", "hello, world");
    let server = share(&scratch);
    let response = ask(server.address, "GET", "/a/hello.txt", &[]);
    assert_eq!(response.status, 200);
    assert_eq!(response.body, b"hello, world");
    assert_eq!(response.field("content-length"), Some("12"));
    assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(response.field("accept-ranges"), Some("bytes"));
    assert_eq!(response.field("connection"), Some("keep-alive"));
    assert_eq!(response.field("server"), Some("Toro"));
    assert!(response.field("etag").is_some_and(|tag| tag.starts_with('"') && tag.ends_with('"')));
    assert!(response.field("last-modified").is_some_and(|date| date.ends_with(" GMT")));
}

#[test]
fn files_of_every_length_around_the_buffer_arrive_whole() {
    let scratch = Scratch::new();
    let lengths =
        [0, 1, 4096, BUFFER_LENGTH - 500, BUFFER_LENGTH - 1, BUFFER_LENGTH, BUFFER_LENGTH + 1, 3 * BUFFER_LENGTH + 7];
    for length in lengths {
        scratch.file(&length.to_string(), pattern(length));
    }
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    for length in lengths {
        let response = client.ask("GET", &format!("/{length}"), &[]);
        assert_eq!(response.status, 200);
        assert_eq!(response.body, pattern(length), "{length}");
    }
}

#[test]
fn head_gives_the_head_of_get_and_no_body() {
    let scratch = Scratch::new();
    scratch.file("a.txt", "hello").file("d/b.txt", "x");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    for target in ["/a.txt", "/d/", "/d", "/missing"] {
        let mut get = client.ask("GET", target, &[]);
        let mut head = client.ask("HEAD", target, &[]);
        assert!(head.body.is_empty());
        get.body.clear();
        for response in [&mut get, &mut head] {
            response.fields.retain(|field| field.0 != "date");
        }
        assert_eq!(get, head, "{target}");
    }
    // Range means nothing to HEAD.
    let head = client.ask("HEAD", "/a.txt", &["Range: bytes=0-0"]);
    assert_eq!((head.status, head.field("content-length")), (200, Some("5")));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let scratch = Scratch::new();
    for index in 0..50 {
        scratch.file(&index.to_string(), pattern(index * 100));
    }
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    let mut all = String::new();
    for index in 0..50 {
        all += &format!("\r\nGET /{index} HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    client.send(all);
    for index in 0..50 {
        let response = client.receive(Expect::Body);
        assert_eq!((response.status, response.body), (200, pattern(index * 100)));
    }
}

#[test]
fn a_request_may_arrive_in_any_pieces() {
    let scratch = Scratch::new();
    scratch.file("a", "hello");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    for byte in b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET /a HTTP/1.1\nHost: a\n\n" {
        client.send([*byte]);
    }
    assert_eq!(client.receive(Expect::Body).body, b"hello");
    assert_eq!(client.receive(Expect::Body).body, b"hello");
}

#[test]
fn connections_end_when_the_client_or_its_version_wants_it() {
    let scratch = Scratch::new();
    scratch.file("a", "hello");
    let server = share(&scratch);
    let closing = ["GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /a HTTP/1.0\r\n\r\n"];
    for request in closing {
        let mut client = Client::new(server.address);
        let response = client.send(request).receive(Expect::Body);
        assert_eq!((response.status, response.field("connection")), (200, Some("close")));
        assert!(client.rest().is_empty());
    }
    let mut client = Client::new(server.address);
    for _ in 0..2 {
        client.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.receive(Expect::Body).field("connection"), Some("keep-alive"));
    }
    // What was sent before the client ended its side is still answered.
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").finish();
    assert_eq!(client.receive(Expect::Body).status, 200);
    assert!(client.rest().is_empty());
}

#[test]
fn conditional_requests_spare_the_body() {
    let scratch = Scratch::new();
    scratch.file("a", "hello");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    let first = client.ask("GET", "/a", &[]);
    let tag = first.field("etag").expect("a tag").to_owned();
    let date = first.field("last-modified").expect("a date").to_owned();
    for condition in [format!("If-None-Match: {tag}"), format!("If-Modified-Since: {date}")] {
        for method in ["GET", "HEAD"] {
            let response = client.ask(method, "/a", &[&condition]);
            assert_eq!(response.status, 304);
            assert_eq!(response.field("etag"), Some(tag.as_str()));
            assert_eq!(response.field("last-modified"), Some(date.as_str()));
            assert_eq!(response.field("content-type"), None);
        }
    }
    // A condition comes before a range.
    let both = client.ask("GET", "/a", &[&format!("If-None-Match: {tag}"), "Range: bytes=0-0"]);
    assert_eq!(both.status, 304);
    assert_eq!(client.ask("GET", "/a", &["If-Match: \"other\""]).status, 412);

    fs::write(scratch.path().join("a"), "hello, again").expect("a new version");
    let changed = client.ask("GET", "/a", &[&format!("If-None-Match: {tag}")]);
    assert_eq!((changed.status, changed.body.as_slice()), (200, &b"hello, again"[..]));
}

#[test]
fn single_ranges_are_served_and_others_are_not() {
    let scratch = Scratch::new();
    let contents = pattern(200_000);
    scratch.file("a.bin", &contents).file("empty", "");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    for (range, first, last) in [
        ("0-0", 0, 0),
        ("1-", 1, 199_999),
        ("-7", 199_993, 199_999),
        ("100-150099", 100, 150_099),
        ("199999-999999", 199_999, 199_999),
    ] {
        let response = client.ask("GET", "/a.bin", &[&format!("Range: bytes={range}")]);
        assert_eq!(response.status, 206, "{range}");
        assert_eq!(response.body, contents[first..=last], "{range}");
        let expected = format!("bytes {first}-{last}/200000");
        assert_eq!(response.field("content-range"), Some(expected.as_str()));
    }
    let beyond = client.ask("GET", "/a.bin", &["Range: bytes=200000-"]);
    assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */200000")));
    let empty = client.ask("GET", "/empty", &["Range: bytes=0-"]);
    assert_eq!((empty.status, empty.field("content-range")), (416, Some("bytes */0")));
    for range in ["Range: bytes=0-0,2-2", "Range: lines=1-2", "Range: bytes=2-1"] {
        let response = client.ask("GET", "/a.bin", &[range]);
        assert_eq!((response.status, response.body.len()), (200, 200_000));
    }
    let tag = beyond_tag(&mut client);
    let same = client.ask("GET", "/a.bin", &["Range: bytes=0-0", &format!("If-Range: {tag}")]);
    assert_eq!(same.status, 206);
    let other = client.ask("GET", "/a.bin", &["Range: bytes=0-0", "If-Range: \"other\""]);
    assert_eq!(other.status, 200);
}

fn beyond_tag(client: &mut Client) -> String {
    client.ask("HEAD", "/a.bin", &[]).field("etag").expect("a tag").to_owned()
}

#[test]
fn a_directory_has_an_index_or_a_listing() {
    let scratch = Scratch::new();
    scratch.file("with/index.html", "<p>index").file("without/b&b.txt", "x").file("without/sub/x", "");
    fs::create_dir_all(scratch.path().join("odd/index.html")).expect("a directory");
    symlink("/etc/passwd", scratch.path().join("without/outside")).expect("a link");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    let index = client.ask("GET", "/with/", &[]);
    assert_eq!((index.status, index.text().as_str()), (200, "<p>index"));
    assert_eq!(index.field("content-type"), Some("text/html; charset=utf-8"));

    let listing = client.ask("GET", "/without/", &[]);
    assert_eq!(listing.status, 200);
    assert!(listing.text().contains("<a href=\"b%26b.txt\">b&amp;b.txt</a>"));
    assert!(listing.text().contains("<a href=\"sub/\">sub/</a>"));
    assert!(!listing.text().contains("outside"));
    // An index that is a directory is no index.
    assert!(client.ask("GET", "/odd/", &[]).text().contains("<a href=\"index.html/\">"));
    let root = client.ask("GET", "/", &[]);
    assert_eq!(root.status, 200);
    assert!(root.text().contains("<a href=\"with/\">"), "{}", root.text());
}

#[test]
fn a_directory_without_slash_redirects_inside_this_site() {
    let scratch = Scratch::new();
    scratch.file("a b/é/x", "").file("\\evil.example/x", "");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    for (target, location) in [
        ("/a%20b", "/a%20b/"),
        ("/a%20b/%C3%A9?q=1&r=%20", "/a%20b/%C3%A9/?q=1&r=%20"),
        ("//a%20b", "/a%20b/"),
        ("/./a%20b/.//%C3%A9", "/a%20b/%C3%A9/"),
        ("http://other.example/a%20b", "/a%20b/"),
        ("/\\evil.example", "/%5Cevil.example/"),
        ("/a%20b?\"<é>", "/a%20b/?%22%3C%C3%A9%3E"),
    ] {
        let response = client.ask("GET", target, &[]);
        assert_eq!(response.status, 301, "{target}");
        assert_eq!(response.field("location"), Some(location));
    }
}

#[test]
fn names_with_spaces_and_utf8_are_found_escaped_or_not() {
    let scratch = Scratch::new();
    let deep = "a/b/c/d/e/f/g/h/i/j/deep file";
    scratch.file("ein süßer Name.txt", "1").file("100%", "2").file("a+b?c#d", "3").file(deep, "4");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    for (target, body) in [
        ("/ein%20s%C3%BC%C3%9Fer%20Name.txt", "1"),
        ("/ein%20süßer%20Name.txt", "1"),
        ("/100%25", "2"),
        ("/a+b%3Fc%23d", "3"),
        ("/a/b/c/d/e/f/g/h/i/j/deep%20file?ignored", "4"),
    ] {
        let response = client.ask("GET", target, &[]);
        assert_eq!((response.status, response.text().as_str()), (200, body), "{target}");
    }
}

#[test]
fn nothing_outside_the_directory_is_reached() {
    let outside = Scratch::new();
    outside.file("secret", "secret").file("share/a", "a");
    let share_path = outside.path().join("share");
    symlink("../secret", share_path.join("link")).expect("a link");
    symlink("..", share_path.join("up")).expect("a link");
    symlink("a", share_path.join("inside")).expect("a link");
    symlink("loop", share_path.join("loop")).expect("a link");
    let server = Running::start(Directory::new(&share_path), Config::default());
    let mut client = Client::new(server.address);
    for target in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/a/../../secret",
        "/..\\secret",
        "/..%5csecret",
        "/link",
        "/up/secret",
        "/up/",
        "/%252e%252e/secret",
        "/....//secret",
        "//../secret",
        "/a/%2e%2e/%2e%2e/secret",
        "/loop",
    ] {
        let response = client.ask("GET", target, &[]);
        assert!(matches!(response.status, 400 | 403 | 404), "{target}: {}", response.status);
        assert!(!response.text().contains("secret"), "{target}");
    }
    assert_eq!(client.ask("GET", "/inside", &[]).text(), "a");
}

#[test]
fn special_files_are_forbidden_and_never_opened() {
    let scratch = Scratch::new();
    let _socket = UnixListener::bind(scratch.path().join("socket")).expect("a socket");
    let fifo = scratch.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("coreutils");
    assert!(made.success());
    let server = share(&scratch);
    assert_eq!(ask(server.address, "GET", "/socket", &[]).status, 403);
    assert_eq!(ask(server.address, "GET", "/fifo", &[]).status, 403);
    let listing = ask(server.address, "GET", "/", &[]).text();
    assert!(!listing.contains("fifo") && !listing.contains("socket"));
}

#[test]
fn what_storage_refuses_has_its_status() {
    let (server, _) = odd(Odd::new(0, 0, End::Eof));
    let mut client = Client::new(server.address);
    for (target, status) in [
        ("/missing", 404),
        ("/missing/", 404),
        ("/file/", 404),
        ("/file/x", 404),
        ("/secret", 403),
        ("/secrets/", 403),
        ("/broken", 500),
        ("/broken-directory/", 500),
        ("/fifo", 403),
        ("/file%00", 400),
        ("/%zz", 400),
        ("/file", 200),
    ] {
        assert_eq!(client.ask("GET", target, &[]).status, status, "{target}");
    }
}

#[test]
fn other_methods_are_405_or_501_and_their_bodies_are_skipped() {
    let scratch = Scratch::new();
    scratch.file("a", "hello");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    let smuggled = "GET /missing HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!("Content-Length: {}", smuggled.len());
    for method in ["POST", "GET", "BREW"] {
        client.send(format!("{method} /a HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n{smuggled}"));
        let response = client.receive(Expect::Body);
        let allow = (method == "POST").then_some("GET, HEAD");
        assert_eq!(response.field("allow"), allow);
        let expected = match method {
            "POST" => 405,
            "BREW" => 501,
            _ => 200,
        };
        assert_eq!(response.status, expected);
    }
    assert_eq!(client.ask("OPTIONS", "*", &[]).status, 405);
    // The connection is still in step.
    assert_eq!(client.ask("GET", "/a", &[]).body, b"hello");
}

#[test]
fn bodies_that_are_not_read_end_the_connection() {
    let scratch = Scratch::new();
    scratch.file("a", "hello");
    let server = share(&scratch);
    for (fields, body) in [
        ("Transfer-Encoding: chunked", "5\r\nGET /\r\n0\r\n\r\n"),
        ("Content-Length: 999999999", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("Content-Length: 5\r\nExpect: 100-continue", ""),
    ] {
        let mut client = Client::new(server.address);
        client.send(format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}"));
        let response = client.receive(Expect::Body);
        assert_eq!((response.status, response.field("connection")), (200, Some("close")), "{fields}");
        assert!(client.finish().rest().is_empty(), "{fields}");
    }
}

#[test]
fn requests_that_make_no_sense_are_answered_once_and_closed() {
    let scratch = Scratch::new();
    scratch.file("a", "hello");
    let server = share(&scratch);
    let next = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9_000));
    let long_field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(17_000));
    let many_fields = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
    for (request, status) in [
        ("GET /a HTTP/1.1\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        ("GET /a\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        ("GET /a HTTP/2.0\r\n\r\n", 505),
        (&long_target, 414),
        (&long_field, 431),
        (&many_fields, 431),
    ] {
        let mut client = Client::new(server.address);
        client.send(request).send(next).finish();
        let response = client.receive(Expect::Body);
        assert_eq!((response.status, response.field("connection")), (status, Some("close")), "{request:?}");
        assert!(client.rest().is_empty(), "{request:?}");
    }
    // A target that makes no sense in a request that does is no reason to close.
    let mut client = Client::new(server.address);
    assert_eq!(client.ask("GET", "/%zz", &[]).status, 400);
    assert_eq!(client.ask("GET", "/a", &[]).status, 200);
}

#[test]
fn a_head_of_16_kib_is_accepted() {
    let scratch = Scratch::new();
    scratch.file("a", "hello");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    let frame = "GET /a HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    for extra in [0, 1] {
        let value = "x".repeat(16 * 1024 - frame + extra);
        client.send(format!("GET /a HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n"));
        assert_eq!(client.receive(Expect::Body).status, if extra == 0 { 200 } else { 431 });
    }
}

#[test]
fn every_request_is_logged_unless_the_log_is_off() {
    for (access_log, count) in [(AccessLog::On, 3), (AccessLog::Off, 0)] {
        let scratch = Scratch::new();
        scratch.file("a b", "hello");
        let config = Config { access_log, ..Config::default() };
        let server = Running::start(Directory::new(scratch.path()), config);
        let mut client = Client::new(server.address);
        client.ask("GET", "/a%20b", &[]);
        client.ask("HEAD", "/missing", &[]);
        client.send("nonsense\r\n\r\n").receive(Expect::Body);
        client.finish().rest();
        let lines = server.server.environment.lines();
        assert_eq!(lines.len(), count);
        if count > 0 {
            assert!(lines[0].starts_with("127.0.0.1 - - ["));
            assert!(lines[0].ends_with(" +0000] \"GET /a%20b HTTP/1.1\" 200 5"));
            assert!(lines[1].ends_with("\"HEAD /missing HTTP/1.1\" 404 0"));
            assert!(lines[2].contains("\"nonsense\" 400 "));
        }
    }
}

#[test]
fn the_bundled_site_is_served_where_nothing_is_shared() {
    let server = Running::start(OneOf::<Directory, Copied, _>::Bundled(Bundled), Config::default());
    let mut client = Client::new(server.address);
    let index = client.ask("GET", "/", &[]);
    assert_eq!(index.status, 200);
    assert!(index.text().contains("<title>Toro</title>"));
    assert_eq!(index.field("last-modified"), None);
    let tag = index.field("etag").expect("a tag").to_owned();
    assert_eq!(client.ask("GET", "/", &[&format!("If-None-Match: {tag}")]).status, 304);
    let style = client.ask("GET", "/style.css", &[]);
    assert_eq!(style.field("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(client.ask("GET", "/x", &[]).status, 404);
}

#[test]
fn a_copy_is_served_as_the_share_was_when_it_was_made() {
    let scratch = Scratch::new();
    scratch.file("a.txt", "hello").file("d/b.bin", pattern(3 * BUFFER_LENGTH + 7)).file("d/e/index.html", "<p>");
    let original = share(&scratch);
    let copied = Copied::of(&Directory::new(scratch.path())).expect("everything can be read");
    let copy = Running::start(copied, Config::default());
    for path in ["/a.txt", "/d/b.bin", "/d/e/", "/d/e/index.html", "/d", "/d/", "/", "/nothing", "/a.txt/b"] {
        let [first, second] = [&original.address, &copy.address].map(|&address| ask(address, "GET", path, &[]));
        assert_eq!((first.status, &first.body), (second.status, &second.body), "{path}");
        for field in ["etag", "last-modified", "content-type", "location"] {
            assert_eq!(first.field(field), second.field(field), "{path}: {field}");
        }
    }
    let part = ask(copy.address, "GET", "/d/b.bin", &["Range: bytes=65530-65550"]);
    assert_eq!((part.status, part.body), (206, pattern(3 * BUFFER_LENGTH + 7)[65_530..=65_550].to_vec()));
    scratch.file("a.txt", "changed").file("new.txt", "x");
    assert_eq!(ask(copy.address, "GET", "/a.txt", &[]).body, b"hello");
    assert_eq!(ask(copy.address, "GET", "/new.txt", &[]).status, 404);
}

#[test]
fn what_cannot_be_read_whole_is_not_copied() {
    let file = Arc::new(Odd::new(4096, 100, End::Eof));
    assert!(Copied::of(&OddStorage(file)).is_err());
    let scratch = Scratch::new();
    scratch.file("d/a.txt", "hello");
    symlink("..", scratch.path().join("d/up")).expect("a link");
    assert!(Copied::of(&Directory::new(scratch.path())).is_err(), "a ring of links has no end");
}
