//! FAT volumes as a file system: `toro_fat`, whose volume is one thread's at a time, behind the [`vfs`](super::vfs).
//!
//! ```text
//!   vfs --> node.rs      FatNode: one per object that somebody has a handle to; holds one reference of the volume
//!           file.rs      FatFile, FatListing
//!             |
//!           Lock         one thread at a time, also while it waits for the disk
//!             |
//!           toro_fat::Volume --> dyn Storage      the disk, with its cache
//! ```
//!
//! # References
//!
//! A volume counts the references to its nodes, so that a file which was removed keeps its contents as long as it is open.
//! Here one [`FatNode`] per object holds one of them. Dropping it may happen anywhere, also while another thread has the
//! lock, so it does no more than add to what is owed; the next one who has the lock pays, and unmounting does at last.
//!
//! # Names
//!
//! FAT keeps the case of names and does not distinguish by it. A name that it cannot store names nothing, and is EINVAL
//! where it would have to be created. There are no links of either kind, no pipes, sockets or devices: EPERM.
//!
//! # Attributes
//!
//! Of permissions there is one bit, "read-only": a file has it if nobody may write, and it is looked at when a file is opened,
//! not later. What a mode says beyond that is not kept, and no error, since nobody here is kept from anything by it. All
//! files are the superuser's; to give them to others is EPERM. The time of a change is kept to two seconds, that of the last
//! access to the day. There are no extended attributes, and no holes.
//!
//! # Locks
//!
//! They are kept in memory ([`LockTable`]): whoever uses the volume is on this machine.
//!
//! # Inode numbers
//!
//! There are none on the disk, so they are made from the path, regardless of case: the same file has the same number after
//! the next boot. A directory that is renamed gives its files other numbers, when they are looked up the next time.
//!
//! # Failure
//!
//! What contradicts itself on the disk is EUCLEAN for the one operation, and reported once. A disk that fails is EIO.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use fuse_proto::Errno;
use toro_core::DmaBuf;
use toro_fat::{Attributes, Kind, NodeId, Storage, Timestamp, Volume};

use self::node::FatNode;
use super::lock::Lock;
use super::locks::LockTable;
use super::metadata::{FileTime, FileType, Metadata};
use super::scheduler::Scheduler;
use super::vfs::{FileSystem, Node};

mod file;
mod node;
#[cfg(test)]
pub(super) mod tests;
#[cfg(feature = "fs-mounts")]
mod upkeep;

/// For how long one thread may have the volume while others wait for it.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a mounted volume needs of the kernel.
pub struct Platform {
    /// Time, and events to wait for.
    pub scheduler: Box<dyn Scheduler>,
    /// A buffer of so many bytes that devices can reach.
    pub buffer: Box<dyn Fn(usize) -> Result<DmaBuf, Errno>>,
    /// What time it is, for new and changed entries.
    pub now: fn() -> Timestamp,
}

/// A mounted FAT volume.
pub struct Fat {
    me: Weak<Fat>,
    /// None after the end.
    volume: Lock<Option<Volume<Box<dyn Storage>>>>,
    buffer: Box<dyn Fn(usize) -> Result<DmaBuf, Errno>>,
    root: NodeId,
    is_read_only: bool,
    was_clean: bool,
    is_closed: Cell<bool>,
    nodes: RefCell<Nodes>,
    /// Who has locked files, and who wants to.
    locks: Rc<LockTable>,
    now: fn() -> Timestamp,
    /// References to return.
    owed: RefCell<Vec<NodeId>>,
    /// Whether damage has been reported.
    is_reported: Cell<bool>,
}

/// The objects that somebody has a handle to.
#[derive(Default)]
struct Nodes {
    by_number: BTreeMap<u64, Weak<FatNode>>,
    /// The number of the one that holds this reference.
    numbers: BTreeMap<NodeId, u64>,
    last: u64,
}

impl Fat {
    /// Mounts the volume on `storage`, of whose tables and directories up to `cached_sectors` stay in memory.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn mount(
        storage: Box<dyn Storage>,
        cached_sectors: usize,
        platform: Platform,
    ) -> Result<Rc<Self>, toro_fat::Error> {
        let is_read_only = storage.is_read_only();
        let Platform { scheduler, buffer, now } = platform;
        let scheduler: Rc<dyn Scheduler> = scheduler.into();
        let locks = LockTable::new(Box::new(Rc::clone(&scheduler)));
        let volume = Volume::mount(storage, toro_fat::Options { cached_sectors, ..toro_fat::Options::new(now) })?;
        let (root, was_clean) = (volume.root(), volume.was_clean());
        Ok(Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            volume: Lock::new(Some(volume), Box::new(scheduler), PATIENCE),
            buffer,
            root,
            is_read_only,
            was_clean,
            is_closed: Cell::new(false),
            nodes: RefCell::default(),
            locks,
            now,
            owed: RefCell::default(),
            is_reported: Cell::new(false),
        }))
    }

    /// Whether the volume was unmounted in order the last time.
    pub fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// Fails after the end.
    fn expect_open(&self) -> Result<(), Errno> {
        if self.is_closed.get() { Err(Errno::ENOTCONN) } else { Ok(()) }
    }

    /// Works with the volume, alone.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Volume<Box<dyn Storage>>) -> Result<T, toro_fat::Error>,
    ) -> Result<T, Errno> {
        self.volume.with(|volume| {
            let volume = volume.as_mut().ok_or(Errno::ENOTCONN)?;
            self.pay(volume);
            work(volume).map_err(|error| self.errno(error))
        })?
    }

    /// Returns the references of nodes that were dropped.
    fn pay(&self, volume: &mut Volume<Box<dyn Storage>>) {
        loop {
            // Not borrowed while the disk is waited for: others may drop nodes then.
            let Some(node) = self.owed.borrow_mut().pop() else { return };
            if let Err(error) = volume.forget(node) {
                self.errno(error);
            }
        }
    }

    /// The node for a reference that the volume has just counted.
    fn receive(
        &self,
        volume: &mut Volume<Box<dyn Storage>>,
        node: NodeId,
        inode: u64,
    ) -> Result<Rc<FatNode>, toro_fat::Error> {
        let known = self.find(node);
        if let Some(known) = known {
            // It holds a reference already.
            if node != self.root {
                volume.forget(node)?;
            }
            return Ok(known);
        }
        let kind = match volume.metadata(node) {
            Ok(metadata) => metadata.kind,
            Err(error) => {
                self.owed.borrow_mut().push(node);
                return Err(error);
            }
        };
        Ok(self.add(node, kind, inode))
    }

    fn find(&self, node: NodeId) -> Option<Rc<FatNode>> {
        let nodes = self.nodes.borrow();
        nodes.by_number.get(nodes.numbers.get(&node)?)?.upgrade()
    }

    fn add(&self, node: NodeId, kind: Kind, inode: u64) -> Rc<FatNode> {
        let mut nodes = self.nodes.borrow_mut();
        nodes.last += 1;
        let number = nodes.last;
        let file_system = self.me.upgrade().expect("a file system is only reached through a handle");
        let added = Rc::new(FatNode::new(file_system, node, number, file_type(kind), inode));
        nodes.by_number.insert(number, Rc::downgrade(&added));
        nodes.numbers.insert(node, number);
        added
    }

    /// Takes a node that is being dropped out of the table. Its reference is owed from now on.
    fn remove(&self, node: NodeId, number: u64) {
        let mut nodes = self.nodes.borrow_mut();
        nodes.by_number.remove(&number);
        // The object may have got another node meanwhile, which has a reference of its own.
        if nodes.numbers.get(&node) == Some(&number) {
            nodes.numbers.remove(&node);
        }
        if node != self.root && !self.is_closed.get() {
            self.owed.borrow_mut().push(node);
        }
    }

    /// The node with this number.
    fn by_number(&self, number: u64) -> Result<Rc<FatNode>, Errno> {
        self.nodes.borrow().by_number.get(&number).and_then(Weak::upgrade).ok_or(Errno::ESTALE)
    }

    fn errno(&self, error: toro_fat::Error) -> Errno {
        use toro_fat::{Error, StorageError};
        if matches!(error, Error::Corrupt(_)) && !self.is_reported.replace(true) {
            log::error!("fat: {error}; the volume needs repair");
        }
        match error {
            Error::NotFound => Errno::ENOENT,
            Error::Exists => Errno::EEXIST,
            Error::NotDirectory => Errno::ENOTDIR,
            Error::IsDirectory => Errno::EISDIR,
            Error::NotEmpty => Errno::ENOTEMPTY,
            Error::NoSpace => Errno::ENOSPC,
            Error::ReadOnly if self.is_read_only => Errno::EROFS,
            Error::ReadOnly => Errno::EACCES,
            Error::NameTooLong => Errno::ENAMETOOLONG,
            Error::InvalidName | Error::InvalidMove | Error::Unsupported(_) => Errno::EINVAL,
            Error::TooLarge => Errno::EFBIG,
            Error::Stale => Errno::ESTALE,
            Error::Corrupt(_) => Errno::EUCLEAN,
            Error::Storage(StorageError::ReadOnly) => Errno::EROFS,
            _ => Errno::EIO,
        }
    }
}

impl FileSystem for Fat {
    fn root(&self) -> Result<Rc<dyn Node>, Errno> {
        if self.is_closed.get() {
            return Err(Errno::ENOTCONN);
        }
        let root = self.find(self.root).unwrap_or_else(|| self.add(self.root, Kind::Directory, node::ROOT_INODE));
        Ok(root)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.with(Volume::sync_all)
    }

    /// Makes everything stable and marks the volume clean. Files that are open fail from then on; those that were removed go.
    fn shutdown(&self) {
        let end = self.volume.with(|place| {
            let Some(mut volume) = place.take() else { return Ok(()) };
            self.pay(&mut volume);
            self.is_closed.set(true);
            // Files that were removed go now, whoever has them.
            volume.unmount()
        });
        self.locks.abandon(Errno::ENOTCONN);
        match end {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("fat: a volume was not unmounted cleanly: {error}"),
            Err(errno) => log::error!("fat: a volume was not unmounted: {errno}"),
        }
    }
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::File,
        Kind::Directory => FileType::Directory,
    }
}

fn metadata(metadata: &toro_fat::Metadata, inode: u64) -> Metadata {
    let (kind, permissions) = match metadata.kind {
        Kind::File => (0o100_000, 0o666),
        Kind::Directory => (0o040_000, 0o777),
    };
    let permissions = if is_read_only(metadata) { permissions & 0o555 } else { permissions };
    let time = |time: Timestamp| FileTime {
        seconds: i64::try_from(time.seconds).unwrap_or(i64::MAX),
        nanoseconds: time.nanoseconds,
    };
    Metadata {
        file_type: file_type(metadata.kind),
        len: u64::from(metadata.size),
        mode: kind | permissions,
        inode,
        links: 1,
        uid: 0,
        gid: 0,
        device: 0,
        blocks: u64::from(metadata.size).div_ceil(512),
        block_size: 4096,
        accessed: time(metadata.accessed),
        modified: time(metadata.modified),
        changed: time(metadata.modified),
    }
}

fn is_read_only(metadata: &toro_fat::Metadata) -> bool {
    metadata.attributes.contains(Attributes::READ_ONLY)
}
