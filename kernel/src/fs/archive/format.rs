//! Which format an image has, by how it begins.

use super::cpio;
use super::error::ArchiveError;
use super::tar;

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// tar: v7, ustar, GNU or pax.
    Tar,
    /// cpio's "newc", with checksums or without.
    Cpio,
}

/// How compressed files begin, and what compresses them.
const COMPRESSED: [(&[u8], &str); 7] = [
    (&[0x1F, 0x8B], "gzip"),
    (&[0x28, 0xB5, 0x2F, 0xFD], "zstd"),
    (&[0xFD, b'7', b'z', b'X', b'Z', 0], "xz"),
    (b"BZh", "bzip2"),
    (&[0x04, 0x22, 0x4D, 0x18], "lz4"),
    (&[0x02, 0x21, 0x4C, 0x18], "lz4"),
    (&[0x5D, 0, 0], "lzma"),
];

/// The older formats of cpio: in digits, and binary in either order of bytes.
const OLD_CPIO: [&[u8]; 3] = [b"070707", &[0x71, 0xC7], &[0xC7, 0x71]];

/// The format of `image`.
///
/// # Errors
///
/// [`Compressed`](ArchiveError::Compressed), [`OldCpio`](ArchiveError::OldCpio) or [`Unknown`](ArchiveError::Unknown).
pub fn recognise(image: &[u8]) -> Result<Format, ArchiveError> {
    if cpio::begins(image) {
        return Ok(Format::Cpio);
    }
    // A tar begins with the name of its first file, which may be anything; its checksum says more.
    if tar::begins(image) {
        return Ok(Format::Tar);
    }
    if let Some((_, program)) = COMPRESSED.iter().find(|(start, _)| image.starts_with(start)) {
        return Err(ArchiveError::Compressed(program));
    }
    if OLD_CPIO.iter().any(|start| image.starts_with(start)) {
        return Err(ArchiveError::OldCpio);
    }
    Err(ArchiveError::Unknown)
}
