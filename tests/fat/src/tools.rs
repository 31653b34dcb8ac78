//! Other people's tools: dosfstools and mtools. `cargo xtask setup` installs them, and without them the tests fail.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::model::Tree;

/// A directory with an image in it.
pub struct ImageFile {
    directory: TempDir,
    path: PathBuf,
}

impl ImageFile {
    /// A file that holds `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let path = directory.path().join("fat.img");
        std::fs::write(&path, bytes).expect("it can be written");
        Self { directory, path }
    }

    /// What it holds now.
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("it can be read")
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path beside the image.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Where programs for the administrator are, which are not in everybody's path.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; cargo xtask setup installs it"))
}

/// A new volume of `kib` KiB, made with these words for mkfs.fat.
pub fn mkfs(kib: u64, words: &[&str]) -> Vec<u8> {
    mkfs_beginning(kib, words, u64::MAX)
}

/// The first `most` bytes of a new volume, which may be larger than there is room for.
pub fn mkfs_beginning(kib: u64, words: &[&str], most: u64) -> Vec<u8> {
    let image = ImageFile::new(&[]);
    let mut mkfs = command("mkfs.fat");
    mkfs.args(["-C", "-i", "12345678"]).args(words).arg(image.beside("new.img")).arg(kib.to_string());
    let output = run(&mut mkfs);
    assert!(output.status.success(), "{mkfs:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(image.beside("new.img")).expect("mkfs.fat has made it");
    file.take(most).read_to_end(&mut bytes).expect("mkfs.fat has written it");
    bytes
}

/// What fsck.fat complains about, line by line; nothing if it does not.
pub fn fsck(image: &[u8]) -> Vec<String> {
    let file = ImageFile::new(image);
    let output = run(command("fsck.fat").args(["-n"]).arg(file.path()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Vec::new();
    }
    // The first line is the version.
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Everything that mtools finds in an image.
pub fn mtools_tree(image: &[u8]) -> Tree {
    let file = ImageFile::new(image);
    let target = file.beside("tree");
    std::fs::create_dir(&target).expect("it is a new name");
    let output = run(command("mcopy").args(["-s", "-n", "-Q", "-i"]).arg(file.path()).arg("::").arg(&target));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "mcopy: {message}");
    let mut tree = BTreeMap::new();
    collect(&target, "", &mut tree);
    tree
}

/// Copies a directory of this host's into an image.
pub fn mtools_write(image: &[u8], files: &Tree) -> Vec<u8> {
    let file = ImageFile::new(image);
    let source = file.beside("source");
    std::fs::create_dir(&source).expect("it is a new name");
    for (path, contents) in files {
        let path = source.join(path);
        match contents {
            Some(contents) => std::fs::write(path, contents).expect("it can be written"),
            None => std::fs::create_dir(path).expect("parents come first"),
        }
    }
    let entries = std::fs::read_dir(&source).expect("it can be listed").map(|entry| entry.expect("listed").path());
    let mut mcopy = command("mcopy");
    mcopy.args(["-s", "-Q", "-i"]).arg(file.path()).args(entries).arg("::");
    let output = run(&mut mcopy);
    assert!(output.status.success(), "{mcopy:?}: {}", String::from_utf8_lossy(&output.stderr));
    file.bytes()
}

/// Adds what is in a directory of this host's to `tree`.
fn collect(directory: &Path, prefix: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(directory).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let name = entry.file_name().into_string().expect("mtools writes UTF-8");
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if entry.file_type().expect("it has a type").is_dir() {
            collect(&entry.path(), &path, tree);
            tree.insert(path, None);
        } else {
            tree.insert(path, Some(std::fs::read(entry.path()).expect("it can be read")));
        }
    }
}
