//! Files and directories that are open.

use alloc::rc::Rc;
use alloc::vec::{self, Vec};
use core::ops::ControlFlow;

use fuse_proto::Errno;
use toro_core::DmaBuf;

use super::file_type;
use super::node::FatNode;
use crate::fs::locks::LockHolder;
use crate::fs::metadata::{AttributeChanges, Metadata};
use crate::fs::pieces::one_after_the_other;
use crate::fs::vfs::{Allocation, Appended, FileChanges, LockKind, LockWait, OpenDirectory, OpenFile, RawEntry, Sync};

/// The most bytes that are read or written without letting others have a turn with the volume.
const PIECE: usize = 256 * 1024;

/// How many zeros are written at a time.
const ZEROS: usize = 64 * 1024;

/// An open file.
pub struct FatFile {
    node: Rc<FatNode>,
    access: Access,
    lock: LockHolder,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl FatFile {
    pub fn for_reading(node: Rc<FatNode>) -> Self {
        Self::new(node, Access::Read)
    }

    pub fn for_writing(node: Rc<FatNode>) -> Self {
        Self::new(node, Access::Write)
    }

    fn new(node: Rc<FatNode>, access: Access) -> Self {
        let lock = node.new_lock_holder();
        Self { node, access, lock }
    }

    /// Writes zeros.
    fn write_zeros(&self, mut offset: u64, end: u64) -> Result<(), Errno> {
        let zeros = alloc::vec![0; ZEROS];
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(ZEROS).min(ZEROS);
            match self.write_at(zeros.get(..left).unwrap_or_default(), offset)? {
                0 => return Err(Errno::ENOSPC),
                count => offset += count as u64,
            }
        }
        Ok(())
    }

    fn expect_writable(&self) -> Result<(), Errno> {
        match self.access {
            Access::Read => Err(Errno::EBADF),
            Access::Write => Ok(()),
        }
    }
}

impl OpenFile for FatFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.node.metadata()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        one_after_the_other(buffer.chunks_mut(PIECE).map(|piece| (piece.len(), piece)), |done, piece| {
            let at = offset.saturating_add(done as u64);
            self.node.file_system.with(|volume| volume.read(self.node.node, at, piece))
        })
    }

    fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf, Errno> {
        let file_system = &self.node.file_system;
        let size = u64::from(file_system.with(|volume| volume.metadata(self.node.node))?.size);
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut buffer = (file_system.buffer)(length.min(left).clamp(1, PIECE))?;
        let room = buffer.len().min(length);
        let count = self.read_at(buffer.get_mut(..room).unwrap_or_default(), offset)?;
        buffer.set_len(count).map_err(|_| Errno::EIO)?;
        Ok(buffer)
    }

    fn read_limit(&self) -> usize {
        PIECE
    }
}

impl FileChanges for FatFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.expect_writable()?;
        one_after_the_other(bytes.chunks(PIECE).map(|piece| (piece.len(), piece)), |done, piece| {
            let at = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
            self.node.file_system.with(|volume| volume.write(self.node.node, at, piece))
        })
    }

    /// In one turn, however long: nobody else's bytes may get in between.
    fn append(&self, bytes: &[u8]) -> Result<Appended, Errno> {
        self.expect_writable()?;
        self.node.file_system.with(|volume| {
            let end = u64::from(volume.metadata(self.node.node)?.size);
            let count = volume.write(self.node.node, end, bytes)?;
            Ok(Appended { count, end: end + count as u64 })
        })
    }

    fn set_len(&self, length: u64) -> Result<(), Errno> {
        self.expect_writable()?;
        self.node.file_system.with(|volume| volume.set_len(self.node.node, length))
    }

    /// FAT keeps the length in the directory, so contents without it are worth nothing.
    fn sync(&self, _: Sync) -> Result<(), Errno> {
        self.node.file_system.with(|volume| volume.sync(self.node.node))
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.node.change(changes)
    }

    /// Whatever lies before the end of a file takes space; there are no holes, and nothing is kept behind the end.
    fn allocate(&self, offset: u64, length: u64, how: Allocation) -> Result<(), Errno> {
        self.expect_writable()?;
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        let node = self.node.node;
        match how {
            Allocation::Extend => self.node.file_system.with(|volume| {
                if end > u64::from(volume.metadata(node)?.size) { volume.set_len(node, end) } else { Ok(()) }
            }),
            Allocation::Zero => self.write_zeros(offset, end),
            Allocation::KeepSize | Allocation::PunchHole => Err(Errno::EOPNOTSUPP),
        }
    }

    fn lock(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        self.node.file_system.expect_open()?;
        self.lock.lock(kind, wait)
    }

    fn unlock(&self) -> Result<(), Errno> {
        self.node.file_system.expect_open()?;
        self.lock.unlock();
        Ok(())
    }
}

/// A directory that is being listed.
pub struct FatListing {
    node: Rc<FatNode>,
    /// What was read of it and not given out yet.
    entries: vec::IntoIter<RawEntry>,
    /// Where to go on; none at the end.
    cursor: Option<u32>,
}

/// How many entries are read at a time.
const ENTRIES: usize = 32;

impl FatListing {
    pub fn new(node: Rc<FatNode>) -> Self {
        Self { node, entries: Vec::new().into_iter(), cursor: Some(0) }
    }

    /// Reads some more entries, if there are more.
    fn read(&mut self, from: u32) -> Result<(), Errno> {
        let mut entries = Vec::with_capacity(ENTRIES);
        let cursor = &mut self.cursor;
        let visit = |name: &[u8], kind, next| {
            *cursor = Some(next);
            // What no path can name is left out; the disk may say anything.
            let is_path = matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0));
            if !is_path {
                let inode = self.node.inode_of(name);
                entries.push(RawEntry { name: name.into(), inode, file_type: Some(file_type(kind)) });
            }
            if entries.len() < ENTRIES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let listed = self.node.file_system.with(|volume| volume.list_names(self.node.node, from, visit));
        // What is before the trouble is listed first; the next turn comes to it again.
        if entries.is_empty() {
            listed?;
        }
        self.entries = entries.into_iter();
        Ok(())
    }
}

impl OpenDirectory for FatListing {
    fn next(&mut self) -> Result<Option<RawEntry>, Errno> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            let Some(from) = self.cursor.take() else { return Ok(None) };
            self.read(from)?;
        }
    }
}
