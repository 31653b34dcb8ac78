//! [`OpenFile`]: contents, the space that they take, and locks.

use fuse_proto::Errno;
use toro_core::DmaBuf;

use crate::fs::metadata::{AttributeChanges, Metadata};

/// How much has to be stable after [`FileChanges::sync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The contents, and of the rest what it takes to get at them.
    Data,
    /// Contents and attributes.
    All,
}

/// What became of an [`append`](FileChanges::append).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many bytes were written.
    pub count: usize,
    /// Where the file ended after them.
    pub end: u64,
}

/// What is looked for in a file that may have holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTarget {
    /// Bytes that are stored.
    Data,
    /// Zeros that are not; there is one behind the end of every file.
    Hole,
}

/// What happens to space in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// It is reserved, and the file lengthened where it ends earlier.
    Extend,
    /// It is reserved; the file's length stays.
    KeepSize,
    /// It becomes a hole of zeros; the file's length stays.
    PunchHole,
    /// It reads as zeros, and the file is lengthened where it ends earlier.
    Zero,
}

/// Who else may lock a file meanwhile. Locks are for the whole of it, as those of `flock`, and bind those who ask for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others that want it shared.
    Shared,
    /// Nobody.
    Exclusive,
}

/// What happens if a lock cannot be had at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// EAGAIN.
    Never,
    /// The thread waits, for as long as it takes.
    Forever,
}

/// An open file. Dropping it releases it, without waiting.
pub trait OpenFile: FileChanges {
    /// The file's attributes.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn metadata(&self) -> Result<Metadata, Errno>;

    /// Reads from `offset` until `buffer` is full or the file ends; fewer bytes mean the end of the file.
    ///
    /// # Errors
    ///
    /// What the file system says, if nothing was read before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;

    /// Reads up to `length` bytes from `offset` into memory that devices can reach, without a copy. Fewer bytes
    /// than `length` or [`read_limit`](OpenFile::read_limit), whichever is less, mean the end of the file.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf, Errno>;

    /// The longest buffer that [`read_buffer`](OpenFile::read_buffer) returns, in bytes.
    fn read_limit(&self) -> usize;

    /// Where the next data or the next hole begins, at or behind `offset`.
    ///
    /// # Errors
    ///
    /// ENXIO at or behind the end, and for data behind the last.
    fn seek(&self, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
        seek_without_holes(self.metadata()?.len, offset, target)
    }
}

/// What is done with an open file beyond reading it. Where it is not implemented, there is only that.
pub trait FileChanges {
    /// Writes `bytes` from `offset` on, and returns how many were written; fewer than there are mean that an error stopped
    /// the rest. A file that ends before `offset` has zeros in between.
    ///
    /// # Errors
    ///
    /// EBADF if it was opened for reading alone, ENOSPC, EFBIG, EROFS, and what the file system says, if nothing was
    /// written before.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        let _ = (bytes, offset);
        Err(Errno::EROFS)
    }

    /// Writes `bytes` behind the end, wherever that is when it is their turn. Nobody else's bytes get between them.
    ///
    /// # Errors
    ///
    /// As [`write_at`](FileChanges::write_at).
    fn append(&self, bytes: &[u8]) -> Result<Appended, Errno> {
        let _ = bytes;
        Err(Errno::EROFS)
    }

    /// Cuts the file off at `length`, or lengthens it with zeros.
    ///
    /// # Errors
    ///
    /// As [`write_at`](FileChanges::write_at); the length is unchanged then.
    fn set_len(&self, length: u64) -> Result<(), Errno> {
        let _ = length;
        Err(Errno::EROFS)
    }

    /// Makes the file stable.
    ///
    /// # Errors
    ///
    /// What the file system says: part of it may not be stable then.
    fn sync(&self, what: Sync) -> Result<(), Errno> {
        let _ = what;
        Ok(())
    }

    /// Sets attributes.
    ///
    /// # Errors
    ///
    /// As [`Node::set_attributes`](super::NodeChanges::set_attributes).
    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let _ = changes;
        Err(Errno::EROFS)
    }

    /// Reserves space, or gives it back.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP where the file system cannot; else as [`write_at`](FileChanges::write_at).
    fn allocate(&self, offset: u64, length: u64, how: Allocation) -> Result<(), Errno> {
        let _ = (offset, length, how);
        Err(Errno::EOPNOTSUPP)
    }

    /// Copies bytes from this file to one of the same file system without their coming here, and returns how many those
    /// were; 0 only at the end of this file. `target` is what [`identity`](FileChanges::identity) says of the other one.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP or EXDEV where that cannot be done: reading and writing is the thing to do then.
    fn copy_to(&self, offset: u64, target: u64, target_offset: u64, length: u64) -> Result<u64, Errno> {
        let _ = (offset, target, target_offset, length);
        Err(Errno::EOPNOTSUPP)
    }

    /// What names this open file in its file system, for as long as it is open; `None` where nothing needs that.
    fn identity(&self) -> Option<u64> {
        None
    }

    /// Locks the file for this handle, which then has this lock and no other. Dropping the handle unlocks it. A handle that
    /// has another lock gives that up first, as with `flock`: if it cannot have the new one, it has none.
    ///
    /// # Errors
    ///
    /// EAGAIN if somebody else's lock is in the way and there is no waiting, EOPNOTSUPP where there are no locks.
    fn lock(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        let _ = (kind, wait);
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives the handle's lock up, if it has one.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP where there are no locks.
    fn unlock(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Says what went wrong with writes that have been accepted, as closing a descriptor does elsewhere. Nothing is stable
    /// for that.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// Where the next data or hole begins in a file of `length` bytes of which nobody knows the holes.
///
/// # Errors
///
/// As [`OpenFile::seek`].
pub fn seek_without_holes(length: u64, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
    match target {
        _ if offset >= length => Err(Errno::ENXIO),
        SeekTarget::Data => Ok(offset),
        SeekTarget::Hole => Ok(length),
    }
}
