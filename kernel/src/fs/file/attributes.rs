//! Attributes of open files.

use fuse_proto::Errno;

use super::File;
use crate::fs::attributes::{FileTimes, Permissions};
use crate::fs::metadata::{AttributeChanges, FileTime};
use crate::io::Result;

impl File {
    /// Sets the permissions, as far as the file system keeps them. Handles that are open may do what they were opened for,
    /// whatever these say.
    ///
    /// # Errors
    ///
    /// `PermissionDenied`, `ReadOnlyFilesystem`, and what the file system says.
    pub fn set_permissions(&self, permissions: Permissions) -> Result<()> {
        self.set(&permissions.changes())
    }

    /// Sets the times that are given, as precisely as the file system stores them.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a [`FileTime`] with a second or more of nanoseconds, or for a time that the file system cannot
    /// store; `ReadOnlyFilesystem`, and what the file system says.
    pub fn set_times(&self, times: FileTimes) -> Result<()> {
        self.set(&times.changes())
    }

    /// Sets the time when the contents last changed.
    ///
    /// # Errors
    ///
    /// As [`set_times`](Self::set_times).
    pub fn set_modified(&self, time: impl Into<FileTime>) -> Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Gives the file to another user, or group, as `std::os::unix::fs::fchown`; what is `None` stays. A file that
    /// others may run in the name of its owner or group loses that (set-user-ID, set-group-ID), as on Linux.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` where the file system keeps no owners, `ReadOnlyFilesystem`, and what the file system says.
    pub fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.set(&AttributeChanges::of_owner(uid, gid, || self.vfs().metadata())?)
    }

    fn set(&self, changes: &AttributeChanges) -> Result<()> {
        if !changes.is_valid() {
            return Err(Errno::EINVAL.into());
        }
        if changes.is_empty() {
            return Ok(());
        }
        Ok(self.vfs().set_attributes(changes)?)
    }
}
