//! A file system in memory that does what POSIX says and no more: something to write to, and something to compare with.
//!
//! It has all that a file system can have: links of both kinds, special files, attributes of every kind, locks, holes.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use fuse_proto::Errno;

use super::threads::{Crew, run};
use crate::fs::locks::LockTable;
use crate::fs::metadata::{AttributeChanges, FileSystemStats, FileTime, FileType, Metadata, TimeChange};
use crate::fs::scheduler::Scheduler;
use crate::fs::vfs::{FileSystem, Health, Node, SpecialFile, Upkeep};

mod file;
mod node;

use node::ModelNode;

type Result<T> = core::result::Result<T, Errno>;

const ROOT: u64 = 1;

/// What time it is, always.
pub const NOW: FileTime = FileTime { seconds: 1_000_000_000, nanoseconds: 0 };

pub struct Model {
    me: Weak<Model>,
    /// Never taken out, so whoever has a handle can use it on.
    objects: RefCell<BTreeMap<u64, Object>>,
    /// What `sync` was asked for.
    pub synced: RefCell<Vec<&'static str>>,
    /// How many bytes were copied by request.
    pub copied: Cell<u64>,
    /// What every request fails with, until the file system is begun anew.
    pub fault: Cell<Option<Errno>>,
    locks: Rc<LockTable>,
}

struct Object {
    kind: Kind,
    mode: u32,
    uid: u32,
    gid: u32,
    accessed: FileTime,
    modified: FileTime,
    links: u32,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

enum Kind {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, u64>),
    Link(Vec<u8>),
    Special(SpecialFile),
}

impl Kind {
    fn file_type(&self) -> FileType {
        match self {
            Self::File(_) => FileType::File,
            Self::Directory(_) => FileType::Directory,
            Self::Link(_) => FileType::Symlink,
            Self::Special(SpecialFile::Fifo) => FileType::Fifo,
            Self::Special(SpecialFile::Socket) => FileType::Socket,
            Self::Special(SpecialFile::CharacterDevice(_)) => FileType::CharacterDevice,
            Self::Special(SpecialFile::BlockDevice(_)) => FileType::BlockDevice,
        }
    }
}

impl Object {
    fn new(kind: Kind, mode: u32) -> Self {
        let xattrs = BTreeMap::new();
        Self { kind, mode, uid: 0, gid: 0, accessed: NOW, modified: NOW, links: 1, xattrs }
    }

    fn apply(&mut self, changes: &AttributeChanges) {
        let time = |old, change| match change {
            None => old,
            Some(TimeChange::Now) => NOW,
            Some(TimeChange::To(time)) => time,
        };
        self.mode = changes.mode.unwrap_or(self.mode);
        self.uid = changes.uid.unwrap_or(self.uid);
        self.gid = changes.gid.unwrap_or(self.gid);
        self.accessed = time(self.accessed, changes.accessed);
        self.modified = time(self.modified, changes.modified);
    }
}

impl Model {
    /// For tests with one thread.
    pub fn new() -> Rc<Self> {
        Self::with(run(|crew: &Crew| {
            let scheduler = crew.scheduler();
            move || scheduler
        }))
    }

    /// For tests with threads, which wait with this.
    pub fn with(scheduler: Box<dyn Scheduler>) -> Rc<Self> {
        let root = Object::new(Kind::Directory(BTreeMap::new()), 0o755);
        Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            objects: RefCell::new(BTreeMap::from([(ROOT, root)])),
            synced: RefCell::default(),
            copied: Cell::new(0),
            fault: Cell::new(None),
            locks: LockTable::new(scheduler),
        })
    }

    /// Puts a symbolic link into the root.
    pub fn link(&self, name: &[u8], target: &[u8]) {
        self.add(ROOT, name, Object::new(Kind::Link(target.to_vec()), 0o777)).expect("the name is free");
    }

    fn check(&self) -> Result<()> {
        self.fault.get().map_or(Ok(()), Err)
    }

    fn object<T>(&self, number: u64, function: impl FnOnce(&mut Object) -> T) -> T {
        function(self.objects.borrow_mut().get_mut(&number).expect("objects stay"))
    }

    fn handle(&self, number: u64) -> ModelNode {
        let file_type = self.object(number, |object| object.kind.file_type());
        ModelNode { model: self.me.upgrade().expect("reached through a handle"), number, file_type }
    }

    fn names<T>(&self, directory: u64, function: impl FnOnce(&mut BTreeMap<Vec<u8>, u64>) -> Result<T>) -> Result<T> {
        self.check()?;
        self.object(directory, |object| match &mut object.kind {
            _ if object.links == 0 => Err(Errno::ENOENT),
            Kind::Directory(names) => function(names),
            _ => Err(Errno::ENOTDIR),
        })
    }

    fn find(&self, directory: u64, name: &[u8]) -> Result<u64> {
        self.names(directory, |names| names.get(name).copied().ok_or(Errno::ENOENT))
    }

    fn add(&self, directory: u64, name: &[u8], object: Object) -> Result<ModelNode> {
        let number = self.objects.borrow().len() as u64 + ROOT;
        self.give_name(directory, name, number)?;
        self.objects.borrow_mut().insert(number, object);
        Ok(self.handle(number))
    }

    /// Enters a name.
    fn give_name(&self, directory: u64, name: &[u8], number: u64) -> Result<()> {
        self.names(directory, |names| match names.contains_key(name) {
            true => Err(Errno::EEXIST),
            false => {
                names.insert(name.to_vec(), number);
                Ok(())
            }
        })
    }

    fn take(&self, directory: u64, name: &[u8]) -> Result<()> {
        let number = self.names(directory, |names| names.remove(name).ok_or(Errno::ENOENT))?;
        self.object(number, |object| object.links -= 1);
        Ok(())
    }

    /// Whether a directory may go, or be replaced.
    fn expect_empty(&self, directory: u64) -> Result<()> {
        self.names(directory, |names| if names.is_empty() { Ok(()) } else { Err(Errno::ENOTEMPTY) })
    }

    fn is_below(&self, number: u64, directory: u64) -> bool {
        let children = self.object(directory, |object| match &object.kind {
            Kind::Directory(names) => names.values().copied().collect(),
            _ => Vec::new(),
        });
        number == directory || children.into_iter().any(|child| self.is_below(number, child))
    }

    fn metadata(&self, number: u64) -> Result<Metadata> {
        self.check()?;
        Ok(self.object(number, |object| {
            let file_type = object.kind.file_type();
            let kind = match file_type {
                FileType::Fifo => 0o010_000,
                FileType::CharacterDevice => 0o020_000,
                FileType::Directory => 0o040_000,
                FileType::BlockDevice => 0o060_000,
                FileType::File => 0o100_000,
                FileType::Symlink => 0o120_000,
                FileType::Socket => 0o140_000,
            };
            Metadata {
                file_type,
                len: match &object.kind {
                    Kind::File(bytes) | Kind::Link(bytes) => bytes.len() as u64,
                    _ => 0,
                },
                mode: kind | object.mode,
                inode: number,
                links: object.links,
                uid: object.uid,
                gid: object.gid,
                device: match object.kind {
                    Kind::Special(SpecialFile::CharacterDevice(device) | SpecialFile::BlockDevice(device)) => device,
                    _ => 0,
                },
                blocks: 0,
                block_size: 4096,
                accessed: object.accessed,
                modified: object.modified,
                changed: NOW,
            }
        }))
    }
}

impl Upkeep for Model {
    fn stats(&self) -> Result<FileSystemStats> {
        Err(Errno::ENOSYS)
    }

    fn health(&self) -> Health {
        self.fault.get().map_or(Health::Working, Health::Failed)
    }

    fn remount(&self) -> Result<()> {
        match self.fault.take() {
            None => Err(Errno::EBUSY),
            Some(_) => Ok(()),
        }
    }
}

impl FileSystem for Model {
    fn root(&self) -> Result<Rc<dyn Node>> {
        self.check()?;
        Ok(Rc::new(self.handle(ROOT)))
    }

    fn sync(&self) -> Result<()> {
        self.check()?;
        self.synced.borrow_mut().push("all");
        Ok(())
    }

    fn shutdown(&self) {
        self.fault.set(Some(Errno::ENOTCONN));
        self.locks.abandon(Errno::ENOTCONN);
    }
}
