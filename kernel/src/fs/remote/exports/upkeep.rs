//! What other cores ask about file systems as such.

use fuse_proto::Errno;

use super::{Exports, Number};
use crate::fs::metadata::FileSystemStats;
use crate::fs::statistics::Statistics;
use crate::fs::vfs::Health;

impl Exports {
    pub(in crate::fs::remote) fn stats(&self, file_system: Number) -> Result<FileSystemStats, Errno> {
        self.file_system(file_system)?.stats()
    }

    pub(in crate::fs::remote) fn statistics(&self, file_system: Number) -> Result<Option<Statistics>, Errno> {
        Ok(self.file_system(file_system)?.statistics())
    }

    pub(in crate::fs::remote) fn health(&self, file_system: Number) -> Result<Health, Errno> {
        Ok(self.file_system(file_system)?.health())
    }

    pub(in crate::fs::remote) fn remount(&self, file_system: Number) -> Result<(), Errno> {
        self.file_system(file_system)?.remount()
    }
}
