//! Whatever a client sends, in whatever pieces: no panic, and what comes back is HTTP.

use std::{cell::Cell, collections::VecDeque, net::IpAddr, time::Duration};

use proptest::prelude::*;
use web_tests::{
    bundled::Bundled,
    config::Config,
    connection::{Connection, ConnectionError, Environment},
    date::UnixTime,
    serve::Server,
};

use crate::client::{Expect, take_response};

/// A clock that advances a little whenever it is read.
#[derive(Default)]
struct Clock(Cell<u64>);

impl Environment for Clock {
    fn monotonic(&self) -> Duration {
        self.0.set(self.0.get() + 1);
        Duration::from_millis(self.0.get())
    }

    fn unix_time(&self) -> UnixTime {
        UnixTime::from_seconds(1_700_000_000)
    }

    fn log(&self, line: &str) {
        assert!(line.is_ascii() && !line.contains(|character: char| character.is_ascii_control()));
    }
}

/// A client that sends its pieces, takes what it gets in small bites, and then ends or falls silent.
struct Script {
    pieces: VecDeque<Vec<u8>>,
    end: Result<usize, ConnectionError>,
    received: Vec<u8>,
}

impl Connection for Script {
    fn read(&mut self, buffer: &mut [u8], _: Duration) -> Result<usize, ConnectionError> {
        assert!(!buffer.is_empty());
        let Some(mut piece) = self.pieces.pop_front() else {
            return self.end;
        };
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        let rest = piece.split_off(length);
        if !rest.is_empty() {
            self.pieces.push_front(rest);
        }
        Ok(length)
    }

    fn write(&mut self, pieces: [&[u8]; 2], _: Duration) -> Result<usize, ConnectionError> {
        let data = pieces.concat();
        let length = data.len().min(700);
        self.received.extend_from_slice(&data[..length]);
        Ok(length)
    }

    fn finish(&mut self) {}
}

/// Serves `pieces` and takes the answers apart; those to HEAD have no body, so `expect` says which.
fn statuses(pieces: Vec<Vec<u8>>, end: Result<usize, ConnectionError>, expect: Expect) -> Vec<u16> {
    let server = Server { storage: Bundled, environment: Clock::default(), config: Config::default() };
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let mut script = Script { pieces, end, received: Vec::new() };
    server.serve(&mut script, IpAddr::from([127, 0, 0, 1]));
    let mut statuses = Vec::new();
    while !script.received.is_empty() {
        let response = take_response(&mut script.received, expect).expect("a complete response");
        statuses.push(response.status);
    }
    statuses
}

fn ends() -> impl Strategy<Value = Result<usize, ConnectionError>> {
    prop_oneof![Just(Ok(0)), Just(Err(ConnectionError::TimedOut)), Just(Err(ConnectionError::Lost)),]
}

/// Cuts `bytes` into pieces of the given lengths.
fn cut(bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for length in lengths {
        let (piece, tail) = rest.split_at((*length).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = tail;
    }
    pieces.push(rest.to_vec());
    pieces
}

/// Fragments of requests, so that random sequences get past the first check.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "GET ",
            "POST ",
            "BREW ",
            "/",
            "/index.html",
            "/style.css?x",
            "//..",
            "/%2e%2e/",
            "/%zz",
            "*",
            "http://a/",
            " HTTP/1.1\r\n",
            " HTTP/1.0\r\n",
            " HTTP/2.0\r\n",
            "\r\n",
            "\n",
            "\r",
            "Host: a\r\n",
            "Connection: close\r\n",
            "Connection: keep-alive\r\n",
            "Content-Length: 3\r\n",
            "Content-Length: 99999\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Range: bytes=1-2\r\n",
            "Range: bytes=-0\r\n",
            "If-None-Match: *\r\n",
            "If-Match: \"x\"\r\n",
            "If-Range: \"x\"\r\n",
            "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            "Expect: 100-continue\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\n",
            "abc",
            "\0",
            "\u{e9}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
        (0_usize..20_000).prop_map(|length| vec![b'x'; length]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_well_formed_answers_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        lengths in prop::collection::vec(0_usize..50, 0..6),
        end in ends(),
    ) {
        statuses(cut(&bytes, &lengths), end, Expect::Body);
    }

    #[test]
    fn any_fragments_of_requests_get_well_formed_answers_or_none(
        fragments in prop::collection::vec(fragment(), 0..16),
        lengths in prop::collection::vec(0_usize..200, 0..6),
        end in ends(),
    ) {
        statuses(cut(&fragments.concat(), &lengths), end, Expect::Body);
    }

    #[test]
    fn how_requests_are_cut_into_pieces_does_not_matter(
        fragments in prop::collection::vec(fragment(), 0..12),
        lengths in prop::collection::vec(0_usize..200, 0..12),
    ) {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        bytes.extend(fragments.concat());
        bytes.extend(b"\r\n\r\n");
        let mut whole = statuses(vec![bytes.clone()], Ok(0), Expect::Body);
        let mut pieces = statuses(cut(&bytes, &lengths), Ok(0), Expect::Body);
        // A request with several faults is refused for the one that is seen first.
        for statuses in [&mut whole, &mut pieces] {
            match statuses.last_mut() {
                Some(last) if matches!(*last, 414 | 431 | 505) => *last = 400,
                _ => {}
            }
        }
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn heads_of_any_path_have_no_bodies(paths in prop::collection::vec("/[a-z./%0-9]{0,12}", 1..5)) {
        let mut bytes = String::new();
        for path in &paths {
            bytes += &format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let statuses = statuses(vec![bytes.into_bytes()], Ok(0), Expect::HeadOnly);
        prop_assert_eq!(statuses.len(), paths.len());
    }
}

#[test]
fn a_request_in_single_bytes_is_one_request() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    let pieces = bytes.iter().map(|byte| vec![*byte]).collect();
    assert_eq!(statuses(pieces, Ok(0), Expect::Body), [200, 404]);
}

#[test]
fn half_a_request_and_silence_is_408_and_half_a_request_and_an_end_is_nothing() {
    let half = || vec![b"GET / HTTP/1.1\r\nHo".to_vec()];
    assert_eq!(statuses(half(), Err(ConnectionError::TimedOut), Expect::Body), [408]);
    assert_eq!(statuses(half(), Ok(0), Expect::Body), []);
    assert_eq!(statuses(half(), Err(ConnectionError::Lost), Expect::Body), []);
    assert_eq!(statuses(vec![], Err(ConnectionError::TimedOut), Expect::Body), []);
}
