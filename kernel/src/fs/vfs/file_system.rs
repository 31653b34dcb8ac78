//! [`FileSystem`]: what is mounted.

use alloc::rc::Rc;

use fuse_proto::Errno;

use super::{Freshness, Node};
use crate::fs::metadata::FileSystemStats;
use crate::fs::path::{self, LastLink, Place, Resolved};
use crate::fs::statistics::Statistics;

/// Whether a file system can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Working,
    /// It cannot, for this reason; [`FileSystem::remount`] is the thing to try.
    Failed(Errno),
}

/// A mounted file system.
pub trait FileSystem {
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

    /// How full it is.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn stats(&self) -> Result<FileSystemStats, Errno>;

    /// Makes stable all that has been changed.
    ///
    /// # Errors
    ///
    /// What the file system says: part of it may not be stable then.
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// What it has done so far, where that is counted.
    fn statistics(&self) -> Option<Statistics> {
        None
    }

    /// Whether it can be used, as far as that is known without asking anybody.
    fn health(&self) -> Health {
        Health::Working
    }

    /// Begins again with whoever stores the files, after a fault has ended it: what was open fails with ESTALE, what was not
    /// stable is lost, and new paths work again.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP where that means nothing, EBUSY while nothing is wrong, and what the file system says.
    fn remount(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Takes leave of whoever stores the files. Later calls on its nodes fail.
    fn shutdown(&self);
}
