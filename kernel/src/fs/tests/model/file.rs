//! The model's open files.

use fuse_proto::Errno;
use toro_core::{DmaBuf, DmaPool};

use super::node::ModelNode;
use super::{Kind, Result};
use crate::fs::fuse::tests::memory::Heap;
use crate::fs::locks::LockHolder;
use crate::fs::metadata::{AttributeChanges, Metadata};
use crate::fs::vfs::{Allocation, Appended, FileChanges, LockKind, LockWait, OpenFile, SeekTarget, Sync};

/// As many zeros, at a multiple of that, are a hole.
pub const BLOCK: usize = 4096;
/// How many bytes are copied by one request.
const COPY: u64 = 100_000;

pub struct ModelFile {
    node: ModelNode,
    lock: LockHolder,
}

impl ModelFile {
    pub fn new(node: ModelNode) -> Self {
        let lock = node.model.locks.holder(node.number);
        Self { node, lock }
    }

    fn bytes<T>(&self, function: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T> {
        self.node.model.check()?;
        Ok(self.node.model.object(self.node.number, |object| match &mut object.kind {
            Kind::File(bytes) => function(bytes),
            _ => unreachable!("only files are opened"),
        }))
    }
}

impl OpenFile for ModelFile {
    fn metadata(&self) -> Result<Metadata> {
        self.node.metadata()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.bytes(|bytes| {
            let from = bytes.get(offset as usize..).unwrap_or_default();
            let count = from.len().min(buffer.len());
            buffer[..count].copy_from_slice(&from[..count]);
            count
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

    fn seek(&self, offset: u64, target: SeekTarget) -> Result<u64> {
        self.bytes(|file| {
            let is_hole = |block: &[u8]| block.len() == BLOCK && block.iter().all(|&byte| byte == 0);
            let wanted = target == SeekTarget::Hole;
            let first = offset as usize / BLOCK;
            if offset >= file.len() as u64 {
                return Err(Errno::ENXIO);
            }
            match file.chunks(BLOCK).enumerate().skip(first).find(|(_, block)| is_hole(block) == wanted) {
                Some((index, _)) => Ok(offset.max((index * BLOCK) as u64)),
                None if wanted => Ok(file.len() as u64),
                None => Err(Errno::ENXIO),
            }
        })?
    }
}

impl FileChanges for ModelFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        self.bytes(|file| {
            let start = offset as usize;
            if file.len() < start + bytes.len() && !bytes.is_empty() {
                file.resize(start + bytes.len(), 0);
            }
            if !bytes.is_empty() {
                file[start..start + bytes.len()].copy_from_slice(bytes);
            }
            bytes.len()
        })
    }

    fn append(&self, bytes: &[u8]) -> Result<Appended> {
        self.bytes(|file| {
            file.extend_from_slice(bytes);
            Appended { count: bytes.len(), end: file.len() as u64 }
        })
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.bytes(|file| file.resize(length as usize, 0))
    }

    fn sync(&self, what: Sync) -> Result<()> {
        self.node.model.check()?;
        self.node.model.synced.borrow_mut().push(match what {
            Sync::Data => "data",
            Sync::All => "file",
        });
        Ok(())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        self.node.set_attributes(changes)
    }

    fn allocate(&self, offset: u64, length: u64, how: Allocation) -> Result<()> {
        self.bytes(|file| {
            let (start, end) = (offset as usize, (offset + length) as usize);
            if file.len() < end && matches!(how, Allocation::Extend | Allocation::Zero) {
                file.resize(end, 0);
            }
            if matches!(how, Allocation::PunchHole | Allocation::Zero) {
                let end = end.min(file.len());
                file[start.min(end)..end].fill(0);
            }
        })
    }

    fn copy_to(&self, offset: u64, target: u64, target_offset: u64, length: u64) -> Result<u64> {
        let length = length.min(COPY) as usize;
        let bytes = self.bytes(|file| {
            let rest = file.get(offset as usize..).unwrap_or_default();
            rest[..rest.len().min(length)].to_vec()
        })?;
        let model = &self.node.model;
        let copied = ModelFile::new(model.handle(target)).write_at(&bytes, target_offset)? as u64;
        model.copied.set(model.copied.get() + copied);
        Ok(copied)
    }

    fn identity(&self) -> Option<u64> {
        Some(self.node.number)
    }

    fn lock(&self, kind: LockKind, wait: LockWait) -> Result<()> {
        self.node.model.check()?;
        self.lock.lock(kind, wait)
    }

    fn unlock(&self) -> Result<()> {
        self.node.model.check()?;
        self.lock.unlock();
        Ok(())
    }

    /// Writes are never kept back, but they may have failed for all that others know.
    fn flush(&self) -> Result<()> {
        self.node.model.check()?;
        self.node.model.synced.borrow_mut().push("flush");
        Ok(())
    }
}
