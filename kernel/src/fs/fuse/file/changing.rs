//! What is done with an open file beyond reading it: changes, and locks.

use fuse_proto::Errno;

use super::FuseFile;
use crate::fs::metadata::AttributeChanges;
use crate::fs::vfs::{Allocation, Appended, FileChanges, LockKind, LockWait, NodeChanges, Sync};

impl FileChanges for FuseFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.write(bytes, offset)
    }

    fn append(&self, bytes: &[u8]) -> Result<Appended, Errno> {
        self.write_behind_the_end(bytes)
    }

    fn set_len(&self, length: u64) -> Result<(), Errno> {
        self.check_writable()?;
        self.change_length(length)
    }

    fn sync(&self, what: Sync) -> Result<(), Errno> {
        self.make_stable(what)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.handle.node.set_attributes(changes)
    }

    fn allocate(&self, offset: u64, length: u64, how: Allocation) -> Result<(), Errno> {
        self.change_space(offset, length, how)
    }

    fn copy_to(&self, offset: u64, target: u64, target_offset: u64, length: u64) -> Result<u64, Errno> {
        self.copy_within_server(offset, target, target_offset, length)
    }

    fn identity(&self) -> Option<u64> {
        Some(self.client().open_files.number(&self.handle))
    }

    fn lock(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        self.take_lock(kind, wait)
    }

    fn unlock(&self) -> Result<(), Errno> {
        self.give_lock_up()
    }

    fn flush(&self) -> Result<(), Errno> {
        self.close_in_advance()
    }
}
