//! Open files for applications.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use fuse_proto::Errno;
use toro_core::DmaBuf;

use super::metadata::Metadata;
use super::options::{Rights, Stability, WritePosition};
use super::pieces::one_after_the_other;
use super::vfs::{Appended, OpenFile, Sync};
use crate::io::{Error, ErrorKind, IoSlice, IoSliceMut, Read, Result, Seek, SeekFrom, Write};

mod attributes;
mod locking;
mod space;

pub use locking::TryLockError;

/// An open file with a position, as `std::fs::File`.
///
/// Dropping it closes it, without waiting for anything; what was written is stable after [`sync_all`](Self::sync_all),
/// and otherwise some time later, at an orderly end of the machine at the latest. Errors of writes that the file system has
/// accepted and not done yet are reported by [`close`](Self::close), [`sync_all`](Self::sync_all) and
/// [`sync_data`](Self::sync_data). A file belongs to the core that opened it.
///
/// As in std, a shared reference is enough to read, write and seek, and all of them move the one position.
pub struct File {
    shared: Rc<Shared>,
}

/// What a file and its clones have in common.
struct Shared {
    open: Box<dyn OpenFile>,
    position: Cell<u64>,
    rights: Rights,
    stability: Stability,
}

impl File {
    pub(super) fn new(open: Box<dyn OpenFile>, rights: Rights, stability: Stability) -> Self {
        Self { shared: Rc::new(Shared { open, position: Cell::new(0), rights, stability }) }
    }

    /// What the file system has.
    pub(super) fn vfs(&self) -> &dyn OpenFile {
        &*self.shared.open
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

    /// Another handle to the open file, with which it shares everything: position, rights, and lock.
    ///
    /// # Errors
    ///
    /// None; the signature is that of std.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { shared: Rc::clone(&self.shared) })
    }

    /// Closes the file, and says whether writes that were accepted earlier have failed since. Nothing is stable for that;
    /// see [`sync_all`](Self::sync_all).
    ///
    /// # Errors
    ///
    /// What the file system says. The file is closed all the same.
    pub fn close(self) -> Result<()> {
        Ok(self.vfs().flush()?)
    }

    /// The file's attributes: what the file system knows, and for a server's file what it said last, as long as it said that
    /// this holds.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn metadata(&self) -> Result<Metadata> {
        Ok(self.vfs().metadata()?)
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
        Ok(self.vfs().read_at(buffer, offset)?)
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
        Ok(self.vfs().read_buffer(offset, length)?)
    }

    /// The most bytes that one [`read_buffer`](Self::read_buffer) returns.
    pub fn read_limit(&self) -> usize {
        self.vfs().read_limit()
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
        Ok(match self.write_position()? {
            WritePosition::Anywhere => self.put(bytes, offset)?,
            WritePosition::End => self.put_behind(bytes)?.count,
        })
    }

    /// Fills `buffer` from `offset` on. The position stays where it is.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before; else as [`read_at`](Self::read_at).
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "failed to fill whole buffer")),
                Ok(count) => {
                    buffer = buffer.get_mut(count..).unwrap_or_default();
                    offset = offset.saturating_add(count as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` from `offset` on. The position stays where it is.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at); a part may have been written then.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(Error::new(ErrorKind::WriteZero, "failed to write whole buffer")),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    offset = offset.saturating_add(count as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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
        Ok(self.vfs().set_len(length)?)
    }

    /// Makes contents and attributes stable: they survive the end of the power once this has returned.
    ///
    /// # Errors
    ///
    /// What the file system says: part of it may not be stable then.
    pub fn sync_all(&self) -> Result<()> {
        Ok(self.vfs().sync(Sync::All)?)
    }

    /// Makes the contents stable, and what it takes to get at them.
    ///
    /// # Errors
    ///
    /// As [`sync_all`](Self::sync_all).
    pub fn sync_data(&self) -> Result<()> {
        Ok(self.vfs().sync(Sync::Data)?)
    }

    /// Writes somewhere, and makes that stable if the file was opened so.
    fn put(&self, bytes: &[u8], offset: u64) -> core::result::Result<usize, Errno> {
        let count = self.vfs().write_at(bytes, offset)?;
        self.make_stable()?;
        Ok(count)
    }

    /// Likewise behind the end.
    fn put_behind(&self, bytes: &[u8]) -> core::result::Result<Appended, Errno> {
        let appended = self.vfs().append(bytes)?;
        self.make_stable()?;
        Ok(appended)
    }

    fn make_stable(&self) -> core::result::Result<(), Errno> {
        match self.shared.stability {
            Stability::Later => Ok(()),
            Stability::EachWrite(what) => self.vfs().sync(what),
        }
    }

    fn check_readable(&self) -> Result<()> {
        match self.shared.rights {
            Rights::Read | Rights::ReadAndWrite(_) => Ok(()),
            Rights::Write(_) => Err(Errno::EBADF.into()),
        }
    }

    fn write_position(&self) -> Result<WritePosition> {
        match self.shared.rights {
            Rights::Write(position) | Rights::ReadAndWrite(position) => Ok(position),
            Rights::Read => Err(Errno::EBADF.into()),
        }
    }
}

impl Read for &File {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let position = self.shared.position.get();
        let count = self.read_at(buffer, position)?;
        self.shared.position.set(position.saturating_add(count as u64));
        Ok(count)
    }

    /// All pieces, one after the other.
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        one_after_the_other(buffers.iter_mut().map(|piece| (piece.len(), piece)), |_, piece| self.read(piece))
    }
}

impl Write for &File {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        match self.write_position()? {
            WritePosition::Anywhere => {
                let position = self.shared.position.get();
                let count = self.put(buffer, position)?;
                self.shared.position.set(position.saturating_add(count as u64));
                Ok(count)
            }
            WritePosition::End => {
                let appended = self.put_behind(buffer)?;
                self.shared.position.set(appended.end);
                Ok(appended.count)
            }
        }
    }

    /// All pieces, one after the other; where the file is appended to, nobody else's bytes get between them.
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        if self.write_position()? == WritePosition::End {
            return self.write(&joined(buffers)?);
        }
        one_after_the_other(buffers.iter().map(|piece| (piece.len(), piece)), |_, piece| self.write(piece))
    }

    /// Does nothing, as in std: nothing is kept back here. See [`File::sync_all`].
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// All pieces as one.
fn joined(pieces: &[IoSlice<'_>]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = pieces.iter().map(|piece| piece.len()).sum();
    bytes.try_reserve_exact(length).map_err(|_| ErrorKind::OutOfMemory)?;
    pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    Ok(bytes)
}

impl Seek for &File {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        let position = match position {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.metadata()?.len().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.shared.position.get().checked_add_signed(distance),
        };
        let position = position.ok_or(ErrorKind::InvalidInput)?;
        self.shared.position.set(position);
        Ok(position)
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for File {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        (&*self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        (&*self).write_vectored(buffers)
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
        formatter.debug_struct("File").field("position", &self.shared.position.get()).finish_non_exhaustive()
    }
}
