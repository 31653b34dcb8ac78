//! The namespace: names are found, made, moved and taken away.

use std::collections::BTreeMap;
use std::vec::Vec;

use fuse_proto::entry::WireEntry;
use fuse_proto::{Errno, FileType, Opcode};
use zerocopy::little_endian::U64;
use zerocopy::{FromZeros, IntoBytes};

use super::body::Body;
use super::{Contents, Inode, Reply, Server};

/// RENAME2: an error if the new name is taken.
const NO_REPLACE: u32 = 1;
/// RENAME2: both exchange their names.
const EXCHANGE: u32 = 2;

impl Server {
    pub(super) fn change_names(&mut self, opcode: Opcode, node: u64, mut body: Body<'_>) -> Reply {
        match opcode {
            Opcode::Lookup => {
                let name = body.name();
                body.end();
                self.lookup(node, &name)
            }
            Opcode::SymLink => {
                let (name, target) = (body.name(), body.text());
                body.end();
                assert!((1..=4095).contains(&target.len()), "SYMLINK to a target of {} bytes", target.len());
                self.make(node, &name, Contents::Link(target), 0o777)
            }
            Opcode::MkNod => {
                let (mode, device, umask) = (body.u32(), body.u32(), body.u32());
                body.reserved(4);
                let name = body.name();
                body.end();
                let contents = match FileType::from_mode(mode) {
                    Some(FileType::Regular) => Contents::File(Vec::new()),
                    Some(FileType::Fifo) => Contents::Fifo,
                    Some(kind @ (FileType::Socket | FileType::CharDevice | FileType::BlockDevice)) => {
                        Contents::Special(kind, device)
                    }
                    other => panic!("MKNOD of {other:?}"),
                };
                self.make(node, &name, contents, mode & !umask)
            }
            Opcode::MkDir => {
                let (mode, umask) = (body.u32(), body.u32());
                let name = body.name();
                body.end();
                assert!(matches!(FileType::from_mode(mode), None | Some(FileType::Directory)), "MKDIR with {mode:o}");
                self.make(node, &name, Contents::Directory(BTreeMap::new()), mode & !umask)
            }
            Opcode::Create => {
                let (flags, mode, umask) = (body.u32(), body.u32(), body.u32());
                body.reserved(4);
                let name = body.name();
                body.end();
                assert_eq!(FileType::from_mode(mode), Some(FileType::Regular), "CREATE makes files");
                self.create(node, &name, flags, mode & !umask)
            }
            Opcode::Link => {
                let source = body.u64();
                let name = body.name();
                body.end();
                self.hard_link(node, &name, source)
            }
            Opcode::Unlink | Opcode::RmDir => {
                let name = body.name();
                body.end();
                self.unlink(node, &name, opcode)
            }
            Opcode::Rename | Opcode::Rename2 => {
                let to = body.u64();
                let flags = if opcode == Opcode::Rename2 { body.u32() } else { 0 };
                if opcode == Opcode::Rename2 {
                    body.reserved(4);
                }
                let (name, new_name) = (body.name(), body.name());
                body.end();
                self.rename(node, &name, to, &new_name, flags)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    fn lookup(&mut self, node: u64, name: &[u8]) -> Reply {
        match self.names(node)?.get(name).copied() {
            Some(found) => Ok(self.entry(found).as_bytes().to_vec()),
            None if self.manners.negative_entries => {
                let mut reply = WireEntry::new_zeroed();
                reply.name_lifetime = U64::new(self.manners.name_lifetime.as_secs());
                Ok(reply.as_bytes().to_vec())
            }
            None => Err(Errno::ENOENT),
        }
    }

    /// The names in a directory.
    fn names(&mut self, directory: u64) -> Result<&mut BTreeMap<Vec<u8>, u64>, Errno> {
        match self.inodes.get_mut(&directory) {
            Some(Inode { contents: Contents::Directory(names), .. }) => Ok(names),
            Some(_) => Err(Errno::ENOTDIR),
            None => Err(Errno::ESTALE),
        }
    }

    /// Directories may be changed, unless the server has been told to refuse that or they are gone.
    fn writable(&mut self, directory: u64) -> Result<&mut BTreeMap<Vec<u8>, u64>, Errno> {
        if let Some(errno) = self.manners.refuse_changes {
            return Err(errno);
        }
        if self.inodes.get(&directory).is_some_and(|inode| inode.links == 0) {
            return Err(Errno::ENOENT);
        }
        self.names(directory)
    }

    fn make(&mut self, parent: u64, name: &[u8], contents: Contents, mode: u32) -> Reply {
        let number = self.make_inode(parent, name, contents, mode)?;
        Ok(self.entry(number).as_bytes().to_vec())
    }

    fn make_inode(&mut self, parent: u64, name: &[u8], contents: Contents, mode: u32) -> Result<u64, Errno> {
        if self.writable(parent)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let number = self.add(parent, name, contents);
        let now = self.tick();
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.permissions = (mode & 0o7777) as u16;
            inode.accessed = now;
            inode.modified = now;
            inode.changed = now;
        }
        self.touch_contents(parent);
        Ok(number)
    }

    fn create(&mut self, parent: u64, name: &[u8], flags: u32, mode: u32) -> Reply {
        const EXCLUSIVE: u32 = 0o200;
        const TRUNCATE: u32 = 0o1000;
        let found = self.writable(parent)?.get(name).copied();
        let number = match found {
            Some(_) if flags & EXCLUSIVE != 0 => return Err(Errno::EEXIST),
            Some(found) => {
                let Some(Inode { contents: Contents::File(bytes), .. }) = self.inodes.get_mut(&found) else {
                    return Err(Errno::EISDIR);
                };
                if flags & TRUNCATE != 0 {
                    bytes.clear();
                    self.touch_contents(found);
                }
                found
            }
            None => self.make_inode(parent, name, Contents::File(Vec::new()), mode)?,
        };
        let opened = self.open(number, flags);
        Ok([self.entry(number).as_bytes(), opened.as_bytes()].concat())
    }

    fn hard_link(&mut self, parent: u64, name: &[u8], source: u64) -> Reply {
        self.expect_held(Opcode::Link, source);
        if self.writable(parent)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let inode = self.inodes.get(&source).ok_or(Errno::ESTALE)?;
        if matches!(inode.contents, Contents::Directory(_)) {
            return Err(Errno::EPERM);
        }
        if inode.links == 0 {
            return Err(Errno::ENOENT);
        }
        self.names(parent)?.insert(name.to_vec(), source);
        self.relink(source, 1);
        self.touch_contents(parent);
        Ok(self.entry(source).as_bytes().to_vec())
    }

    fn unlink(&mut self, parent: u64, name: &[u8], opcode: Opcode) -> Reply {
        let found = self.writable(parent)?.get(name).copied().ok_or(Errno::ENOENT)?;
        self.check_known(found)?;
        match (&self.inodes[&found].contents, opcode) {
            (Contents::Directory(_), Opcode::Unlink) => return Err(Errno::EISDIR),
            (Contents::Directory(names), _) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
            (Contents::Directory(_), _) => {}
            (_, Opcode::RmDir) => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.names(parent)?.remove(name);
        self.touch_contents(parent);
        self.relink(found, -1);
        Ok(Vec::new())
    }

    /// As the virtiofsd in C: an object that nobody has a reference to does not lose its name.
    fn check_known(&self, number: u64) -> Result<(), Errno> {
        if self.lookups.get(&number).is_some_and(|&held| held > 0) { Ok(()) } else { Err(Errno::EIO) }
    }

    fn rename(&mut self, from: u64, name: &[u8], to: u64, new_name: &[u8], flags: u32) -> Reply {
        self.expect_held(Opcode::Rename, to);
        if flags != 0 && !self.manners.rename_flags {
            return Err(Errno::EINVAL);
        }
        let moved = self.writable(from)?.get(name).copied().ok_or(Errno::ENOENT)?;
        self.check_known(moved)?;
        let replaced = self.writable(to)?.get(new_name).copied();
        if self.is_below(to, moved) {
            return Err(Errno::EINVAL);
        }
        match (flags, replaced) {
            (NO_REPLACE, Some(_)) => return Err(Errno::EEXIST),
            (EXCHANGE, None) => return Err(Errno::ENOENT),
            (EXCHANGE, Some(other)) => {
                if self.is_below(from, other) {
                    return Err(Errno::EINVAL);
                }
                self.names(from)?.insert(name.to_vec(), other);
                self.names(to)?.insert(new_name.to_vec(), moved);
            }
            (0 | NO_REPLACE, replaced) => {
                if replaced == Some(moved) {
                    // Two names of one file: POSIX leaves both.
                    return Ok(Vec::new());
                }
                if let Some(replaced) = replaced {
                    self.check_replaced(moved, replaced)?;
                }
                self.names(from)?.remove(name);
                self.names(to)?.insert(new_name.to_vec(), moved);
                if let Some(replaced) = replaced {
                    self.relink(replaced, -1);
                }
            }
            _ => return Err(Errno::EINVAL),
        }
        self.touch_contents(from);
        self.touch_contents(to);
        self.relink(moved, 0);
        Ok(Vec::new())
    }

    fn check_replaced(&self, moved: u64, replaced: u64) -> Result<(), Errno> {
        match (&self.inodes[&moved].contents, &self.inodes[&replaced].contents) {
            (Contents::Directory(_), Contents::Directory(names)) if !names.is_empty() => Err(Errno::ENOTEMPTY),
            (Contents::Directory(_), Contents::Directory(_)) => Ok(()),
            (Contents::Directory(_), _) => Err(Errno::ENOTDIR),
            (_, Contents::Directory(_)) => Err(Errno::EISDIR),
            _ => Ok(()),
        }
    }

    /// Whether a directory is another one, or somewhere below it.
    fn is_below(&self, directory: u64, top: u64) -> bool {
        let Some(Inode { contents: Contents::Directory(names), .. }) = self.inodes.get(&top) else { return false };
        directory == top || names.values().any(|&child| self.is_below(directory, child))
    }

    /// An object has gained or lost a name. A directory with one name has two links, or none.
    pub(super) fn relink(&mut self, number: u64, change: i32) {
        let now = self.tick();
        let Some(inode) = self.inodes.get_mut(&number) else { return };
        let step = if matches!(inode.contents, Contents::Directory(_)) { 2 } else { 1 };
        inode.links = inode.links.saturating_add_signed(change * step);
        inode.changed = now;
        self.reap(number);
    }

    /// FU-SEM-14: what has no name, no reference and no handle any more is gone.
    pub(super) fn reap(&mut self, number: u64) {
        let is_used = self.lookups.get(&number).is_some_and(|&held| held > 0)
            || self.handles.values().any(|handle| handle.node == number);
        if number != 1 && !is_used && self.inodes.get(&number).is_some_and(|inode| inode.links == 0) {
            self.inodes.remove(&number);
        }
    }
}
