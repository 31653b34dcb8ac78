//! Whether the client already has it: validators and preconditions (RFC 9110 §8.8, §13).
//!
//! A file is described by up to two validators:
//!
//! ```text
//!   ETag: "1a2b-1000-17d0c3a5e6f70000"            inode, length, time of change in nanoseconds, in hex
//!   Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT  the time of change in seconds
//! ```
//!
//! and a request may hold up to four preconditions, which are looked at in the order of §13.2.2:
//!
//! ```text
//!   If-Match             else If-Unmodified-Since      false -> 412
//!   If-None-Match        else If-Modified-Since        false -> 304
//!   If-Range             (only with Range)             false -> the Range is ignored
//! ```
//!
//! The tag is a strong one: with nanoseconds, the length and the inode, contents that change and keep
//! all three are the work of somebody who sets times by hand. A date is compared in whole seconds. Header
//! values that do not parse never match, so the worst that a broken client gets is the file again.

use core::iter;

use crate::{
    date::{self, UnixTime},
    request::Request,
    storage::Metadata,
};

/// An entity tag, quotes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag {
    text: [u8; 52],
    length: u8,
}

impl EntityTag {
    /// The tag of a file with this metadata.
    pub fn new(metadata: &Metadata) -> Self {
        let mut tag = Self { text: [0; 52], length: 0 };
        tag.push(b'"');
        tag.push_hex(metadata.identity);
        tag.push(b'-');
        tag.push_hex(metadata.length);
        if let Some(modified) = metadata.modified {
            tag.push(b'-');
            // Wraps after 584 years; a tag needs to differ, not to mean anything.
            let seconds = modified.seconds.cast_unsigned();
            let nanoseconds = u64::from(modified.nanoseconds);
            tag.push_hex(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds));
        }
        tag.push(b'"');
        tag
    }

    /// The tag as it goes into a header.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// At most 2 quotes, 2 dashes and 3 numbers of 16 digits are pushed: 52 bytes.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(usize::from(self.length)) {
            *place = byte;
            self.length += 1;
        }
    }

    fn push_hex(&mut self, value: u64) {
        let digits = (64 - value.leading_zeros()).div_ceil(4).max(1) as usize;
        let all = hex_digits(value);
        let start = usize::from(self.length);
        if let (Some(place), Some(digits)) = (self.text.get_mut(start..start + digits), all.get(16 - digits..)) {
            place.copy_from_slice(digits);
            self.length += digits.len() as u8;
        }
    }
}

/// The 16 digits of `value`, all of them computed at once.
fn hex_digits(value: u64) -> [u8; 16] {
    const ONES: u128 = u128::MAX / 0xff;
    /// How far the upper halves move, and where halves are then.
    const HALVES: [(u32, u128); 4] =
        [(32, u128::MAX / 0x1_0000_0001), (16, u128::MAX / 0x1_0001), (8, u128::MAX / 0x101), (4, u128::MAX / 0x11)];
    // Each half into a place of its own, then each quarter, down to a nibble in each byte.
    let nibbles = HALVES.iter().fold(u128::from(value), |wide, (shift, place)| (wide | wide << shift) & place);
    // To 10 and more, 6 carries into bit 4.
    let letters = (nibbles + ONES * 6) >> 4 & ONES;
    (nibbles + ONES * u128::from(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// What the preconditions of a request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// The client has this very version: 304.
    NotModified,
    /// The client wanted another version: 412.
    Failed,
}

/// Evaluates every precondition of a GET or HEAD request but If-Range.
pub fn evaluate(request: &Request<'_, '_>, tag: &EntityTag, modified: Option<UnixTime>, now: UnixTime) -> Verdict {
    if request.has("if-match") {
        if !matches_any(request.values("if-match"), tag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let Some(modified) = modified
        && let Some(limit) = only_date(request, "if-unmodified-since", now)
        && modified.seconds > limit.seconds
    {
        return Verdict::Failed;
    }
    if request.has("if-none-match") {
        if matches_any(request.values("if-none-match"), tag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(modified) = modified
        && let Some(limit) = only_date(request, "if-modified-since", now)
        && modified.seconds <= limit.seconds
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a Range header counts: there is no If-Range, or it names the current version exactly.
pub fn range_applies(request: &Request<'_, '_>, tag: &EntityTag, modified: Option<UnixTime>, now: UnixTime) -> bool {
    let mut values = request.values("if-range");
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(value), None) => match date::parse(value, now) {
            Some(date) => modified.is_some_and(|modified| modified.seconds == date.seconds),
            None => value == tag.as_bytes(),
        },
        (Some(_), Some(_)) => false,
    }
}

fn only_date(request: &Request<'_, '_>, name: &str, now: UnixTime) -> Option<UnixTime> {
    let mut values = request.values(name);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    date::parse(value, now)
}

/// Whether the mark of a weak tag matters (§8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag matches nothing.
    Strong,
    /// The mark is ignored.
    Weak,
}

fn matches_any<'a>(values: impl Iterator<Item = &'a [u8]>, ours: &EntityTag, comparison: Comparison) -> bool {
    for value in values {
        if value == b"*" {
            return true;
        }
        let theirs =
            |(is_weak, tag): (bool, &[u8])| tag == ours.as_bytes() && !(is_weak && comparison == Comparison::Strong);
        if tags(value).any(theirs) {
            return true;
        }
    }
    false
}

/// The tags of a list, each with whether it is marked as weak; ends at the first thing that is no tag.
fn tags(list: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    let mut rest = list;
    iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let is_weak = rest.starts_with(b"W/");
        let start = if is_weak { rest.get(2..)? } else { rest };
        let inside = start.strip_prefix(b"\"")?;
        let length = inside.iter().position(|byte| *byte == b'"')?;
        let (tag, tail) = start.split_at_checked(length + 2)?;
        rest = tail;
        Some((is_weak, tag))
    })
}
