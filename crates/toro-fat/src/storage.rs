//! Where the volume is: [`Storage`].

use alloc::boxed::Box;
use core::fmt;

/// Bytes in a sector of a [`Storage`], whatever the volume's own sectors are.
pub const SECTOR: usize = 512;

/// Sectors of 512 bytes that can be read and written.
///
/// # What an implementation owes
///
/// 1. A read sees what was written last, flushed or not.
/// 2. `flush` returns when all that was written before it is stable. Between two flushes, writes may become stable in any
///    order or not at all, a sector at a time: whole, or not at all.
/// 3. A range beyond the end, or a buffer that is not a multiple of [`SECTOR`] long, is an error.
pub trait Storage {
    /// How many sectors there are.
    fn sectors(&self) -> u64;

    /// Whether nothing can be written.
    fn is_read_only(&self) -> bool;

    /// Fills `buffer` from `sector` on.
    ///
    /// # Errors
    ///
    /// What went wrong; the buffer then holds anything.
    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError>;

    /// Writes `data` from `sector` on.
    ///
    /// # Errors
    ///
    /// What went wrong; each of the sectors then holds its old or its new contents.
    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError>;

    /// Makes everything stable that was written before.
    ///
    /// # Errors
    ///
    /// What went wrong; nothing is known then about what is stable.
    fn flush(&self) -> Result<(), StorageError>;
}

/// Why a [`Storage`] did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// The range is not within the storage, or not in whole sectors.
    OutOfRange,
    /// Nothing can be written.
    ReadOnly,
    /// The disk failed.
    Failed,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "beyond the end of the disk",
            Self::ReadOnly => "the disk is read-only",
            Self::Failed => "the disk failed",
        })
    }
}

impl core::error::Error for StorageError {}

macro_rules! forward {
    ($($type:ty),*) => {$(
        impl<S: Storage + ?Sized> Storage for $type {
            fn sectors(&self) -> u64 {
                (**self).sectors()
            }
            fn is_read_only(&self) -> bool {
                (**self).is_read_only()
            }
            fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
                (**self).read(sector, buffer)
            }
            fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
                (**self).write(sector, data)
            }
            fn flush(&self) -> Result<(), StorageError> {
                (**self).flush()
            }
        }
    )*};
}

forward!(&S, Box<S>);
