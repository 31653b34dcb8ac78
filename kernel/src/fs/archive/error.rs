//! What can be wrong with an archive.

use core::fmt;

/// Why an archive is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveError {
    /// It is compressed, by the program of this name. Nothing here unpacks it.
    Compressed(&'static str),
    /// It is in a format of cpio other than "newc".
    OldCpio,
    /// It begins as neither format does.
    Unknown,
    /// It contradicts itself, or what a file system is.
    Damaged {
        /// Where the entry begins that does, in bytes from the archive's start.
        offset: usize,
        /// In which way.
        damage: Damage,
    },
    /// It has more objects and names than there is memory for.
    TooMany,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Its header makes no sense, or its checksum is wrong.
    Header,
    /// The archive ends before it does, or without the mark for its end.
    Truncated,
    /// Its path leads out of the archive, is too long or has a NUL in it.
    Name,
    /// It is a directory where a file is, the other way round, or in something that is no directory.
    Conflict,
    /// It is a hard link to what is not there before it, or to a directory.
    Link,
    /// The places of its pieces overlap or lie beyond its end.
    Pieces,
}

impl Damage {
    /// The error for an entry at `offset`.
    pub(super) fn at(self, offset: usize) -> ArchiveError {
        ArchiveError::Damaged { offset, damage: self }
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compressed(program) => {
                write!(formatter, "the archive is compressed with {program}: it has to be a plain tar or cpio file")
            }
            Self::OldCpio => formatter.write_str("a cpio archive in an old format: make one with `cpio -H newc`"),
            Self::Unknown => formatter.write_str("neither a tar nor a cpio archive"),
            Self::Damaged { offset, damage } => write!(formatter, "the archive is damaged at byte {offset}: {damage}"),
            Self::TooMany => formatter.write_str("the archive has more files than there is memory for"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Header => "a header that is none",
            Self::Truncated => "it ends too early",
            Self::Name => "a name that no file can have",
            Self::Conflict => "an entry that does not go with one before it",
            Self::Link => "a hard link to no file before it",
            Self::Pieces => "pieces of a file that overlap",
        })
    }
}

impl core::error::Error for ArchiveError {}
