//! A directory as a page.
//!
//! Directories come first, then files, each sorted by the bytes of their names; a name is escaped twice,
//! differently: percent-encoded in the link, where it must be one path segment, and as HTML in the text.
//!
//! ```text
//!   <tr><td><a href="a%3Cb/">a&lt;b/</a><td><td>1994-11-06 08:49
//!   <tr><td><a href="c%20d.txt">c d.txt</a><td>12.3 KiB<td>1994-11-06 08:49
//! ```
//!
//! Names are bytes; what is not UTF-8 is shown as U+FFFD and still linked correctly. A page holds at most
//! [`ENTRY_LIMIT`] entries, so that a directory with a million files costs a bounded amount of memory, and
//! says so when there are more.

use alloc::vec::Vec;

use crate::{
    date::{Civil, UnixTime, two_digits},
    response::push_decimal,
    sort::sort,
    storage::{Entry, EntryKind},
    target,
};

/// Most entries on one page.
pub const ENTRY_LIMIT: usize = 10_000;

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;\
max-width:60rem;padding:0 1rem}h1{font-size:1.4rem}h1,td{overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}\
td,th{padding:.15rem .5rem;text-align:left}td+td,th+th{text-align:right;white-space:nowrap}tr:hover{background:#8882}";

/// Whether the directory held more than the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Everything is on the page.
    Complete,
    /// There is more than [`ENTRY_LIMIT`].
    Truncated,
}

/// Writes the page for the directory `path`, whose `entries` are sorted on the way.
pub fn page(path: &[u8], entries: &mut [Entry], completeness: Completeness, out: &mut Vec<u8>) {
    sort(entries, |a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    out.extend_from_slice(b"<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">");
    out.extend_from_slice(b"<meta name=\"viewport\" content=\"width=device-width\"><title>Index of ");
    push_directory(path, out);
    out.extend_from_slice(b"</title>\n<style>");
    out.extend_from_slice(STYLE.as_bytes());
    out.extend_from_slice(b"</style>\n<h1>Index of ");
    push_directory(path, out);
    out.extend_from_slice(b"</h1>\n<table>\n<tr><th>Name<th>Size<th>Modified (UTC)\n");
    if path != b"/" {
        out.extend_from_slice(b"<tr><td><a href=\"../\">../</a><td><td>\n");
    }
    for entry in entries.iter() {
        push_row(entry, out);
    }
    out.extend_from_slice(b"</table>\n");
    if completeness == Completeness::Truncated {
        out.extend_from_slice(b"<p>There are more than ");
        push_decimal(out, ENTRY_LIMIT as u64);
        out.extend_from_slice(b" entries; the others are not shown.</p>\n");
    }
    out.extend_from_slice(b"</html>\n");
}

fn push_directory(path: &[u8], out: &mut Vec<u8>) {
    push_escaped(path, out);
    if path != b"/" {
        out.push(b'/');
    }
}

fn push_row(entry: &Entry, out: &mut Vec<u8>) {
    let slash: &[u8] = if entry.kind == EntryKind::Directory { b"/" } else { b"" };
    out.extend_from_slice(b"<tr><td><a href=\"");
    target::encode(&entry.name, b"", out);
    out.extend_from_slice(slash);
    out.extend_from_slice(b"\">");
    push_escaped(&entry.name, out);
    out.extend_from_slice(slash);
    out.extend_from_slice(b"</a><td>");
    if entry.kind == EntryKind::File {
        push_size(entry.length, out);
    }
    out.extend_from_slice(b"<td>");
    if let Some(modified) = entry.modified {
        push_time(modified, out);
    }
    out.push(b'\n');
}

/// Text for HTML, in an element or in a quoted attribute.
fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'&' => out.extend_from_slice(b"&amp;"),
                b'<' => out.extend_from_slice(b"&lt;"),
                b'>' => out.extend_from_slice(b"&gt;"),
                b'"' => out.extend_from_slice(b"&quot;"),
                b'\'' => out.extend_from_slice(b"&#39;"),
                // A control character would be invisible, or not allowed in HTML at all.
                0..32 | 127 => out.extend_from_slice("\u{fffd}".as_bytes()),
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// A length as people read it: bytes below 1 KiB, above with one decimal that is rounded down.
fn push_size(length: u64, out: &mut Vec<u8>) {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (u64::BITS - 1 - length.max(1).leading_zeros()) / 10;
    push_decimal(out, length >> (10 * power));
    if let Some(below) = power.checked_sub(1) {
        let of_1024 = length >> (10 * below) & 1023;
        out.push(b'.');
        push_decimal(out, of_1024 * 10 / 1024);
    }
    out.push(b' ');
    out.extend_from_slice(UNITS.get(power as usize).copied().unwrap_or("B").as_bytes());
}

fn push_time(time: UnixTime, out: &mut Vec<u8>) {
    let civil = Civil::from_unix(time);
    out.extend_from_slice(&two_digits((civil.year / 100) as u8));
    out.extend_from_slice(&two_digits((civil.year % 100) as u8));
    for (before, number) in [(b'-', civil.month), (b'-', civil.day), (b' ', civil.hour), (b':', civil.minute)] {
        out.push(before);
        out.extend_from_slice(&two_digits(number));
    }
}
