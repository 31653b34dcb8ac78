//! [`DiskError`]: why a disk did not do what it was asked.

use core::fmt;

use toro_core::driver::block::BlockError;

use crate::io;

/// Why something was not read, written or flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// The device's answer.
    Device(BlockError),
    /// Not in whole blocks of the disk, or beyond its end.
    Misplaced,
    /// A write to what can only be read, or was opened for reading.
    ReadOnly,
    /// The device has no such operation, or cannot take it in this size.
    Unsupported,
    /// No memory for a buffer.
    OutOfMemory,
    /// The device has failed and could not be reset.
    Dead,
}

impl DiskError {
    /// The Linux error number.
    pub const fn errno(self) -> i32 {
        match self {
            Self::Device(BlockError::Unsupported) | Self::Unsupported => 95,
            Self::Device(BlockError::TimedOut) => 110,
            Self::Device(_) => 5,
            Self::Misplaced => 22,
            Self::ReadOnly => 30,
            Self::OutOfMemory => 12,
            Self::Dead => 19,
        }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Misplaced => f.write_str("not in whole blocks of the disk, or beyond its end"),
            Self::ReadOnly => f.write_str("the disk can only be read"),
            Self::Unsupported => f.write_str("the disk cannot do this"),
            Self::OutOfMemory => f.write_str("no memory for a buffer"),
            Self::Dead => f.write_str("the disk has failed"),
        }
    }
}

impl core::error::Error for DiskError {}

impl From<BlockError> for DiskError {
    fn from(error: BlockError) -> Self {
        Self::Device(error)
    }
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        Self::from_raw_os_error(error.errno())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::ErrorKind;

    #[test]
    fn errors_have_the_kinds_of_std() {
        let kind = |error: DiskError| io::Error::from(error).kind();
        assert_eq!(kind(DiskError::ReadOnly), ErrorKind::ReadOnlyFilesystem);
        assert_eq!(kind(BlockError::TimedOut.into()), ErrorKind::TimedOut);
        assert_eq!(kind(BlockError::Unsupported.into()), ErrorKind::Unsupported);
        assert_eq!(kind(DiskError::Misplaced), ErrorKind::InvalidInput);
        assert_eq!(kind(DiskError::OutOfMemory), ErrorKind::OutOfMemory);
        assert_eq!(io::Error::from(DiskError::Device(BlockError::Failed)).raw_os_error(), Some(5));
    }
}
