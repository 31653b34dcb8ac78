//! What the server holds: inodes, and the names that lead to them.

use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use fuse_proto::{FileType, Timestamp};

use super::Server;

/// What an inode holds.
#[derive(Clone)]
pub enum Contents {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, u64>),
    Link(Vec<u8>),
    Fifo,
    Special(FileType, u32),
}

#[derive(Clone)]
pub struct Inode {
    pub contents: Contents,
    pub generation: u64,
    pub permissions: u16,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub accessed: Timestamp,
    pub modified: Timestamp,
    pub changed: Timestamp,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Inode {
    pub(super) fn new(contents: Contents) -> Self {
        let links = if matches!(contents, Contents::Directory(_)) { 2 } else { 1 };
        let (accessed, modified, changed) = (BIRTH, BIRTH, BIRTH);
        let xattrs = BTreeMap::new();
        let (permissions, uid, gid) = (0o644, 0, 0);
        Self { contents, generation: 1, permissions, uid, gid, links, accessed, modified, changed, xattrs }
    }
}

/// When everything was made that tests prepare.
pub(super) const BIRTH: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 5 };

impl Server {
    /// Creates what `path` names, with the directories on the way, or replaces it by a new inode.
    pub fn put(&mut self, path: &str, contents: Contents) -> u64 {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut directory = 1;
        for name in parent.split('/').filter(|name| !name.is_empty()) {
            directory = match self.child(directory, name.as_bytes()) {
                Some(found) => found,
                None => self.add(directory, name.as_bytes(), Contents::Directory(BTreeMap::new())),
            };
        }
        self.add(directory, name.as_bytes(), contents)
    }

    pub fn file(&mut self, path: &str, bytes: &[u8]) -> u64 {
        self.put(path, Contents::File(bytes.to_vec()))
    }

    pub fn link(&mut self, path: &str, target: &str) -> u64 {
        self.put(path, Contents::Link(target.as_bytes().to_vec()))
    }

    pub fn directory(&mut self, path: &str) -> u64 {
        self.put(path, Contents::Directory(BTreeMap::new()))
    }

    /// Removes what `path` names, on the host.
    pub fn remove(&mut self, path: &str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.number(parent).expect("tests remove what they created");
        let Some(Inode { contents: Contents::Directory(names), .. }) = self.inodes.get_mut(&directory) else {
            panic!("tests remove what they created")
        };
        if let Some(removed) = names.remove(name.as_bytes()) {
            self.relink(removed, -1);
        }
    }

    /// The inode that `path` names, if there is one.
    pub fn number(&self, path: &str) -> Option<u64> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(1, |at, name| self.child(at, name.as_bytes()))
    }

    /// What `path` names.
    pub fn inode(&mut self, path: &str) -> &mut Inode {
        let number = self.number(path).unwrap_or_else(|| panic!("there is no {path}"));
        self.inodes.get_mut(&number).expect("names have inodes")
    }

    /// All paths, in order.
    pub fn tree(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk(1, "", &mut paths);
        paths
    }

    fn walk(&self, directory: u64, path: &str, paths: &mut Vec<String>) {
        let Contents::Directory(names) = &self.inodes[&directory].contents else { return };
        for (name, &number) in names {
            let slash = if path.is_empty() { "" } else { "/" };
            let path = [path, slash, &String::from_utf8_lossy(name)].concat();
            paths.push(path.clone());
            self.walk(number, &path, paths);
        }
    }

    pub(super) fn add(&mut self, directory: u64, name: &[u8], contents: Contents) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(number, Inode::new(contents));
        let Some(Inode { contents: Contents::Directory(names), .. }) = self.inodes.get_mut(&directory) else {
            panic!("tests create things in directories")
        };
        if let Some(replaced) = names.insert(name.to_vec(), number) {
            self.relink(replaced, -1);
        }
        number
    }

    pub(super) fn child(&self, directory: u64, name: &[u8]) -> Option<u64> {
        match &self.inodes.get(&directory)?.contents {
            Contents::Directory(names) => names.get(name).copied(),
            _ => None,
        }
    }
}
