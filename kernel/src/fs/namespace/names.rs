//! What gives things names: links, special files, and other names for what is there.

use alloc::rc::Rc;

use fuse_proto::Errno;

use super::changes::{Demand, split_demand};
use super::{Namespace, fresh};
use crate::fs::path::{LastLink, NamedPlace, Place, Resolved};
use crate::fs::vfs::{Collision, Node, SpecialFile};
use crate::io::Result;

/// The permissions that a special file can have.
const PERMISSIONS: u32 = 0o7777;

impl Namespace {
    /// See [`fs::rename`](crate::fs::rename).
    ///
    /// # Errors
    ///
    /// Those of [`fs::rename`](crate::fs::rename).
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<()> {
        self.rename_with(from, to, Collision::Replace)
    }

    /// See [`fs::rename_with`](crate::fs::rename_with).
    ///
    /// # Errors
    ///
    /// Those of [`fs::rename_with`](crate::fs::rename_with).
    pub fn rename_with(&self, from: &[u8], to: &[u8], collision: Collision) -> Result<()> {
        let has_mount = self.has_mount(from) || self.has_mount(to);
        let ((from, from_demand), (to, to_demand)) = (split_demand(from), split_demand(to));
        let (source, target) = (self.find(from)?, self.find(to)?);
        if has_mount {
            return Err(Errno::EBUSY.into());
        }
        if !Rc::ptr_eq(&source.file_system, &target.file_system) {
            return Err(Errno::EXDEV.into());
        }
        fresh(|freshness| {
            let locate = |rest, error| match source.file_system.locate(rest, LastLink::Keep, freshness)? {
                Place::Name(place) => Ok(place),
                Place::Directory(_) => Err(error),
            };
            // What Linux says of a new name `.` or `..`.
            let no_name = if collision == Collision::Refuse { Errno::EEXIST } else { Errno::EBUSY };
            let (source, target) = (locate(source.rest, Errno::EBUSY)?, locate(target.rest, no_name)?);
            let node = source.node.ok_or(Errno::ENOENT)?;
            let is_directory = node.file_type().is_dir();
            match (collision, &target.node) {
                (Collision::Refuse, Some(_)) => return Err(Errno::EEXIST),
                (Collision::Exchange, None) => return Err(Errno::ENOENT),
                (Collision::Exchange, Some(other)) => {
                    if to_demand == Demand::Directory && !other.file_type().is_dir() {
                        return Err(Errno::ENOTDIR);
                    }
                }
                (Collision::Replace | Collision::Refuse, _) => {
                    if to_demand == Demand::Directory && !is_directory {
                        return Err(Errno::ENOTDIR);
                    }
                }
            }
            if from_demand == Demand::Directory && !is_directory {
                return Err(Errno::ENOTDIR);
            }
            source.directory.rename(&source.name, target.directory.id(), &target.name, collision)
        })
    }

    /// See [`fs::hard_link`](crate::fs::hard_link).
    ///
    /// # Errors
    ///
    /// Those of [`fs::hard_link`](crate::fs::hard_link).
    pub fn hard_link(&self, original: &[u8], link: &[u8]) -> Result<()> {
        let (source, (name, demand)) = (self.find(original)?, split_demand(link));
        let target = self.find(name)?;
        fresh(|freshness| {
            let Resolved { node, .. } = source.file_system.resolve(source.rest, LastLink::Keep, freshness)?;
            let place = target.file_system.locate(target.rest, LastLink::Keep, freshness)?;
            at_new_name(place, demand, |directory, name| {
                if !Rc::ptr_eq(&source.file_system, &target.file_system) {
                    return Err(Errno::EXDEV);
                }
                if node.file_type().is_dir() {
                    return Err(Errno::EPERM);
                }
                directory.link(name, node.id())
            })
        })
    }

    /// See [`fs::symlink`](crate::fs::symlink).
    ///
    /// # Errors
    ///
    /// Those of [`fs::symlink`](crate::fs::symlink).
    pub fn symlink(&self, target: &[u8], link: &[u8]) -> Result<()> {
        if target.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        crate::fs::path::check_length(target)?;
        self.at_name(link, |directory, name| directory.create_symlink(name, target))
    }

    /// See [`fs::create_special`](crate::fs::create_special).
    ///
    /// # Errors
    ///
    /// Those of [`fs::create_special`](crate::fs::create_special).
    pub fn create_special(&self, path: &[u8], mode: u32, what: SpecialFile) -> Result<()> {
        self.at_name(path, |directory, name| directory.create_special(name, mode & PERMISSIONS, what))
    }

    /// Makes something of a name that there is not yet, and that is no directory's.
    fn at_name(&self, path: &[u8], make: impl Fn(&dyn Node, &[u8]) -> core::result::Result<(), Errno>) -> Result<()> {
        let (name, demand) = split_demand(path);
        self.at_place(name, LastLink::Keep, |place| at_new_name(place, demand, &make))
    }
}

/// Does something with a name that must be free, and cannot be a directory's.
fn at_new_name(
    place: Place,
    demand: Demand,
    make: impl FnOnce(&dyn Node, &[u8]) -> core::result::Result<(), Errno>,
) -> core::result::Result<(), Errno> {
    match place {
        Place::Directory(_) | Place::Name(NamedPlace { node: Some(_), .. }) => Err(Errno::EEXIST),
        Place::Name(_) if demand == Demand::Directory => Err(Errno::ENOENT),
        Place::Name(NamedPlace { directory, name, .. }) => make(&*directory, &name),
    }
}
