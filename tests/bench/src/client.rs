//! An HTTP client that does the same work on every run: keep-alive connections, one request on each per round.
//!
//! `wrk` sends as fast as it can for a time, so how many requests overlap depends on the host's mood. Counting
//! instructions wants the opposite: in each round this client writes one request to every connection and then reads
//! the answers, so the server sees the same pattern whatever the machine does.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Longest header that is waited for.
const HEADER_LIMIT: usize = 16 << 10;

/// Longest body that is accepted.
const BODY_LIMIT: usize = 64 << 20;

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body, of the announced length.
    pub body: Vec<u8>,
}

/// Connections that are kept open.
pub struct Client {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
}

impl Client {
    /// Opens `connections` connections that will ask for `path`; each waits at most `timeout` for anything.
    ///
    /// # Errors
    ///
    /// A connection is refused or not answered in time.
    pub fn connect(address: SocketAddr, path: &str, connections: usize, timeout: Duration) -> Result<Self> {
        let streams = (0..connections)
            .map(|_| {
                let stream = TcpStream::connect_timeout(&address, timeout)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                stream.set_nodelay(true)?;
                Ok(stream)
            })
            .collect::<Result<_>>()
            .with_context(|| format!("cannot connect to {address}"))?;
        Ok(Self { streams, request: format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes() })
    }

    /// Makes one request on every connection and checks the answers.
    ///
    /// # Errors
    ///
    /// A connection breaks or is silent, or an answer is not `200` with exactly `body`.
    pub fn round(&mut self, body: &[u8]) -> Result<()> {
        for stream in &mut self.streams {
            stream.write_all(&self.request).context("sending a request")?;
        }
        for stream in &mut self.streams {
            let answer = read_answer(stream)?;
            ensure!(answer.status == 200, "status {} instead of 200", answer.status);
            ensure!(answer.body == body, "the body differs from the file");
        }
        Ok(())
    }

    /// Whether the server has closed none of the connections.
    pub fn is_open(&self) -> bool {
        self.streams.iter().all(|stream| {
            let waiting = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
            stream.set_nonblocking(false).is_ok() && waiting.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        })
    }
}

/// One request on a connection of its own.
///
/// # Errors
///
/// As [`Client::connect`] and [`Client::round`]; every status is an answer.
pub fn fetch(address: SocketAddr, path: &str, timeout: Duration) -> Result<Answer> {
    let mut client = Client::connect(address, path, 1, timeout)?;
    let stream = &mut client.streams[0];
    stream.write_all(&client.request)?;
    read_answer(stream)
}

/// Reads one answer; nothing may follow it, since nothing else was asked.
fn read_answer(stream: &mut impl Read) -> Result<Answer> {
    let mut received = Vec::with_capacity(8 << 10);
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let (status, length) = read_head(&received[..end])?;
            let mut body = received.split_off(end + 4);
            while body.len() < length {
                let count = stream.read(&mut chunk).context("waiting for the body")?;
                ensure!(count > 0, "closed after {} of {length} bytes of the body", body.len());
                body.extend_from_slice(&chunk[..count]);
            }
            ensure!(body.len() == length, "more bytes than announced");
            return Ok(Answer { status, body });
        }
        ensure!(received.len() < HEADER_LIMIT, "header without end");
        let count = stream.read(&mut chunk).context("waiting for an answer")?;
        ensure!(count > 0, "closed without an answer");
        received.extend_from_slice(&chunk[..count]);
    }
}

/// Status and announced length of the body.
fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head).context("header is not text")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let Some(status) = status else { bail!("not an HTTP/1.1 answer: {status_line:?}") };
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    match length {
        Some(length @ 0..=BODY_LIMIT) => Ok((status, length)),
        Some(length) => bail!("{length} bytes announced"),
        None => bail!("no usable Content-Length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one at a time, as the worst network would.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            out[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn answer_is_read_whatever_its_pieces() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\nhello";
        let whole = read_answer(&mut &bytes[..]).expect("a complete answer");
        let pieces = read_answer(&mut Trickle(bytes)).expect("a complete answer");
        assert_eq!(whole, Answer { status: 200, body: b"hello".to_vec() });
        assert_eq!(pieces, whole);
    }

    #[test]
    fn a_connection_is_open_until_the_server_ends_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let client = Client::connect(address, "/", 1, Duration::from_secs(10)).expect("somebody listens");
        let (server, _) = listener.accept().expect("a connection");
        assert!(client.is_open());
        drop(server);
        // The end is on its way for a moment.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while client.is_open() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
    }

    #[test]
    fn truncated_body_is_an_error() {
        assert!(read_answer(&mut &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"[..]).is_err());
    }

    #[test]
    fn bytes_after_the_body_are_an_error() {
        assert!(read_answer(&mut &b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello"[..]).is_err());
    }

    #[test]
    fn body_without_length_is_an_error() {
        assert!(read_answer(&mut &b"HTTP/1.1 200 OK\r\n\r\nhello"[..]).is_err());
    }
}
