//! Entries of a tar archive, through `tar-core`.
//!
//! ```text
//!   |header 512|contents, padded to 512| |header|contents| ... |512 zeros|512 zeros|
//!
//!   ustar  a path in two parts, of 255 bytes in all            GNU   'L', 'K': a long path or link in an entry before
//!   pax    'x': path, link, size, time, in an entry before           'S': a file without its holes
//! ```
//!
//! # What the library is kept from
//!
//! It adds up the sizes of entries before a file without looking for an overflow. So a header that says it is longer than the archive
//! never gets to it: [`check_sizes`] has looked at all that it is going to look at.
//!
//! It does not say whether entries without a meaning here have contents; those of types that POSIX does not know are taken as it
//! says, for files, and the types of other programs' own, capital letters, are left out with their contents.

use alloc::borrow::Cow;

use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, HEADER_SIZE, Header, PaxExtensions};

use super::contents::Contents;
use super::entry::{Attributes, Entry, What, device_number};
use super::error::{ArchiveError, Damage};
use crate::fs::metadata::{FileTime, FileType};

/// Where a header says that it is one, since ustar.
const MAGIC: (usize, &[u8]) = (257, b"ustar");
/// Entries that may come before one that describe it; there are four kinds, each once, and perhaps a block of zeros.
const MOST_BEFORE: usize = 16;
/// Who owns what belongs to a user that has no number here, as on Linux.
const NOBODY: u32 = 65_534;

/// What is read in memory at a time: as little as a real archive needs.
fn limits() -> Limits {
    Limits {
        max_metadata_size: 1 << 20,
        max_path_len: None,
        max_pending_entries: MOST_BEFORE,
        max_sparse_entries: 10_000,
    }
}

/// Whether an image begins as such an archive does.
pub fn begins(image: &[u8]) -> bool {
    let Some(block) = image.first_chunk::<HEADER_SIZE>() else { return false };
    let has_magic = block.get(MAGIC.0..).is_some_and(|rest| rest.starts_with(MAGIC.1));
    let is_empty_archive = || image.get(..2 * HEADER_SIZE).is_some_and(|start| start.iter().all(|&byte| byte == 0));
    let header = Header::from_bytes(block);
    has_magic || (!header.is_empty() && header.verify_checksum().is_ok()) || is_empty_archive()
}

/// Shows all entries.
///
/// # Errors
///
/// What is wrong with one, and what `visit` says.
pub fn read<'a>(
    image: &'a [u8],
    visit: &mut dyn FnMut(Entry<'a>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut parser = Parser::new(limits());
    // A time or an owner that cannot be read is no reason to refuse a file.
    parser.set_ignore_pax_errors(true);
    let mut offset = 0;
    loop {
        let rest = image.get(offset..).unwrap_or_default();
        check_sizes(rest, offset)?;
        match parser.parse(rest).map_err(|_| Damage::Header.at(offset))? {
            ParseEvent::End { .. } => return Ok(()),
            // One block of zeros at the very end is what some programs leave it at.
            ParseEvent::NeedData { .. } if rest.len() >= HEADER_SIZE && rest.iter().all(|&byte| byte == 0) => {
                return Ok(());
            }
            ParseEvent::NeedData { .. } => return Err(Damage::Truncated.at(offset)),
            ParseEvent::GlobalExtensions { consumed, .. } => offset = forward(offset, consumed)?,
            ParseEvent::Entry { consumed, entry } => {
                let start = forward(offset, consumed)?;
                let range = stored(image, start, &entry).ok_or(Damage::Truncated.at(offset))?;
                let next = forward(start, range.len().next_multiple_of(HEADER_SIZE))?;
                if let Some(what) = what(&entry, Contents::whole(range)) {
                    visit(Entry { offset, attributes: attributes(&entry), path: entry.path, what })?;
                }
                offset = next;
            }
            ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                let start = forward(offset, consumed)?;
                let range = stored(image, start, &entry).ok_or(Damage::Truncated.at(offset))?;
                let next = forward(start, range.len().next_multiple_of(HEADER_SIZE))?;
                let places = sparse_map.iter().map(|place| (place.offset, place.length));
                let contents = Contents::sparse(real_size, places, range).ok_or(Damage::Pieces.at(offset))?;
                let attributes = attributes(&entry);
                visit(Entry { offset, attributes, path: entry.path, what: What::File(contents) })?;
                offset = next;
            }
        }
    }
}

/// Looks at the headers that the library is about to look at: those that come before a file, and the file's.
fn check_sizes(rest: &[u8], offset: usize) -> Result<(), ArchiveError> {
    let mut at = 0_usize;
    for _ in 0..=MOST_BEFORE {
        let Some(block) = rest.get(at..).and_then(|rest| rest.first_chunk::<HEADER_SIZE>()) else { return Ok(()) };
        let header = Header::from_bytes(block);
        let size = header.entry_size().map_err(|_| Damage::Header.at(offset))?;
        let size = usize::try_from(size).ok().filter(|&size| size <= rest.len());
        let Some(size) = size else { return Err(Damage::Truncated.at(offset)) };
        match header.entry_type() {
            _ if header.is_empty() => at += HEADER_SIZE,
            EntryType::GnuLongName | EntryType::GnuLongLink | EntryType::XHeader => {
                at += HEADER_SIZE + size.next_multiple_of(HEADER_SIZE);
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

fn forward(offset: usize, count: usize) -> Result<usize, ArchiveError> {
    offset.checked_add(count).ok_or(Damage::Truncated.at(offset))
}

/// The contents of an entry, which begin at `start`; `None` if they do not end in the archive. Links and the like say
/// sizes that mean nothing.
fn stored(image: &[u8], start: usize, entry: &ParsedEntry<'_>) -> Option<core::ops::Range<usize>> {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};

    let has_contents = !matches!(entry.entry_type, Link | Symlink | Char | Block | Directory | Fifo);
    let size = if has_contents { usize::try_from(entry.size).ok()? } else { 0 };
    let end = start.checked_add(size).filter(|&end| end <= image.len())?;
    Some(start..end)
}

/// What an entry is; `None` if it is nothing that a file system has.
fn what<'a>(entry: &ParsedEntry<'a>, contents: Contents) -> Option<What<'a>> {
    let target = || entry.link_target.clone().unwrap_or(Cow::Borrowed(&[]));
    let device = || device_number(entry.dev_major.unwrap_or(0), entry.dev_minor.unwrap_or(0));
    Some(match entry.entry_type {
        // Before ustar a directory was a file whose name ends so.
        EntryType::Regular if entry.path.ends_with(b"/") => What::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => What::File(contents),
        // The second is a directory, with the names that were in it, of GNU's for what changes.
        EntryType::Directory | EntryType::Other(b'D') => What::Directory,
        EntryType::Link => What::HardLink(target()),
        EntryType::Symlink => What::Symlink(target()),
        EntryType::Char => What::Special(FileType::CharacterDevice, device()),
        EntryType::Block => What::Special(FileType::BlockDevice, device()),
        EntryType::Fifo => What::Special(FileType::Fifo, 0),
        EntryType::Other(kind) if !kind.is_ascii_uppercase() => What::File(contents),
        _ => return None,
    })
}

fn attributes(entry: &ParsedEntry<'_>) -> Attributes {
    let id = |id: u64| u32::try_from(id).unwrap_or(NOBODY);
    let nanoseconds = entry.pax.and_then(|pax| PaxExtensions::new(pax).get("mtime")).map_or(0, fraction);
    let seconds = i64::try_from(entry.mtime).unwrap_or(i64::MAX);
    let modified = FileTime { seconds, nanoseconds };
    Attributes { mode: entry.mode & 0o7777, uid: id(entry.uid), gid: id(entry.gid), modified }
}

/// The nanoseconds in a number of seconds like `1700000000.25`; none where there are no digits.
fn fraction(time: &str) -> u32 {
    let Some((whole, digits)) = time.split_once('.') else { return 0 };
    if whole.starts_with('-') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    digits.bytes().chain(core::iter::repeat(b'0')).take(9).fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::fraction;

    #[test]
    fn fractions_of_seconds_are_nanoseconds() {
        let times = ["7", "7.", "7.25", "7.000000001", "7.9999999999", "7.-1", "-7.5"];
        assert_eq!(times.map(fraction), [0, 0, 250_000_000, 1, 999_999_999, 0, 0]);
    }
}
