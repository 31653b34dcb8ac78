//! Attributes by path: permissions, times, owners, and those with names.

use alloc::boxed::Box;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::Namespace;
use crate::fs::attributes::{FileTimes, Permissions};
use crate::fs::metadata::{AttributeChanges, FileType};
use crate::fs::path::LastLink;
use crate::fs::vfs::XattrMode;
use crate::io::Result;

/// Longest name of an extended attribute, in bytes.
const NAME_MAX: usize = 255;
/// Longest value, in bytes.
const VALUE_MAX: usize = 64 * 1024;

impl Namespace {
    /// See [`fs::set_permissions`](crate::fs::set_permissions).
    ///
    /// # Errors
    ///
    /// Those of [`fs::set_permissions`](crate::fs::set_permissions).
    pub fn set_permissions(&self, path: &[u8], permissions: &Permissions) -> Result<()> {
        self.set_attributes(path, LastLink::Follow, &permissions.changes())
    }

    /// See [`fs::set_times`](crate::fs::set_times); `last_link` says whether it is of a link itself.
    ///
    /// # Errors
    ///
    /// Those of [`fs::set_times`](crate::fs::set_times).
    pub fn set_times(&self, path: &[u8], last_link: LastLink, times: FileTimes) -> Result<()> {
        self.set_attributes(path, last_link, &times.changes())
    }

    /// See [`fs::chown`](crate::fs::chown); `last_link` says whether it is of a link itself.
    ///
    /// # Errors
    ///
    /// Those of [`fs::chown`](crate::fs::chown).
    pub fn chown(&self, path: &[u8], last_link: LastLink, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.at(path, last_link, |found| {
            let node = &found.resolved.node;
            let changes = AttributeChanges::of_owner(uid, gid, || node.metadata())?;
            if changes.is_empty() { Ok(()) } else { node.set_attributes(&changes) }
        })
    }

    fn set_attributes(&self, path: &[u8], last_link: LastLink, changes: &AttributeChanges) -> Result<()> {
        if !changes.is_valid() {
            return Err(Errno::EINVAL.into());
        }
        self.at(path, last_link, |found| match changes.is_empty() {
            true => Ok(()),
            false => found.resolved.node.set_attributes(changes),
        })
    }

    /// See [`fs::xattr`](crate::fs::xattr).
    ///
    /// # Errors
    ///
    /// Those of [`fs::xattr`](crate::fs::xattr).
    pub fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>> {
        check_name(name)?;
        self.at(path, LastLink::Follow, |found| match found.resolved.node.xattr(name) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::ENODATA) => Ok(None),
            Err(errno) => Err(errno),
        })
    }

    /// See [`fs::list_xattrs`](crate::fs::list_xattrs).
    ///
    /// # Errors
    ///
    /// Those of [`fs::list_xattrs`](crate::fs::list_xattrs).
    pub fn list_xattrs(&self, path: &[u8]) -> Result<Vec<Box<[u8]>>> {
        self.at(path, LastLink::Follow, |found| found.resolved.node.xattrs())
    }

    /// See [`fs::set_xattr_with`](crate::fs::set_xattr_with).
    ///
    /// # Errors
    ///
    /// Those of [`fs::set_xattr_with`](crate::fs::set_xattr_with).
    pub fn set_xattr(&self, path: &[u8], name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        check_name(name)?;
        if value.len() > VALUE_MAX {
            return Err(Errno::E2BIG.into());
        }
        self.at(path, LastLink::Follow, |found| found.resolved.node.set_xattr(name, value, mode))
    }

    /// See [`fs::remove_xattr`](crate::fs::remove_xattr).
    ///
    /// # Errors
    ///
    /// Those of [`fs::remove_xattr`](crate::fs::remove_xattr).
    pub fn remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        check_name(name)?;
        self.at(path, LastLink::Follow, |found| found.resolved.node.remove_xattr(name))
    }

    /// See [`fs::sync_dir`](crate::fs::sync_dir).
    ///
    /// # Errors
    ///
    /// Those of [`fs::sync_dir`](crate::fs::sync_dir).
    pub fn sync_dir(&self, path: &[u8]) -> Result<()> {
        self.at(path, LastLink::Follow, |found| match found.resolved.node.file_type() {
            FileType::Directory => found.resolved.node.sync_directory(),
            _ => Err(Errno::ENOTDIR),
        })
    }
}

/// What Linux says of names that no attribute can have.
fn check_name(name: &[u8]) -> core::result::Result<(), Errno> {
    if name.is_empty() || name.len() > NAME_MAX {
        Err(Errno::ERANGE)
    } else if name.contains(&0) {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}
