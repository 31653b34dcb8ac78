//! How another core's file system is: it knows.

use fuse_proto::Errno;

use super::{Carrier, RemoteFileSystem};
use crate::fs::metadata::FileSystemStats;
use crate::fs::statistics::Statistics;
use crate::fs::vfs::{Health, Upkeep};

impl<C: Carrier> Upkeep for RemoteFileSystem<C> {
    fn stats(&self) -> Result<FileSystemStats, Errno> {
        let number = self.number;
        self.connection.call(move |exports| exports.stats(number))
    }

    fn statistics(&self) -> Option<Statistics> {
        let number = self.number;
        self.connection.call(move |exports| exports.statistics(number)).ok().flatten()
    }

    fn health(&self) -> Health {
        let number = self.number;
        self.connection.call(move |exports| exports.health(number)).unwrap_or_else(Health::Failed)
    }

    fn remount(&self) -> Result<(), Errno> {
        let number = self.number;
        self.connection.call(move |exports| exports.remount(number))
    }
}
