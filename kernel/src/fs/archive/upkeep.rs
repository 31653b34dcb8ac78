//! How an archive is.

use fuse_proto::Errno;

use super::{Archive, BLOCK};
use crate::fs::metadata::FileSystemStats;
use crate::fs::path::NAME_MAX;
use crate::fs::vfs::{Health, Upkeep};

impl Upkeep for Archive {
    /// It is as full as can be.
    fn stats(&self) -> Result<FileSystemStats, Errno> {
        self.expect_open()?;
        Ok(FileSystemStats {
            block_size: BLOCK as u32,
            blocks: (self.image().len() as u64).div_ceil(BLOCK),
            blocks_free: 0,
            blocks_available: 0,
            files: self.index.len() as u64,
            files_free: 0,
            name_max: NAME_MAX as u32,
        })
    }

    fn health(&self) -> Health {
        if self.is_closed.get() { Health::Failed(Errno::ENOTCONN) } else { Health::Working }
    }
}
