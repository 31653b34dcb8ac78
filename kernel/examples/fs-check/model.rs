//! What a directory ought to hold: a tree in memory, with what each change of it should answer.
//!
//! Paths are relative, name by name, without a slash at the start; the empty path is the root. Hard links are several paths to
//! one [`Inode`]. Symbolic links lead to names in their own directory.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use toro::fs::FileTime;
use toro::io::ErrorKind;

/// Most symbolic links in one path.
const LINKS: usize = 40;

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its contents.
    File(Vec<u8>),
    /// Names are in the tree.
    Directory,
    /// A name in the same directory.
    Symlink(String),
}

/// An object, whatever its names.
#[derive(Clone, Debug)]
pub struct Inode {
    /// What it holds.
    pub kind: Kind,
    /// Its permissions, once they were set or given.
    pub mode: u32,
    /// The time that was set, until something changes it.
    pub modified: Option<FileTime>,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// How many names it has.
    pub names: u32,
}

/// An object that names and handles share.
pub type Object = Rc<RefCell<Inode>>;

/// The tree.
pub struct Model {
    objects: BTreeMap<String, Object>,
}

/// What a change ought to answer: nothing, or one of these errors.
pub type Expected = Result<(), &'static [ErrorKind]>;

impl Model {
    /// An empty directory.
    pub fn new() -> Self {
        Self { objects: BTreeMap::from([(String::new(), Self::object(Kind::Directory, 0o755))]) }
    }

    /// A new object without a name.
    pub fn object(kind: Kind, mode: u32) -> Object {
        Rc::new(RefCell::new(Inode { kind, mode, modified: None, xattrs: BTreeMap::new(), names: 0 }))
    }

    /// All paths and objects; the root is the first.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Object)> {
        self.objects.iter().map(|(path, object)| (path.as_str(), object))
    }

    /// How many objects have names.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// The names in a directory.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let names = self.below(directory).filter_map(|path| {
            let name = path.get(prefix_length(directory)..)?;
            (!name.contains('/')).then(|| name.to_string())
        });
        names.collect()
    }

    /// What a path names; links in it are followed, one at its end only if `last` says so.
    pub fn find(&self, path: &str, last: LastLink) -> Result<(String, Object), ErrorKind> {
        let mut at = String::new();
        let mut left: Vec<String> = path.split('/').rev().map(ToString::to_string).collect();
        let mut links = 0;
        while let Some(name) = left.pop() {
            let directory = self.objects.get(&at).ok_or(ErrorKind::NotFound)?;
            if directory.borrow().kind != Kind::Directory {
                return Err(ErrorKind::NotADirectory);
            }
            if name.len() > 255 {
                return Err(ErrorKind::InvalidFilename);
            }
            let next = join(&at, &name);
            let object = self.objects.get(&next).ok_or(ErrorKind::NotFound)?;
            match &object.borrow().kind {
                Kind::Symlink(target) if !left.is_empty() || last == LastLink::Follow => {
                    links += 1;
                    if links > LINKS {
                        return Err(ErrorKind::FilesystemLoop);
                    }
                    left.push(target.clone());
                }
                _ => at = next,
            }
        }
        let object = self.objects.get(&at).ok_or(ErrorKind::NotFound)?;
        Ok((at, Rc::clone(object)))
    }

    /// Where a name is or would be: the directory is found, links at the end are not followed.
    pub fn place(&self, path: &str) -> Result<String, ErrorKind> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = if parent.is_empty() { String::new() } else { self.find(parent, LastLink::Follow)?.0 };
        let is_directory = self.objects.get(&parent).is_some_and(|object| object.borrow().kind == Kind::Directory);
        match (is_directory, name.len() > 255) {
            (false, _) => Err(ErrorKind::NotADirectory),
            (true, true) => Err(ErrorKind::InvalidFilename),
            (true, false) => Ok(join(&parent, name)),
        }
    }

    /// What is at a place.
    pub fn at(&self, place: &str) -> Option<Object> {
        self.objects.get(place).cloned()
    }

    /// Puts an object at a place.
    pub fn put(&mut self, place: String, object: Object) {
        self.touch_parent(&place);
        object.borrow_mut().names += 1;
        if let Some(old) = self.objects.insert(place, object) {
            old.borrow_mut().names -= 1;
        }
    }

    /// Takes the object at a place away.
    pub fn take(&mut self, place: &str) -> Option<Object> {
        self.touch_parent(place);
        let object = self.objects.remove(place)?;
        object.borrow_mut().names -= 1;
        Some(object)
    }

    /// Gives what is at `from`, and all below it, another place.
    pub fn shift(&mut self, from: &str, to: &str) {
        let below: Vec<String> = self.below(from).map(ToString::to_string).collect();
        if let Some(object) = self.take(from) {
            if object.borrow().kind == Kind::Directory {
                // Where it is in is written in it on some file systems.
                object.borrow_mut().modified = None;
            }
            self.put(to.to_string(), object);
        }
        for path in below {
            let rest = path.get(prefix_length(from)..).unwrap_or_default().to_string();
            if let Some(object) = self.objects.remove(&path) {
                self.objects.insert(join(to, &rest), object);
            }
        }
    }

    /// Exchanges what is at two places, neither of them below the other.
    pub fn swap(&mut self, one: &str, other: &str) {
        let between = "\u{1}";
        self.shift(one, between);
        self.shift(other, one);
        self.shift(between, other);
    }

    /// What a rename from place to place ought to answer.
    pub fn rename(&self, from: &str, to: &str) -> Expected {
        let Some(source) = self.objects.get(from) else { return Err(&[ErrorKind::NotFound]) };
        if is_below(to, from) {
            return Err(&[ErrorKind::InvalidInput]);
        }
        if is_below(from, to) {
            return Err(&[ErrorKind::DirectoryNotEmpty, ErrorKind::IsADirectory, ErrorKind::InvalidInput]);
        }
        let Some(target) = self.objects.get(to).filter(|_| from != to) else { return Ok(()) };
        let is_directory = |object: &Object| object.borrow().kind == Kind::Directory;
        match (is_directory(source), is_directory(target)) {
            (false, false) => Ok(()),
            (false, true) => Err(&[ErrorKind::IsADirectory]),
            (true, false) => Err(&[ErrorKind::NotADirectory]),
            (true, true) if self.below(to).next().is_some() => Err(&[ErrorKind::DirectoryNotEmpty]),
            (true, true) => Ok(()),
        }
    }

    /// Whether a directory has names in it.
    pub fn is_full(&self, directory: &str) -> bool {
        self.below(directory).next().is_some()
    }

    /// All paths below a directory.
    fn below(&self, directory: &str) -> impl Iterator<Item = &str> {
        let prefix = if directory.is_empty() { String::new() } else { join(directory, "") };
        let from = prefix.clone();
        let rest = self.objects.range(from..).map(|(path, _)| path.as_str());
        rest.take_while(move |path| path.starts_with(&prefix)).filter(|path| !path.is_empty())
    }

    /// The time of a directory is its own again once names in it change.
    fn touch_parent(&self, place: &str) {
        let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
        if let Some(parent) = self.objects.get(parent) {
            parent.borrow_mut().modified = None;
        }
    }
}

/// What happens to a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// It is followed.
    Follow,
    /// It is what the path names.
    Keep,
}

/// A name below a directory.
pub fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_string() } else { [directory, "/", name].concat() }
}

/// Whether a path is in what another one names, and not that itself.
pub fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| directory.is_empty() && !rest.is_empty() || rest.starts_with('/'))
}

fn prefix_length(directory: &str) -> usize {
    if directory.is_empty() { 0 } else { directory.len() + 1 }
}
