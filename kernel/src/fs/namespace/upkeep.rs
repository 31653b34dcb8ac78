//! How mounts are, and beginning again with them.

use alloc::vec::Vec;

use fuse_proto::Errno;

use super::Namespace;
use crate::fs::metadata::FileSystemStats;
use crate::fs::path::LastLink;
use crate::fs::statistics::Statistics;
use crate::fs::vfs::Health;
use crate::io::{Error, Result};

/// What stands at a place of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountStatus {
    /// The place.
    pub path: Vec<u8>,
    /// Why it cannot be used, if it cannot.
    pub failure: Option<Error>,
    /// Whether another core's threads do the work.
    pub is_remote: bool,
}

impl Namespace {
    /// See [`fs::statfs`](crate::fs::statfs).
    ///
    /// # Errors
    ///
    /// Those of [`fs::statfs`](crate::fs::statfs).
    pub fn stats(&self, path: &[u8]) -> Result<FileSystemStats> {
        self.at(path, LastLink::Follow, |found| found.file_system.stats())
    }

    /// See [`fs::statistics`](crate::fs::statistics()).
    ///
    /// # Errors
    ///
    /// Those of [`fs::statistics`](crate::fs::statistics()).
    pub fn statistics(&self, path: &[u8]) -> Result<Option<Statistics>> {
        self.at(path, LastLink::Follow, |found| Ok(found.file_system.statistics()))
    }

    /// See [`fs::remount`](crate::fs::remount).
    ///
    /// # Errors
    ///
    /// Those of [`fs::remount`](crate::fs::remount).
    pub fn remount(&self, path: &[u8]) -> Result<()> {
        let file_system = self.mounts.borrow().at(path).ok_or(Errno::EINVAL)?;
        Ok(file_system.remount()?)
    }

    /// See [`fs::mount_status`](crate::fs::mount_status).
    pub fn mounts(&self) -> Vec<MountStatus> {
        // Not borrowed while others are asked.
        let mounts = self.mounts.borrow().list();
        let mut mounts: Vec<_> = mounts
            .into_iter()
            .map(|(path, file_system, is_remote)| {
                let failure = match file_system.health() {
                    Health::Working => None,
                    Health::Failed(errno) => Some(errno.into()),
                };
                MountStatus { path, failure, is_remote }
            })
            .collect();
        // No two have the same path.
        mounts.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        mounts
    }
}
