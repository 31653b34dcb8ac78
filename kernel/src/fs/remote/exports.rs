//! [`Exports`]: the objects of one core that other cores have handles to.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use fuse_proto::Errno;
use toro_core::DmaBuf;

use crate::fs::metadata::{AttributeChanges, FileType, Metadata};
use crate::fs::options::{Contents, Rights};
use crate::fs::path::{LastLink, NamedPlace, Place};
use crate::fs::vfs::{
    Allocation, Appended, Collision, FileSystem, Freshness, LockKind, LockWait, Node, OpenDirectory, OpenFile,
    RawEntry, SeekTarget, SpecialFile, Sync, XattrMode,
};
use crate::sorted_map::SortedMap;

#[cfg(feature = "fs-mounts")]
mod upkeep;

/// Names an object of the owner, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(u64);

impl Number {
    /// As the file systems' own numbers are, to go where one of those goes.
    pub(super) fn to_identity(self) -> u64 {
        self.0
    }
}

/// What another core is told about a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeAnswer {
    pub number: Number,
    pub id: u64,
    pub file_type: FileType,
}

/// What another core is told about a file that has been opened for it.
#[derive(Clone, Copy, Debug)]
pub struct FileAnswer {
    pub number: Number,
    pub read_limit: usize,
}

/// What another core is told about a place.
pub enum PlaceAnswer {
    Name { directory: NodeAnswer, name: Box<[u8]>, node: Option<NodeAnswer> },
    Directory(NodeAnswer),
}

/// A part of a listing.
pub struct Batch {
    pub entries: Vec<RawEntry>,
    /// How the listing ends behind these entries, if it does.
    pub end: Option<Result<(), Errno>>,
}

/// How many names a batch has at most.
const BATCH: usize = 64;

/// The objects of one core that other cores have handles to, by number. Belongs to that core.
///
/// Nothing in here is borrowed while a file system works: that may wait, or end up here again.
pub struct Exports {
    next: Cell<u64>,
    objects: RefCell<SortedMap<Number, Object>>,
}

#[derive(Clone)]
enum Object {
    FileSystem(Rc<dyn FileSystem>),
    Node(Rc<dyn Node>),
    File(Rc<dyn OpenFile>),
    /// Borrowed while it is read; its one handle waits for that.
    Listing(Rc<RefCell<Box<dyn OpenDirectory>>>),
}

impl Exports {
    /// Nothing.
    pub const fn new() -> Self {
        Self { next: Cell::new(0), objects: RefCell::new(SortedMap::new()) }
    }

    /// Adds a file system; it stays until [`withdraw`](Self::withdraw).
    pub fn add(&self, file_system: Rc<dyn FileSystem>) -> Number {
        self.insert(Object::FileSystem(file_system))
    }

    /// Takes all file systems out. What was opened in them stays until its handles are gone.
    pub fn withdraw(&self) {
        let is_file_system = |object: &Object| matches!(object, Object::FileSystem(_));
        let withdrawn: Vec<_> = self.objects.borrow_mut().take_if(is_file_system);
        drop(withdrawn);
    }

    /// Takes an object out, on behalf of the handle to it.
    pub fn close(&self, number: Number) {
        let object = self.objects.borrow_mut().remove(&number);
        drop(object);
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.borrow().len()
    }

    fn insert(&self, object: Object) -> Number {
        let number = Number(self.next.get());
        self.next.set(number.0 + 1);
        self.objects.borrow_mut().insert(number, object);
        number
    }

    fn get(&self, number: Number) -> Option<Object> {
        self.objects.borrow().get(&number).cloned()
    }

    fn file_system(&self, number: Number) -> Result<Rc<dyn FileSystem>, Errno> {
        match self.get(number) {
            Some(Object::FileSystem(file_system)) => Ok(file_system),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn node(&self, number: Number) -> Result<Rc<dyn Node>, Errno> {
        match self.get(number) {
            Some(Object::Node(node)) => Ok(node),
            _ => Err(Errno::EBADF),
        }
    }

    fn file(&self, number: Number) -> Result<Rc<dyn OpenFile>, Errno> {
        match self.get(number) {
            Some(Object::File(file)) => Ok(file),
            _ => Err(Errno::EBADF),
        }
    }

    fn add_file(&self, file: Box<dyn OpenFile>) -> FileAnswer {
        let file: Rc<dyn OpenFile> = file.into();
        let read_limit = file.read_limit();
        FileAnswer { number: self.insert(Object::File(file)), read_limit }
    }

    fn answer(&self, node: Rc<dyn Node>) -> NodeAnswer {
        let (id, file_type) = (node.id(), node.file_type());
        NodeAnswer { number: self.insert(Object::Node(node)), id, file_type }
    }
}

/// What other cores ask, named as in [`vfs`](crate::fs::vfs). Errors are those of the file system.
impl Exports {
    pub(super) fn root(&self, file_system: Number) -> Result<NodeAnswer, Errno> {
        Ok(self.answer(self.file_system(file_system)?.root()?))
    }

    pub(super) fn resolve(
        &self,
        file_system: Number,
        path: &[u8],
        last_link: LastLink,
        freshness: Freshness,
    ) -> Result<(NodeAnswer, Vec<u8>), Errno> {
        let resolved = self.file_system(file_system)?.resolve(path, last_link, freshness)?;
        Ok((self.answer(resolved.node), resolved.path))
    }

    pub(super) fn locate(
        &self,
        file_system: Number,
        path: &[u8],
        last_link: LastLink,
        freshness: Freshness,
    ) -> Result<PlaceAnswer, Errno> {
        Ok(match self.file_system(file_system)?.locate(path, last_link, freshness)? {
            Place::Directory(node) => PlaceAnswer::Directory(self.answer(node)),
            Place::Name(NamedPlace { directory, name, node }) => {
                let node = node.map(|node| self.answer(node));
                PlaceAnswer::Name { directory: self.answer(directory), name, node }
            }
        })
    }

    pub(super) fn sync(&self, file_system: Number) -> Result<(), Errno> {
        self.file_system(file_system)?.sync()
    }

    pub(super) fn metadata(&self, node: Number) -> Result<Metadata, Errno> {
        self.node(node)?.metadata()
    }

    pub(super) fn lookup(&self, node: Number, name: &[u8], freshness: Freshness) -> Result<NodeAnswer, Errno> {
        Ok(self.answer(self.node(node)?.lookup(name, freshness)?))
    }

    pub(super) fn read_link(&self, node: Number) -> Result<Vec<u8>, Errno> {
        self.node(node)?.read_link()
    }

    pub(super) fn open(&self, node: Number) -> Result<FileAnswer, Errno> {
        Ok(self.add_file(self.node(node)?.open()?))
    }

    pub(super) fn open_for_writing(
        &self,
        node: Number,
        rights: Rights,
        contents: Contents,
    ) -> Result<FileAnswer, Errno> {
        Ok(self.add_file(self.node(node)?.open_for_writing(rights, contents)?))
    }

    pub(super) fn open_directory(&self, node: Number) -> Result<Number, Errno> {
        let listing = self.node(node)?.open_directory()?;
        Ok(self.insert(Object::Listing(Rc::new(RefCell::new(listing)))))
    }

    pub(super) fn create(&self, directory: Number, name: &[u8], mode: u32) -> Result<NodeAnswer, Errno> {
        Ok(self.answer(self.node(directory)?.create(name, mode)?))
    }

    pub(super) fn create_directory(&self, directory: Number, name: &[u8], mode: u32) -> Result<NodeAnswer, Errno> {
        Ok(self.answer(self.node(directory)?.create_directory(name, mode)?))
    }

    pub(super) fn create_and_open(
        &self,
        directory: Number,
        name: &[u8],
        mode: u32,
        rights: Rights,
    ) -> Result<FileAnswer, Errno> {
        Ok(self.add_file(self.node(directory)?.create_and_open(name, mode, rights)?))
    }

    pub(super) fn create_symlink(&self, directory: Number, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        self.node(directory)?.create_symlink(name, target)
    }

    pub(super) fn create_special(
        &self,
        directory: Number,
        name: &[u8],
        mode: u32,
        what: SpecialFile,
    ) -> Result<(), Errno> {
        self.node(directory)?.create_special(name, mode, what)
    }

    pub(super) fn link(&self, directory: Number, name: &[u8], node: u64) -> Result<(), Errno> {
        self.node(directory)?.link(name, node)
    }

    pub(super) fn set_attributes(&self, node: Number, changes: &AttributeChanges) -> Result<(), Errno> {
        self.node(node)?.set_attributes(changes)
    }

    pub(super) fn xattr(&self, node: Number, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.node(node)?.xattr(name)
    }

    pub(super) fn xattrs(&self, node: Number) -> Result<Vec<Box<[u8]>>, Errno> {
        self.node(node)?.xattrs()
    }

    pub(super) fn set_xattr(&self, node: Number, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), Errno> {
        self.node(node)?.set_xattr(name, value, mode)
    }

    pub(super) fn remove_xattr(&self, node: Number, name: &[u8]) -> Result<(), Errno> {
        self.node(node)?.remove_xattr(name)
    }

    pub(super) fn sync_directory(&self, directory: Number) -> Result<(), Errno> {
        self.node(directory)?.sync_directory()
    }

    pub(super) fn remove(&self, directory: Number, name: &[u8]) -> Result<(), Errno> {
        self.node(directory)?.remove(name)
    }

    pub(super) fn remove_directory(&self, directory: Number, name: &[u8]) -> Result<(), Errno> {
        self.node(directory)?.remove_directory(name)
    }

    pub(super) fn rename(
        &self,
        from: Number,
        name: &[u8],
        to: u64,
        new_name: &[u8],
        collision: Collision,
    ) -> Result<(), Errno> {
        self.node(from)?.rename(name, to, new_name, collision)
    }

    pub(super) fn file_metadata(&self, file: Number) -> Result<Metadata, Errno> {
        self.file(file)?.metadata()
    }

    pub(super) fn read_at(&self, file: Number, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let file = self.file(file)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(length, 0);
        let count = file.read_at(&mut bytes, offset)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    pub(super) fn read_buffer(&self, file: Number, offset: u64, length: usize) -> Result<DmaBuf, Errno> {
        self.file(file)?.read_buffer(offset, length)
    }

    pub(super) fn write_at(&self, file: Number, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.file(file)?.write_at(bytes, offset)
    }

    pub(super) fn append(&self, file: Number, bytes: &[u8]) -> Result<Appended, Errno> {
        self.file(file)?.append(bytes)
    }

    pub(super) fn set_len(&self, file: Number, length: u64) -> Result<(), Errno> {
        self.file(file)?.set_len(length)
    }

    pub(super) fn sync_file(&self, file: Number, what: Sync) -> Result<(), Errno> {
        self.file(file)?.sync(what)
    }

    pub(super) fn set_file_attributes(&self, file: Number, changes: &AttributeChanges) -> Result<(), Errno> {
        self.file(file)?.set_attributes(changes)
    }

    pub(super) fn allocate(&self, file: Number, offset: u64, length: u64, how: Allocation) -> Result<(), Errno> {
        self.file(file)?.allocate(offset, length, how)
    }

    pub(super) fn seek(&self, file: Number, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
        self.file(file)?.seek(offset, target)
    }

    /// `target` is the number of a file here, as [`Number::to_identity`] has it; the file system knows that by another one.
    pub(super) fn copy_to(
        &self,
        file: Number,
        offset: u64,
        target: u64,
        target_offset: u64,
        length: u64,
    ) -> Result<u64, Errno> {
        let target = self.file(Number(target))?;
        let identity = target.identity().ok_or(Errno::EOPNOTSUPP)?;
        self.file(file)?.copy_to(offset, identity, target_offset, length)
    }

    pub(super) fn lock(&self, file: Number, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        self.file(file)?.lock(kind, wait)
    }

    pub(super) fn unlock(&self, file: Number) -> Result<(), Errno> {
        self.file(file)?.unlock()
    }

    pub(super) fn flush(&self, file: Number) -> Result<(), Errno> {
        self.file(file)?.flush()
    }

    pub(super) fn next_batch(&self, listing: Number) -> Batch {
        let mut entries = Vec::new();
        let Some(Object::Listing(listing)) = self.get(listing) else {
            return Batch { entries, end: Some(Err(Errno::EBADF)) };
        };
        let Ok(mut listing) = listing.try_borrow_mut() else {
            return Batch { entries, end: Some(Err(Errno::EBADF)) };
        };
        while entries.len() < BATCH {
            match listing.next() {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => return Batch { entries, end: Some(Ok(())) },
                Err(errno) => return Batch { entries, end: Some(Err(errno)) },
            }
        }
        Batch { entries, end: None }
    }
}

impl Default for Exports {
    fn default() -> Self {
        Self::new()
    }
}
