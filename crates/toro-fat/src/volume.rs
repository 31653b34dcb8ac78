//! A mounted volume.

use alloc::string::String;

use crate::error::Error;
use crate::storage::Storage;
use crate::time::Timestamp;

/// How a volume is mounted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What time it is, for new and changed entries.
    pub now: fn() -> Timestamp,
    /// How many sectors of tables and directories are kept in memory; at least eight are.
    pub cached_sectors: usize,
}

/// A file or a directory in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// File or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// The attribute bits of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub u8);

/// What is known of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// File or directory.
    pub kind: Kind,
    /// Length in bytes; 0 for directories.
    pub size: u32,
    /// When its contents last changed, to two seconds.
    pub modified: Timestamp,
    /// When it was made, to ten milliseconds.
    pub created: Timestamp,
    /// The day of the last access, as far as anybody recorded it.
    pub accessed: Timestamp,
    /// Read-only, hidden and so on.
    pub attributes: Attributes,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What is known of it.
    pub metadata: Metadata,
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatKind {
    /// 12 bits per cluster.
    Fat12,
    /// 16 bits per cluster.
    Fat16,
    /// 28 bits per cluster.
    Fat32,
}

/// The volume as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Which of the three.
    pub kind: FatKind,
    /// Bytes in a cluster, the unit in which files grow.
    pub cluster_size: u32,
    /// How many clusters there are.
    pub clusters: u32,
    /// How many of them are free.
    pub free_clusters: u32,
    /// The longest name, in UTF-16 units.
    pub longest_name: u32,
}

/// A mounted volume.
#[derive(Debug)]
pub struct Volume<S> {
    storage: S,
    options: Options,
}

#[allow(unused_variables, missing_docs, clippy::missing_errors_doc)]
impl<S: Storage> Volume<S> {
    /// Mounts the volume that `storage` holds.
    pub fn mount(storage: S, options: Options) -> Result<Self, Error> {
        Ok(Self { storage, options })
    }
    /// The root directory; needs no `forget`.
    pub fn root(&self) -> NodeId {
        NodeId { index: 0, generation: 0 }
    }
    /// Finds a name. The node that is returned is held until [`forget`](Self::forget): once for each time it was
    /// returned or retained. The same goes for those that `create` and `create_directory` return.
    pub fn lookup(&mut self, directory: NodeId, name: &[u8]) -> Result<NodeId, Error> {
        Err(Error::NotFound)
    }
    pub fn retain(&mut self, node: NodeId) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    pub fn forget(&mut self, node: NodeId) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    pub fn metadata(&self, node: NodeId) -> Result<Metadata, Error> {
        Err(Error::NotFound)
    }
    /// The next entry at or after `cursor`, 0 at first, and the cursor of the one after it. No `.` and `..`.
    pub fn list(&mut self, directory: NodeId, cursor: u32) -> Result<Option<(Entry, u32)>, Error> {
        Err(Error::NotFound)
    }
    pub fn create(&mut self, directory: NodeId, name: &[u8]) -> Result<NodeId, Error> {
        Err(Error::NotFound)
    }
    pub fn create_directory(&mut self, directory: NodeId, name: &[u8]) -> Result<NodeId, Error> {
        Err(Error::NotFound)
    }
    pub fn remove_file(&mut self, directory: NodeId, name: &[u8]) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    pub fn remove_directory(&mut self, directory: NodeId, name: &[u8]) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    pub fn rename(&mut self, from: NodeId, old: &[u8], to: NodeId, new: &[u8]) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    pub fn read(&mut self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        Err(Error::NotFound)
    }
    pub fn write(&mut self, node: NodeId, offset: u64, data: &[u8]) -> Result<usize, Error> {
        Err(Error::NotFound)
    }
    pub fn set_len(&mut self, node: NodeId, len: u64) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    pub fn set_times(
        &mut self,
        node: NodeId,
        modified: Option<Timestamp>,
        accessed: Option<Timestamp>,
    ) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    /// The sectors that hold the file from `offset` on, as far as they follow each other: first sector, how many. The
    /// offset is within its first sector.
    pub fn extent(&mut self, node: NodeId, offset: u64) -> Result<Option<(u64, u64)>, Error> {
        Err(Error::NotFound)
    }
    /// Makes a file's contents and size, and the names that lead to it, stable.
    pub fn sync(&mut self, node: NodeId) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    pub fn sync_all(&mut self) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    pub fn stats(&mut self) -> Result<Statistics, Error> {
        Err(Error::NotFound)
    }
    /// Makes everything stable, marks the volume clean, and gives the storage back.
    pub fn unmount(self) -> Result<S, (Self, Error)> {
        Ok(self.storage)
    }
}
