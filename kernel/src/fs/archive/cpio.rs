//! Entries of a cpio archive in the format "newc", that of Linux' initial file systems, through `cpio_reader`.
//!
//! ```text
//!   |"070701", 13 numbers of 8 hexadecimal digits|path, NUL|pad|contents|pad|  ...  |the same, "TRAILER!!!"|
//!                                                        to 4 bytes
//! ```
//!
//! # What the library leaves out
//!
//! Where it does not understand an entry it says no more than at the end, and it would go on with another of cpio's formats in the
//! middle. So its way through the archive is followed here: each entry has to begin as those of this format do, and where it
//! stops there has to be the trailer. It takes paths for text; one that is no UTF-8 stops it, too, and is an error here.
//!
//! What follows the trailer is not looked at.

use alloc::borrow::Cow;

use super::contents::Contents;
use super::entry::{Attributes, Entry, SharedNumber, What, device_number};
use super::error::{ArchiveError, Damage};
use crate::fs::metadata::{FileTime, FileType};

/// How entries begin, without and with a checksum.
const MAGICS: [&[u8]; 2] = [b"070701", b"070702"];
/// Bytes in an entry before its path.
const HEADER: usize = 6 + 13 * 8;
/// The path of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!\0";
/// To what paths and contents are padded.
const ALIGNMENT: usize = 4;

/// Whether an image begins as such an archive does.
pub fn begins(image: &[u8]) -> bool {
    MAGICS.iter().any(|magic| image.starts_with(magic))
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
    let mut offset = 0_usize;
    let mut entries = cpio_reader::iter_files(image);
    loop {
        let rest = image.get(offset..).unwrap_or_default();
        if rest.is_empty() {
            return Err(Damage::Truncated.at(offset));
        }
        if !begins(rest) {
            return Err(Damage::Header.at(offset));
        }
        let Some(entry) = entries.next() else {
            let is_trailer = rest.get(HEADER..).is_some_and(|path| path.starts_with(TRAILER));
            return if is_trailer { Ok(()) } else { Err(Damage::Header.at(offset)) };
        };
        let path = entry.name().as_bytes();
        // The library has found as many bytes; it cannot be more than the image has.
        let start = (offset + HEADER + path.len() + 1).next_multiple_of(ALIGNMENT);
        let end = start + entry.file().len();
        if end > image.len() {
            return Err(Damage::Truncated.at(offset));
        }
        let what = what(&entry, Contents::whole(start..end)).ok_or(Damage::Header.at(offset))?;
        let seconds = i64::try_from(entry.mtime()).unwrap_or(i64::MAX);
        let attributes = Attributes {
            mode: entry.mode().bits() & 0o7777,
            uid: entry.uid(),
            gid: entry.gid(),
            modified: FileTime { seconds, nanoseconds: 0 },
        };
        visit(Entry { offset, path: Cow::Borrowed(path), attributes, what })?;
        offset = end.next_multiple_of(ALIGNMENT);
    }
}

/// What an entry is; `None` if its mode says nothing of the kind.
fn what<'a>(entry: &cpio_reader::Entry<'a>, contents: Contents) -> Option<What<'a>> {
    let pair = |major: Option<u32>, minor: Option<u32>| (major.unwrap_or(0), minor.unwrap_or(0));
    let (major, minor) = pair(entry.rdevmajor(), entry.rdevminor());
    Some(match entry.mode().bits() & 0o170_000 {
        0o040_000 => What::Directory,
        0o100_000 if entry.nlink() > 1 => {
            let device = pair(entry.devmajor(), entry.devminor());
            What::SharedFile(SharedNumber { device, inode: entry.ino() }, contents)
        }
        0o100_000 => What::File(contents),
        0o120_000 => What::Symlink(Cow::Borrowed(entry.file())),
        0o010_000 => What::Special(FileType::Fifo, 0),
        0o140_000 => What::Special(FileType::Socket, 0),
        0o020_000 => What::Special(FileType::CharacterDevice, device_number(major, minor)),
        0o060_000 => What::Special(FileType::BlockDevice, device_number(major, minor)),
        _ => return None,
    })
}
