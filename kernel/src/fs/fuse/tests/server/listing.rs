//! Listings, with and without nodes.

use std::vec::Vec;

use fuse_proto::dirent::{WireDirEntry, WireDirEntryPlus};
use fuse_proto::entry::WireEntry;
use fuse_proto::{Errno, Opcode};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::body::Body;
use super::{Contents, Reply, Server};

impl Server {
    /// A cookie is the number of the name it comes after, so that names that come and go meanwhile shift nothing; names
    /// are numbered downwards from the end, because cookies are no indices.
    pub(super) fn list(&mut self, opcode: Opcode, node: u64, mut body: Body<'_>) -> Reply {
        let (handle, offset, size) = (body.u64(), body.u64(), body.u32() as usize);
        let (_read_flags, _lock_owner, _flags) = (body.u32(), body.u64(), body.u32());
        body.reserved(4);
        body.end();
        if self.has(Opcode::OpenDir) {
            self.expect_handle(opcode, node, handle);
        }
        let Contents::Directory(names) = &self.inodes[&node].contents else { return Err(Errno::ENOTDIR) };
        let cookies = self.cookies.entry(node).or_default();
        cookies.retain(|name, _| names.contains_key(name));
        for name in names.keys() {
            let next = cookies.values().min().map_or(u64::MAX - 2, |last| last - 1);
            cookies.entry(name.clone()).or_insert(next);
        }
        let mut all: Vec<(Vec<u8>, u64, u64)> =
            [(b".".to_vec(), node, u64::MAX), (b"..".to_vec(), 1, u64::MAX - 1)].into();
        all.extend(names.iter().map(|(name, &number)| (name.clone(), number, cookies[name])));
        all.sort_by_key(|&(_, _, cookie)| core::cmp::Reverse(cookie));
        let plus = opcode == Opcode::ReadDirPlus;
        if let Some(errno) = self.manners.refuse_nodes.filter(|_| plus && offset != 0) {
            return Err(errno);
        }
        let mut reply = Vec::new();
        for (name, number, cookie) in all.iter().filter(|&&(_, _, cookie)| offset == 0 || cookie < offset) {
            let head = if plus { size_of::<WireDirEntryPlus>() } else { size_of::<WireDirEntry>() };
            let length = (head + name.len()).next_multiple_of(8);
            if reply.len() + length > size {
                break;
            }
            let end = reply.len() + length;
            if plus {
                let is_dot = matches!(&name[..], b"." | b"..");
                let entry = if is_dot { WireEntry::new_zeroed() } else { self.entry(*number) };
                reply.extend_from_slice(entry.as_bytes());
            }
            let kind = self.attributes(*number).file_type.dirent_bits();
            let dirent = WireDirEntry {
                inode: U64::new(number + 1_000_000),
                next: U64::new(*cookie),
                name_len: U32::new(name.len() as u32),
                kind: U32::new(if self.manners.hide_kinds { 0 } else { kind }),
            };
            reply.extend_from_slice(dirent.as_bytes());
            reply.extend_from_slice(name);
            reply.resize(end, 0xEE);
        }
        Ok(reply)
    }
}
