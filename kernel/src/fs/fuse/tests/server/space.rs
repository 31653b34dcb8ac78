//! What is done with open files besides reading and writing them.

use std::vec::Vec;

use fuse_proto::{Errno, InitFlags, Opcode};

use super::body::Body;
use super::{Contents, LARGEST_FILE, Reply, Server};

/// Files are looked at in blocks of so many bytes: one that is all zeros is a hole.
const BLOCK: usize = 4096;

impl Server {
    pub(super) fn use_space(&mut self, opcode: Opcode, node: u64, mut body: Body<'_>) -> Reply {
        let handle = body.u64();
        if self.has(Opcode::Open) {
            self.expect_handle(opcode, node, handle);
        }
        match opcode {
            Opcode::FSync => {
                let flags = body.u32();
                assert!(flags <= 1, "FSYNC with unknown flags");
                body.reserved(4);
                body.end();
                self.synced.push((node, if flags == 1 { "data" } else { "all" }));
                Ok(Vec::new())
            }
            Opcode::Flush => {
                body.reserved(8);
                let _lock_owner = body.u64();
                body.end();
                self.manners.flush_error.map_or(Ok(Vec::new()), Err)
            }
            Opcode::SetLk => {
                let owner = body.u64();
                let (start, end, kind, _pid) = (body.u64(), body.u64(), body.u32(), body.u32());
                let style = body.u32();
                body.reserved(4);
                body.end();
                assert_eq!((start, end, style), (0, u64::MAX >> 1, 1), "locks are for whole files");
                if !self.agreed.contains(InitFlags::FLOCK_LOCKS) {
                    self.offence("SETLK, which nobody has agreed to");
                }
                self.lock(node, handle, owner, kind)
            }
            Opcode::FAllocate => {
                let (offset, length, mode) = (body.u64() as usize, body.u64() as usize, body.u32());
                body.reserved(4);
                body.end();
                self.allocate(node, offset, length, mode)
            }
            Opcode::LSeek => {
                let (offset, whence) = (body.u64() as usize, body.u32());
                body.reserved(4);
                body.end();
                self.seek(node, offset, whence)
            }
            Opcode::CopyFileRange | Opcode::CopyFileRange64 => {
                let offset = body.u64() as usize;
                let (to_node, to_handle, to_offset) = (body.u64(), body.u64(), body.u64() as usize);
                let length = usize::try_from(body.u64()).expect("tests have small files");
                body.reserved(8);
                body.end();
                self.expect_held(opcode, to_node);
                self.expect_handle(opcode, to_node, to_handle);
                let longest = self.manners.longest_copy;
                let from = self.bytes(node)?;
                let part = from.get(offset.min(from.len())..).unwrap_or_default();
                let part = part[..part.len().min(length).min(longest)].to_vec();
                let count = self.store(to_node, to_offset, &part)?;
                Ok((count as u64).to_le_bytes().to_vec())
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    pub(super) fn bytes(&mut self, node: u64) -> Result<&mut Vec<u8>, Errno> {
        match &mut self.inodes.get_mut(&node).ok_or(Errno::ESTALE)?.contents {
            Contents::File(bytes) => Ok(bytes),
            _ => Err(Errno::EISDIR),
        }
    }

    fn allocate(&mut self, node: u64, offset: usize, length: usize, mode: u32) -> Reply {
        assert!(length > 0 && matches!(mode, 0 | 1 | 3 | 0x10), "FALLOCATE of {length} bytes, mode {mode}");
        let bytes = self.bytes(node)?;
        let end = offset + length;
        if end > LARGEST_FILE {
            return Err(Errno::EFBIG);
        }
        if mode & 1 == 0 && bytes.len() < end {
            bytes.resize(end, 0);
        }
        if mode & 0x12 != 0 {
            let end = end.min(bytes.len());
            bytes[offset.min(end)..end].fill(0);
        }
        self.touch_contents(node);
        Ok(Vec::new())
    }

    /// Handle 0 is somebody on the host.
    pub fn lock(&mut self, node: u64, handle: u64, owner: u64, kind: u32) -> Reply {
        let locks = self.locks.entry(node).or_default();
        let is_free = locks.iter().all(|(&other, &(_, theirs))| other == handle || (kind, theirs) == (0, 0));
        match kind {
            2 => drop(locks.remove(&handle)),
            // As flock: who wants another lock gives up the one it has.
            _ if !is_free => {
                locks.remove(&handle);
                return Err(Errno::EAGAIN);
            }
            _ => drop(locks.insert(handle, (owner, kind))),
        }
        Ok(Vec::new())
    }

    fn seek(&mut self, node: u64, offset: usize, whence: u32) -> Reply {
        let bytes = self.bytes(node)?;
        let size = bytes.len();
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let is_hole = |at: usize| {
            let block = at / BLOCK * BLOCK;
            bytes[block..size.min(block + BLOCK)].iter().all(|&byte| byte == 0)
        };
        let wants_hole = match whence {
            3 => false,
            4 => true,
            other => panic!("LSEEK for {other}"),
        };
        let found = (offset..size).find(|&at| is_hole(at) == wants_hole);
        match found {
            Some(found) => Ok((found as u64).to_le_bytes().to_vec()),
            None if wants_hole => Ok((size as u64).to_le_bytes().to_vec()),
            None => Err(Errno::ENXIO),
        }
    }
}
