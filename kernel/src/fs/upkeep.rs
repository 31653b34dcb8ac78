//! Functions that tell how mounts are, and begin again with them.

use alloc::vec::Vec;

use super::metadata::FileSystemStats;
use super::namespace::MountStatus;
use super::statistics::Statistics;
use super::system::namespace;
use crate::io::Result;

/// What the file system behind `path` has done since it was mounted: how many bytes were read and written, how many of them
/// were copied on the way, and how often nobody had to be asked. `None` for one that does not count, such as one of another
/// core.
///
/// # Errors
///
/// As [`metadata`](super::metadata()).
pub fn statistics(path: impl AsRef<[u8]>) -> Result<Option<Statistics>> {
    namespace().statistics(path.as_ref())
}

/// How full the file system is that `path` is in.
///
/// # Errors
///
/// As [`metadata`](super::metadata()).
pub fn statfs(path: impl AsRef<[u8]>) -> Result<FileSystemStats> {
    namespace().stats(path.as_ref())
}

/// What is mounted, in the order of the paths, as the calling core sees it.
pub fn mount_status() -> Vec<MountStatus> {
    namespace().mounts()
}

/// Begins again with whoever stores the files of the mount at `path`, after a fault has ended it: what was open fails with
/// `StaleNetworkFileHandle`, what was not stable is lost, and paths work again.
///
/// # Errors
///
/// `InvalidInput` if nothing is mounted at `path`, `Unsupported` where that means nothing, `ResourceBusy` while nothing is
/// wrong, and what the file system says.
pub fn remount(path: impl AsRef<[u8]>) -> Result<()> {
    namespace().remount(path.as_ref())
}
