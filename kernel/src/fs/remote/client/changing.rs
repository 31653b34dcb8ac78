//! What is done with another core's nodes and files beyond looking at them and reading them.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::{Exports, PIECE, RemoteFile, RemoteNode, owned};
use crate::fs::metadata::AttributeChanges;
use crate::fs::pieces::one_after_the_other;
use crate::fs::remote::Carrier;
use crate::fs::vfs::{
    Allocation, Appended, Collision, FileChanges, LockKind, LockWait, Node, NodeChanges, SpecialFile, Sync, XattrMode,
};

impl<C: Carrier> NodeChanges for RemoteNode<C> {
    fn create(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>, Errno> {
        let node = self.call_with(name, move |exports, number, name| exports.create(number, name, mode))?;
        Ok(Self::shared(&self.handle.connection, node))
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>, Errno> {
        let node = self.call_with(name, move |exports, number, name| exports.create_directory(number, name, mode))?;
        Ok(Self::shared(&self.handle.connection, node))
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        let target = Box::<[u8]>::from(target);
        self.call_with(name, move |exports, number, name| exports.create_symlink(number, name, &target))
    }

    fn create_special(&self, name: &[u8], mode: u32, what: SpecialFile) -> Result<(), Errno> {
        self.call_with(name, move |exports, number, name| exports.create_special(number, name, mode, what))
    }

    fn link(&self, name: &[u8], node: u64) -> Result<(), Errno> {
        self.call_with(name, move |exports, number, name| exports.link(number, name, node))
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let changes = *changes;
        self.handle.call(move |exports, number| exports.set_attributes(number, &changes))
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.call_with(name, Exports::xattr)
    }

    fn xattrs(&self) -> Result<Vec<Box<[u8]>>, Errno> {
        self.handle.call(Exports::xattrs)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), Errno> {
        let value = owned(value)?;
        self.call_with(name, move |exports, number, name| exports.set_xattr(number, name, &value, mode))
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.call_with(name, Exports::remove_xattr)
    }

    fn sync_directory(&self) -> Result<(), Errno> {
        self.handle.call(Exports::sync_directory)
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        self.call_with(name, Exports::remove)
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        self.call_with(name, Exports::remove_directory)
    }

    fn rename(&self, name: &[u8], directory: u64, new_name: &[u8], collision: Collision) -> Result<(), Errno> {
        let new_name = Box::<[u8]>::from(new_name);
        let rename =
            move |exports: &Exports, number, name: &[u8]| exports.rename(number, name, directory, &new_name, collision);
        self.call_with(name, rename)
    }
}

impl<C: Carrier> FileChanges for RemoteFile<C> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        one_after_the_other(bytes.chunks(PIECE).map(|piece| (piece.len(), piece)), |done, piece| {
            let (at, sent) = (offset.saturating_add(done as u64), owned(piece)?);
            self.handle.call(move |exports, number| exports.write_at(number, &sent, at))
        })
    }

    /// In one piece, however long: nobody else's bytes may get in between.
    fn append(&self, bytes: &[u8]) -> Result<Appended, Errno> {
        let sent = owned(bytes)?;
        self.handle.call(move |exports, number| exports.append(number, &sent))
    }

    fn set_len(&self, length: u64) -> Result<(), Errno> {
        self.handle.call(move |exports, number| exports.set_len(number, length))
    }

    fn sync(&self, what: Sync) -> Result<(), Errno> {
        self.handle.call(move |exports, number| exports.sync_file(number, what))
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let changes = *changes;
        self.handle.call(move |exports, number| exports.set_file_attributes(number, &changes))
    }

    fn allocate(&self, offset: u64, length: u64, how: Allocation) -> Result<(), Errno> {
        self.handle.call(move |exports, number| exports.allocate(number, offset, length, how))
    }

    fn copy_to(&self, offset: u64, target: u64, target_offset: u64, length: u64) -> Result<u64, Errno> {
        let copy = move |exports: &Exports, number| exports.copy_to(number, offset, target, target_offset, length);
        self.handle.call(copy)
    }

    /// Its number: the owner knows what the file system calls it.
    fn identity(&self) -> Option<u64> {
        Some(self.handle.number.to_identity())
    }

    /// At once if that is possible. A wait is another thing: it may be for one who can only unlock by a call, so it must not
    /// take the place of calls.
    fn lock(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        let number = self.handle.number;
        match self.handle.call(move |exports, number| exports.lock(number, kind, LockWait::Never)) {
            Err(Errno::EAGAIN) if wait == LockWait::Forever => {
                self.handle.connection.call_long(move |exports| exports.lock(number, kind, wait))
            }
            result => result,
        }
    }

    fn unlock(&self) -> Result<(), Errno> {
        self.handle.call(Exports::unlock)
    }

    fn flush(&self) -> Result<(), Errno> {
        self.handle.call(Exports::flush)
    }
}
