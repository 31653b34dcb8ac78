//! The file that a guest gets along with its kernel: an archive as it is, or a directory packed into one.
//!
//! A directory becomes a tar in GNU's format, in the order of the names, so that the same directory gives the same archive. Modes and times
//! of change are kept; everything belongs to the superuser, since the guest knows no other. Files with several names have them there. Sockets
//! are left out, as by tar.
//!
//! The archive has no name of its own: it goes with the last process that has it open.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{BufWriter, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar_core::{EntryBuilder, EntryType, HEADER_SIZE};

use crate::exit::Failure;

/// What a guest gets, checked.
#[derive(Debug, PartialEq, Eq)]
pub enum Initrd {
    /// This file, as it is.
    File(PathBuf),
    /// An archive of this directory.
    Directory(PathBuf),
}

impl Initrd {
    /// What is at `path`.
    ///
    /// # Errors
    ///
    /// An input failure if it is neither a file nor a directory that can be read.
    pub fn check(path: &Path) -> Result<Self, Failure> {
        let trouble = |reason: String| Failure::input(format!("no initial RAM disk in {}: {reason}", path.display()));
        let found = path.metadata().map_err(|error| trouble(error.to_string()))?;
        if found.is_dir() {
            path.read_dir().map_err(|error| trouble(error.to_string()))?;
            return Ok(Self::Directory(path.to_owned()));
        }
        if !found.is_file() {
            return Err(trouble("it is neither a file nor a directory".to_owned()));
        }
        File::open(path).map_err(|error| trouble(error.to_string()))?;
        Ok(Self::File(path.to_owned()))
    }

    /// Opens the file, or an archive that is made in `scratch`.
    ///
    /// # Errors
    ///
    /// A preparation failure if something cannot be read or there is no room; an input failure if a guest with this much memory
    /// has no place for it.
    pub fn open(&self, scratch: &Path, memory_mib: u32) -> Result<File, Failure> {
        let file = match self {
            Self::File(path) => File::open(path).map_err(|error| cannot(path, &error))?,
            Self::Directory(path) => {
                let made = std::fs::create_dir_all(scratch).and_then(|()| tempfile::tempfile_in(scratch));
                pack(path, made.map_err(|error| cannot(scratch, &error))?)
                    .map_err(|(path, error)| cannot(&path, &error))?
            }
        };
        let size = file.metadata().map_err(|error| Failure::preparation(error.to_string()))?.len();
        if size >= u64::from(memory_mib) << 20 {
            let mib = size.div_ceil(1 << 20);
            return Err(Failure::input(format!(
                "the initial RAM disk has {mib} MiB, and the guest {memory_mib} MiB of memory: say --memory"
            )));
        }
        Ok(file)
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::preparation(format!("cannot pack {}: {error}", path.display()))
}

/// Where something went wrong, and what.
type Trouble = (PathBuf, std::io::Error);

/// Packs a directory.
fn pack(directory: &Path, file: File) -> Result<File, Trouble> {
    let mut packer = Packer { root: directory, archive: BufWriter::new(file), names: HashMap::new() };
    packer.directory(Path::new("."))?;
    let end = packer.archive.write_all(&[0; 2 * HEADER_SIZE]).and_then(|()| {
        let mut file = packer.archive.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    });
    end.map_err(|error| (directory.to_owned(), error))
}

struct Packer<'a> {
    root: &'a Path,
    archive: BufWriter<File>,
    /// The first names of files that have several, by device and inode.
    names: HashMap<(u64, u64), PathBuf>,
}

impl Packer<'_> {
    /// Packs a directory and what is in it.
    fn directory(&mut self, path: &Path) -> Result<(), Trouble> {
        let host = self.root.join(path);
        let at = |error| (host.clone(), error);
        let metadata = host.metadata().map_err(at)?;
        self.entry(path, EntryType::Directory, &metadata, 0, None).map_err(at)?;
        let names = host.read_dir().and_then(|names| names.map(|name| Ok(name?.file_name())).collect());
        let mut names: Vec<_> = names.map_err(at)?;
        names.sort();
        for name in names {
            let path = path.join(name);
            let host = self.root.join(&path);
            let metadata = host.symlink_metadata().map_err(|error| (host.clone(), error))?;
            if metadata.is_dir() {
                self.directory(&path)?;
            } else {
                self.other(&path, &metadata).map_err(|error| (host, error))?;
            }
        }
        Ok(())
    }

    /// Packs anything else.
    fn other(&mut self, path: &Path, metadata: &Metadata) -> std::io::Result<()> {
        let kind = metadata.file_type();
        if metadata.nlink() > 1 {
            let first = self.names.entry((metadata.dev(), metadata.ino())).or_insert_with(|| path.to_owned()).clone();
            if first != path {
                return self.entry(path, EntryType::Link, metadata, 0, Some(first.as_os_str()));
            }
        }
        if kind.is_symlink() {
            let target = std::fs::read_link(self.root.join(path))?;
            self.entry(path, EntryType::Symlink, metadata, 0, Some(target.as_os_str()))
        } else if kind.is_file() {
            self.file(path)
        } else if kind.is_fifo() {
            self.entry(path, EntryType::Fifo, metadata, 0, None)
        } else if kind.is_char_device() {
            self.entry(path, EntryType::Char, metadata, 0, None)
        } else if kind.is_block_device() {
            self.entry(path, EntryType::Block, metadata, 0, None)
        } else {
            Ok(())
        }
    }

    /// Packs a file, whose length is that at the time when it was opened.
    fn file(&mut self, path: &Path) -> std::io::Result<()> {
        let file = File::open(self.root.join(path))?;
        let metadata = file.metadata()?;
        let size = metadata.len();
        self.entry(path, EntryType::Regular, &metadata, size, None)?;
        if std::io::copy(&mut file.take(size), &mut self.archive)? < size {
            return Err(std::io::Error::other("it became shorter meanwhile"));
        }
        let padding = [0; HEADER_SIZE];
        let rest = (size.next_multiple_of(HEADER_SIZE as u64) - size) as usize;
        self.archive.write_all(&padding[..rest])
    }

    fn entry(
        &mut self,
        path: &Path,
        kind: EntryType,
        metadata: &Metadata,
        size: u64,
        link: Option<&OsStr>,
    ) -> std::io::Result<()> {
        let too_much = |error: tar_core::HeaderError| std::io::Error::other(error.to_string());
        let mut entry = EntryBuilder::new_gnu();
        entry.path(path.as_os_str().as_bytes()).entry_type(kind);
        entry.size(size).map_err(too_much)?.mode(metadata.mode() & 0o7777).map_err(too_much)?;
        entry.mtime(u64::try_from(metadata.mtime()).unwrap_or(0)).map_err(too_much)?;
        if let Some(link) = link {
            entry.link_name(link.as_bytes());
        }
        if matches!(kind, EntryType::Char | EntryType::Block) {
            let device = metadata.rdev();
            entry.device(rustix::fs::major(device), rustix::fs::minor(device)).map_err(too_much)?;
        }
        self.archive.write_all(&entry.finish_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// What GNU tar says of an archive, or makes of it.
    fn tar(archive: &Path, words: &[&str]) -> String {
        let mut tar = Command::new("tar");
        let output =
            tar.args(words).arg("--file").arg(archive).env("LC_ALL", "C").stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn gnu_tar_unpacks_what_was_packed() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let long = format!("{}/{}", "d".repeat(120), "n".repeat(200));
        std::fs::create_dir_all(from.join(&long).parent().unwrap()).unwrap();
        std::fs::write(from.join(&long), b"long").unwrap();
        std::fs::write(from.join("a"), [b'x'; 1000]).unwrap();
        std::fs::hard_link(from.join("a"), from.join("b")).unwrap();
        std::os::unix::fs::symlink("t".repeat(150), from.join("link")).unwrap();
        std::fs::create_dir(&to).unwrap();
        let archive = directory.path().join("archive");
        let packed = Initrd::check(&from).unwrap().open(directory.path(), 16).unwrap();
        std::io::copy(&mut &packed, &mut File::create(&archive).unwrap()).unwrap();
        tar(&archive, &["--extract", "--directory", to.to_str().unwrap()]);
        let status =
            Command::new("diff").args(["--recursive", "--no-dereference"]).args([&from, &to]).status().unwrap();
        assert!(status.success());
        let inode = |name: &str| to.join(name).metadata().unwrap().ino();
        assert_eq!(inode("a"), inode("b"));
        let list = tar(&archive, &["--list", "--verbose", "--numeric-owner"]);
        assert!(list.lines().all(|line| line.contains(" 0/0 ")), "{list}");
    }

    #[test]
    fn a_guest_has_more_memory_than_its_archive_takes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("large");
        File::create(&file).unwrap().set_len(3 << 20).unwrap();
        let initrd = Initrd::check(&file).unwrap();
        assert!(initrd.open(directory.path(), 3).unwrap_err().to_string().contains("3 MiB"));
        assert!(initrd.open(directory.path(), 4).is_ok());
        assert!(Initrd::check(&directory.path().join("none")).is_err());
        assert!(Initrd::check(Path::new("/dev/null")).is_err());
    }
}
