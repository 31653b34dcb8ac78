//! What makes and removes files and directories.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::Namespace;
use crate::fs::dir_builder::DirBuilder;
use crate::fs::file::File;
use crate::fs::options::{Creation, OpenOptions, Plan, Rights};
use crate::fs::path::{LastLink, NamedPlace, Place};
use crate::fs::vfs::{Freshness, Node, OpenFile};
use crate::io::{Error, ErrorKind, Result, Write};

/// What a path says about the object at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing.
    Anything,
    /// That it is a directory, by a slash behind the name.
    Directory,
}

impl Namespace {
    /// See [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    pub fn open_with(&self, path: &[u8], options: &OpenOptions) -> Result<File> {
        let plan = options.plan()?;
        let (name, demand) = split_demand(path);
        let file = match plan.creation {
            Creation::Never => self.at(path, plan.last_link, |found| open_node(&found.resolved.node, &plan))?,
            Creation::IfMissing => {
                let creating = demand == Demand::Directory || plan.last_link == LastLink::Follow;
                let last_link = if creating { LastLink::Create } else { plan.last_link };
                self.at_place(path, last_link, |place| open_or_create(place, &plan))?
            }
            Creation::Always => self.at_place(name, LastLink::Keep, |place| create_new(place, demand, &plan))?,
        };
        Ok(File::new(file, plan.rights, plan.stability))
    }

    /// See [`fs::write`](crate::fs::write).
    ///
    /// # Errors
    ///
    /// Those of [`fs::write`](crate::fs::write).
    pub fn write(&self, path: &[u8], contents: &[u8]) -> Result<()> {
        self.create(path)?.write_all(contents)
    }

    /// See [`fs::create_dir`](crate::fs::create_dir).
    ///
    /// # Errors
    ///
    /// Those of [`fs::create_dir`](crate::fs::create_dir).
    pub fn create_dir(&self, path: &[u8]) -> Result<()> {
        self.create_dir_with(path, &DirBuilder::new())
    }

    /// See [`fs::create_dir_all`](crate::fs::create_dir_all).
    ///
    /// # Errors
    ///
    /// Those of [`fs::create_dir_all`](crate::fs::create_dir_all).
    pub fn create_dir_all(&self, path: &[u8]) -> Result<()> {
        self.create_dir_with(path, DirBuilder::new().recursive(true))
    }

    /// See [`DirBuilder::create`].
    ///
    /// # Errors
    ///
    /// Those of [`DirBuilder::create`].
    pub fn create_dir_with(&self, path: &[u8], how: &DirBuilder) -> Result<()> {
        if how.is_recursive() {
            self.make_all(path, how.permissions())
        } else {
            self.make_directory(path, how.permissions())
        }
    }

    fn make_directory(&self, path: &[u8], mode: u32) -> Result<()> {
        let (name, _) = split_demand(path);
        self.at_place(name, LastLink::Keep, |place| match place {
            Place::Name(NamedPlace { directory, name, node: None, .. }) => {
                directory.create_directory(&name, mode).map(drop)
            }
            Place::Name(_) | Place::Directory(_) => Err(Errno::EEXIST),
        })
    }

    fn make_all(&self, path: &[u8], mode: u32) -> Result<()> {
        if path.is_empty() {
            return Ok(());
        }
        // The whole path, then its beginnings, from long to short, until one exists or can be created.
        let mut missing = Vec::new();
        let mut beginning = path;
        loop {
            match self.make_directory(beginning, mode) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let shorter = parent(beginning).ok_or(error)?;
                    missing.push(beginning);
                    beginning = shorter;
                }
                Err(error) => {
                    self.expect_directory(beginning, error)?;
                    break;
                }
            }
        }
        for path in missing.into_iter().rev() {
            self.make_directory(path, mode).or_else(|error| self.expect_directory(path, error))?;
        }
        Ok(())
    }

    /// Fails with `error` unless there is a directory.
    fn expect_directory(&self, path: &[u8], error: Error) -> Result<()> {
        match self.metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            _ => Err(error),
        }
    }

    /// See [`fs::remove_file`](crate::fs::remove_file).
    ///
    /// # Errors
    ///
    /// Those of [`fs::remove_file`](crate::fs::remove_file).
    pub fn remove_file(&self, path: &[u8]) -> Result<()> {
        let (path, demand) = split_demand(path);
        self.at_place(path, LastLink::Keep, |place| match place {
            Place::Name(NamedPlace { node: None, .. }) => Err(Errno::ENOENT),
            Place::Name(NamedPlace { node: Some(node), .. })
                if demand == Demand::Directory && !node.file_type().is_dir() =>
            {
                Err(Errno::ENOTDIR)
            }
            Place::Name(NamedPlace { directory, name, .. }) => directory.remove(&name),
            Place::Directory(_) => Err(Errno::EISDIR),
        })
    }

    /// See [`fs::remove_dir`](crate::fs::remove_dir).
    ///
    /// # Errors
    ///
    /// Those of [`fs::remove_dir`](crate::fs::remove_dir).
    pub fn remove_dir(&self, path: &[u8]) -> Result<()> {
        // Not even a slash at the end has a link followed here: as on Linux, it would be the link that is removed.
        let (path, _) = split_demand(path);
        self.at_place(path, LastLink::Keep, |place| match place {
            Place::Name(NamedPlace { node: None, .. }) => Err(Errno::ENOENT),
            Place::Name(NamedPlace { directory, name, .. }) => directory.remove_directory(&name),
            Place::Directory(_) => Err(Errno::EBUSY),
        })
    }

    /// See [`fs::sync`](crate::fs::sync).
    ///
    /// # Errors
    ///
    /// Those of [`fs::sync`](crate::fs::sync).
    pub fn sync(&self) -> Result<()> {
        let all: Vec<_> = self.mounts.borrow().all().collect();
        // One that fails does not keep the others from being made stable.
        let results: Vec<_> = all.iter().map(|file_system| file_system.sync()).collect();
        results.into_iter().try_for_each(|result| Ok(result?))
    }

    /// See [`File::create`].
    pub(super) fn create(&self, path: &[u8]) -> Result<File> {
        self.open_with(path, File::options().write(true).create(true).truncate(true))
    }
}

/// Opens what is there.
fn open_node(node: &Rc<dyn Node>, plan: &Plan) -> core::result::Result<Box<dyn OpenFile>, Errno> {
    match plan.rights {
        Rights::Read => node.open(),
        rights @ (Rights::Write(_) | Rights::ReadAndWrite(_)) => node.open_for_writing(rights, plan.contents),
    }
}

/// Opens what is at `place`, or a new file if there is nothing.
fn open_or_create(place: Place, plan: &Plan) -> core::result::Result<Box<dyn OpenFile>, Errno> {
    match place {
        Place::Directory(node) => open_node(&node, plan),
        Place::Name(NamedPlace { node: Some(node), .. }) => open_node(&node, plan),
        Place::Name(NamedPlace { directory, name, .. }) => {
            match directory.create_and_open(&name, plan.mode, plan.rights) {
                // Somebody else was faster.
                Err(Errno::EEXIST) => open_node(&directory.lookup(&name, Freshness::Server)?, plan),
                opened => opened,
            }
        }
    }
}

/// Opens a new file at `place`, where nothing may be.
fn create_new(place: Place, demand: Demand, plan: &Plan) -> core::result::Result<Box<dyn OpenFile>, Errno> {
    match place {
        Place::Directory(_) => Err(Errno::EEXIST),
        Place::Name(_) if demand == Demand::Directory => Err(Errno::EISDIR),
        Place::Name(NamedPlace { node: Some(_), .. }) => Err(Errno::EEXIST),
        Place::Name(NamedPlace { directory, name, .. }) => directory.create_and_open(&name, plan.mode, plan.rights),
    }
}

/// `path` without the slashes at its end, and what they say.
pub(super) fn split_demand(path: &[u8]) -> (&[u8], Demand) {
    match path.iter().rposition(|&byte| byte != b'/') {
        Some(last) if last + 1 < path.len() => (path.get(..=last).unwrap_or_default(), Demand::Directory),
        _ => (path, Demand::Anything),
    }
}

/// `path` without its last name, if something is left.
fn parent(path: &[u8]) -> Option<&[u8]> {
    let (path, _) = split_demand(path);
    let slash = path.iter().rposition(|&byte| byte == b'/')?;
    path.get(..slash).filter(|parent| !parent.is_empty())
}
