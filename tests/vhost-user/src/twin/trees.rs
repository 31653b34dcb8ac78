//! Two directories, as the host sees them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::answer::Answer;
use super::ours::user_names;

/// More than an object's attributes take here.
const XATTRS: usize = 4096;

/// Kind and permissions.
#[derive(PartialEq, Eq)]
struct Octal(u32);

impl std::fmt::Debug for Octal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:o}", self.0)
    }
}

/// All that is said of an object.
#[derive(Debug, PartialEq, Eq)]
struct Object {
    mode: Octal,
    owner: (u32, u32),
    /// The path that comes first of those that the object has.
    first: PathBuf,
    links: u64,
    contents: Answer,
    xattrs: Vec<(Vec<u8>, Answer)>,
}

/// Fails where the two differ in a name, or in what is behind it.
///
/// # Panics
///
/// There.
pub fn compare(one: &Path, other: &Path) {
    let (one, other) = (tree(one), tree(other));
    let names = |tree: &BTreeMap<PathBuf, Object>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other), "the names of the two directories");
    for (path, object) in &one {
        let expected = &other[path];
        assert_eq!(object, expected, "{}", path.display());
    }
}

fn tree(root: &Path) -> BTreeMap<PathBuf, Object> {
    let (mut objects, mut inodes) = (BTreeMap::new(), BTreeMap::new());
    walk(root, Path::new(""), &mut objects, &mut inodes);
    objects
}

fn walk(root: &Path, at: &Path, objects: &mut BTreeMap<PathBuf, Object>, inodes: &mut BTreeMap<u64, PathBuf>) {
    let entries = std::fs::read_dir(root.join(at)).expect("a directory");
    let mut names: Vec<OsString> = entries.map(|entry| entry.expect("a name").file_name()).collect();
    names.sort();
    for name in names {
        let path = at.join(&name);
        let full = root.join(&path);
        let metadata = full.symlink_metadata().expect("it was listed");
        let kind = metadata.file_type();
        let contents = match () {
            () if kind.is_file() => std::fs::read(&full).expect("a file"),
            () if kind.is_symlink() => full.read_link().expect("a link").as_os_str().as_bytes().to_vec(),
            () => Vec::new(),
        };
        let first = inodes.entry(metadata.ino()).or_insert_with(|| path.clone()).clone();
        let object = Object {
            mode: Octal(metadata.mode()),
            owner: (metadata.uid(), metadata.gid()),
            first,
            links: metadata.nlink(),
            contents: Answer::Bytes(contents),
            xattrs: if kind.is_symlink() { Vec::new() } else { xattrs(&full) },
        };
        objects.insert(path.clone(), object);
        if kind.is_dir() {
            walk(root, &path, objects, inodes);
        }
    }
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Answer)> {
    let mut list = vec![0; XATTRS];
    // Where there are none at all, none differ.
    let len = rustix::fs::listxattr(path, &mut list[..]).unwrap_or(0);
    let names = user_names(list[..len].split(|&byte| byte == 0).map(<[u8]>::to_vec));
    let value = |name: Vec<u8>| {
        let mut value = vec![0; XATTRS];
        let len = rustix::fs::getxattr(path, &name[..], &mut value[..]).expect("it was listed");
        (name, Answer::Bytes(value[..len].to_vec()))
    };
    names.into_iter().map(value).collect()
}
