//! A mounted volume: mounting, nodes, and what concerns the volume as a whole. [`tree`](crate::tree) has names,
//! [`file`](crate::file) contents, [`sync`](crate::sync) the order in which all that becomes stable.

use alloc::string::String;
use alloc::vec::Vec;

use crate::boot_sector::{FatKind, Layout};
use crate::disk::Disk;
use crate::entry::{Attributes, LongName, Record};
use crate::error::Error;
use crate::index::Indexes;
use crate::name::LONGEST;
use crate::node::{self, Node, NodeId, Nodes, Whereabouts};
use crate::storage::{SECTOR, Storage};
use crate::table::{Shutdown, Table};
use crate::time::Timestamp;

/// How a volume is mounted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What time it is, for new and changed entries.
    pub now: fn() -> Timestamp,
    /// How many sectors of tables and directories are kept in memory; at least eight are, and 64 are plenty.
    pub cached_sectors: usize,
    /// How many bytes of memory may be used to know where in directories which name is: up to 70 for a file, beside 256 for each
    /// directory. With 0, a directory is searched from its beginning for every name.
    pub index_bytes: usize,
}

impl Options {
    /// 64 sectors of tables and directories, and up to a MiB for names: some 15,000 of them.
    pub const fn new(now: fn() -> Timestamp) -> Self {
        Self { now, cached_sectors: 64, index_bytes: 1 << 20 }
    }
}

/// File or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

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
    /// Whether it was left in order before it was mounted.
    pub was_clean: bool,
}

/// A mounted volume.
///
/// Dropping it loses what was not synced: see [`unmount`](Self::unmount).
#[derive(Debug)]
pub struct Volume<S> {
    pub(crate) disk: Disk<S>,
    pub(crate) layout: Layout,
    pub(crate) table: Table,
    pub(crate) nodes: Nodes,
    pub(crate) indexes: Indexes,
    /// The long name that a walk is just putting together.
    pub(crate) long: LongName,
    pub(crate) options: Options,
    /// Chains that are freed after the next barrier, by their first clusters.
    pub(crate) deferred: Vec<u32>,
    pub(crate) is_read_only: bool,
    /// What the disk said when it was mounted, and what it says now.
    pub(crate) mounted: Shutdown,
    pub(crate) shutdown: Shutdown,
}

impl<S: Storage> Volume<S> {
    /// Mounts the volume that `storage` holds. Nothing is written yet.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if it holds none, [`Error::Corrupt`] if its boot sector contradicts itself,
    /// [`Error::Storage`].
    pub fn mount(storage: S, options: Options) -> Result<Self, Error> {
        let mut disk = Disk::new(storage, options.cached_sectors);
        let sectors = disk.storage().sectors();
        let mut boot = [0; SECTOR];
        disk.read(0, &mut boot)?;
        let layout = Layout::parse(&boot, sectors)?;
        disk.mirror(&layout);
        let root = Record {
            attributes: Attributes::DIRECTORY,
            first: layout.root_cluster,
            size: 0,
            created: Timestamp::default(),
            modified: Timestamp::default(),
            accessed: Timestamp::default(),
        };
        let mut volume = Self {
            is_read_only: disk.storage().is_read_only(),
            disk,
            layout,
            table: Table::new(&layout),
            nodes: Nodes::new(Node::new(Whereabouts::Root, root)),
            indexes: Indexes::new(options.index_bytes),
            long: LongName::new(),
            options,
            deferred: Vec::new(),
            mounted: Shutdown::Clean,
            shutdown: Shutdown::Clean,
        };
        volume.mounted = volume.read_shutdown()?;
        volume.shutdown = volume.mounted;
        volume.read_fs_info()?;
        Ok(volume)
    }

    /// The root directory. It need not be forgotten.
    pub fn root(&self) -> NodeId {
        NodeId::ROOT
    }

    /// Holds a node once more.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`].
    pub fn retain(&mut self, node: NodeId) -> Result<(), Error> {
        let index = self.nodes.index(node)?;
        self.nodes.hold(index);
        Ok(())
    }

    /// Holds a node once less. If nobody holds it any more, the handle is not valid any longer, and if its entry was
    /// removed, its clusters are freed.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`]; [`Error::Storage`] and [`Error::Corrupt`] from what is written on this occasion, after which the
    /// node is forgotten all the same.
    pub fn forget(&mut self, node: NodeId) -> Result<(), Error> {
        let index = self.nodes.index(node)?;
        if !self.nodes.release(index) {
            return Ok(());
        }
        let node = self.nodes.get(index);
        if node.whereabouts == Whereabouts::Orphan {
            let chain = self.nodes.remove(index).chain;
            return self.free_node_clusters(chain.first, chain.pending);
        }
        if node.entry == node::Entry::Written {
            self.nodes.remove(index);
        } else if self.nodes.has_many_idle() {
            let changed = self.nodes.changed();
            self.publish(&changed)?;
            self.nodes.sweep();
        }
        Ok(())
    }

    /// What is known of a node.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`].
    pub fn metadata(&self, node: NodeId) -> Result<Metadata, Error> {
        Ok(metadata(&self.nodes.get(self.nodes.index(node)?).record))
    }

    /// Sets read-only, hidden, system and archive as `attributes` has them, and leaves the others alone. The root has none. Nobody
    /// here looks at them: whoever opens files decides what they allow.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::ReadOnly`], [`Error::Storage`].
    pub fn set_attributes(&mut self, node: NodeId, attributes: Attributes) -> Result<(), Error> {
        const CHANGEABLE: u8 =
            Attributes::READ_ONLY.0 | Attributes::HIDDEN.0 | Attributes::SYSTEM.0 | Attributes::ARCHIVE.0;
        let index = self.nodes.index(node)?;
        self.begin_change()?;
        let node = self.nodes.get_mut(index);
        if node.whereabouts != Whereabouts::Root {
            node.record.attributes.0 = node.record.attributes.0 & !CHANGEABLE | attributes.0 & CHANGEABLE;
            node.entry = node::Entry::Changed;
        }
        Ok(())
    }

    /// Sets the times that are given, as precisely as the disk has them: when the contents changed to two seconds, the last
    /// access to the day. The root has none.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::ReadOnly`], [`Error::Storage`].
    pub fn set_times(
        &mut self,
        node: NodeId,
        modified: Option<Timestamp>,
        accessed: Option<Timestamp>,
    ) -> Result<(), Error> {
        let index = self.nodes.index(node)?;
        self.begin_change()?;
        let node = self.nodes.get_mut(index);
        if node.whereabouts != Whereabouts::Root {
            node.record.modified = modified.map_or(node.record.modified, Timestamp::as_modified);
            node.record.accessed = accessed.map_or(node.record.accessed, Timestamp::as_accessed);
            node.entry = node::Entry::Changed;
        }
        Ok(())
    }

    /// Makes a node's contents, its size, and every change of names so far stable.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::Storage`]; nothing is known then about what is stable.
    pub fn sync(&mut self, node: NodeId) -> Result<(), Error> {
        let index = self.nodes.index(node)?;
        if self.is_read_only {
            return Ok(());
        }
        self.publish(&[index])?;
        self.barrier()
    }

    /// Makes everything stable.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]; nothing is known then about what is stable.
    pub fn sync_all(&mut self) -> Result<(), Error> {
        self.sync_everything()
    }

    /// Makes everything stable, frees the clusters of files that were removed and are still held, and marks the volume as
    /// left in order, if it was before it was mounted. It is marked as in use again with the next change.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] or [`Error::Corrupt`]; the volume then stays marked as in use.
    pub fn unmount(&mut self) -> Result<(), Error> {
        self.shut_down()
    }

    /// Gives the storage back, as it is.
    pub fn into_storage(self) -> S {
        self.disk.into_storage()
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        self.disk.storage()
    }

    /// Whether nothing can be changed.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Whether the volume was left in order by whoever had it mounted before.
    pub fn was_clean(&self) -> bool {
        self.mounted == Shutdown::Clean
    }

    /// The volume as a whole. The first time, this may read the whole table.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn stats(&mut self) -> Result<Statistics, Error> {
        if !self.deferred.is_empty() {
            self.barrier()?;
        }
        Ok(Statistics {
            kind: self.layout.kind,
            cluster_size: self.layout.cluster_bytes(),
            clusters: self.layout.clusters,
            free_clusters: self.table.count_free(&mut self.disk)?,
            longest_name: LONGEST as u32,
            was_clean: self.mounted == Shutdown::Clean,
        })
    }
}

/// What a record says, for the outside.
pub(crate) fn metadata(record: &Record) -> Metadata {
    Metadata {
        kind: if record.is_directory() { Kind::Directory } else { Kind::File },
        size: record.size,
        modified: record.modified,
        created: record.created,
        accessed: record.accessed,
        attributes: record.attributes,
    }
}
