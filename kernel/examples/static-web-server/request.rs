//! One request's head: found in the input, parsed, and checked (RFC 9112 §2-§6).
//!
//! ```text
//!   GET /index.html HTTP/1.1\r\n      request line     at most 8 KiB, else 414
//!   Host: localhost:8080\r\n          header section   with the line at most 16 KiB and 64 fields,
//!   Range: bytes=0-99\r\n                              else 431
//!   \r\n                              end of head
//! ```
//!
//! The bytes are parsed by `httparse`; what follows here is the part of the protocol that decides where
//! the *next* request begins. That is where requests are smuggled: two servers in a row that disagree
//! about the length of a body see different requests. So every ambiguity ends the connection:
//!
//! - both Content-Length and Transfer-Encoding, several Content-Length, one that is not a plain number;
//! - Transfer-Encoding in HTTP/1.0, or not ending in `chunked`;
//! - a name followed by white space, a line that continues the one before, a bare carriage return.
//!
//! A chunked body is understood to be there but never read: the answer is sent and the connection closed.
//! [`Request`] borrows from the input, nothing is copied.

use core::mem::MaybeUninit;

use httparse::{Error, Header, Status as Progress};

use crate::{range, response::Status, target};

/// Longest request line, in bytes; RFC 9112 §3 recommends at least 8,000.
pub const REQUEST_LINE_LIMIT: usize = 8 * 1024;
/// Longest head, request line included, in bytes.
pub const HEAD_LIMIT: usize = 16 * 1024;
/// Most header fields in a request.
pub const FIELD_LIMIT: usize = 64;

/// Room for the fields of one request, on the stack of its thread.
pub type Fields<'a> = [MaybeUninit<Header<'a>>; FIELD_LIMIT];

/// What is to be done with the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Send it.
    Get,
    /// Send what GET would send, without the body.
    Head,
    /// A method of the standard that static files do not have: 405.
    NotAllowed,
    /// A method that we have never heard of: 501.
    Unknown,
}

/// The minor version of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Connections close unless asked otherwise, Host may be missing.
    Http10,
    /// Connections stay open unless asked otherwise, Host must be there.
    Http11,
}

/// What happens to the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed.
    Close,
}

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// This many bytes; 0 where the request has none.
    Length(u64),
    /// Chunks. We do not read them.
    Chunked,
}

/// The head of a request that was understood.
#[derive(Debug)]
pub struct Request<'head, 'input> {
    /// What to do.
    pub method: Method,
    /// With what: the request target as sent.
    pub target: &'input str,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// What the client wants to happen to the connection.
    pub persistence: Persistence,
    /// What follows the head.
    pub body: Body,
    fields: &'head [Header<'input>],
}

/// What the front of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A complete head of this many bytes, its empty line included.
    Complete(usize),
    /// The beginning of one.
    Partial,
    /// Longer than we accept; the status is the answer.
    TooLong(Status),
}

/// Looks for the end of the head at the front of `input`, of which `seen` bytes were looked at before.
///
/// This is what makes slow clients cheap: a head that arrives byte by byte is parsed once, at its end.
pub fn find_head(input: &[u8], seen: usize) -> Head {
    // The end is at most 4 bytes long, so it may have begun 3 bytes before what is new.
    let mut at = seen.saturating_sub(3);
    let mut end = None;
    while let Some(feed) = next_line_feed(input, at) {
        at = feed + 1;
        match input.get(at..) {
            Some([b'\n', ..]) => end = Some(at + 1),
            Some([b'\r', b'\n', ..]) => end = Some(at + 2),
            _ => continue,
        }
        break;
    }
    let has_long_line =
        input.len() > REQUEST_LINE_LIMIT && next_line_feed(input, 0).unwrap_or(input.len()) > REQUEST_LINE_LIMIT;
    match end {
        _ if has_long_line => Head::TooLong(Status::UriTooLong),
        Some(end) if end <= HEAD_LIMIT => Head::Complete(end),
        None if input.len() < HEAD_LIMIT => Head::Partial,
        _ => Head::TooLong(Status::HeaderFieldsTooLarge),
    }
}

fn next_line_feed(input: &[u8], from: usize) -> Option<usize> {
    let found = input.get(from..)?.iter().position(|byte| *byte == b'\n')?;
    Some(from + found)
}

/// Whether the beginning of a head can still become a request.
///
/// # Errors
/// The status to answer with.
pub fn check_partial(input: &[u8]) -> Result<(), Status> {
    let mut fields: Fields<'_> = [const { MaybeUninit::uninit() }; FIELD_LIMIT];
    let mut head = httparse::Request::new(&mut []);
    match head.parse_with_uninit_headers(input, &mut fields) {
        Ok(_) => Ok(()),
        Err(error) => Err(status_of(error, input)),
    }
}

/// Parses a complete head.
///
/// # Errors
/// The status to answer with; the connection is to be closed then, since nobody knows where the next
/// request begins.
pub fn parse<'head, 'input>(
    input: &'input [u8],
    fields: &'head mut Fields<'input>,
) -> Result<Request<'head, 'input>, Status> {
    let mut head = httparse::Request::new(&mut []);
    match head.parse_with_uninit_headers(input, fields) {
        Ok(Progress::Complete(_)) => {}
        Ok(Progress::Partial) => return Err(Status::BadRequest),
        Err(error) => return Err(status_of(error, input)),
    }
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Err(Status::BadRequest);
    };
    let mut request = Request {
        method: method_of(method),
        target,
        version: if version == 0 { Version::Http10 } else { Version::Http11 },
        persistence: Persistence::Close,
        body: Body::Length(0),
        fields: head.headers,
    };
    request.check_host()?;
    request.body = request.framing()?;
    request.persistence = request.wanted_persistence();
    Ok(request)
}

impl<'input> Request<'_, 'input> {
    /// The values of every field called `name`, in lower case, in the order in which they came.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'input [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.trim_ascii())
    }

    /// Whether there is a field called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Whether the client waits for our leave before it sends the body, which we never give.
    pub fn expects_continue(&self) -> bool {
        self.values("expect").next().is_some()
    }

    /// RFC 9112 §3.2: a request of HTTP/1.1 has exactly one Host, and it looks like one.
    fn check_host(&self) -> Result<(), Status> {
        let mut hosts = self.values("host");
        match (hosts.next(), hosts.next()) {
            (None, _) if self.version == Version::Http10 => Ok(()),
            (Some(host), None) if target::is_authority(host) => Ok(()),
            _ => Err(Status::BadRequest),
        }
    }

    /// RFC 9112 §6.3, and stricter where the specification leaves a choice.
    fn framing(&self) -> Result<Body, Status> {
        let mut lengths = self.values("content-length");
        let length = lengths.next();
        if lengths.next().is_some() {
            return Err(Status::BadRequest);
        }
        let mut codings = self.values("transfer-encoding");
        match (codings.next(), codings.next(), length) {
            (None, _, None) => Ok(Body::Length(0)),
            (None, _, Some(text)) => {
                // 19 digits always fit; longer numbers are no lengths.
                let length = range::number(text).filter(|_| text.len() < 20);
                length.map(Body::Length).ok_or(Status::BadRequest)
            }
            (Some(_), _, Some(_)) | (Some(_), Some(_), None) => Err(Status::BadRequest),
            (Some(_), None, None) if self.version == Version::Http10 => Err(Status::BadRequest),
            (Some(coding), None, None) => {
                let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                if coding.eq_ignore_ascii_case(b"chunked") {
                    Ok(Body::Chunked)
                } else if last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    Err(Status::NotImplemented)
                } else {
                    Err(Status::BadRequest)
                }
            }
        }
    }

    fn wanted_persistence(&self) -> Persistence {
        let has_option = |name: &str| {
            self.values("connection")
                .flat_map(|value| value.split(|byte| *byte == b','))
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        };
        if has_option("close") || (self.version == Version::Http10 && !has_option("keep-alive")) {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        }
    }
}

fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "CONNECT" | "DELETE" | "OPTIONS" | "PATCH" | "POST" | "PUT" | "TRACE" => Method::NotAllowed,
        _ => Method::Unknown,
    }
}

fn status_of(error: Error, input: &[u8]) -> Status {
    match error {
        Error::TooManyHeaders => Status::HeaderFieldsTooLarge,
        Error::Version if names_other_version(input) => Status::HttpVersionNotSupported,
        _ => Status::BadRequest,
    }
}

/// Whether the request line ends in a version of HTTP, though not in one of ours.
fn names_other_version(input: &[u8]) -> bool {
    let line = input.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let version = line.trim_ascii_end().splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
    match version.strip_prefix(b"HTTP/") {
        Some([major]) => major.is_ascii_digit(),
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

/// The request line at the front of `input`, for the log; empty if there is none.
pub fn first_line(input: &[u8]) -> &[u8] {
    let line = input.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}
