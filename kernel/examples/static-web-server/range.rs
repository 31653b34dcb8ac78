//! Which part of a file a request asks for (RFC 9110 §14).
//!
//! ```text
//!   Range: bytes=0-499     the first 500 bytes
//!   Range: bytes=500-      all but the first 500
//!   Range: bytes=-500      the last 500
//!   Range: bytes=0-0,-1    two ranges: not ours, the whole file is sent
//! ```
//!
//! A server may always ignore the header and send everything, and this one does so for several ranges,
//! for units other than bytes and for anything that does not parse: the answer is then an ordinary 200,
//! which every client must understand. A range that is well formed and holds no byte of the file is 416.
//! Numbers beyond 64 bits are read as the largest number, which is beyond the end of any file.

/// What part of the file is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything, status 200.
    Whole,
    /// The bytes from `first` to `last`, both included and both inside the file; status 206.
    Part {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// The range holds no byte of the file; status 416.
    Unsatisfiable,
}

/// Reads the value of a Range header for a file of `length` bytes.
pub fn select(value: &[u8], length: u64) -> Selection {
    let Some(range) = range_set(value) else {
        return Selection::Whole;
    };
    let Some(dash) = range.iter().position(|byte| *byte == b'-') else {
        return Selection::Whole;
    };
    let (first, rest) = range.split_at(dash);
    let last = rest.get(1..).unwrap_or_default();
    match (first.is_empty(), last.is_empty()) {
        (true, true) => Selection::Whole,
        (true, false) => match number(last) {
            None => Selection::Whole,
            Some(suffix) => from_to(length.saturating_sub(suffix), u64::MAX, length),
        },
        (false, true) => match number(first) {
            None => Selection::Whole,
            Some(first) => from_to(first, u64::MAX, length),
        },
        (false, false) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => from_to(first, last, length),
            _ => Selection::Whole,
        },
    }
}

/// What follows the unit, if that is bytes. A list of ranges goes on, and fails at its comma.
fn range_set(value: &[u8]) -> Option<&[u8]> {
    let (unit, rest) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then(|| rest.trim_ascii())
}

fn from_to(first: u64, last: u64, length: u64) -> Selection {
    match length.checked_sub(1) {
        Some(end) if first <= end => Selection::Part { first, last: last.min(end) },
        _ => Selection::Unsatisfiable,
    }
}

/// A number of decimal digits only, saturating.
pub fn number(text: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    }
    (!text.is_empty()).then_some(value)
}
