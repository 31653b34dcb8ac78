//! The access log: one line per request, in the Common Log Format.
//!
//! ```text
//!   10.0.2.2 - - [06/Nov/1994:08:49:37 +0000] "GET /index.html HTTP/1.1" 200 1234
//!   who, nobody knows who, when, what they asked for, the answer, bytes of body sent
//! ```
//!
//! The number of bytes is what was handed to the network, so a transfer that ended early shows in the
//! log. What a client sent is written with everything escaped (`\x1b`) that is not plain ASCII, or is a
//! quote or a backslash: a log is read on terminals, and a line must stay one line. A request line is
//! cut after [`LINE_LIMIT`] bytes.

use alloc::string::String;
use core::{
    fmt::{self, Write},
    net::IpAddr,
};

use crate::{
    date::{Civil, UnixTime},
    response::Status,
};

/// Most bytes of a request line that are logged.
pub const LINE_LIMIT: usize = 512;

/// What there is to say about one request.
pub struct Record<'a> {
    /// Who asked.
    pub peer: IpAddr,
    /// When it was answered.
    pub time: UnixTime,
    /// The request line, empty if there was none.
    pub line: &'a [u8],
    /// The answer.
    pub status: Status,
    /// Bytes of body that were sent.
    pub body_bytes: u64,
}

impl Record<'_> {
    /// Replaces the contents of `out` by the record's line, without a line end.
    pub fn write(&self, out: &mut String) {
        out.clear();
        // Writing to a String cannot fail.
        let _ = self.try_write(out);
    }

    fn try_write(&self, out: &mut String) -> fmt::Result {
        let civil = Civil::from_unix(self.time);
        write!(
            out,
            "{} - - [{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000] \"",
            self.peer,
            civil.day,
            civil.month_name(),
            civil.year,
            civil.hour,
            civil.minute,
            civil.second,
        )?;
        if self.line.is_empty() {
            out.push('-');
        }
        for &byte in self.line.iter().take(LINE_LIMIT) {
            match byte {
                b'"' | b'\\' => {
                    out.push('\\');
                    out.push(char::from(byte));
                }
                b' '..=b'~' => out.push(char::from(byte)),
                _ => write!(out, "\\x{byte:02x}")?,
            }
        }
        if self.line.len() > LINE_LIMIT {
            out.push_str("...");
        }
        write!(out, "\" {} {}", self.status.code(), self.body_bytes)
    }
}
