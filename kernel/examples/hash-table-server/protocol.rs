//! The protocol: lines of bytes that end with LF or CR LF. Commands are upper case; a client may send several ahead.
//!
//! | request | answer |
//! |---|---|
//! | `GET key` | `VALUE value`, or `NONE` |
//! | `SET key value` | `OK` |
//! | `DEL key` | `OK`, or `NONE` if it was not there |
//! | `STATS` | `STATS keys=N bytes=N shards=N,N,...`: the last are the keys of each core |
//! | `QUIT` | `BYE`, and the connection is closed |
//! | anything else | `ERR` and what is wrong; after a line that is too long the connection is closed |
//!
//! A key is 1 to 250 bytes other than blanks; a value 1 to 8192 bytes, blanks included, but not at its beginning.
//! Neither contains LF, nor CR at the end of a line.

use core::fmt;

use crate::limits;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    Get(&'a [u8]),
    Set(&'a [u8], &'a [u8]),
    Delete(&'a [u8]),
    Stats,
    Quit,
}

/// Why a client is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    UnknownCommand,
    MissingKey,
    MissingValue,
    KeyTooLong,
    ValueTooLong,
    LineTooLong,
    /// More words than the command has.
    Surplus,
    /// The shard has no memory left for this entry.
    Full,
    /// There are too many connections.
    Busy,
    /// A shard does not answer.
    Unavailable,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnknownCommand => "unknown command",
            Self::MissingKey => "missing key",
            Self::MissingValue => "missing value",
            Self::KeyTooLong => "key too long",
            Self::ValueTooLong => "value too long",
            Self::LineTooLong => "line too long",
            Self::Surplus => "too many words",
            Self::Full => "table full",
            Self::Busy => "too many connections",
            Self::Unavailable => "shard unavailable",
        })
    }
}

/// Parses a line without its end.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse(line: &[u8]) -> Result<Request<'_>, Refusal> {
    let (command, rest) = split(line);
    match command {
        b"GET" => only_key(rest).map(Request::Get),
        b"DEL" => only_key(rest).map(Request::Delete),
        b"SET" => {
            let (word, value) = split(rest);
            let key = key(word)?;
            match value.len() {
                0 => Err(Refusal::MissingValue),
                1..=limits::VALUE => Ok(Request::Set(key, value)),
                _ => Err(Refusal::ValueTooLong),
            }
        }
        b"STATS" if rest.is_empty() => Ok(Request::Stats),
        b"QUIT" if rest.is_empty() => Ok(Request::Quit),
        b"STATS" | b"QUIT" => Err(Refusal::Surplus),
        _ => Err(Refusal::UnknownCommand),
    }
}

/// The first word, and what follows the blanks behind it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let blanks = rest.iter().take_while(|&&byte| byte == b' ').count();
    (word, rest.get(blanks..).unwrap_or_default())
}

fn key(word: &[u8]) -> Result<&[u8], Refusal> {
    match word.len() {
        0 => Err(Refusal::MissingKey),
        1..=limits::KEY => Ok(word),
        _ => Err(Refusal::KeyTooLong),
    }
}

fn only_key(rest: &[u8]) -> Result<&[u8], Refusal> {
    let (word, surplus) = split(rest);
    if surplus.is_empty() { key(word) } else { Err(Refusal::Surplus) }
}
