//! [`Index`]: the objects of an archive, and the names that lead to them.
//!
//! ```text
//!   objects   0 directory --names--> "etc" 1, "index.html" 4        numbers are places in the list
//!             1 directory --names--> "a" 2, "b" 2                   two names, one object: a hard link
//!             2 file, 2 links, contents
//! ```
//!
//! It is made once and never changes, so numbers are for ever.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Bound;

use super::contents::Contents;
use super::entry::{Attributes, Entry, SharedNumber, What};
use super::error::{ArchiveError, Damage};
use super::format::{self, Format};
use super::{cpio, tar};
use crate::fs::metadata::FileType;
use crate::fs::path::{NAME_MAX, PATH_MAX};

/// What is in an archive.
pub struct Index {
    objects: Vec<Object>,
}

/// A file, a directory, or whatever else has a name.
pub struct Object {
    /// What is known about it.
    pub attributes: Attributes,
    /// How many names it has; for a directory, as others count it.
    pub links: u32,
    /// What it is.
    pub kind: Kind,
}

/// What an object is.
pub enum Kind {
    /// A directory.
    Directory(BTreeMap<Box<[u8]>, u32>),
    /// A file.
    File(Contents),
    /// A symbolic link.
    Symlink(Box<[u8]>),
    /// A pipe, a socket or a device.
    Special(FileType, u32),
}

impl Object {
    /// What it is to others.
    pub fn file_type(&self) -> FileType {
        match self.kind {
            Kind::Directory(_) => FileType::Directory,
            Kind::File(_) => FileType::File,
            Kind::Symlink(_) => FileType::Symlink,
            Kind::Special(file_type, _) => file_type,
        }
    }

    fn new(attributes: Attributes, kind: Kind) -> Self {
        let links = if matches!(kind, Kind::Directory(_)) { 2 } else { 0 };
        Self { attributes, links, kind }
    }
}

impl Index {
    /// The number of the root directory.
    pub const ROOT: u32 = 0;

    /// Reads an archive of at most `most` objects and names.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn of(image: &[u8], most: usize) -> Result<Self, ArchiveError> {
        let root = Object::new(Attributes::IMPLICIT, Kind::Directory(BTreeMap::new()));
        let mut builder = Builder { objects: vec![root], shared: BTreeMap::new(), room: most };
        let mut add = |entry: Entry<'_>| builder.add(entry);
        match format::recognise(image)? {
            Format::Tar => tar::read(image, &mut add)?,
            Format::Cpio => cpio::read(image, &mut add)?,
        }
        Ok(Self { objects: builder.objects })
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// The object with this number.
    pub fn object(&self, number: u32) -> Option<&Object> {
        self.objects.get(number as usize)
    }

    /// The first name of a directory behind `name`, or of all, and what it leads to.
    pub fn next_name(&self, directory: u32, name: Option<&[u8]>) -> Option<(&[u8], u32)> {
        let Kind::Directory(names) = &self.object(directory)?.kind else { return None };
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        names.range::<[u8], _>((from, Bound::Unbounded)).next().map(|(name, &number)| (&**name, number))
    }
}

/// An index that is being made.
struct Builder {
    objects: Vec<Object>,
    /// Files that have several names, by what the archive calls them.
    shared: BTreeMap<SharedNumber, u32>,
    /// How many more objects and names there may be.
    room: usize,
}

impl Builder {
    fn add(&mut self, entry: Entry<'_>) -> Result<(), ArchiveError> {
        let Entry { offset, path, attributes, what } = entry;
        let mut names = names(&path, offset)?;
        let Some(last) = names.pop() else {
            // The archive's own root.
            return match (what, self.objects.first_mut()) {
                (What::Directory, Some(root)) => {
                    root.attributes = attributes;
                    Ok(())
                }
                _ => Err(Damage::Conflict.at(offset)),
            };
        };
        let mut parent = Index::ROOT;
        for name in names {
            parent = match self.lookup(parent, name) {
                Some(number) => number,
                None => {
                    let number = self.create(Object::new(Attributes::IMPLICIT, Kind::Directory(BTreeMap::new())))?;
                    self.enter(parent, name, number, offset)?;
                    number
                }
            };
        }
        let before = self.lookup(parent, last);
        let number = match what {
            What::Directory => {
                let known = before.and_then(|number| self.objects.get_mut(number as usize));
                if let Some(directory) = known.filter(|object| object.file_type().is_dir()) {
                    directory.attributes = attributes;
                    return Ok(());
                }
                self.create(Object::new(attributes, Kind::Directory(BTreeMap::new())))?
            }
            What::File(contents) => self.create(Object::new(attributes, Kind::File(contents)))?,
            What::SharedFile(shared, contents) => self.share(shared, attributes, contents)?,
            What::Symlink(target) => self.create(Object::new(attributes, Kind::Symlink(target.as_ref().into())))?,
            What::Special(kind, device) => self.create(Object::new(attributes, Kind::Special(kind, device)))?,
            What::HardLink(target) => self.find(&target, offset)?,
        };
        self.enter(parent, last, number, offset)
    }

    /// Makes an object, without a name.
    fn create(&mut self, object: Object) -> Result<u32, ArchiveError> {
        self.room = self.room.checked_sub(1).ok_or(ArchiveError::TooMany)?;
        let number = u32::try_from(self.objects.len()).map_err(|_| ArchiveError::TooMany)?;
        self.objects.try_reserve(1).map_err(|_| ArchiveError::TooMany)?;
        self.objects.push(object);
        Ok(number)
    }

    /// Gives an object a name in a directory, in the place of another that has it.
    fn enter(&mut self, parent: u32, name: &[u8], number: u32, offset: usize) -> Result<(), ArchiveError> {
        let conflict = Damage::Conflict.at(offset);
        let is_directory = self.object_mut(number).ok_or(conflict)?.file_type().is_dir();
        if let Some(before) = self.lookup(parent, name) {
            let before = self.object_mut(before).filter(|object| !object.file_type().is_dir()).ok_or(conflict)?;
            before.links = before.links.saturating_sub(1);
        }
        self.room = self.room.checked_sub(1).ok_or(ArchiveError::TooMany)?;
        let Some(Object { kind: Kind::Directory(names), .. }) = self.object_mut(parent) else { return Err(conflict) };
        names.insert(name.into(), number);
        // `..` in a directory is a name of the one that it is in.
        let counted = self.object_mut(if is_directory { parent } else { number }).ok_or(conflict)?;
        counted.links = counted.links.saturating_add(1);
        Ok(())
    }

    /// The file with this number, which gets contents if it has none yet.
    fn share(&mut self, shared: SharedNumber, attributes: Attributes, contents: Contents) -> Result<u32, ArchiveError> {
        if let Some(&number) = self.shared.get(&shared) {
            if let Some(Object { kind: Kind::File(known), .. }) = self.object_mut(number)
                && known.len() == 0
            {
                *known = contents;
            }
            return Ok(number);
        }
        let number = self.create(Object::new(attributes, Kind::File(contents)))?;
        self.shared.insert(shared, number);
        Ok(number)
    }

    /// The object at a path, for another name of it.
    fn find(&self, path: &[u8], offset: usize) -> Result<u32, ArchiveError> {
        let mut names = names(path, offset)?.into_iter();
        let found = names.try_fold(Index::ROOT, |directory, name| self.lookup(directory, name));
        let is_file = |number: &u32| self.objects.get(*number as usize).is_some_and(|it| !it.file_type().is_dir());
        found.filter(is_file).ok_or(Damage::Link.at(offset))
    }

    fn lookup(&self, directory: u32, name: &[u8]) -> Option<u32> {
        match &self.objects.get(directory as usize)?.kind {
            Kind::Directory(names) => names.get(name).copied(),
            _ => None,
        }
    }

    fn object_mut(&mut self, number: u32) -> Option<&mut Object> {
        self.objects.get_mut(number as usize)
    }
}

/// The names in a path, without `.`; it is below the root in any case.
fn names(path: &[u8], offset: usize) -> Result<Vec<&[u8]>, ArchiveError> {
    let names: Vec<_> = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    let is_name = |name: &&[u8]| *name != b".." && name.len() <= NAME_MAX;
    if path.len() > PATH_MAX || path.contains(&0) || !names.iter().all(is_name) {
        return Err(Damage::Name.at(offset));
    }
    Ok(names)
}
