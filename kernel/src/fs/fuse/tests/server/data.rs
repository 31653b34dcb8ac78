//! Open files: what they hold, and the handles to them.

use std::vec::Vec;

use fuse_proto::ops::{OpenedFlags, WireOpened, WireWritten};
use fuse_proto::{Errno, InitFlags, Opcode};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::body::Body;
use super::{Contents, Handle, Reply, Server};

/// Linux' numbers.
const CREATE: u32 = 0o100;
const EXCLUSIVE: u32 = 0o200;
const TRUNCATE: u32 = 0o1000;
const APPEND: u32 = 0o2000;

impl Server {
    pub(super) fn use_file(&mut self, opcode: Opcode, node: u64, mut body: Body<'_>) -> Reply {
        match opcode {
            Opcode::Open | Opcode::OpenDir => {
                let flags = body.u32();
                body.reserved(4);
                body.end();
                self.check_open(opcode, node, flags)?;
                Ok(self.open(node, flags).as_bytes().to_vec())
            }
            Opcode::Release | Opcode::ReleaseDir => {
                let handle = body.u64();
                let _flags = body.u32();
                let (ends, lock_owner) = (body.u32(), body.u64());
                assert!(ends <= 3, "{opcode} with unknown flags");
                body.end();
                let lock = self.locks.get_mut(&node).and_then(|locks| locks.remove(&handle));
                match lock {
                    Some((owner, _)) if ends & 2 == 0 || owner != lock_owner => {
                        self.offence(format_args!("{opcode} of a handle that has a lock, which it does not say"));
                    }
                    _ => {}
                }
                self.release(opcode, node, handle)
            }
            Opcode::Read => self.read(node, body),
            Opcode::Write => self.write(node, body),
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
            _ => self.use_space(opcode, node, body),
        }
    }

    /// What OPEN does besides opening.
    fn check_open(&mut self, opcode: Opcode, node: u64, flags: u32) -> Result<(), Errno> {
        let is_writer = flags & 3 != 0;
        if let (true, Some(errno)) = (is_writer, self.manners.refuse_changes) {
            return Err(errno);
        }
        if flags & (CREATE | EXCLUSIVE) != 0 {
            self.offence(format_args!("{opcode} with flags {flags:o}"));
        }
        if flags & TRUNCATE != 0 {
            if !is_writer || !self.agreed.contains(InitFlags::ATOMIC_O_TRUNC) {
                self.offence(format_args!("{opcode} empties a file, which nobody has agreed to"));
            }
            self.bytes(node)?.clear();
            self.touch_contents(node);
        }
        Ok(())
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

    fn write(&mut self, node: u64, mut body: Body<'_>) -> Reply {
        let (handle, offset, size) = (body.u64(), body.u64() as usize, body.u32() as usize);
        let (write_flags, _lock_owner, flags) = (body.u32(), body.u64(), body.u32());
        body.reserved(4);
        let bytes = body.bytes(size);
        body.end();
        assert_eq!(write_flags, 0, "there is no cache, no owner of locks, and nobody who removes bits");
        self.largest_write = self.largest_write.max(size);
        let mut opened = flags;
        if self.has(Opcode::Open) {
            self.expect_handle(Opcode::Write, node, handle);
            opened = self.handles.get(&handle).map_or(0, |open| open.flags);
        }
        if opened & 3 == 0 || opened & APPEND != flags & APPEND || flags & TRUNCATE != 0 {
            self.offence(format_args!("WRITE with flags {flags:o} to a handle that was opened with {opened:o}"));
        }
        let length = self.bytes(node)?.len();
        let offset = if opened & APPEND != 0 && self.manners.appends { length } else { offset };
        self.written.push((offset, size));
        let bytes = bytes.get(..self.manners.longest_write.min(size)).unwrap_or_default();
        let count = self.store(node, offset, bytes)?;
        let mut reply = WireWritten::new_zeroed();
        reply.size = U32::new(count as u32);
        Ok(reply.as_bytes().to_vec())
    }

    /// Puts bytes into a file, as many as there is room for.
    pub(super) fn store(&mut self, node: u64, offset: usize, bytes: &[u8]) -> Result<usize, Errno> {
        let room = self.manners.room.saturating_sub(offset);
        if room == 0 && !bytes.is_empty() {
            return Err(Errno::ENOSPC);
        }
        let bytes = &bytes[..bytes.len().min(room)];
        let file = self.bytes(node)?;
        let end = offset + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset..end].copy_from_slice(bytes);
        self.touch_contents(node);
        Ok(bytes.len())
    }
}
