//! Locks on open files.
//!
//! A lock is for the whole file and belongs to the open file: clones have it together, and it goes when the last of them is
//! dropped. It keeps nobody from reading or writing; it is in the way of those who ask for one. Whom it binds beyond this
//! machine is the file system's affair: see [`fs`](crate::fs).

use core::fmt;

use fuse_proto::Errno;

use super::File;
use crate::fs::vfs::{LockKind, LockWait};
use crate::io::{Error, Result};

/// Why [`File::try_lock`] and [`File::try_lock_shared`] did not lock a file, as `std::fs::TryLockError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryLockError {
    /// Something went wrong.
    Error(Error),
    /// Somebody else's lock is in the way.
    WouldBlock,
}

impl fmt::Display for TryLockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(formatter),
            Self::WouldBlock => formatter.write_str("try_lock failed because the operation would block"),
        }
    }
}

impl core::error::Error for TryLockError {}

impl From<TryLockError> for Error {
    fn from(error: TryLockError) -> Self {
        match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => Errno::EAGAIN.into(),
        }
    }
}

impl File {
    /// Locks the file for this handle and no other, and waits until that is possible. A lock that the handle has already is
    /// given up first.
    ///
    /// # Errors
    ///
    /// `Unsupported` where there are no locks, `NotConnected` if the file system goes meanwhile, and what it says.
    pub fn lock(&self) -> Result<()> {
        Ok(self.vfs().lock(LockKind::Exclusive, LockWait::Forever)?)
    }

    /// Locks the file for this handle and others that want it shared; else as [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_shared(&self) -> Result<()> {
        Ok(self.vfs().lock(LockKind::Shared, LockWait::Forever)?)
    }

    /// Locks the file as [`lock`](Self::lock), if that is possible at once.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it is not; the handle has no lock then. Else as [`lock`](Self::lock).
    pub fn try_lock(&self) -> core::result::Result<(), TryLockError> {
        self.attempt(LockKind::Exclusive)
    }

    /// Locks the file as [`lock_shared`](Self::lock_shared), if that is possible at once.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_shared(&self) -> core::result::Result<(), TryLockError> {
        self.attempt(LockKind::Shared)
    }

    /// Gives the lock up, if there is one.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn unlock(&self) -> Result<()> {
        Ok(self.vfs().unlock()?)
    }

    fn attempt(&self, kind: LockKind) -> core::result::Result<(), TryLockError> {
        self.vfs().lock(kind, LockWait::Never).map_err(|errno| match errno {
            Errno::EAGAIN => TryLockError::WouldBlock,
            errno => TryLockError::Error(errno.into()),
        })
    }
}
