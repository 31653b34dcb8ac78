//! Handles to what is in an archive.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;
use toro_core::DmaBuf;

use super::index::{Kind, Object};
use super::{Archive, BLOCK, READ_LIMIT};
use crate::fs::locks::LockHolder;
use crate::fs::metadata::{FileType, Metadata};
use crate::fs::vfs::{
    FileChanges, Freshness, LockKind, LockWait, Node, NodeChanges, OpenDirectory, OpenFile, RawEntry, SeekTarget,
};

/// A handle to an object.
#[derive(Clone)]
pub struct ArchiveNode {
    archive: Rc<Archive>,
    number: u32,
}

impl ArchiveNode {
    pub(super) fn new(archive: Rc<Archive>, number: u32) -> Self {
        Self { archive, number }
    }

    /// What it is a handle to.
    fn object(&self) -> Result<&Object, Errno> {
        self.archive.expect_open()?;
        self.archive.index.object(self.number).ok_or(Errno::ESTALE)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let object = self.object()?;
        let (kind, len, stored, device) = match &object.kind {
            Kind::Directory(_) => (0o040_000, 0, 0, 0),
            Kind::File(contents) => (0o100_000, contents.len(), contents.stored(), 0),
            Kind::Symlink(target) => (0o120_000, target.len() as u64, 0, 0),
            Kind::Special(file_type, device) => (mode_of(*file_type), 0, 0, *device),
        };
        let attributes = object.attributes;
        Ok(Metadata {
            file_type: object.file_type(),
            len,
            mode: kind | attributes.mode,
            inode: inode(self.number),
            links: object.links,
            uid: attributes.uid,
            gid: attributes.gid,
            device,
            blocks: stored.div_ceil(BLOCK),
            block_size: BLOCK as u32,
            accessed: attributes.modified,
            modified: attributes.modified,
            changed: attributes.modified,
        })
    }
}

/// The bits of a mode that say what a special file is.
fn mode_of(file_type: FileType) -> u32 {
    match file_type {
        FileType::BlockDevice => 0o060_000,
        FileType::CharacterDevice => 0o020_000,
        FileType::Socket => 0o140_000,
        _ => 0o010_000,
    }
}

/// The root has 1, and nothing has 0.
fn inode(number: u32) -> u64 {
    u64::from(number) + 1
}

impl Node for ArchiveNode {
    fn id(&self) -> u64 {
        inode(self.number)
    }

    fn file_type(&self) -> FileType {
        self.archive.index.object(self.number).map_or(FileType::File, Object::file_type)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Self::metadata(self)
    }

    fn lookup(&self, name: &[u8], _: Freshness) -> Result<Rc<dyn Node>, Errno> {
        match &self.object()?.kind {
            Kind::Directory(names) => {
                let node: Rc<dyn Node> = self.archive.node(*names.get(name).ok_or(Errno::ENOENT)?)?;
                Ok(node)
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match &self.object()?.kind {
            Kind::Symlink(target) => Ok(target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self) -> Result<Box<dyn OpenFile>, Errno> {
        match &self.object()?.kind {
            Kind::File(_) => {
                let lock = self.archive.locks.holder(self.id());
                Ok(Box::new(ArchiveFile { node: self.clone(), lock }))
            }
            Kind::Directory(_) => Err(Errno::EISDIR),
            Kind::Symlink(_) => Err(Errno::ELOOP),
            Kind::Special(..) => Err(Errno::ENXIO),
        }
    }

    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>, Errno> {
        match &self.object()?.kind {
            Kind::Directory(_) => Ok(Box::new(ArchiveListing { node: self.clone(), last: Place::Start })),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

impl NodeChanges for ArchiveNode {}

/// A file that is open.
struct ArchiveFile {
    node: ArchiveNode,
    lock: LockHolder,
}

impl OpenFile for ArchiveFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.node.metadata()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        match &self.node.object()?.kind {
            Kind::File(contents) => Ok(contents.read(self.node.archive.image(), buffer, offset)),
            _ => Err(Errno::EISDIR),
        }
    }

    /// With a copy, alas: the archive is not for devices, which could write it.
    fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf, Errno> {
        let left = usize::try_from(self.metadata()?.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let room = length.min(left).min(READ_LIMIT);
        let mut buffer = (self.node.archive.buffer)(room.max(1))?;
        buffer.set_len(room).map_err(|_| Errno::ENOMEM)?;
        let count = self.read_at(&mut buffer, offset)?;
        buffer.set_len(count).map_err(|_| Errno::EIO)?;
        Ok(buffer)
    }

    fn read_limit(&self) -> usize {
        READ_LIMIT
    }

    fn seek(&self, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
        match &self.node.object()?.kind {
            Kind::File(contents) => contents.seek(offset, target),
            _ => Err(Errno::EISDIR),
        }
    }
}

/// An archive is never written, but locks hold between those who read.
impl FileChanges for ArchiveFile {
    fn lock(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        self.node.archive.expect_open()?;
        self.lock.lock(kind, wait)
    }

    fn unlock(&self) -> Result<(), Errno> {
        self.node.archive.expect_open()?;
        self.lock.unlock();
        Ok(())
    }
}

/// A directory that is being listed.
struct ArchiveListing {
    node: ArchiveNode,
    last: Place,
}

/// How far a listing has come.
enum Place {
    Start,
    Behind(Box<[u8]>),
    End,
}

impl OpenDirectory for ArchiveListing {
    fn next(&mut self) -> Result<Option<RawEntry>, Errno> {
        self.node.archive.expect_open()?;
        let last = match &self.last {
            Place::Start => None,
            Place::Behind(name) => Some(&**name),
            Place::End => return Ok(None),
        };
        let index = &self.node.archive.index;
        let Some((name, number)) = index.next_name(self.node.number, last) else {
            self.last = Place::End;
            return Ok(None);
        };
        let entry = RawEntry {
            name: name.into(),
            inode: inode(number),
            file_type: index.object(number).map(Object::file_type),
        };
        self.last = Place::Behind(entry.name.clone());
        Ok(Some(entry))
    }
}
