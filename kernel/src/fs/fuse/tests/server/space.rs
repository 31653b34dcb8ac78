//! What is done with open files besides reading and writing them.

use std::vec::Vec;

use fuse_proto::{Errno, Opcode};

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
