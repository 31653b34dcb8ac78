//! Heads of responses, written into a buffer that the body may follow.
//!
//! ```text
//!   HTTP/1.1 200 OK\r\n                  Head::begin: status line, Server, Date
//!   Server: Toro\r\n
//!   Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n
//!   Content-Length: 12\r\n               Head::field, Head::number
//!   \r\n                                 Head::end
//!   hello, world                         whoever owns the buffer
//! ```
//!
//! Head and body leave in one write when they fit into one buffer: one segment for a small file instead
//! of two, and no waiting for an acknowledgement in between. Nothing is formatted through `core::fmt`,
//! which costs more than everything else in a small response.
//!
//! Whatever a client sent appears in a head only percent-encoded (Location), so nobody can end a line.

use alloc::vec::Vec;

use crate::{date::HttpDate, request::Persistence};

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal,)*) => {
        /// The statuses that this server answers with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Status {
            $($(#[$doc])* $name,)*
        }

        impl Status {
            /// Three digits.
            pub fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// Code and reason, as in a status line.
            pub fn line(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($code, " ", $reason),)*
                }
            }
        }
    };
}

statuses! {
    /// Here it is.
    Ok = 200 "OK",
    /// Here is the range.
    PartialContent = 206 "Partial Content",
    /// The directory has a slash at its end.
    MovedPermanently = 301 "Moved Permanently",
    /// The client has it already.
    NotModified = 304 "Not Modified",
    /// The request does not make sense.
    BadRequest = 400 "Bad Request",
    /// It is not for you.
    Forbidden = 403 "Forbidden",
    /// It is not there.
    NotFound = 404 "Not Found",
    /// Files can be read, nothing else.
    MethodNotAllowed = 405 "Method Not Allowed",
    /// The head of the request did not arrive in time.
    RequestTimeout = 408 "Request Timeout",
    /// It is not the version that the client named.
    PreconditionFailed = 412 "Precondition Failed",
    /// The request line is too long.
    UriTooLong = 414 "URI Too Long",
    /// The range holds nothing of the file.
    RangeNotSatisfiable = 416 "Range Not Satisfiable",
    /// Too many or too long header fields.
    HeaderFieldsTooLarge = 431 "Request Header Fields Too Large",
    /// The storage failed.
    InternalServerError = 500 "Internal Server Error",
    /// A method or a transfer coding that we do not know.
    NotImplemented = 501 "Not Implemented",
    /// Too many connections.
    ServiceUnavailable = 503 "Service Unavailable",
    /// Neither HTTP/1.0 nor HTTP/1.1.
    HttpVersionNotSupported = 505 "HTTP Version Not Supported",
}

/// A head that is being written.
#[must_use = "a head is complete only after `end`"]
pub struct Head<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Head<'a> {
    /// Empties `out` and begins a head in it.
    pub fn begin(out: &'a mut Vec<u8>, status: Status, date: &HttpDate) -> Self {
        out.clear();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.line().as_bytes());
        out.extend_from_slice(b"\r\nServer: Toro\r\nDate: ");
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// Adds a field; `value` must not contain the end of a line.
    pub fn field(self, name: &str, value: &[u8]) -> Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a field whose value is a number.
    pub fn number(self, name: &str, value: u64) -> Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        push_decimal(self.out, value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a Content-Range: the bytes `first` to `last`, both included, of `length`.
    pub fn content_range(self, first: u64, last: u64, length: u64) -> Self {
        self.out.extend_from_slice(b"Content-Range: ");
        push_content_range(self.out, Some((first, last)), length);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Says what happens to the connection, and ends the head.
    ///
    /// `keep-alive` is what HTTP/1.1 means anyway, but a client of HTTP/1.0 that asked wants to hear it.
    pub fn end(self, persistence: Persistence) {
        self.out.extend_from_slice(match persistence {
            Persistence::KeepAlive => b"Connection: keep-alive\r\n\r\n",
            Persistence::Close => b"Connection: close\r\n\r\n",
        });
    }
}

/// Appends `value` in decimal digits.
pub fn push_decimal(out: &mut Vec<u8>, value: u64) {
    // 20 digits hold every u64.
    let mut digits = [b'0'; 20];
    let mut rest = value;
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

/// Appends the value of a Content-Range: the bytes of `part`, or none of them, of `length`.
pub fn push_content_range(out: &mut Vec<u8>, part: Option<(u64, u64)>, length: u64) {
    out.extend_from_slice(b"bytes ");
    match part {
        Some((first, last)) => {
            push_decimal(out, first);
            out.push(b'-');
            push_decimal(out, last);
        }
        None => out.push(b'*'),
    }
    out.push(b'/');
    push_decimal(out, length);
}

/// Appends the small page that goes with a status that is not a success.
pub fn push_error_page(out: &mut Vec<u8>, status: Status) {
    out.extend_from_slice(b"<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>");
    out.extend_from_slice(status.line().as_bytes());
    out.extend_from_slice(b"</title>\n<h1>");
    out.extend_from_slice(status.line().as_bytes());
    out.extend_from_slice(b"</h1>\n</html>\n");
}
