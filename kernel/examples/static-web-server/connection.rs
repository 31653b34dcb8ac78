//! What the server needs from a connection and from the machine around it.
//!
//! Two small traits, each implemented twice: over `toro::net` and `toro::time` in the image, and over
//! `std` in the host's tests, which thereby run the server's own code on real sockets.
//!
//! Every operation that may wait is told how long. A [`Connection`] never waits longer than that, and the
//! server keeps the deadlines: a head has one for all of its bytes, so a client that sends a byte every
//! few seconds gains nothing, and each buffer of a response has one, so neither does a client that takes
//! a byte every few seconds.

use core::{error, fmt, time::Duration};

use crate::date::UnixTime;

/// Why a connection did not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    /// Nothing happened in time. The connection is still there.
    TimedOut,
    /// The connection is gone.
    Lost,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TimedOut => "timed out",
            Self::Lost => "connection lost",
        })
    }
}

impl error::Error for ConnectionError {}

/// A byte stream to a client. Dropping it closes it.
pub trait Connection {
    /// Reads at least one byte into `buffer`, waiting at most `patience`, which is not zero.
    /// Returns how many; 0 when the client will send no more.
    ///
    /// # Errors
    /// [`ConnectionError`].
    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, ConnectionError>;

    /// Writes at least one byte of the two pieces, the second behind the first, as if they were one. They are
    /// not both empty. Waits at most `patience`, which is not zero. Returns how many bytes.
    ///
    /// # Errors
    /// [`ConnectionError`].
    fn write(&mut self, pieces: [&[u8]; 2], patience: Duration) -> Result<usize, ConnectionError>;

    /// Says that we will write no more. Reading goes on.
    fn finish(&mut self);
}

/// Clocks and the console.
pub trait Environment {
    /// Time since an arbitrary moment; it never goes back.
    fn monotonic(&self) -> Duration;

    /// The present.
    fn unix_time(&self) -> UnixTime;

    /// Writes a line to the console.
    fn log(&self, line: &str);
}

/// Writes all of the two pieces, which must be taken within `patience`.
///
/// # Errors
/// [`ConnectionError`]; how much was written is then unknown.
pub fn write_all(
    connection: &mut impl Connection,
    environment: &impl Environment,
    pieces: [&[u8]; 2],
    patience: Duration,
) -> Result<(), ConnectionError> {
    let [mut head, mut body] = pieces;
    let deadline = environment.monotonic() + patience;
    let mut left = patience;
    while !head.is_empty() || !body.is_empty() {
        if left.is_zero() {
            return Err(ConnectionError::TimedOut);
        }
        let taken = connection.write([head, body], left)?;
        let of_head = taken.min(head.len());
        if taken == 0 || taken - of_head > body.len() {
            return Err(ConnectionError::Lost);
        }
        head = head.get(of_head..).unwrap_or_default();
        body = body.get(taken - of_head..).unwrap_or_default();
        if head.is_empty() && body.is_empty() {
            break;
        }
        left = deadline.saturating_sub(environment.monotonic());
    }
    Ok(())
}

/// Ends a connection whose client may still be sending: without this, its bytes that meet a closed socket
/// would be answered by a reset, which makes the client throw away the answer that it has not read yet
/// (RFC 9112 §9.6). What arrives is dropped, up to a bound of bytes and time.
pub fn linger(connection: &mut impl Connection, environment: &impl Environment) {
    const PATIENCE: Duration = Duration::from_secs(1);
    const MOST_BYTES: usize = 256 * 1024;
    connection.finish();
    let deadline = environment.monotonic() + PATIENCE;
    let mut scratch = [0; 1024];
    let mut dropped = 0;
    while dropped < MOST_BYTES {
        let left = deadline.saturating_sub(environment.monotonic());
        if left.is_zero() {
            return;
        }
        match connection.read(&mut scratch, left) {
            Ok(0) | Err(_) => return,
            Ok(length) => dropped += length,
        }
    }
}
