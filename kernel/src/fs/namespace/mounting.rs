//! Mounting and leaving.
//!
//! What is mounted stands in front of what the path named before, which nobody looks at: a mount needs no directory to stand
//! on. A mount with others below it stays, and so do names that lead to mounts. Files that are open are no reason to stay:
//! they fail with ENOTCONN or ESTALE from then on, whatever is mounted there next.

use alloc::rc::Rc;
use alloc::vec::Vec;

use super::Namespace;
use crate::fs::vfs::FileSystem;
use crate::io::Result;

impl Namespace {
    /// Mounts a file system at `path`, which is absolute.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if one is mounted there, `InvalidInput` for a relative path or one with `..` in it.
    pub fn mount(&self, path: &[u8], file_system: Rc<dyn FileSystem>) -> Result<()> {
        Ok(self.mounts.borrow_mut().mount(path, file_system)?)
    }

    /// Takes leave of this core's file system at `path`. Files and listings that are open in it fail from then on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if none of this core's is mounted there, `ResourceBusy` if there are mounts below it.
    pub fn unmount(&self, path: &[u8]) -> Result<()> {
        self.take(path)?.shutdown();
        Ok(())
    }

    /// This core's file system at `path`, which is mounted no more and wants to be taken leave of.
    ///
    /// # Errors
    ///
    /// As [`unmount`](Self::unmount).
    pub(in crate::fs) fn take(&self, path: &[u8]) -> Result<Rc<dyn FileSystem>> {
        Ok(self.mounts.borrow_mut().take(path)?)
    }

    /// Whether nothing is mounted.
    pub fn is_empty(&self) -> bool {
        self.mounts.borrow().is_empty()
    }

    /// Whether a file system is mounted at this very path.
    pub fn has_mount(&self, path: &[u8]) -> bool {
        self.mounts.borrow().has(path)
    }

    /// Whether one is mounted there or below.
    pub(super) fn has_mount_in(&self, path: &[u8]) -> bool {
        self.mounts.borrow().has_in(path)
    }

    /// Takes leave of all file systems. Files and listings that are open fail from then on.
    pub fn unmount_all(&self) {
        self.take_all().iter().for_each(|file_system| file_system.shutdown());
    }

    /// All file systems, which are mounted no more and want to be taken leave of.
    pub(in crate::fs) fn take_all(&self) -> Vec<Rc<dyn FileSystem>> {
        self.mounts.borrow_mut().take_all().collect()
    }
}
