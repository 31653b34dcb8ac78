//! Open files: what they hold, and the handles to them.

use std::vec::Vec;

use fuse_proto::ops::{OpenedFlags, WireOpened};
use fuse_proto::{Errno, Opcode};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::body::Body;
use super::{Contents, Handle, Reply, Server};

impl Server {
    pub(super) fn use_file(&mut self, opcode: Opcode, node: u64, mut body: Body<'_>) -> Reply {
        match opcode {
            Opcode::Open | Opcode::OpenDir => {
                let flags = body.u32();
                body.reserved(4);
                body.end();
                Ok(self.open(node, flags).as_bytes().to_vec())
            }
            Opcode::Release | Opcode::ReleaseDir => {
                let handle = body.u64();
                let _flags = body.u32();
                assert!(body.u32() <= 3, "{opcode} with unknown flags");
                let _lock_owner = body.u64();
                body.end();
                self.release(opcode, node, handle)
            }
            Opcode::Read => self.read(node, body),
            Opcode::FSyncDir => {
                let handle = body.u64();
                assert!(body.u32() <= 1, "{opcode} with unknown flags");
                body.reserved(4);
                body.end();
                self.expect_handle(opcode, node, handle);
                Ok(Vec::new())
            }
            Opcode::SyncFs => {
                body.reserved(8);
                body.end();
                Ok(Vec::new())
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    pub(super) fn open(&mut self, node: u64, flags: u32) -> WireOpened {
        self.next_handle += 1;
        self.handles.insert(self.next_handle, Handle { node, flags });
        let mut reply = WireOpened::new_zeroed();
        reply.handle = U64::new(self.next_handle);
        let opened = match self.inodes[&node].contents {
            Contents::Directory(_) => self.manners.opened - OpenedFlags::DIRECT_IO,
            _ => self.manners.opened,
        };
        reply.flags = U32::new(opened.bits());
        reply
    }

    fn release(&mut self, opcode: Opcode, node: u64, handle: u64) -> Reply {
        if self.handles.remove(&handle).is_none_or(|handle| handle.node != node) {
            self.offence(format_args!("{opcode} of a handle that is not open"));
        }
        self.reap(node);
        Ok(Vec::new())
    }

    fn read(&mut self, node: u64, mut body: Body<'_>) -> Reply {
        let (handle, offset, size) = (body.u64(), body.u64() as usize, body.u32() as usize);
        let (_read_flags, _lock_owner, _flags) = (body.u32(), body.u64(), body.u32());
        body.reserved(4);
        body.end();
        if self.has(Opcode::Open) {
            self.expect_handle(Opcode::Read, node, handle);
        }
        self.largest_read = self.largest_read.max(size);
        let Contents::File(bytes) = &self.inodes[&node].contents else { return Err(Errno::EISDIR) };
        let start = bytes.len().min(offset);
        let end = bytes.len().min(start + size);
        Ok(bytes[start..end].to_vec())
    }
}
