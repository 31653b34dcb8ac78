//! Open files for applications.

use alloc::boxed::Box;
use core::cell::Cell;
use core::fmt;

use fuse_proto::Errno;
use toro_core::DmaBuf;

use super::metadata::{AttributeChanges, FileTime, Metadata, TimeChange};
use super::options::{Rights, WritePosition};
use super::vfs::{OpenFile, Sync};
use crate::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use crate::time::{SystemTime, UNIX_EPOCH};

/// An open file with a position, as `std::fs::File`.
///
/// Dropping it closes it, without waiting for anything; what was written is stable after [`sync_all`](Self::sync_all),
/// and otherwise some time later, at an orderly end of the machine at the latest. A file belongs to the core that opened it.
///
/// As in std, a shared reference is enough to read, write and seek, and all of them move the one position.
pub struct File {
    open: Box<dyn OpenFile>,
    position: Cell<u64>,
    rights: Rights,
}

impl File {
    pub(super) fn new(open: Box<dyn OpenFile>, rights: Rights) -> Self {
        Self { open, position: Cell::new(0), rights }
    }

    /// Opens a file for reading. Symbolic links are followed.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotADirectory`, `IsADirectory`, `FilesystemLoop`; ENXIO for a pipe, socket or device; and what the
    /// file system says.
    #[cfg(target_os = "none")]
    pub fn open(path: impl AsRef<[u8]>) -> Result<Self> {
        super::system::namespace().open(path.as_ref())
    }

    /// Opens a file for writing: an empty one, which is created if there is none.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`](super::OpenOptions::open).
    #[cfg(target_os = "none")]
    pub fn create(path: impl AsRef<[u8]>) -> Result<Self> {
        Self::options().write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file, which must not have been there, for reading and writing.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`](super::OpenOptions::open).
    #[cfg(target_os = "none")]
    pub fn create_new(path: impl AsRef<[u8]>) -> Result<Self> {
        Self::options().read(true).write(true).create_new(true).open(path)
    }

    /// Ways to open a file.
    pub const fn options() -> super::OpenOptions {
        super::OpenOptions::new()
    }

    /// The file's attributes: what the file system knows, and for a server's file what it said last, as long as it said that
    /// this holds.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn metadata(&self) -> Result<Metadata> {
        Ok(self.open.metadata()?)
    }

    /// Reads from `offset` until `buffer` is full or the file ends, and returns how many bytes that were. The position
    /// stays where it is.
    ///
    /// Fewer bytes than the buffer holds mean that the file ends there *now*: a file may shrink or grow, on the host or by
    /// others here, while it is open.
    ///
    /// # Errors
    ///
    /// What the file system says, `TimedOut` if it says nothing; EBADF if the file is not open for reading. Errors behind
    /// the first byte are reported by the next call.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.check_readable()?;
        Ok(self.open.read_at(buffer, offset)?)
    }

    /// Reads up to `length` bytes from `offset` into memory of its own, to which the device wrote them directly where that
    /// is possible.
    ///
    /// Fewer bytes than `length` or [`read_limit`](Self::read_limit), whichever is less, mean that the file ends there
    /// now. The memory goes back where it came from when the buffer is dropped; it is scarce, so let go of it soon.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at); `OutOfMemory` if too many of these buffers are kept.
    pub fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf> {
        self.check_readable()?;
        Ok(self.open.read_buffer(offset, length)?)
    }

    /// The most bytes that one [`read_buffer`](Self::read_buffer) returns.
    pub fn read_limit(&self) -> usize {
        self.open.read_limit()
    }

    /// Writes `bytes` from `offset` on, and returns how many were written: all, unless an error stopped the rest, which
    /// the next call will report. The position stays where it is. Where the file ended before `offset`, zeros come between.
    ///
    /// A file that was opened for appending is appended to, wherever `offset` points, as on Linux.
    ///
    /// # Errors
    ///
    /// `StorageFull`, `FileTooLarge`, `ReadOnlyFilesystem`, EBADF if the file is not open for writing, and what the file
    /// system says.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        match self.write_position()? {
            WritePosition::Anywhere => Ok(self.open.write_at(bytes, offset)?),
            WritePosition::End => Ok(self.open.append(bytes)?.count),
        }
    }

    /// Cuts the file off at `length`, or lengthens it with zeros. The position stays where it is.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the file is not open for writing; else as [`write_at`](Self::write_at).
    pub fn set_len(&self, length: u64) -> Result<()> {
        let may_write = self.write_position().is_ok() && i64::try_from(length).is_ok();
        if !may_write {
            return Err(Errno::EINVAL.into());
        }
        Ok(self.open.set_len(length)?)
    }

    /// Makes contents and attributes stable: they survive the end of the power once this has returned.
    ///
    /// # Errors
    ///
    /// What the file system says: part of it may not be stable then.
    pub fn sync_all(&self) -> Result<()> {
        Ok(self.open.sync(Sync::All)?)
    }

    /// Makes the contents stable, and what it takes to get at them.
    ///
    /// # Errors
    ///
    /// As [`sync_all`](Self::sync_all).
    pub fn sync_data(&self) -> Result<()> {
        Ok(self.open.sync(Sync::Data)?)
    }

    /// Sets the time when the contents last changed, as precisely as the file system stores it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time before 1970, `ReadOnlyFilesystem`, and what the file system says.
    pub fn set_modified(&self, time: SystemTime) -> Result<()> {
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
        let seconds = i64::try_from(since.as_secs()).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
        let time = FileTime { seconds, nanoseconds: since.subsec_nanos() };
        let changes = AttributeChanges { modified: Some(TimeChange::To(time)), ..AttributeChanges::default() };
        Ok(self.open.set_attributes(&changes)?)
    }

    fn check_readable(&self) -> Result<()> {
        match self.rights {
            Rights::Read | Rights::ReadAndWrite(_) => Ok(()),
            Rights::Write(_) => Err(Errno::EBADF.into()),
        }
    }

    fn write_position(&self) -> Result<WritePosition> {
        match self.rights {
            Rights::Write(position) | Rights::ReadAndWrite(position) => Ok(position),
            Rights::Read => Err(Errno::EBADF.into()),
        }
    }
}

impl Read for &File {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let position = self.position.get();
        let count = self.read_at(buffer, position)?;
        self.position.set(position.saturating_add(count as u64));
        Ok(count)
    }
}

impl Write for &File {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        match self.write_position()? {
            WritePosition::Anywhere => {
                let position = self.position.get();
                let count = self.open.write_at(buffer, position)?;
                self.position.set(position.saturating_add(count as u64));
                Ok(count)
            }
            WritePosition::End => {
                let appended = self.open.append(buffer)?;
                self.position.set(appended.end);
                Ok(appended.count)
            }
        }
    }

    /// Does nothing, as in std: nothing is kept back here. See [`File::sync_all`].
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        let position = match position {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.metadata()?.len().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.get().checked_add_signed(distance),
        };
        let position = position.ok_or(ErrorKind::InvalidInput)?;
        self.position.set(position);
        Ok(position)
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for File {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        (&*self).write(buffer)
    }

    fn flush(&mut self) -> Result<()> {
        (&*self).flush()
    }
}

impl Seek for File {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        (&*self).seek(position)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("File").field("position", &self.position.get()).finish_non_exhaustive()
    }
}
