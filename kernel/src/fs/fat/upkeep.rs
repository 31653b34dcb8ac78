//! How a volume is.

use fuse_proto::Errno;
use toro_fat::Volume;

use super::Fat;
use crate::fs::metadata::FileSystemStats;
use crate::fs::vfs::{Health, Upkeep};

impl Upkeep for Fat {
    fn stats(&self) -> Result<FileSystemStats, Errno> {
        let stats = self.with(Volume::stats)?;
        Ok(FileSystemStats {
            block_size: stats.cluster_size.max(1),
            blocks: u64::from(stats.clusters),
            blocks_free: u64::from(stats.free_clusters),
            blocks_available: u64::from(stats.free_clusters),
            files: 0,
            files_free: 0,
            name_max: stats.longest_name,
        })
    }

    fn health(&self) -> Health {
        if self.is_closed.get() { Health::Failed(Errno::ENOTCONN) } else { Health::Working }
    }
}
