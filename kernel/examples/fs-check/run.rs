//! A long run of changes picked at random, beside a model in memory: what every call answers is compared, and at the end
//! everything that is there.
//!
//! Contents are written, appended, read, cut off and lengthened through handles that stay open, whatever becomes of the
//! names meanwhile (as fsx does); names are created, linked, renamed, exchanged and removed, and attributes set (as pjdfstest
//! does). Each thread has a directory and a seed of its own, so what goes wrong goes wrong again.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use toro::fs::{self, File, OpenOptions};
use toro::io::{self, ErrorKind};

use crate::features::Features;
use crate::model::{Inode, Kind, LastLink, Model, Object, join};
use crate::outcome::{Checked, failed_as, same, same_bytes, worked};
use crate::random::Random;

#[path = "run/attributes.rs"]
mod attributes;
#[path = "run/bytes.rs"]
mod bytes;
#[path = "run/names.rs"]
mod names;

/// Names that are picked from; few, so that they meet.
const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "name with space", "h.txt", "i-j", "k_l", "m", "n"];
/// Most names below each other.
const DEPTH: usize = 4;
/// Most objects: what there is has to be compared again and again.
const OBJECTS: usize = 150;
/// Most handles that stay open.
const HANDLES: usize = 6;

/// A handle, and the object that it is to.
struct Handle {
    file: File,
    object: Object,
    appends: bool,
}

/// One thread's run.
pub struct Run {
    root: String,
    features: Features,
    random: Random,
    model: Model,
    handles: Vec<Handle>,
}

impl Run {
    /// A run in `root`, an empty directory.
    pub fn new(root: String, seed: u64, features: Features) -> Self {
        Self { root, features, random: Random::new(seed), model: Model::new(), handles: Vec::new() }
    }

    /// Does so many operations and compares all there is at the end.
    ///
    /// # Errors
    ///
    /// The first operation that does not do what it should.
    pub fn run(mut self, operations: u64) -> Checked {
        for number in 0..operations {
            self.step().map_err(|reason| format!("operation {number} in {}: {reason}", self.root))?;
            if number % 1000 == 999 {
                self.compare().map_err(|reason| format!("after operation {number} in {}: {reason}", self.root))?;
            }
        }
        self.handles.clear();
        self.compare().map_err(|reason| format!("at the end in {}: {reason}", self.root))
    }

    fn step(&mut self) -> Checked {
        match self.random.within(0..=99) {
            0..=11 => self.write(),
            12..=23 => self.read(),
            24..=28 => self.append(),
            29..=33 => self.set_length(),
            34..=38 => self.read_whole(),
            39..=41 => self.replace(),
            42..=43 => self.copy(),
            44 => self.make_stable(),
            45..=49 => self.open(),
            50..=52 => self.close(),
            53..=57 => self.create(),
            58..=61 => self.create_directory(),
            62..=66 => self.remove(),
            67..=69 => self.remove_directory(),
            70..=76 => self.rename(),
            77..=79 => self.link(),
            80..=82 => self.symlink(),
            83..=84 => self.exchange(),
            85..=88 => self.list(),
            89..=92 => self.look(),
            93..=94 => self.permit(),
            95..=96 => self.date(),
            _ => self.extended(),
        }
    }

    /// The path for the file system.
    fn path(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}/{path}", self.root) }
    }

    /// A path that may name something, or could.
    fn some_path(&mut self) -> String {
        if self.random.once_in(50) {
            // One that is too long by a byte, or just not.
            let length = 255 + self.random.index(2);
            return core::iter::repeat_n('x', length).collect();
        }
        let directories: Vec<_> = self.paths(|inode| inode.kind == Kind::Directory);
        let others = if self.random.once_in(10) { self.paths(|_| true) } else { directories };
        let directory = self.random.one_of(&others).cloned().unwrap_or_default();
        let name = self.random.one_of(&NAMES).copied().unwrap_or_default();
        if directory.split('/').count() >= DEPTH { directory } else { join(&directory, name) }
    }

    /// A path that names something that is so, if there is one; else any.
    fn path_of(&mut self, is_wanted: impl Fn(&Inode) -> bool) -> String {
        if self.random.once_in(12) {
            return self.some_path();
        }
        let paths = self.paths(|inode| is_wanted(inode));
        let wanted = paths.into_iter().filter(|path| !path.is_empty()).collect::<Vec<_>>();
        match self.random.one_of(&wanted) {
            Some(path) => path.clone(),
            None => self.some_path(),
        }
    }

    fn file_path(&mut self) -> String {
        self.path_of(|inode| matches!(inode.kind, Kind::File(_)))
    }

    fn paths(&self, is_wanted: impl Fn(&Inode) -> bool) -> Vec<String> {
        self.model.all().filter(|(_, object)| is_wanted(&object.borrow())).map(|(path, _)| path.to_string()).collect()
    }

    /// Whether there is no room for more objects.
    fn is_full(&self) -> bool {
        self.model.len() >= OBJECTS
    }

    /// Compares everything with the model: names, kinds, contents, attributes.
    fn compare(&self) -> Checked {
        let mut names = 0;
        for (path, object) in self.model.all() {
            let (inode, full) = (object.borrow(), self.path(path));
            self.compare_attributes(&full, &inode)?;
            match &inode.kind {
                Kind::File(contents) => same_bytes(&full, &worked(&full, fs::read(&full))?, contents)?,
                Kind::Symlink(target) => {
                    same(&full, worked(&full, fs::read_link(&full))?, target.as_bytes().to_vec())?;
                }
                Kind::Directory => {
                    let found = listed(&full)?;
                    names += found.len();
                    same(&full, found, self.model.names(path).into_iter().map(String::into_bytes).collect())?;
                }
            }
        }
        same("names in all", names + 1, self.model.len())
    }

    fn compare_attributes(&self, path: &str, inode: &Inode) -> Checked {
        let metadata = worked(path, fs::symlink_metadata(path))?;
        let kinds = (metadata.is_file(), metadata.is_dir(), metadata.is_symlink());
        let wanted = match &inode.kind {
            Kind::File(_) => (true, false, false),
            Kind::Directory => (false, true, false),
            Kind::Symlink(_) => (false, false, true),
        };
        same(path, kinds, wanted)?;
        if let Kind::File(contents) = &inode.kind {
            same(path, metadata.len(), contents.len() as u64)?;
            if self.features.links {
                same(path, metadata.links(), inode.names)?;
            }
        }
        if self.features.modes && !matches!(inode.kind, Kind::Symlink(_)) {
            same(path, metadata.mode() & 0o7777, inode.mode)?;
        }
        if let Some(modified) = inode.modified {
            same(path, metadata.modified_time(), modified)?;
        }
        if self.features.xattrs && !matches!(inode.kind, Kind::Symlink(_)) {
            let mut names: Vec<_> = worked(path, fs::list_xattrs(path))?.iter().map(|name| name.to_vec()).collect();
            names.sort();
            same(path, names, inode.xattrs.keys().map(|name| name.clone().into_bytes()).collect())?;
            for (name, value) in &inode.xattrs {
                same(path, worked(path, fs::xattr(path, name))?, Some(value.clone()))?;
            }
        }
        Ok(())
    }
}

/// The names in a directory, in order.
fn listed(path: &str) -> Checked<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in worked(path, fs::read_dir(path))? {
        names.push(worked(path, entry)?.file_name().to_vec());
    }
    names.sort();
    Ok(names)
}

/// Compares an answer with one that was expected.
fn answered<T>(what: &str, result: io::Result<T>, expected: Result<(), &[ErrorKind]>) -> Checked {
    match expected {
        Ok(()) => worked(what, result).map(drop),
        Err(kinds) => failed_as(what, result, kinds),
    }
}

/// The same for a single kind of error.
fn answered_once<T>(what: &str, result: io::Result<T>, expected: Result<(), ErrorKind>) -> Checked {
    match expected {
        Ok(()) => answered(what, result, Ok(())),
        Err(kind) => failed_as(what, result, &[kind]),
    }
}

/// A file opened in some way.
fn opened(path: &str, options: &mut OpenOptions) -> io::Result<File> {
    options.open(path)
}

fn is_file(object: &Object) -> bool {
    matches!(object.borrow().kind, Kind::File(_))
}

/// The object of a file that a path leads to, or why it leads to none.
fn file_at(model: &Model, path: &str) -> Result<Object, ErrorKind> {
    let (_, object) = model.find(path, LastLink::Follow)?;
    if is_file(&object) { Ok(object) } else { Err(ErrorKind::IsADirectory) }
}

/// Whether two handles are to the same object.
fn is_same(one: &Object, other: &Object) -> bool {
    Rc::ptr_eq(one, other)
}
