//! [`FileSystem`]: what is mounted.

use alloc::rc::Rc;

use fuse_proto::Errno;

use super::{Freshness, Node, Upkeep};
use crate::fs::path::{self, LastLink, Place, Resolved};

/// A mounted file system.
pub trait FileSystem: Upkeep {
    /// Its root directory.
    ///
    /// # Errors
    ///
    /// ENOTCONN after [`shutdown`](FileSystem::shutdown).
    fn root(&self) -> Result<Rc<dyn Node>, Errno>;

    /// Resolves `path` below the root, as [`path::resolve`] does.
    ///
    /// # Errors
    ///
    /// Those of [`path::resolve`], and of [`root`](FileSystem::root).
    fn resolve(&self, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Resolved, Errno> {
        path::resolve(&self.root()?, path, last_link, freshness)
    }

    /// Finds out where the last name of `path` is, or would be, as [`path::locate`] does.
    ///
    /// # Errors
    ///
    /// Those of [`path::locate`], and of [`root`](FileSystem::root).
    fn locate(&self, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Place, Errno> {
        path::locate(&self.root()?, path, last_link, freshness)
    }

    /// Makes stable all that has been changed.
    ///
    /// # Errors
    ///
    /// What the file system says: part of it may not be stable then.
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Takes leave of whoever stores the files. Later calls on its nodes fail.
    fn shutdown(&self);
}
