//! Attributes, the extended ones among them.

use std::vec::Vec;

use fuse_proto::ops::{WireAttributesReply, WireStatFs};
use fuse_proto::{AttributeFlags, Attributes, Errno, FileType, InitFlags, Opcode, Timestamp};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::body::Body;
use super::{Contents, Reply, Server};

/// Bits of SETATTR's `valid`.
mod valid {
    pub const MODE: u32 = 1;
    pub const UID: u32 = 2;
    pub const GID: u32 = 4;
    pub const SIZE: u32 = 8;
    pub const ACCESSED: u32 = 0x10;
    pub const MODIFIED: u32 = 0x20;
    pub const HANDLE: u32 = 0x40;
    pub const ACCESSED_NOW: u32 = 0x80;
    pub const MODIFIED_NOW: u32 = 0x100;
    pub const LOCK_OWNER: u32 = 0x200;
    pub const CHANGED: u32 = 0x400;
    pub const KILL_IDS: u32 = 0x800;
}

impl Server {
    pub(super) fn attributes(&self, number: u64) -> Attributes {
        let inode = &self.inodes[&number];
        let (file_type, size) = match &inode.contents {
            Contents::File(bytes) => (FileType::Regular, bytes.len()),
            Contents::Directory(names) => (FileType::Directory, names.len()),
            Contents::Link(target) => (FileType::SymLink, target.len()),
            Contents::Fifo => (FileType::Fifo, 0),
            Contents::Special(kind, _) => (*kind, 0),
        };
        let device = if let Contents::Special(_, device) = inode.contents { device } else { 0 };
        Attributes {
            inode: if self.manners.one_inode { 7 } else { number + 1_000_000 },
            size: size as u64,
            blocks: size.div_ceil(512) as u64,
            accessed: inode.accessed,
            modified: inode.modified,
            changed: inode.changed,
            file_type,
            permissions: inode.permissions,
            links: inode.links,
            uid: inode.uid,
            gid: inode.gid,
            device,
            block_size: 4096,
            flags: AttributeFlags::empty(),
        }
    }

    fn attributes_reply(&self, number: u64) -> Vec<u8> {
        let mut reply = WireAttributesReply::new_zeroed();
        reply.lifetime = U64::new(self.manners.attr_lifetime.as_secs());
        reply.attributes = self.attributes(number).to_wire();
        reply.as_bytes().to_vec()
    }

    pub(super) fn get_attributes(&mut self, node: u64, mut body: Body<'_>) -> Reply {
        let flags = body.u32();
        body.reserved(4);
        let handle = body.u64();
        body.end();
        assert!(flags <= 1, "GETATTR with flags {flags:#x}");
        if flags == 1 {
            self.expect_handle(Opcode::GetAttr, node, handle);
        }
        Ok(self.attributes_reply(node))
    }

    pub(super) fn set_attributes(&mut self, node: u64, mut body: Body<'_>) -> Reply {
        let what = body.u32();
        body.reserved(4);
        let (handle, size, _lock_owner) = (body.u64(), body.u64(), body.u64());
        let (accessed, modified, changed) = (body.u64() as i64, body.u64() as i64, body.u64() as i64);
        let nanoseconds = [body.u32(), body.u32(), body.u32()];
        let mode = body.u32();
        body.reserved(4);
        let (uid, gid) = (body.u32(), body.u32());
        body.reserved(4);
        body.end();
        let known = valid::MODE
            | valid::UID
            | valid::GID
            | valid::SIZE
            | valid::ACCESSED
            | valid::MODIFIED
            | valid::HANDLE
            | valid::ACCESSED_NOW
            | valid::MODIFIED_NOW
            | valid::LOCK_OWNER
            | valid::CHANGED
            | valid::KILL_IDS;
        assert_eq!(what & !known, 0, "SETATTR of {what:#x}");
        assert!(nanoseconds.iter().all(|&nanoseconds| nanoseconds < 1_000_000_000), "SETATTR to {nanoseconds:?}");
        for (now, time) in [(valid::ACCESSED_NOW, valid::ACCESSED), (valid::MODIFIED_NOW, valid::MODIFIED)] {
            assert!(what & now == 0 || what & time != 0, "SETATTR to now comes with the plain bit");
        }
        let has = |bit: u32| what & bit != 0;
        if has(valid::HANDLE) {
            self.expect_handle(Opcode::SetAttr, node, handle);
            self.with_handle += 1;
        }
        if let Some(errno) = self.manners.refuse_changes {
            return Err(errno);
        }
        let now = self.tick();
        let inode = self.inodes.get_mut(&node).ok_or(Errno::ESTALE)?;
        if has(valid::SIZE) {
            let Contents::File(bytes) = &mut inode.contents else { return Err(Errno::EISDIR) };
            let size = usize::try_from(size).map_err(|_| Errno::EFBIG)?;
            if size > super::LARGEST_FILE {
                return Err(Errno::EFBIG);
            }
            bytes.resize(size, 0);
            inode.modified = now;
        }
        if has(valid::MODE) {
            inode.permissions = (mode & 0o7777) as u16;
        }
        if has(valid::UID) {
            inode.uid = uid;
        }
        if has(valid::GID) {
            inode.gid = gid;
        }
        let [accessed_nanos, modified_nanos, changed_nanos] = nanoseconds;
        if has(valid::ACCESSED_NOW) {
            inode.accessed = now;
        } else if has(valid::ACCESSED) {
            inode.accessed = Timestamp { seconds: accessed, nanoseconds: accessed_nanos };
        }
        if has(valid::MODIFIED_NOW) {
            inode.modified = now;
        } else if has(valid::MODIFIED) {
            inode.modified = Timestamp { seconds: modified, nanoseconds: modified_nanos };
        }
        inode.changed = now;
        if has(valid::CHANGED) {
            inode.changed = Timestamp { seconds: changed, nanoseconds: changed_nanos };
        }
        Ok(self.attributes_reply(node))
    }

    pub(super) fn xattr(&mut self, opcode: Opcode, node: u64, mut body: Body<'_>) -> Reply {
        match opcode {
            Opcode::SetXattr => {
                let (size, mode) = (body.u32() as usize, body.u32());
                if self.agreed.contains(InitFlags::SETXATTR_EXT) {
                    assert!(body.u32() <= 1, "SETXATTR with unknown flags");
                    body.reserved(4);
                }
                let name = body.text();
                let value = body.bytes(size).to_vec();
                body.end();
                self.set_xattr(node, name, value, mode)
            }
            Opcode::GetXattr => {
                let size = body.u32() as usize;
                body.reserved(4);
                let name = body.text();
                body.end();
                let value = self.inodes[&node].xattrs.get(&name).cloned().ok_or(Errno::ENODATA)?;
                sized(value, size)
            }
            Opcode::ListXattr => {
                let size = body.u32() as usize;
                body.reserved(4);
                body.end();
                let names = self.inodes[&node].xattrs.keys().flat_map(|name| [name, &b"\0"[..]].concat()).collect();
                sized(names, size)
            }
            _ => {
                let name = body.text();
                body.end();
                let inode = self.inodes.get_mut(&node).ok_or(Errno::ESTALE)?;
                inode.xattrs.remove(&name).map(|_| Vec::new()).ok_or(Errno::ENODATA)
            }
        }
    }

    fn set_xattr(&mut self, node: u64, name: Vec<u8>, value: Vec<u8>, mode: u32) -> Reply {
        const CREATE: u32 = 1;
        const REPLACE: u32 = 2;
        assert!((1..=255).contains(&name.len()), "SETXATTR of a name of {} bytes", name.len());
        let now = self.tick();
        let inode = self.inodes.get_mut(&node).ok_or(Errno::ESTALE)?;
        match (mode, inode.xattrs.contains_key(&name)) {
            (CREATE, true) => return Err(Errno::EEXIST),
            (REPLACE, false) => return Err(Errno::ENODATA),
            (0 | CREATE | REPLACE, _) => {}
            _ => panic!("SETXATTR with mode {mode}"),
        }
        inode.xattrs.insert(name, value);
        inode.changed = now;
        Ok(Vec::new())
    }

    pub(super) fn status() -> Vec<u8> {
        let mut reply = WireStatFs::new_zeroed();
        reply.blocks = U64::new(1000);
        reply.blocks_free = U64::new(400);
        reply.fragment_size = U32::new(512);
        reply.name_len = U32::new(255);
        reply.as_bytes().to_vec()
    }
}

/// The answer to a question for a value, or for its size.
fn sized(value: Vec<u8>, room: usize) -> Reply {
    match room {
        0 => Ok([U32::new(value.len() as u32), U32::ZERO].as_bytes().to_vec()),
        room if room < value.len() => Err(Errno::ERANGE),
        _ => Ok(value),
    }
}
