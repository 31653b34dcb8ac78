//! The files for the data partition: what is in a directory of the host, if FAT can hold it.
//!
//! The names are looked at before anything is made: FAT has no place for some characters, takes names that differ only in
//! case for the same one, and drops full stops and blanks at the end. A name that would not be what it was is refused. So is what
//! is neither a file nor a directory, and a file of 4 GiB. A link to a file becomes the file; one to a directory is refused, as
//! there might be no end.
//!
//! Files are copied in the order of their names, so that the same directory makes the same partition.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use toro_fat::NodeId;

use super::volume::Volume;
use crate::exit::Failure;

/// The largest cluster that these file systems have.
const CLUSTER: u64 = 4096;
/// Room for a name: entries of 32 bytes, 13 UTF-16 units each.
const ENTRY_BYTES: u64 = 32;
const UNITS_PER_ENTRY: u64 = 13;
/// The longest name, in UTF-16 units.
const MOST_UNITS: usize = 255;
/// What stays free for what the guest writes, beside a sixteenth.
const SPARE: u64 = 4 << 20;

/// A directory of the host, with everything below it.
pub struct Tree {
    directories: Vec<Directory>,
    files: usize,
    bytes: u64,
    clusters: u64,
}

struct Directory {
    /// Its path within the tree: empty, or with a slash before each name.
    path: String,
    /// Its files, with their names.
    files: Vec<(PathBuf, String)>,
}

impl Tree {
    /// Reads what is in `root`.
    ///
    /// # Errors
    ///
    /// An input failure that names what cannot be read or held.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        let root = root.canonicalize().map_err(|error| trouble(root, &error.to_string()))?;
        if !root.is_dir() {
            return Err(trouble(&root, "it is not a directory"));
        }
        let mut tree = Self { directories: Vec::new(), files: 0, bytes: 0, clusters: 0 };
        tree.add(&root, String::new())?;
        Ok(tree)
    }

    /// Adds a directory and what is below it.
    fn add(&mut self, directory: &Path, path: String) -> Result<(), Failure> {
        let entries = fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries: Vec<_> = entries
            .map_err(|error| trouble(directory, &error.to_string()))?
            .into_iter()
            .map(|entry| entry.path())
            .collect();
        entries.sort();
        let (mut names, mut files, mut below, mut entry_bytes) = (HashSet::new(), Vec::new(), Vec::new(), 0);
        for entry in entries {
            let name = check_name(&entry, &mut names)?.to_owned();
            entry_bytes += ENTRY_BYTES * (1 + (name.encode_utf16().count() as u64).div_ceil(UNITS_PER_ENTRY));
            let metadata = entry.metadata().map_err(|error| trouble(&entry, &error.to_string()))?;
            if metadata.is_file() {
                let length = metadata.len();
                if length > u64::from(u32::MAX) {
                    return Err(trouble(&entry, "it has 4 GiB or more, which FAT cannot hold"));
                }
                self.files += 1;
                self.bytes += length;
                self.clusters += length.div_ceil(CLUSTER);
                files.push((entry, name));
            } else if metadata.is_dir() && !entry.is_symlink() {
                below.push((entry, format!("{path}/{name}")));
            } else if metadata.is_dir() {
                return Err(trouble(&entry, "it is a link to a directory"));
            } else {
                return Err(trouble(&entry, "it is neither a file nor a directory"));
            }
        }
        self.clusters += (entry_bytes + 2 * ENTRY_BYTES).div_ceil(CLUSTER);
        self.directories.push(Directory { path, files });
        below.into_iter().try_for_each(|(directory, path)| self.add(&directory, path))
    }

    /// Number of files.
    pub fn number_of_files(&self) -> usize {
        self.files
    }

    /// Bytes in all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How large a partition should be that holds all of it.
    pub fn room(&self) -> u64 {
        // Tables take a sixty-fourth at most: two entries of four bytes for each sector.
        let bytes = self.clusters * CLUSTER;
        bytes + bytes / 16 + SPARE
    }

    /// Copies everything to `volume`.
    ///
    /// # Errors
    ///
    /// A preparation failure where that fails.
    pub fn copy_to(&self, volume: &mut Volume) -> Result<(), Failure> {
        let mut nodes: HashMap<&str, NodeId> = HashMap::new();
        for directory in &self.directories {
            // Outer directories come first; the root is there.
            let node = match directory.path.rsplit_once('/') {
                None => volume.root(),
                Some((parent, name)) => {
                    let parent = nodes.get(parent).copied().unwrap_or_else(|| volume.root());
                    volume.make_directory(parent, name)?
                }
            };
            nodes.insert(&directory.path, node);
            for (file, name) in &directory.files {
                volume.copy_with_time(file, node, name)?;
            }
        }
        Ok(())
    }
}

/// The name of a file, if FAT holds it as it is and it is none of `names`, to which it is added.
fn check_name<'a>(file: &'a Path, names: &mut HashSet<String>) -> Result<&'a str, Failure> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| trouble(file, "its name is not UTF-8"))?;
    if name.contains(|char: char| char.is_control() || "\"*:<>?|\\".contains(char)) {
        return Err(trouble(file, "FAT has no names with \" * : < > ? | \\ or control characters"));
    }
    if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        return Err(trouble(
            file,
            "FAT has no names with a full stop or a blank at the end, or a blank at the beginning",
        ));
    }
    if name.encode_utf16().count() > MOST_UNITS {
        return Err(trouble(file, "its name is too long for FAT"));
    }
    if !names.insert(name.to_uppercase()) {
        return Err(trouble(file, "FAT takes its name and another for the same one"));
    }
    Ok(name)
}

fn trouble(file: &Path, reason: &str) -> Failure {
    Failure::input(format!("cannot put {} into an image: {reason}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(files: &[&str]) -> (tempfile::TempDir, Result<Tree, Failure>) {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let file = directory.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "12345").unwrap();
        }
        let read = Tree::read(directory.path());
        (directory, read)
    }

    #[test]
    fn files_come_in_the_order_of_their_names() {
        let (_directory, tree) = tree(&["z", "a", "b/y", "b/x", "b/c/d"]);
        let tree = tree.unwrap();
        let names = |directory: &Directory| {
            let files = directory.files.iter().map(|(_, name)| name.as_str());
            format!("{}:{}", directory.path, files.collect::<Vec<_>>().join(","))
        };
        assert_eq!(tree.directories.iter().map(names).collect::<Vec<_>>(), [":a,z", "/b:x,y", "/b/c:d"]);
        assert_eq!((tree.number_of_files(), tree.bytes(), tree.clusters), (5, 25, 8));
    }

    #[test]
    fn what_fat_cannot_hold_is_refused_and_named() {
        for files in [&["a:b"][..], &["end."], &["end "], &["What", "what"], &["sub/a\\b"], &["tab\t"]] {
            let (_directory, tree) = tree(files);
            let said = tree.err().expect("a refusal").to_string();
            let last = Path::new(files.last().unwrap()).file_name().unwrap().to_str().unwrap();
            assert!(said.starts_with("cannot put ") && said.contains(last), "{said}");
        }
        let (directory, tree) = tree(&["ordinary", ".hidden", "with blank", "ümlaut"]);
        assert!(tree.is_ok());
        symlink(directory.path().join("ordinary"), directory.path().join("link")).unwrap();
        assert_eq!(Tree::read(directory.path()).unwrap().number_of_files(), 5);
        symlink(directory.path(), directory.path().join("loop")).unwrap();
        assert!(Tree::read(directory.path()).err().unwrap().to_string().ends_with("link to a directory"));
        assert!(Tree::read(&directory.path().join("ordinary")).is_err());
    }
}
