//! Where file systems are mounted.
//!
//! A mount is chosen by the text of the path alone, before anything is looked up in any file system; see [`MountTable`].
//! What other cores have mounted is in the table, too, as file systems that send messages (`fs/remote.rs`).

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::path;
use super::remote::{Carrier, RemoteFileSystem, Share, ShareId};
use super::vfs::FileSystem;

/// Which file system stands where.
///
/// A mount is chosen by the longest mount path that the path starts with, name by name, before anything is
/// looked up. From there on the path stays in that mount, whatever `..` and links it holds.
#[derive(Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
}

struct Mount {
    /// Its path, name by name; empty for `/`.
    names: Vec<Box<[u8]>>,
    file_system: Rc<dyn FileSystem>,
    origin: Origin,
}

/// Whose a mount is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This core's.
    Own,
    /// Another core's.
    Remote(ShareId),
}

/// A path, split into its mount and the rest.
pub struct MountedPath<'p> {
    /// The file system.
    pub file_system: Rc<dyn FileSystem>,
    /// How many bytes of the path name the mount point.
    pub mount_length: usize,
    /// The path below the mount's root, never empty.
    pub rest: &'p [u8],
}

impl MountTable {
    /// A table without mounts.
    pub const fn new() -> Self {
        Self { mounts: Vec::new() }
    }

    /// Puts a file system at `path`.
    ///
    /// # Errors
    ///
    /// EBUSY if another one is there; EINVAL for a path that is not absolute or has `..` in it.
    pub fn mount(&mut self, path: &[u8], file_system: Rc<dyn FileSystem>) -> Result<(), Errno> {
        self.add(mount_names(path)?, file_system, Origin::Own)
    }

    /// Holds mounts of other cores, and no others, besides those of this one. A place that is taken remains so.
    pub fn set_remote<C: Carrier>(&mut self, shares: Vec<Share<C>>) {
        let is_there = |id| shares.iter().any(|share| share.id == id);
        self.mounts.retain(|mount| match mount.origin {
            Origin::Own => true,
            Origin::Remote(id) => is_there(id),
        });
        for Share { id, names, carrier, file_system, .. } in shares {
            let origin = Origin::Remote(id);
            if self.mounts.iter().all(|mount| mount.origin != origin) {
                let file_system = Rc::new(RemoteFileSystem::new(carrier, file_system));
                // The registry refuses two mounts at one place, so this is one that it does not know.
                let _ = self.add(names, file_system, origin);
            }
        }
    }

    fn add(&mut self, names: Vec<Box<[u8]>>, file_system: Rc<dyn FileSystem>, origin: Origin) -> Result<(), Errno> {
        if self.mounts.iter().any(|mount| mount.names == names) {
            return Err(Errno::EBUSY);
        }
        self.mounts.push(Mount { names, file_system, origin });
        Ok(())
    }

    /// Whether nothing is mounted.
    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty()
    }

    /// Whether a file system stands at this very path.
    pub fn has(&self, path: &[u8]) -> bool {
        mount_names(path).is_ok_and(|names| self.mounts.iter().any(|mount| mount.names == names))
    }

    /// Whether one stands there or below.
    pub fn has_in(&self, path: &[u8]) -> bool {
        mount_names(path).is_ok_and(|names| self.mounts.iter().any(|mount| mount.names.starts_with(&names)))
    }

    /// The file system at this very path.
    #[cfg(feature = "fs-mounts")]
    pub fn at(&self, path: &[u8]) -> Option<Rc<dyn FileSystem>> {
        let names = mount_names(path).ok()?;
        let mount = self.mounts.iter().find(|mount| mount.names == names)?;
        Some(Rc::clone(&mount.file_system))
    }

    /// All of them: path, file system, and whether it is another core's.
    #[cfg(feature = "fs-mounts")]
    pub fn list(&self) -> Vec<(Vec<u8>, Rc<dyn FileSystem>, bool)> {
        let entry = |mount: &Mount| (mount.path(), Rc::clone(&mount.file_system), mount.origin != Origin::Own);
        self.mounts.iter().map(entry).collect()
    }

    /// Takes this core's file system at `path` out of the table.
    ///
    /// # Errors
    ///
    /// EINVAL if none of this core's is there, EBUSY if there are others below it.
    pub fn take(&mut self, path: &[u8]) -> Result<Rc<dyn FileSystem>, Errno> {
        let names = mount_names(path)?;
        let is_it = |mount: &Mount| mount.names == names && mount.origin == Origin::Own;
        let index = self.mounts.iter().position(is_it).ok_or(Errno::EINVAL)?;
        let is_below = |mount: &Mount| mount.names.len() > names.len() && mount.names.starts_with(&names);
        if self.mounts.iter().any(is_below) {
            return Err(Errno::EBUSY);
        }
        Ok(self.mounts.remove(index).file_system)
    }

    /// Finds the mount that `path` is in.
    ///
    /// # Errors
    ///
    /// ENOENT where nothing is mounted, and for an empty path.
    pub fn find<'p>(&self, path: &'p [u8]) -> Result<MountedPath<'p>, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let best = self.mounts.iter().filter_map(|mount| Some((mount, mount.covers(path)?)));
        let (mount, mount_length) = best.max_by_key(|(mount, _)| mount.names.len()).ok_or(Errno::ENOENT)?;
        let rest = match path.get(mount_length..).unwrap_or_default() {
            b"" => b"/",
            rest => rest,
        };
        Ok(MountedPath { file_system: Rc::clone(&mount.file_system), mount_length, rest })
    }

    /// All file systems, those of other cores included.
    pub fn all(&self) -> impl Iterator<Item = Rc<dyn FileSystem>> {
        self.mounts.iter().map(|mount| Rc::clone(&mount.file_system))
    }

    /// Takes all mounts out of the table, the last one first.
    pub fn take_all(&mut self) -> impl Iterator<Item = Rc<dyn FileSystem>> {
        core::mem::take(&mut self.mounts).into_iter().rev().map(|mount| mount.file_system)
    }
}

/// A mount path, name by name.
///
/// # Errors
///
/// EINVAL for a path that is not absolute or has `..` in it.
pub fn mount_names(path: &[u8]) -> Result<Vec<Box<[u8]>>, Errno> {
    let has_parent = path.split(|&byte| byte == b'/').any(|name| name == b"..");
    if !path.starts_with(b"/") || has_parent {
        return Err(Errno::EINVAL);
    }
    Ok(path::leading_names(path).map(|(name, _)| name.into()).collect())
}

impl Mount {
    #[cfg(feature = "fs-mounts")]
    fn path(&self) -> Vec<u8> {
        match &*self.names {
            [] => b"/".to_vec(),
            names => names.iter().flat_map(|name| [b"/", &**name].concat()).collect(),
        }
    }

    /// How many bytes of `path` name this mount point; `None` if the path is elsewhere.
    fn covers(&self, path: &[u8]) -> Option<usize> {
        let mut names = path::leading_names(path);
        let mut length = 0;
        for expected in &self.names {
            let (name, end) = names.next()?;
            if name != &**expected {
                return None;
            }
            length = end;
        }
        Some(length)
    }
}
