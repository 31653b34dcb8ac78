//! Open files for applications.

use alloc::boxed::Box;
use core::fmt;

use toro_core::DmaBuf;

use super::metadata::Metadata;
use super::vfs::OpenFile;
use crate::io::{ErrorKind, Read, Result, Seek, SeekFrom};

/// A file that is open for reading, with a position, as `std::fs::File`.
///
/// Dropping it closes it, without waiting for the server. It belongs to the core that opened it.
pub struct File {
    open: Box<dyn OpenFile>,
    position: u64,
}

impl File {
    pub(super) fn new(open: Box<dyn OpenFile>) -> Self {
        Self { open, position: 0 }
    }

    /// Opens a file for reading. Symbolic links are followed.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotADirectory`, `IsADirectory`, `FilesystemLoop`; ENXIO for a pipe, socket or device; and what the
    /// server says.
    #[cfg(target_os = "none")]
    pub fn open(path: impl AsRef<[u8]>) -> Result<Self> {
        super::system::namespace().open(path.as_ref())
    }

    /// The file's attributes: what the server said last, as long as it said that they hold.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn metadata(&self) -> Result<Metadata> {
        Ok(self.open.metadata()?)
    }

    /// Reads from `offset` until `buffer` is full or the file ends, and returns how many bytes that were. The position
    /// stays where it is.
    ///
    /// Fewer bytes than the buffer holds mean that the file ends there *now*: a file may shrink or grow on the host
    /// while it is open.
    ///
    /// # Errors
    ///
    /// What the server says, `TimedOut` if it says nothing. Errors behind the first byte are reported by the next call.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        Ok(self.open.read_at(buffer, offset)?)
    }

    /// Reads up to `length` bytes from `offset` into memory of its own, to which the device wrote them directly.
    ///
    /// Fewer bytes than `length` or [`read_limit`](Self::read_limit), whichever is less, mean that the file ends there
    /// now. The memory goes back where it came from when the buffer is dropped; it is scarce, so let go of it soon.
    ///
    /// # Errors
    ///
    /// What the server says; `TimedOut`; `OutOfMemory` if too many of these buffers are kept.
    pub fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf> {
        Ok(self.open.read_buffer(offset, length)?)
    }

    /// The most bytes that one [`read_buffer`](Self::read_buffer) returns.
    pub fn read_limit(&self) -> usize {
        self.open.read_limit()
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.open.read_at(buffer, self.position)?;
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

impl Seek for File {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        let position = match position {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.metadata()?.len().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("File").field("position", &self.position).finish_non_exhaustive()
    }
}
