//! [`Upkeep`]: how a file system is, and how to begin again with it.

#[cfg(feature = "fs-mounts")]
use fuse_proto::Errno;

#[cfg(feature = "fs-mounts")]
use crate::fs::metadata::FileSystemStats;
#[cfg(feature = "fs-mounts")]
use crate::fs::statistics::Statistics;

/// Whether a file system can be used.
#[cfg(feature = "fs-mounts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Working,
    /// It cannot, for this reason; [`Upkeep::remount`] is the thing to try.
    Failed(Errno),
}

/// What is asked of a file system by those who watch over it, with the feature `fs-mounts`.
#[cfg(feature = "fs-mounts")]
pub trait Upkeep {
    /// How full it is.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn stats(&self) -> Result<FileSystemStats, Errno>;

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
}

/// Nothing is asked.
#[cfg(not(feature = "fs-mounts"))]
pub trait Upkeep {}

#[cfg(not(feature = "fs-mounts"))]
impl<T> Upkeep for T {}
