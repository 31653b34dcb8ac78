//! What can go wrong, as small values.

use core::fmt;

use crate::storage::StorageError;

/// Why an operation on a volume failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No entry has this name.
    NotFound,
    /// An entry has this name already.
    Exists,
    /// A directory is needed, and this is a file.
    NotDirectory,
    /// A file is needed, and this is a directory.
    IsDirectory,
    /// The directory has entries.
    NotEmpty,
    /// No cluster is free, or the directory cannot grow.
    NoSpace,
    /// The storage, the mount or the file may not be written.
    ReadOnly,
    /// The name has more than 255 UTF-16 units.
    NameTooLong,
    /// The name is not UTF-8, or has a character that names may not have.
    InvalidName,
    /// A file has at most 4 GiB - 1 bytes, a directory 65,536 slots.
    TooLarge,
    /// A directory cannot be moved into itself, and the root cannot be moved or removed.
    InvalidMove,
    /// The node was forgotten, or its directory was removed.
    Stale,
    /// The volume is none that this crate knows.
    Unsupported(Unsupported),
    /// What is on the disk contradicts itself.
    Corrupt(Corruption),
    /// The storage failed.
    Storage(StorageError),
}

/// What about a volume is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// It has no FAT boot sector.
    NotFat,
    /// Its sectors are none of 512, 1024, 2048 and 4096 bytes.
    SectorSize,
    /// Its version is not 0.0.
    Version,
}

/// What contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// A number in the boot sector.
    BootSector,
    /// The file allocation table is smaller than the clusters need.
    TableTooSmall,
    /// The volume is larger than the storage.
    VolumeTooLarge,
    /// A cluster number that no cluster has.
    ClusterOutOfRange,
    /// A chain that leads to a free or a bad cluster.
    BrokenChain,
    /// A chain that is longer than the volume, and thus a loop.
    ChainLoop,
    /// A chain that ends before its file does.
    ChainTooShort,
    /// A directory entry: a directory without a cluster, or a parent that is not one.
    DirectoryEntry,
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Corruption> for Error {
    fn from(what: Corruption) -> Self {
        Self::Corrupt(what)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::Exists => "the name is taken",
            Self::NotDirectory => "not a directory",
            Self::IsDirectory => "a directory",
            Self::NotEmpty => "the directory is not empty",
            Self::NoSpace => "no space left on the volume",
            Self::ReadOnly => "read-only",
            Self::NameTooLong => "the name is too long",
            Self::InvalidName => "the name cannot be used",
            Self::TooLarge => "larger than FAT allows",
            Self::InvalidMove => "a directory cannot be moved there",
            Self::Stale => "the file or directory is gone",
            Self::Unsupported(what) => return what.fmt(f),
            Self::Corrupt(what) => return what.fmt(f),
            Self::Storage(error) => return error.fmt(f),
        })
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFat => "not a FAT volume",
            Self::SectorSize => "a FAT volume with an unknown sector size",
            Self::Version => "a FAT32 volume of an unknown version",
        })
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BootSector => "the boot sector contradicts itself",
            Self::TableTooSmall => "the allocation table is too small",
            Self::VolumeTooLarge => "the volume is larger than its disk",
            Self::ClusterOutOfRange => "a cluster number is out of range",
            Self::BrokenChain => "a chain of clusters is broken",
            Self::ChainLoop => "a chain of clusters is a loop",
            Self::ChainTooShort => "a chain of clusters is too short",
            Self::DirectoryEntry => "a directory entry contradicts itself",
        })
    }
}

impl core::error::Error for Error {}
