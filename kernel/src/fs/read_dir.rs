//! Listings for applications.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;

use fuse_proto::Errno;

use super::metadata::{FileType, Metadata};
use super::vfs::{Freshness, Node, OpenDirectory, RawEntry};
use crate::io::Result;

/// The names in a directory, in the server's order, without `.` and `..`, as `std::fs::ReadDir`.
///
/// A directory that changes while it is listed may or may not show the change. After an error the listing has ended.
pub struct ReadDir {
    directory: Rc<Directory>,
    listing: Box<dyn OpenDirectory>,
}

struct Directory {
    path: Box<[u8]>,
    node: Rc<dyn Node>,
}

/// A name in a directory, as `std::fs::DirEntry`.
pub struct DirEntry {
    directory: Rc<Directory>,
    raw: RawEntry,
}

impl ReadDir {
    pub(super) fn new(path: &[u8], node: Rc<dyn Node>) -> core::result::Result<Self, Errno> {
        let listing = node.open_directory()?;
        Ok(Self { directory: Rc::new(Directory { path: path.into(), node }), listing })
    }
}

impl Iterator for ReadDir {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = self.listing.next().transpose()?;
        Some(raw.map(|raw| DirEntry { directory: Rc::clone(&self.directory), raw }).map_err(Into::into))
    }
}

impl DirEntry {
    /// The name alone.
    pub fn file_name(&self) -> &[u8] {
        &self.raw.name
    }

    /// The path that was listed, with the name.
    pub fn path(&self) -> Vec<u8> {
        let directory = &*self.directory.path;
        let slash: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
        [directory, slash, &self.raw.name].concat()
    }

    /// The inode number; see [`Metadata::inode`].
    pub fn inode(&self) -> u64 {
        self.raw.inode
    }

    /// What it is. Links are not followed. Costs nothing where the listing says it.
    ///
    /// # Errors
    ///
    /// As [`metadata`](Self::metadata).
    pub fn file_type(&self) -> Result<FileType> {
        match self.raw.file_type {
            Some(file_type) => Ok(file_type),
            None => Ok(self.node()?.file_type()),
        }
    }

    /// Its attributes. Links are not followed. Mostly costs nothing while the listing goes on; who takes all names first and
    /// looks at them then pays for a request each.
    ///
    /// # Errors
    ///
    /// `NotFound` if it is gone by now, and what the server says.
    pub fn metadata(&self) -> Result<Metadata> {
        Ok(self.node()?.metadata()?)
    }

    fn node(&self) -> core::result::Result<Rc<dyn Node>, Errno> {
        self.directory.node.lookup(&self.raw.name, Freshness::Cached)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReadDir(\"{}\")", self.directory.path.escape_ascii())
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DirEntry(\"{}\")", self.path().escape_ascii())
    }
}
