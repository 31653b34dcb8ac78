//! Path resolution: from bytes to a node, one component at a time.
//!
//! ```text
//!   "a/link/../f"      link -> "x/y"
//!
//!   pending             walked (the stack)
//!   a link .. f         /
//!   link .. f           / a
//!   x y .. f            / a            the link's target takes the link's place
//!   y .. f              / a x
//!   .. f                / a x y
//!   f                   / a x          `..` takes one step back on the stack
//!                       / a x f
//! ```
//!
//! The file server is asked for single names only: never for `.`, `..`, a name with a slash, or a path. So what
//! a path can reach is decided here:
//!
//! - `..` steps back along the nodes that were walked, and stays where it is at the root of the mount;
//! - a symbolic link is followed by us, never by the server. Its target starts at the directory that holds the
//!   link or, if it is absolute, at the root of the *mount*. A link cannot leave the mount: a share is a jail.
//!
//! # Rules of POSIX that are kept
//!
//! A path is bytes without NUL, at most 4,095 of them, with names of at most 255. Repeated slashes count as one.
//! A trailing slash, like a trailing `.`, demands a directory and makes the last link be followed. Every name
//! that is not the last, and every `.` and `..`, stands in a directory, else ENOTDIR. More than 40 links give
//! ELOOP. There is no current directory: a relative path starts at the root too. The empty path does not exist.
//!
//! # Names that are not there yet
//!
//! [`locate`] does the same walk for those who make, remove or rename: it ends at the directory of the last name, and the
//! name itself need not exist. If links are followed, what is located is the place that the last one names. A file is never made
//! where a slash demands a directory, also if that slash is a link's.
//!
//! # Staleness
//!
//! Names may be answered from a cache. When the server then says that the node behind a name is gone (ESTALE),
//! the caller walks once more with [`Freshness::Server`].

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::metadata::FileType;
use super::vfs::{Freshness, Node};

/// Longest path in bytes (Linux's PATH_MAX without the NUL).
pub const PATH_MAX: usize = 4095;
/// Longest name in a path, in bytes.
pub const NAME_MAX: usize = 255;
/// How many symbolic links one resolution follows.
pub const LINKS_MAX: usize = 40;

/// What to do with a symbolic link that the path ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// Go on to what it names.
    Follow,
    /// Go on to what it names, which shall be created if there is no such thing. That cannot be a directory: a slash behind the
    /// last name, in the path or in the link, is EISDIR.
    Create,
    /// Stop at the link itself, as `lstat` does.
    Keep,
}

/// Where a path led.
pub struct Resolved {
    /// The node at its end.
    pub node: Rc<dyn Node>,
    /// The names from the root of the mount to the node, joined by slashes, without `.`, `..` and links; empty
    /// for the root.
    pub path: Vec<u8>,
}

/// Where the last name of a path is, or would be.
pub enum Place {
    /// The path names something in a directory.
    Name(NamedPlace),
    /// The path ends in `.`, `..` or nothing: it leads to this directory, without giving its name.
    Directory(Rc<dyn Node>),
}

/// A name in a directory.
pub struct NamedPlace {
    /// The directory.
    pub directory: Rc<dyn Node>,
    /// The name.
    pub name: Box<[u8]>,
    /// What has that name, if anything.
    pub node: Option<Rc<dyn Node>>,
}

/// Resolves `path` below `root`.
///
/// # Errors
///
/// ENOENT (no such name, or an empty path or link), ENOTDIR, ELOOP, ENAMETOOLONG, EINVAL (a NUL byte), and what
/// the file system says.
pub fn resolve(root: &Rc<dyn Node>, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Resolved, Errno> {
    let walk = walk(root, path, last_link, freshness)?;
    match walk.missing {
        None => Ok(walk.finish()),
        Some(_) => Err(Errno::ENOENT),
    }
}

/// Finds out where the last name of `path` below `root` is, or would be.
///
/// # Errors
///
/// As [`resolve`], but that the last name need not exist.
pub fn locate(root: &Rc<dyn Node>, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Place, Errno> {
    let mut walk = walk(root, path, last_link, freshness)?;
    if let Some(name) = walk.missing.take() {
        let directory = Rc::clone(walk.current());
        return Ok(Place::Name(NamedPlace { directory, name, node: None }));
    }
    if walk.ending == Ending::Directory {
        return Ok(Place::Directory(walk.finish().node));
    }
    let Some((node, end)) = walk.walked.pop() else { return Ok(Place::Directory(Rc::clone(root))) };
    let start = walk.walked.last().map_or(0, |&(_, length)| length + 1);
    let name = walk.path.get(start..end).unwrap_or_default().into();
    Ok(Place::Name(NamedPlace { directory: Rc::clone(walk.current()), name, node: Some(node) }))
}

/// Walks to the end of `path`, or to the directory of its last name where that does not exist.
fn walk<'r>(root: &'r Rc<dyn Node>, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Walk<'r>, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    check_length(path)?;
    let mut walk = Walk::new(root, path.len(), freshness);
    let mut pending = Cow::Borrowed(path);
    let mut links = 0;
    let mut at = 0;
    while let Some(component) = next_component(&pending, at) {
        at = component.end;
        let name = component.name(&pending);
        walk.ending = if matches!(name, b"." | b"..") { Ending::Directory } else { Ending::Name };
        match name {
            b"." => walk.expect_directory()?,
            b".." => walk.step_back()?,
            _ => {
                let is_end = next_component(&pending, at).is_none();
                if last_link == LastLink::Create && is_end && !component.is_last(&pending) {
                    walk.expect_directory()?;
                    return Err(Errno::EISDIR);
                }
                let node = match walk.find(name) {
                    Err(Errno::ENOENT) if is_end => {
                        walk.missing = Some(name.into());
                        break;
                    }
                    found => found?,
                };
                let keep = last_link == LastLink::Keep && component.is_last(&pending);
                if node.file_type() != FileType::Symlink || keep {
                    walk.step(name, node);
                    continue;
                }
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::ELOOP);
                }
                let target = node.read_link()?;
                if target.is_empty() {
                    return Err(Errno::ENOENT);
                }
                check_length(&target)?;
                if target.starts_with(b"/") {
                    walk.restart();
                }
                walk.ending = Ending::Directory;
                let rest = pending.get(at..).unwrap_or_default();
                pending = Cow::Owned([&target, rest].concat());
                at = 0;
            }
        }
    }
    if walk.missing.is_none() && pending.ends_with(b"/") {
        walk.expect_directory()?;
    }
    Ok(walk)
}

/// What `path` looks like to the mount table: its names, as far as they stand before the first `..`.
pub fn leading_names(path: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        loop {
            let component = next_component(path, at)?;
            at = component.end;
            match component.name(path) {
                b"." => {}
                b".." => return None,
                name => return Some((name, component.end)),
            }
        }
    })
}

/// Fails for what is too long, or has a NUL in it.
pub(super) fn check_length(path: &[u8]) -> Result<(), Errno> {
    if path.contains(&0) {
        Err(Errno::EINVAL)
    } else if path.len() > PATH_MAX {
        Err(Errno::ENAMETOOLONG)
    } else {
        Ok(())
    }
}

/// A component of a path, as a range in it.
#[derive(Clone, Copy)]
struct Component {
    start: usize,
    end: usize,
}

impl Component {
    fn name<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        path.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether nothing follows, not even a slash.
    fn is_last(&self, path: &[u8]) -> bool {
        self.end == path.len()
    }
}

fn next_component(path: &[u8], from: usize) -> Option<Component> {
    let rest = path.get(from..)?;
    let start = from + rest.iter().position(|&byte| byte != b'/')?;
    let name = path.get(start..)?;
    let length = name.iter().position(|&byte| byte == b'/').unwrap_or(name.len());
    Some(Component { start, end: start + length })
}

/// The state of one resolution.
struct Walk<'r> {
    root: &'r Rc<dyn Node>,
    /// The nodes below the root down to the current one, each with the length that `path` has at it.
    walked: Vec<(Rc<dyn Node>, usize)>,
    path: Vec<u8>,
    freshness: Freshness,
    ending: Ending,
    /// The last name, if there is no such thing.
    missing: Option<Box<[u8]>>,
}

/// What the last component was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// `.`, `..` or none at all.
    Directory,
    /// A name.
    Name,
}

impl<'r> Walk<'r> {
    fn new(root: &'r Rc<dyn Node>, length: usize, freshness: Freshness) -> Self {
        let (walked, path) = (Vec::with_capacity(8), Vec::with_capacity(length));
        Self { root, walked, path, freshness, ending: Ending::Directory, missing: None }
    }

    fn current(&self) -> &Rc<dyn Node> {
        self.walked.last().map_or(self.root, |(node, _)| node)
    }

    fn expect_directory(&self) -> Result<(), Errno> {
        match self.current().file_type() {
            FileType::Directory => Ok(()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn find(&self, name: &[u8]) -> Result<Rc<dyn Node>, Errno> {
        self.expect_directory()?;
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.current().lookup(name, self.freshness)
    }

    fn step(&mut self, name: &[u8], node: Rc<dyn Node>) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        self.walked.push((node, self.path.len()));
    }

    fn step_back(&mut self) -> Result<(), Errno> {
        self.expect_directory()?;
        self.walked.pop();
        let length = self.walked.last().map_or(0, |&(_, length)| length);
        self.path.truncate(length);
        Ok(())
    }

    fn restart(&mut self) {
        self.walked.clear();
        self.path.clear();
    }

    fn finish(mut self) -> Resolved {
        let node = self.walked.pop().map_or_else(|| Rc::clone(self.root), |(node, _)| node);
        Resolved { node, path: self.path }
    }
}

#[cfg(test)]
mod tests;
