//! A file system in memory that does what POSIX says and no more: something to write to, and something to compare with.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;

use fuse_proto::Errno;
use toro_core::{DmaBuf, DmaPool};

use crate::fs::fuse::tests::memory::Heap;
use crate::fs::metadata::{AttributeChanges, FileSystemStats, FileTime, FileType, Metadata, TimeChange};
use crate::fs::options::{Contents, Rights};
use crate::fs::vfs::{Appended, Collision, FileSystem, Freshness, Node, OpenDirectory, OpenFile, RawEntry, Sync};

type Result<T> = core::result::Result<T, Errno>;

const ROOT: u64 = 1;

pub struct Model {
    me: Weak<Model>,
    /// Never taken out, so whoever has a handle can use it on.
    objects: RefCell<BTreeMap<u64, Object>>,
    /// What `sync` was asked for.
    pub synced: RefCell<Vec<&'static str>>,
}

struct Object {
    kind: Kind,
    modified: FileTime,
    is_removed: bool,
}

enum Kind {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, u64>),
    Link(Vec<u8>),
}

impl Model {
    pub fn new() -> Rc<Self> {
        let modified = FileTime { seconds: 0, nanoseconds: 0 };
        let root = Object { kind: Kind::Directory(BTreeMap::new()), modified, is_removed: false };
        Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            objects: RefCell::new(BTreeMap::from([(ROOT, root)])),
            synced: RefCell::default(),
        })
    }

    /// Puts a symbolic link into the root.
    pub fn link(&self, name: &[u8], target: &[u8]) {
        self.add(ROOT, name, Kind::Link(target.to_vec())).expect("the name is free");
    }

    fn object<T>(&self, number: u64, function: impl FnOnce(&mut Object) -> T) -> T {
        function(self.objects.borrow_mut().get_mut(&number).expect("objects stay"))
    }

    fn handle(&self, number: u64) -> ModelNode {
        let file_type = self.object(number, |object| match object.kind {
            Kind::File(_) => FileType::File,
            Kind::Directory(_) => FileType::Directory,
            Kind::Link(_) => FileType::Symlink,
        });
        ModelNode { model: self.me.upgrade().expect("reached through a handle"), number, file_type }
    }

    fn names<T>(&self, directory: u64, function: impl FnOnce(&mut BTreeMap<Vec<u8>, u64>) -> Result<T>) -> Result<T> {
        self.object(directory, |object| match &mut object.kind {
            _ if object.is_removed => Err(Errno::ENOENT),
            Kind::Directory(names) => function(names),
            _ => Err(Errno::ENOTDIR),
        })
    }

    fn find(&self, directory: u64, name: &[u8]) -> Result<u64> {
        self.names(directory, |names| names.get(name).copied().ok_or(Errno::ENOENT))
    }

    fn add(&self, directory: u64, name: &[u8], kind: Kind) -> Result<ModelNode> {
        let number = self.objects.borrow().len() as u64 + ROOT;
        self.names(directory, |names| match names.contains_key(name) {
            true => Err(Errno::EEXIST),
            false => Ok(names.insert(name.to_vec(), number)),
        })?;
        let modified = FileTime { seconds: 0, nanoseconds: 0 };
        self.objects.borrow_mut().insert(number, Object { kind, modified, is_removed: false });
        Ok(self.handle(number))
    }

    fn take(&self, directory: u64, name: &[u8]) -> Result<()> {
        let number = self.names(directory, |names| names.remove(name).ok_or(Errno::ENOENT))?;
        self.object(number, |object| object.is_removed = true);
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

    fn metadata(&self, number: u64) -> Metadata {
        let file_type = self.handle(number).file_type;
        self.object(number, |object| Metadata {
            file_type,
            len: match &object.kind {
                Kind::File(bytes) => bytes.len() as u64,
                _ => 0,
            },
            mode: 0o777,
            inode: number,
            links: 1,
            uid: 0,
            gid: 0,
            device: 0,
            blocks: 0,
            block_size: 4096,
            accessed: object.modified,
            modified: object.modified,
            changed: object.modified,
        })
    }
}

impl FileSystem for Model {
    fn root(&self) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(self.handle(ROOT)))
    }

    fn stats(&self) -> Result<FileSystemStats> {
        Err(Errno::ENOSYS)
    }

    fn sync(&self) -> Result<()> {
        self.synced.borrow_mut().push("all");
        Ok(())
    }

    fn shutdown(&self) {}
}

struct ModelNode {
    model: Rc<Model>,
    number: u64,
    file_type: FileType,
}

impl ModelNode {
    fn file(&self) -> Result<Box<dyn OpenFile>> {
        match self.file_type {
            FileType::Directory => Err(Errno::EISDIR),
            FileType::Symlink => Err(Errno::ELOOP),
            _ => Ok(Box::new(ModelFile(self.model.handle(self.number)))),
        }
    }
}

impl Node for ModelNode {
    fn id(&self) -> u64 {
        self.number
    }

    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.model.metadata(self.number))
    }

    fn lookup(&self, name: &[u8], _: Freshness) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(self.model.handle(self.model.find(self.number, name)?)))
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        self.model.object(self.number, |object| match &object.kind {
            Kind::Link(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        })
    }

    fn open(&self) -> Result<Box<dyn OpenFile>> {
        self.file()
    }

    fn open_for_writing(&self, _: Rights, contents: Contents) -> Result<Box<dyn OpenFile>> {
        let file = self.file()?;
        if contents == Contents::Truncate {
            file.set_len(0)?;
        }
        Ok(file)
    }

    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>> {
        let names = self.model.names(self.number, |names| Ok(names.clone()))?;
        let entry = |(name, number): (Vec<u8>, u64)| RawEntry {
            name: name.into(),
            inode: number,
            file_type: Some(self.model.handle(number).file_type),
        };
        Ok(Box::new(ModelListing(names.into_iter().map(entry).collect::<Vec<_>>().into_iter())))
    }

    fn create(&self, name: &[u8], _: u32) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(self.model.add(self.number, name, Kind::File(Vec::new()))?))
    }

    fn create_directory(&self, name: &[u8], _: u32) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(self.model.add(self.number, name, Kind::Directory(BTreeMap::new()))?))
    }

    fn remove(&self, name: &[u8]) -> Result<()> {
        match self.model.handle(self.model.find(self.number, name)?).file_type {
            FileType::Directory => Err(Errno::EISDIR),
            _ => self.model.take(self.number, name),
        }
    }

    fn remove_directory(&self, name: &[u8]) -> Result<()> {
        self.model.expect_empty(self.model.find(self.number, name)?)?;
        self.model.take(self.number, name)
    }

    fn rename(&self, name: &[u8], directory: u64, new_name: &[u8], collision: Collision) -> Result<()> {
        assert_eq!(collision, Collision::Replace, "the model knows no other");
        let moved = self.model.find(self.number, name)?;
        let is_directory = self.model.handle(moved).file_type.is_dir();
        if is_directory && self.model.is_below(directory, moved) {
            return Err(Errno::EINVAL);
        }
        match self.model.find(directory, new_name) {
            Ok(replaced) if replaced == moved => return Ok(()),
            Ok(replaced) => {
                match (is_directory, self.model.handle(replaced).file_type.is_dir()) {
                    (true, true) => self.model.expect_empty(replaced)?,
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) if self.model.is_below(self.number, replaced) => return Err(Errno::ENOTEMPTY),
                    (false, true) => return Err(Errno::EISDIR),
                    (false, false) => {}
                }
                self.model.take(directory, new_name)?;
            }
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        self.model.names(self.number, |names| Ok(names.remove(name)))?;
        self.model.names(directory, |names| Ok(names.insert(new_name.to_vec(), moved))).map(drop)
    }
}

struct ModelFile(ModelNode);

impl ModelFile {
    fn bytes<T>(&self, function: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.0.model.object(self.0.number, |object| match &mut object.kind {
            Kind::File(bytes) => function(bytes),
            _ => unreachable!("only files are opened"),
        })
    }
}

impl OpenFile for ModelFile {
    fn metadata(&self) -> Result<Metadata> {
        self.0.metadata()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.bytes(|bytes| {
            let from = bytes.get(offset as usize..).unwrap_or_default();
            let count = from.len().min(buffer.len());
            buffer[..count].copy_from_slice(&from[..count]);
            Ok(count)
        })
    }

    fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf> {
        let mut pool = DmaPool::new(&Heap, 1, self.read_limit()).expect("a host has memory");
        let mut buffer = pool.take().expect("it is new");
        let count = self.read_at(&mut buffer[..length.min(self.read_limit())], offset)?;
        buffer.set_len(count).map_err(|_| Errno::EIO)?;
        Ok(buffer)
    }

    fn read_limit(&self) -> usize {
        4096
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        self.bytes(|file| {
            let start = offset as usize;
            if file.len() < start + bytes.len() && !bytes.is_empty() {
                file.resize(start + bytes.len(), 0);
            }
            if !bytes.is_empty() {
                file[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Ok(bytes.len())
        })
    }

    fn append(&self, bytes: &[u8]) -> Result<Appended> {
        self.bytes(|file| {
            file.extend_from_slice(bytes);
            Ok(Appended { count: bytes.len(), end: file.len() as u64 })
        })
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.bytes(|file| file.resize(length as usize, 0));
        Ok(())
    }

    fn sync(&self, what: Sync) -> Result<()> {
        self.0.model.synced.borrow_mut().push(match what {
            Sync::Data => "data",
            Sync::All => "file",
        });
        Ok(())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        let Some(TimeChange::To(time)) = changes.modified else { return Err(Errno::EPERM) };
        self.0.model.object(self.0.number, |object| object.modified = time);
        Ok(())
    }
}

struct ModelListing(alloc::vec::IntoIter<RawEntry>);

impl OpenDirectory for ModelListing {
    fn next(&mut self) -> Result<Option<RawEntry>> {
        Ok(self.0.next())
    }
}
