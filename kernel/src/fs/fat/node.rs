//! Files and directories by name.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

use fuse_proto::Errno;
use toro_fat::{Attributes, Error, NodeId, Timestamp};

use super::file::{FatFile, FatListing};
use super::{Fat, is_read_only, metadata};
use crate::fs::locks::LockHolder;
use crate::fs::metadata::{AttributeChanges, FileType, Metadata, TimeChange};
use crate::fs::options::{Contents, Rights};
use crate::fs::vfs::{Collision, FileChanges, Freshness, Node, NodeChanges, OpenDirectory, OpenFile, SpecialFile};

/// The inode number of the root directory.
pub const ROOT_INODE: u64 = 1;

/// The bits of a mode that allow somebody to write.
const WRITE: u32 = 0o222;

/// An object of the volume that somebody has a handle to. There is one for each.
pub struct FatNode {
    pub(super) file_system: Rc<Fat>,
    /// The volume's, one reference to which is this node's.
    pub(super) node: NodeId,
    number: u64,
    file_type: FileType,
    inode: Cell<u64>,
}

impl FatNode {
    pub(super) fn new(file_system: Rc<Fat>, node: NodeId, number: u64, file_type: FileType, inode: u64) -> Self {
        Self { file_system, node, number, file_type, inode: Cell::new(inode) }
    }

    /// The inode number of what is called `name` in this directory.
    pub(super) fn inode_of(&self, name: &[u8]) -> u64 {
        inode(self.inode.get(), name)
    }

    pub(super) fn metadata(&self) -> Result<Metadata, Errno> {
        let found = self.file_system.with(|volume| volume.metadata(self.node))?;
        Ok(metadata(&found, self.inode.get()))
    }

    fn find(&self, name: &[u8]) -> Result<Rc<FatNode>, Errno> {
        let file_system = &self.file_system;
        file_system.with(|volume| {
            let node = volume.lookup(self.node, name)?;
            file_system.receive(volume, node, self.inode_of(name))
        })
    }

    fn expect_file(&self) -> Result<(), Errno> {
        match self.file_type {
            FileType::Directory => Err(Errno::EISDIR),
            _ => Ok(()),
        }
    }

    /// A new one, for an open file.
    pub(super) fn new_lock_holder(&self) -> LockHolder {
        self.file_system.locks.holder(self.number)
    }

    /// Sets attributes, all or none.
    pub(super) fn change(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.expect_writable_volume()?;
        let is_ours = |id: Option<u32>| id.is_none_or(|id| id == 0);
        if !is_ours(changes.uid) || !is_ours(changes.gid) {
            return Err(Errno::EPERM);
        }
        let is_read_only = changes.mode.map(|mode| mode & WRITE == 0);
        if is_read_only == Some(true) && self.file_type.is_dir() {
            return Err(Errno::EPERM);
        }
        let time = |change: Option<TimeChange>| change.map(|change| self.timestamp(change)).transpose();
        let (modified, accessed) = (time(changes.modified)?, time(changes.accessed)?);
        self.file_system.with(|volume| {
            if let Some(is_read_only) = is_read_only {
                let bit = Attributes::READ_ONLY.0;
                let others = volume.metadata(self.node)?.attributes.0 & !bit;
                volume.set_attributes(self.node, Attributes(if is_read_only { others | bit } else { others }))?;
            }
            match (modified, accessed) {
                (None, None) => Ok(()),
                (modified, accessed) => volume.set_times(self.node, modified, accessed),
            }
        })
    }

    fn timestamp(&self, change: TimeChange) -> Result<Timestamp, Errno> {
        match change {
            TimeChange::Now => Ok((self.file_system.now)()),
            TimeChange::To(time) => {
                let seconds = u64::try_from(time.seconds).map_err(|_| Errno::EINVAL)?;
                Ok(Timestamp { seconds, nanoseconds: time.nanoseconds })
            }
        }
    }

    fn expect_writable_volume(&self) -> Result<(), Errno> {
        self.file_system.expect_open()?;
        if self.file_system.is_read_only { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// What there is not on a FAT volume.
    fn refuse(&self) -> Result<(), Errno> {
        self.expect_writable_volume()?;
        Err(Errno::EPERM)
    }

    /// Makes an empty file.
    fn make(&self, name: &[u8], mode: u32) -> Result<Rc<FatNode>, Errno> {
        let file_system = &self.file_system;
        file_system.with(|volume| {
            let node = volume.create(self.node, name)?;
            if mode & WRITE == 0 {
                // It is there; that somebody may write it is better than to lose it.
                let attributes = volume.metadata(node)?.attributes.0 | Attributes::READ_ONLY.0;
                let _ = volume.set_attributes(node, Attributes(attributes));
            }
            file_system.receive(volume, node, self.inode_of(name))
        })
    }

    /// Another handle to it.
    fn handle_to_self(&self) -> Result<Rc<Self>, Errno> {
        self.file_system.by_number(self.number)
    }
}

impl Node for FatNode {
    fn id(&self) -> u64 {
        self.number
    }

    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Self::metadata(self)
    }

    fn lookup(&self, name: &[u8], _: Freshness) -> Result<Rc<dyn Node>, Errno> {
        let node: Rc<dyn Node> = self.find(name)?;
        Ok(node)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn open(&self) -> Result<Box<dyn OpenFile>, Errno> {
        self.expect_file()?;
        Ok(Box::new(FatFile::for_reading(self.handle_to_self()?)))
    }

    fn open_for_writing(&self, _: Rights, contents: Contents) -> Result<Box<dyn OpenFile>, Errno> {
        self.expect_file()?;
        if self.file_system.is_read_only {
            return Err(Errno::EROFS);
        }
        let found = self.file_system.with(|volume| volume.metadata(self.node))?;
        if is_read_only(&found) {
            return Err(Errno::EACCES);
        }
        let file = FatFile::for_writing(self.handle_to_self()?);
        if contents == Contents::Truncate {
            file.set_len(0)?;
        }
        Ok(Box::new(file))
    }

    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>, Errno> {
        match self.file_type {
            FileType::Directory => Ok(Box::new(FatListing::new(self.handle_to_self()?))),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Open for writing whatever the mode says.
    fn create_and_open(&self, name: &[u8], mode: u32, _: Rights) -> Result<Box<dyn OpenFile>, Errno> {
        Ok(Box::new(FatFile::for_writing(self.make(name, mode)?)))
    }
}

impl NodeChanges for FatNode {
    fn create(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>, Errno> {
        let node: Rc<dyn Node> = self.make(name, mode)?;
        Ok(node)
    }

    fn create_symlink(&self, _: &[u8], _: &[u8]) -> Result<(), Errno> {
        self.refuse()
    }

    fn create_special(&self, _: &[u8], _: u32, _: SpecialFile) -> Result<(), Errno> {
        self.refuse()
    }

    fn link(&self, _: &[u8], _: u64) -> Result<(), Errno> {
        self.refuse()
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.change(changes)
    }

    /// With every change of names so far, wherever it was.
    fn sync_directory(&self) -> Result<(), Errno> {
        self.file_system.with(|volume| volume.sync(self.node))
    }

    fn create_directory(&self, name: &[u8], _: u32) -> Result<Rc<dyn Node>, Errno> {
        let file_system = &self.file_system;
        let node: Rc<dyn Node> = file_system.with(|volume| {
            let node = volume.create_directory(self.node, name)?;
            file_system.receive(volume, node, self.inode_of(name))
        })?;
        Ok(node)
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        self.file_system.with(|volume| volume.remove_file(self.node, name))
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        self.file_system.with(|volume| volume.remove_directory(self.node, name))
    }

    fn rename(&self, name: &[u8], directory: u64, new_name: &[u8], collision: Collision) -> Result<(), Errno> {
        if collision == Collision::Exchange {
            return Err(Errno::EINVAL);
        }
        let directory = self.file_system.by_number(directory)?;
        let moved = self.find(name)?;
        self.file_system.with(|volume| {
            if collision == Collision::Refuse {
                match volume.lookup(directory.node, new_name) {
                    Ok(taken) => {
                        volume.forget(taken)?;
                        return Err(Error::Exists);
                    }
                    Err(Error::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            volume.rename(self.node, name, directory.node, new_name)
        })?;
        moved.inode.set(directory.inode_of(new_name));
        Ok(())
    }
}

impl Drop for FatNode {
    fn drop(&mut self) {
        self.file_system.remove(self.node, self.number);
    }
}

/// The number of what is called `name` in the directory with the number `directory`: FNV-1a of both, the name in capitals.
fn inode(directory: u64, name: &[u8]) -> u64 {
    const START: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    let add = |hash: u64, number: u64| (hash ^ number).wrapping_mul(PRIME);
    let mut hash = directory.to_le_bytes().into_iter().fold(START, |hash, byte| add(hash, u64::from(byte)));
    if name.is_ascii() {
        return name.iter().fold(hash, |hash, byte| add(hash, u64::from(byte.to_ascii_uppercase())));
    }
    for chunk in name.utf8_chunks() {
        let capitals = chunk.valid().chars().flat_map(char::to_uppercase);
        hash = capitals.fold(hash, |hash, character| add(hash, u64::from(character)));
    }
    hash
}
