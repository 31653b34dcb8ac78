//! The bytes of a connection that have arrived and are not used yet.
//!
//! ```text
//!   bytes   | used | a whole head \r\n\r\n | the beginning of the next one | free |
//!                  ^ start                                                 ^ end
//! ```
//!
//! One buffer per connection, reused by all of its requests. It starts small, grows while a head does
//! not fit and never beyond the longest head that is accepted. Pipelined requests simply lie behind each
//! other; the next one is found without reading.
//!
//! The deadline of a head runs from its first byte. Before that the connection is idle, which has a limit
//! of its own and ends in silence: there is nobody to tell.

use alloc::{vec, vec::Vec};
use core::time::Duration;

use crate::{
    connection::{Connection, ConnectionError, Environment},
    request::{self, HEAD_LIMIT, Head},
    response::Status,
};

const FIRST_CAPACITY: usize = 1024;

/// Why there is no next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The connection ended or idled between requests, or broke.
    Silent,
    /// The client is to hear this before the connection is closed.
    Answer(Status),
}

/// How long a connection waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first byte of a request.
    pub idle: Duration,
    /// For the rest of its head.
    pub head: Duration,
}

/// The input buffer of one connection.
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for Input {
    /// An empty buffer.
    fn default() -> Self {
        Self { bytes: vec![0; FIRST_CAPACITY], start: 0, end: 0 }
    }
}

impl Input {
    /// What has arrived and is not used.
    pub fn unused(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes `length` bytes from the front.
    pub fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Waits until a whole head is at the front, and returns its length.
    ///
    /// # Errors
    /// [`Stop`], if there will not be one.
    pub fn next_head(
        &mut self,
        connection: &mut impl Connection,
        environment: &impl Environment,
        patience: Patience,
    ) -> Result<usize, Stop> {
        let mut deadline = environment.monotonic() + patience.idle;
        let mut has_begun = false;
        let mut seen = 0;
        loop {
            if !has_begun && !self.unused().is_empty() {
                has_begun = true;
                deadline = environment.monotonic() + patience.head;
            }
            if seen == 0 {
                self.skip_empty_lines();
            }
            if !self.unused().is_empty() {
                match request::find_head(self.unused(), seen) {
                    Head::Complete(length) => return Ok(length),
                    Head::TooLong(status) => return Err(Stop::Answer(status)),
                    // Something that is no HTTP at all need not wait for an end that never comes.
                    Head::Partial if seen == 0 => {
                        request::check_partial(self.unused()).map_err(Stop::Answer)?;
                    }
                    Head::Partial => {}
                }
                seen = self.unused().len();
            }
            match self.fill(connection, environment, deadline) {
                Ok(0) => return Err(Stop::Silent),
                Ok(_) => {}
                Err(ConnectionError::TimedOut) if has_begun => {
                    return Err(Stop::Answer(Status::RequestTimeout));
                }
                Err(_) => return Err(Stop::Silent),
            }
        }
    }

    /// Reads and drops `length` bytes of a body until `deadline`.
    ///
    /// # Errors
    /// [`ConnectionError`], if they do not arrive.
    pub fn discard(
        &mut self,
        connection: &mut impl Connection,
        environment: &impl Environment,
        length: u64,
        deadline: Duration,
    ) -> Result<(), ConnectionError> {
        let mut left = length;
        loop {
            let here = self.unused().len();
            let used = usize::try_from(left).map_or(here, |left| left.min(here));
            self.consume(used);
            left -= used as u64;
            if left == 0 {
                return Ok(());
            }
            if self.fill(connection, environment, deadline)? == 0 {
                return Err(ConnectionError::Lost);
            }
        }
    }

    /// RFC 9112 §2.2: empty lines before a request line are to be ignored.
    fn skip_empty_lines(&mut self) {
        let count = self.unused().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.consume(count);
    }

    /// Reads once, after making room.
    fn fill(
        &mut self,
        connection: &mut impl Connection,
        environment: &impl Environment,
        deadline: Duration,
    ) -> Result<usize, ConnectionError> {
        let left = deadline.saturating_sub(environment.monotonic());
        if left.is_zero() {
            return Err(ConnectionError::TimedOut);
        }
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                // A full buffer of HEAD_LIMIT bytes was refused by `find_head`, so this always grows.
                self.bytes.resize((self.bytes.len() * 2).min(HEAD_LIMIT), 0);
            }
        }
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let length = connection.read(room, left)?.min(room.len());
        self.end += length;
        Ok(length)
    }
}
