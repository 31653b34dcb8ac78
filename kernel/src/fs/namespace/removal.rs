//! Removing a directory with all that is in it.
//!
//! The walk holds a handle to each directory that it is in and asks for single names there, so it never follows a symbolic
//! link, also if somebody puts one in the place of a directory meanwhile. It keeps its own stack: how deep directories
//! lie is not ours to limit, and the stacks of threads are small.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::Namespace;
use super::changes::{Demand, split_demand};
use crate::fs::metadata::FileType;
use crate::fs::path::{LastLink, NamedPlace, Place};
use crate::fs::vfs::{Freshness, Node};
use crate::io::Result;

/// How many names are taken out of a listing before it is begun anew. What is listed while it is being removed is listed in
/// whatever order the file system likes.
const BATCH: usize = 256;

/// A directory that is being emptied.
struct Level {
    directory: Rc<dyn Node>,
    /// What it is called in the one before.
    name: Box<[u8]>,
    /// What is known to be in it and has not been looked at.
    pending: Vec<(Box<[u8]>, Option<FileType>)>,
    /// Whether something has been removed since it was listed.
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    None,
    Made,
}

impl Namespace {
    /// See [`fs::remove_dir_all`](crate::fs::remove_dir_all).
    ///
    /// # Errors
    ///
    /// Those of [`fs::remove_dir_all`](crate::fs::remove_dir_all).
    pub fn remove_dir_all(&self, path: &[u8]) -> Result<()> {
        let (name, demand) = split_demand(path);
        if demand == Demand::Directory {
            // What is there has to be a directory, and what a link names has to be there.
            self.metadata(path)?;
        }
        self.expect_no_mount_in(name)?;
        self.at_place(name, LastLink::Keep, |place| match place {
            Place::Directory(_) => Err(Errno::EBUSY),
            Place::Name(NamedPlace { node: None, .. }) => Err(Errno::ENOENT),
            Place::Name(NamedPlace { directory, name, node: Some(node) }) => match node.file_type() {
                FileType::Directory => remove_all(&directory, &name, node),
                FileType::Symlink if demand == Demand::Anything => directory.remove(&name),
                _ => Err(Errno::ENOTDIR),
            },
        })
    }

    /// Fails if something is mounted at or below what `path` means.
    fn expect_no_mount_in(&self, path: &[u8]) -> Result<()> {
        let is_directory = self.symlink_metadata(path)?.is_dir();
        if is_directory && self.has_mount_in(&self.canonicalize(path)?) {
            return Err(Errno::EBUSY.into());
        }
        Ok(())
    }
}

/// Removes the directory `node`, which is called `name` in `parent`.
fn remove_all(parent: &Rc<dyn Node>, name: &[u8], node: Rc<dyn Node>) -> core::result::Result<(), Errno> {
    let mut levels = Vec::from([Level::new(node, name.into())?]);
    while let Some(level) = levels.last_mut() {
        let Some((name, file_type)) = level.pending.pop() else {
            if level.progress == Progress::Made {
                level.list()?;
                if !level.pending.is_empty() {
                    continue;
                }
            }
            let Some(Level { directory, name, .. }) = levels.pop() else { break };
            // Some file systems wait with the removal of a directory until its handles are gone.
            drop(directory);
            let above = levels.last_mut();
            let outer = above.as_ref().map_or(parent, |above| &above.directory);
            match outer.remove_directory(&name) {
                // Somebody else was faster.
                Err(Errno::ENOENT) if above.is_some() => {}
                result => result?,
            }
            if let Some(above) = above {
                above.progress = Progress::Made;
            }
            continue;
        };
        if let Some(below) = level.remove(name, file_type)? {
            levels.push(below);
        }
    }
    Ok(())
}

impl Level {
    fn new(directory: Rc<dyn Node>, name: Box<[u8]>) -> core::result::Result<Self, Errno> {
        let mut level = Self { directory, name, pending: Vec::new(), progress: Progress::None };
        level.list()?;
        Ok(level)
    }

    /// Finds out what is in it, as far as that is of use now.
    fn list(&mut self) -> core::result::Result<(), Errno> {
        self.progress = Progress::None;
        let mut listing = self.directory.open_directory()?;
        while self.pending.len() < BATCH {
            let Some(entry) = listing.next()? else { break };
            self.pending.push((entry.name, entry.file_type));
        }
        Ok(())
    }

    /// Removes what is called `name`. A directory has to be emptied before, and is returned.
    fn remove(&mut self, name: Box<[u8]>, file_type: Option<FileType>) -> core::result::Result<Option<Self>, Errno> {
        let gone = |errno| if errno == Errno::ENOENT { Ok(None) } else { Err(errno) };
        if file_type.is_some_and(|file_type| !file_type.is_dir()) {
            match self.directory.remove(&name) {
                Ok(()) => {
                    self.progress = Progress::Made;
                    return Ok(None);
                }
                // It has become a directory.
                Err(Errno::EISDIR) => {}
                Err(errno) => return gone(errno),
            }
        }
        let node = match self.directory.lookup(&name, Freshness::Server) {
            Ok(node) => node,
            Err(errno) => return gone(errno),
        };
        if node.file_type().is_dir() {
            return Self::new(node, name).map(Some).or_else(gone);
        }
        drop(node);
        match self.directory.remove(&name) {
            Ok(()) => self.progress = Progress::Made,
            Err(errno) => return gone(errno),
        }
        Ok(None)
    }
}
