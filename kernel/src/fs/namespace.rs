//! One tree of mounts, and what applications do with paths in it.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use fuse_proto::Errno;

use super::file::File;
use super::metadata::Metadata;
use super::mounts::{MountTable, MountedPath};
use super::options::{Rights, Stability};
use super::path::{LastLink, Place, Resolved};
use super::read_dir::ReadDir;
use super::remote::{Carrier, Registry};
use super::vfs::{FileSystem, Freshness};
use crate::io::{Error, ErrorKind, Read, Result};

mod attributes;
mod changes;
mod copying;
mod mounting;
mod names;
mod removal;
#[cfg(feature = "fs-mounts")]
mod upkeep;

#[cfg(feature = "fs-mounts")]
pub use upkeep::MountStatus;

/// Mounted file systems, by path. The functions of [`fs`](super) use the one of the core.
#[derive(Default)]
pub struct Namespace {
    mounts: RefCell<MountTable>,
    /// After how many changes of the registry its part about other cores was copied.
    followed: Cell<u64>,
}

/// What a path means.
struct Found<'p> {
    resolved: Resolved,
    #[cfg_attr(not(feature = "fs-mounts"), expect(dead_code, reason = "nobody asks about file systems"))]
    file_system: Rc<dyn FileSystem>,
    /// The part of the path that names the mount.
    mount: &'p [u8],
}

impl Namespace {
    /// A tree without anything mounted.
    pub const fn new() -> Self {
        Self { mounts: RefCell::new(MountTable::new()), followed: Cell::new(0) }
    }

    /// Sees what cores other than `core`, this one, have mounted by now. A load, if nothing has changed.
    #[inline]
    pub fn follow<C: Carrier>(&self, registry: &Registry<C>, core: usize) {
        if registry.changes() != self.followed.get() {
            let (changes, shares) = registry.of_others(core);
            self.mounts.borrow_mut().set_remote(shares);
            self.followed.set(changes);
        }
    }

    /// See [`File::open`].
    ///
    /// # Errors
    ///
    /// Those of [`File::open`].
    pub fn open(&self, path: &[u8]) -> Result<File> {
        let file = self.at(path, LastLink::Follow, |found| found.resolved.node.open())?;
        Ok(File::new(file, Rights::Read, Stability::Later))
    }

    /// See [`fs::metadata`](super::metadata()).
    ///
    /// # Errors
    ///
    /// Those of [`fs::metadata`](super::metadata()).
    pub fn metadata(&self, path: &[u8]) -> Result<Metadata> {
        self.at(path, LastLink::Follow, |found| found.resolved.node.metadata())
    }

    /// See [`fs::exists`](super::exists).
    ///
    /// # Errors
    ///
    /// Those of [`fs::exists`](super::exists).
    pub fn exists(&self, path: &[u8]) -> Result<bool> {
        match self.metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// See [`fs::symlink_metadata`](super::symlink_metadata).
    ///
    /// # Errors
    ///
    /// Those of [`fs::symlink_metadata`](super::symlink_metadata).
    pub fn symlink_metadata(&self, path: &[u8]) -> Result<Metadata> {
        self.at(path, LastLink::Keep, |found| found.resolved.node.metadata())
    }

    /// See [`fs::read_link`](super::read_link).
    ///
    /// # Errors
    ///
    /// Those of [`fs::read_link`](super::read_link).
    pub fn read_link(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.at(path, LastLink::Keep, |found| found.resolved.node.read_link())
    }

    /// See [`fs::read_dir`](super::read_dir()).
    ///
    /// # Errors
    ///
    /// Those of [`fs::read_dir`](super::read_dir()).
    pub fn read_dir(&self, path: &[u8]) -> Result<ReadDir> {
        self.at(path, LastLink::Follow, |found| ReadDir::new(path, Rc::clone(&found.resolved.node)))
    }

    /// See [`fs::canonicalize`](super::canonicalize).
    ///
    /// # Errors
    ///
    /// Those of [`fs::canonicalize`](super::canonicalize).
    pub fn canonicalize(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.at(path, LastLink::Follow, |found| {
            let names = found.mount.split(|&byte| byte == b'/').chain(found.resolved.path.split(|&byte| byte == b'/'));
            let mut canonical = Vec::new();
            for name in names.filter(|name| !matches!(*name, b"" | b".")) {
                canonical.push(b'/');
                canonical.extend_from_slice(name);
            }
            Ok(if canonical.is_empty() { b"/".to_vec() } else { canonical })
        })
    }

    /// See [`fs::read`](super::read).
    ///
    /// # Errors
    ///
    /// Those of [`fs::read`](super::read).
    pub fn read(&self, path: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// See [`fs::read_to_string`](super::read_to_string).
    ///
    /// # Errors
    ///
    /// Those of [`fs::read_to_string`](super::read_to_string).
    pub fn read_to_string(&self, path: &[u8]) -> Result<String> {
        let no_text = |_| Error::new(ErrorKind::InvalidData, "file did not contain valid UTF-8");
        String::from_utf8(self.read(path)?).map_err(no_text)
    }

    /// Does something with what a path means; once more, with nothing from a cache, if that turns out to be stale.
    fn at<T>(
        &self,
        path: &[u8],
        last_link: LastLink,
        action: impl Fn(Found<'_>) -> core::result::Result<T, Errno>,
    ) -> Result<T> {
        let mounted = self.find(path)?;
        fresh(|freshness| {
            let resolved = mounted.file_system.resolve(mounted.rest, last_link, freshness)?;
            let mount = path.get(..mounted.mount_length).unwrap_or_default();
            action(Found { resolved, file_system: Rc::clone(&mounted.file_system), mount })
        })
    }

    /// Does something with the place of a path's last name; likewise.
    fn at_place<T>(
        &self,
        path: &[u8],
        last_link: LastLink,
        action: impl Fn(Place) -> core::result::Result<T, Errno>,
    ) -> Result<T> {
        let mounted = self.find(path)?;
        fresh(|freshness| action(mounted.file_system.locate(mounted.rest, last_link, freshness)?))
    }

    fn find<'p>(&self, path: &'p [u8]) -> Result<MountedPath<'p>> {
        Ok(self.mounts.borrow().find(path)?)
    }
}

/// Tries with what caches say, and once more without if that turns out to be stale.
fn fresh<T>(attempt: impl Fn(Freshness) -> core::result::Result<T, Errno>) -> Result<T> {
    match attempt(Freshness::Cached) {
        Err(Errno::ESTALE) => Ok(attempt(Freshness::Server)?),
        result => Ok(result?),
    }
}
