//! `request`: heads and the bodies behind them.

use std::mem::MaybeUninit;

use web_tests::{
    request::{
        Body, FIELD_LIMIT, Fields, HEAD_LIMIT, Head, Method, Persistence, REQUEST_LINE_LIMIT, Version, check_partial,
        find_head, first_line, parse,
    },
    response::Status,
};

/// Method, version, persistence and body of a request, or the status that refuses it.
fn read(head: &str) -> Result<(Method, Version, Persistence, Body), Status> {
    let mut fields: Fields<'_> = [const { MaybeUninit::uninit() }; FIELD_LIMIT];
    let request = parse(head.as_bytes(), &mut fields)?;
    Ok((request.method, request.version, request.persistence, request.body))
}

fn body(fields: &str) -> Result<Body, Status> {
    read(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).map(|(.., body)| body)
}

#[test]
fn methods_are_ours_known_or_unknown() {
    let method = |name| read(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n")).map(|all| all.0);
    assert_eq!(method("GET"), Ok(Method::Get));
    assert_eq!(method("HEAD"), Ok(Method::Head));
    for name in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"] {
        assert_eq!(method(name), Ok(Method::NotAllowed), "{name}");
    }
    for name in ["get", "BREW", "GETT", "PROPFIND"] {
        assert_eq!(method(name), Ok(Method::Unknown), "{name}");
    }
}

#[test]
fn host_must_be_there_once_and_look_like_one() {
    let host = |fields: &str| read(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).map(|_| ());
    assert_eq!(host("Host: example.org:8080\r\n"), Ok(()));
    assert_eq!(host("hOST:[::1]\r\n"), Ok(()));
    assert_eq!(host("Host:\r\n"), Ok(()));
    assert_eq!(host(""), Err(Status::BadRequest));
    assert_eq!(host("Host: a\r\nHost: a\r\n"), Err(Status::BadRequest));
    assert_eq!(host("Host: a/b\r\n"), Err(Status::BadRequest));
    assert_eq!(host("Host: a b\r\n"), Err(Status::BadRequest));
    assert_eq!(host("Host: u@a\r\n"), Err(Status::BadRequest));
    assert!(read("GET / HTTP/1.0\r\n\r\n").is_ok());
    assert_eq!(read("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), Err(Status::BadRequest));
}

#[test]
fn content_length_is_one_plain_number() {
    assert_eq!(body("Content-Length: 12"), Ok(Body::Length(12)));
    assert_eq!(body("Content-Length:  0 "), Ok(Body::Length(0)));
    assert_eq!(body("X: y"), Ok(Body::Length(0)));
    for value in ["-1", "+1", "0x10", "1 2", "1,1", "", "a", "99999999999999999999"] {
        assert_eq!(body(&format!("Content-Length: {value}")), Err(Status::BadRequest), "{value}");
    }
    assert_eq!(body("Content-Length: 5\r\nContent-Length: 5"), Err(Status::BadRequest));
    assert_eq!(body("Content-Length: 5\r\ncontent-length: 6"), Err(Status::BadRequest));
}

#[test]
fn transfer_encoding_is_chunked_or_refused() {
    assert_eq!(body("Transfer-Encoding: chunked"), Ok(Body::Chunked));
    assert_eq!(body("Transfer-Encoding: ChUnKeD"), Ok(Body::Chunked));
    assert_eq!(body("Transfer-Encoding: gzip, chunked"), Err(Status::NotImplemented));
    for value in ["gzip", "chunked, gzip", "xchunked", "chunked;q=1", "", "identity"] {
        assert_eq!(body(&format!("Transfer-Encoding: {value}")), Err(Status::BadRequest), "{value}");
    }
}

#[test]
fn two_ways_to_delimit_a_body_are_refused() {
    let bad = Err(Status::BadRequest);
    assert_eq!(body("Content-Length: 5\r\nTransfer-Encoding: chunked"), bad);
    assert_eq!(body("Transfer-Encoding: chunked\r\nContent-Length: 5"), bad);
    assert_eq!(body("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), bad);
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(old).map(|_| ()), Err(Status::BadRequest));
}

#[test]
fn tricks_with_white_space_are_refused() {
    for fields in [
        "Content-Length : 5",
        "Transfer-Encoding\t: chunked",
        "X: a\r\n b",
        " X: a",
        "X: a\rContent-Length: 5",
        "X: a\0b",
        "X",
        ": a",
    ] {
        assert_eq!(body(fields), Err(Status::BadRequest), "{fields:?}");
    }
}

#[test]
fn persistence_follows_version_and_connection() {
    let persistence =
        |version: &str, fields: &str| read(&format!("GET / {version}\r\nHost: a\r\n{fields}\r\n")).map(|all| all.2);
    assert_eq!(persistence("HTTP/1.1", ""), Ok(Persistence::KeepAlive));
    assert_eq!(persistence("HTTP/1.1", "Connection: close\r\n"), Ok(Persistence::Close));
    assert_eq!(persistence("HTTP/1.1", "Connection: a, Close\r\n"), Ok(Persistence::Close));
    assert_eq!(persistence("HTTP/1.1", "Connection: a\r\nConnection: close\r\n"), Ok(Persistence::Close));
    assert_eq!(persistence("HTTP/1.1", "Connection: closed\r\n"), Ok(Persistence::KeepAlive));
    assert_eq!(persistence("HTTP/1.0", ""), Ok(Persistence::Close));
    assert_eq!(persistence("HTTP/1.0", "Connection: Keep-Alive\r\n"), Ok(Persistence::KeepAlive));
    assert_eq!(persistence("HTTP/1.0", "Connection: keep-alive, close\r\n"), Ok(Persistence::Close));
}

#[test]
fn other_versions_are_505_and_nonsense_is_400() {
    let status = |line: &str| read(&format!("{line}\r\nHost: a\r\n\r\n")).map(|_| ());
    assert_eq!(status("GET / HTTP/2.0"), Err(Status::HttpVersionNotSupported));
    assert_eq!(status("GET / HTTP/1.2"), Err(Status::HttpVersionNotSupported));
    assert_eq!(status("PRI * HTTP/2.0"), Err(Status::HttpVersionNotSupported));
    for line in [
        "GET / HTTP/1.15",
        "GET / HTTX/1.1",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / x HTTP/1.1",
        "/",
        "G\0T / HTTP/1.1",
        "GET /\x7f HTTP/1.1",
    ] {
        assert_eq!(status(line), Err(Status::BadRequest), "{line:?}");
    }
}

#[test]
fn a_head_ends_at_its_first_empty_line_wherever_it_was_cut() {
    for head in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n"] {
        let input = format!("{head}GET /next HTTP/1.1\r\n\r\n");
        for seen in 0..head.len() {
            assert_eq!(find_head(&input.as_bytes()[..seen], 0), Head::Partial);
            assert_eq!(find_head(input.as_bytes(), seen), Head::Complete(head.len()), "{seen}");
        }
    }
}

#[test]
fn long_lines_and_long_heads_are_told_apart() {
    let line = "x".repeat(REQUEST_LINE_LIMIT + 1);
    assert_eq!(find_head(line.as_bytes(), 0), Head::TooLong(Status::UriTooLong));
    assert_eq!(find_head(&line.as_bytes()[1..], 0), Head::Partial);
    let complete = format!("{line}\r\n\r\n");
    assert_eq!(find_head(complete.as_bytes(), 0), Head::TooLong(Status::UriTooLong));
    let fields = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_LIMIT));
    let too_large = Head::TooLong(Status::HeaderFieldsTooLarge);
    assert_eq!(find_head(fields.as_bytes(), 0), too_large);
    assert_eq!(find_head(format!("{fields}\r\n\r\n").as_bytes(), 0), too_large);
}

#[test]
fn more_than_64_fields_are_431() {
    let fields = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert!(read(&fields(FIELD_LIMIT - 1)).is_ok());
    assert_eq!(read(&fields(FIELD_LIMIT)), Err(Status::HeaderFieldsTooLarge));
}

#[test]
fn a_partial_head_is_refused_as_soon_as_it_cannot_become_one() {
    assert_eq!(check_partial(b"GET / HT"), Ok(()));
    assert_eq!(check_partial(b"GET / HTTP/1.1\r\nHos"), Ok(()));
    assert_eq!(check_partial(b"\x16\x03\x01\x02\x00\x01"), Err(Status::BadRequest));
    assert_eq!(check_partial(b"GET / HTTP/3.0\r\n"), Err(Status::HttpVersionNotSupported));
}

#[test]
fn the_first_line_is_for_the_log() {
    assert_eq!(first_line(b"GET / HTTP/1.1\r\nHost: a"), b"GET / HTTP/1.1");
    assert_eq!(first_line(b"GET /"), b"GET /");
    assert_eq!(first_line(b""), b"");
}
