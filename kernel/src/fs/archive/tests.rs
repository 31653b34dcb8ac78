//! Archives that GNU tar and cpio made, and ones that lie. `cargo xtask setup` installs both programs.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{ArchiveError, Damage};
use crate::fs::fuse::tests::memory::Heap;
use crate::fs::host::archive;
use crate::fs::tests::writing::options;
use crate::fs::{FileType, Namespace};
use crate::io::{ErrorKind, Result};

/// Objects and names that a test's archive may have.
const MOST: usize = 10_000;

/// A directory of the host, gone with this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        use core::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("toro-archive-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("the host has a directory for temporary files");
        Self(path)
    }

    /// One with something of each kind in it.
    fn filled() -> Self {
        let directory = Self::new();
        directory.file("index.html", b"<h1>hello</h1>");
        directory.file("empty", b"");
        directory.file("block", &[b'x'; 512]);
        directory.file("d/e/deep", &vec![7; 70_000]);
        directory.file("gr\u{fc}\u{df}e", "gr\u{fc}\u{df}e\n".as_bytes());
        directory.file("program", b"#!/bin/sh\n");
        let root = &directory.0;
        std::fs::set_permissions(root.join("program"), PermissionsExt::from_mode(0o755)).expect("it is ours");
        std::fs::create_dir(root.join("hollow")).expect("there is room");
        std::fs::set_permissions(root.join("hollow"), PermissionsExt::from_mode(0o700)).expect("it is ours");
        std::os::unix::fs::symlink("d/e/deep", root.join("link")).expect("there is room");
        std::os::unix::fs::symlink("/nowhere", root.join("d/dangling")).expect("there is room");
        std::fs::hard_link(root.join("index.html"), root.join("d/again")).expect("there is room");
        directory
    }

    fn file(&self, path: &str, contents: &[u8]) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("below the directory")).expect("there is room");
        std::fs::write(path, contents).expect("there is room");
    }

    /// The directory as GNU tar packs it.
    fn tar(&self, words: &[&str]) -> Vec<u8> {
        let mut tar = Command::new("tar");
        tar.args(["--create", "--file=-", "--sort=name", "--directory"]).arg(&self.0).args(words).arg(".");
        output(tar.stdin(Stdio::null()), b"")
    }

    /// The directory as cpio packs it.
    fn cpio(&self, format: &str) -> Vec<u8> {
        let mut names = Vec::new();
        visit(&self.0, Path::new(""), &mut |path| names.push(path.to_owned()));
        let names: Vec<u8> = names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect();
        let mut cpio = Command::new("cpio");
        cpio.args(["--create", "--null", "--quiet", "--format", format]).current_dir(&self.0).stdin(Stdio::piped());
        output(&mut cpio, &names)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn output(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let spawned = command.env("LC_ALL", "C.UTF-8").stdout(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}; cargo xtask setup installs it"));
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).expect("it reads the names");
    }
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// Shows the path of all that is in a directory of the host, directories before what is in them.
fn visit(root: &Path, below: &Path, see: &mut dyn FnMut(&str)) {
    let mut names: Vec<_> = std::fs::read_dir(root.join(below))
        .expect("a directory")
        .map(|entry| entry.expect("it is there").file_name())
        .collect();
    names.sort();
    for name in names {
        let path = below.join(name);
        see(path.to_str().expect("text"));
        if root.join(&path).symlink_metadata().expect("it is there").is_dir() {
            visit(root, &path, see);
        }
    }
}

fn open(image: impl Into<Vec<u8>>) -> core::result::Result<Namespace, ArchiveError> {
    open_with(image, MOST)
}

fn open_with(image: impl Into<Vec<u8>>, most: usize) -> core::result::Result<Namespace, ArchiveError> {
    archive(Box::new(image.into()), most, &Heap)
}

fn mounted(image: impl Into<Vec<u8>>) -> Namespace {
    open(image).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(image: impl Into<Vec<u8>>) -> ArchiveError {
    open(image).err().expect("it is refused")
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// How exactly a format keeps times.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Seconds,
    Nanoseconds,
}

/// Compares all that is in the archive with all that is in the directory.
fn compare(namespace: &Namespace, directory: &Directory, times: Times) {
    let mut theirs = Vec::new();
    visit(&directory.0, Path::new(""), &mut |path| theirs.push(path.to_owned()));
    let mut ours = Vec::new();
    list(namespace, "", &mut ours);
    assert_eq!(ours, theirs);
    assert!(theirs.len() > 1);
    for path in theirs {
        let host = directory.0.join(&path);
        let (found, expected) = (namespace.symlink_metadata(path.as_bytes()), host.symlink_metadata());
        let (found, expected) = (found.expect("it is there"), expected.expect("it is there"));
        assert_eq!(found.mode(), expected.mode(), "{path}");
        let modified = found.modified_time();
        assert_eq!(modified.seconds, expected.mtime(), "{path}");
        if times == Times::Nanoseconds {
            assert_eq!(i64::from(modified.nanoseconds), expected.mtime_nsec(), "{path}");
        }
        assert_eq!((found.uid(), found.gid()), (expected.uid(), expected.gid()), "{path}");
        assert_eq!(u64::from(found.links()), expected.nlink(), "{path}");
        if expected.is_symlink() {
            let target = std::fs::read_link(&host).expect("a link");
            assert_eq!(namespace.read_link(path.as_bytes()).expect("a link"), target.as_os_str().as_encoded_bytes());
        } else if expected.is_file() {
            assert_eq!(found.len(), expected.len(), "{path}");
            let contents = std::fs::read(&host).expect("a file");
            assert!(namespace.read(path.as_bytes()).expect("a file") == contents, "{path}");
            let file = namespace.open(path.as_bytes()).expect("a file");
            let mut buffered = Vec::new();
            while buffered.len() < contents.len() {
                let piece = file.read_buffer(buffered.len() as u64, usize::MAX).expect("there is memory");
                assert!(!piece.is_empty());
                buffered.extend_from_slice(&piece);
            }
            assert!(buffered == contents, "{path}");
            assert_eq!(file.read_buffer(contents.len() as u64, 9).expect("there is memory").len(), 0);
        }
    }
}

/// All paths, directories before what is in them.
fn list(namespace: &Namespace, below: &str, paths: &mut Vec<String>) {
    let directory = format!("/{below}");
    for entry in namespace.read_dir(directory.as_bytes()).expect("a directory") {
        let entry = entry.expect("it is in order");
        let name = str::from_utf8(entry.file_name()).expect("text");
        let path = if below.is_empty() { name.into() } else { format!("{below}/{name}") };
        let metadata = entry.metadata().expect("it is there");
        assert_eq!((entry.inode(), entry.file_type()), (metadata.inode(), Ok(metadata.file_type())), "{path}");
        let is_directory = metadata.file_type().is_dir();
        paths.push(path.clone());
        if is_directory {
            list(namespace, &path, paths);
        }
    }
}

#[test]
fn every_format_of_gnu_tar_gives_the_same_files() {
    let directory = Directory::filled();
    for format in ["v7", "oldgnu", "gnu", "ustar", "posix"] {
        std::println!("{format}");
        let times = if format == "posix" { Times::Nanoseconds } else { Times::Seconds };
        compare(&mounted(directory.tar(&["--format", format])), &directory, times);
    }
}

#[test]
fn newc_archives_of_cpio_give_the_same_files_with_checksums_and_without() {
    let directory = Directory::filled();
    for format in ["newc", "crc"] {
        compare(&mounted(directory.cpio(format)), &directory, Times::Seconds);
    }
    for format in ["odc", "bin"] {
        assert_eq!(refused(directory.cpio(format)), ArchiveError::OldCpio);
    }
}

#[test]
fn long_names_and_long_targets_are_whole() {
    let directory = Directory::new();
    // Longer than a name in any header, and than the two parts of a path in ustar's.
    let (name, part) = ("n".repeat(255), "directory with a long name/".repeat(12));
    directory.file(&format!("{part}{name}"), b"far away");
    directory.file(&format!("{}/short", "p".repeat(120)), b"in two parts");
    std::os::unix::fs::symlink("t".repeat(300), directory.0.join("link")).expect("there is room");
    std::fs::hard_link(directory.0.join(format!("{part}{name}")), directory.0.join("hard")).expect("there is room");
    for format in ["gnu", "posix"] {
        compare(&mounted(directory.tar(&["--format", format])), &directory, Times::Seconds);
    }
    compare(&mounted(directory.cpio("newc")), &directory, Times::Seconds);
}

#[test]
fn files_that_are_stored_without_their_holes_have_them() {
    let directory = Directory::new();
    directory.file("before", b"1");
    let mut bytes = vec![0; 3 << 20];
    for at in [1 << 20, (1 << 20) + 300_000, 2 << 20, (3 << 20) - 70_000] {
        bytes[at..at + 4096].fill(b'#');
    }
    let sparse = std::fs::File::create(directory.0.join("holes")).expect("there is room");
    sparse.set_len(bytes.len() as u64).expect("there is room");
    for (at, piece) in bytes.chunks(4096).enumerate().filter(|(_, piece)| piece.contains(&b'#')) {
        std::os::unix::fs::FileExt::write_all_at(&sparse, piece, (at * 4096) as u64).expect("there is room");
    }
    drop(sparse);
    directory.file("later", b"2");
    for words in
        [&["--format=gnu"][..], &["--sparse-version=0.0"], &["--sparse-version=0.1"], &["--sparse-version=1.0"]]
    {
        let format = if words[0].contains("gnu") { "--format=gnu" } else { "--format=posix" };
        let image = directory.tar(&[&["--sparse", "--hole-detection=raw", format], words].concat());
        assert!(image.len() < 1 << 20, "tar has not left the holes out");
        compare(&mounted(image), &directory, Times::Seconds);
    }
}

#[test]
fn directories_that_are_named_by_paths_alone_are_there() {
    let directory = Directory::new();
    directory.file("a/b/c", b"1");
    directory.file("a/d", b"2");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--file=-", "--directory"]).arg(&directory.0).args(["a/b/c", "a/d"]).stdin(Stdio::null());
    let namespace = mounted(output(&mut tar, b""));
    let mut paths = Vec::new();
    list(&namespace, "", &mut paths);
    assert_eq!(paths, ["a", "a/b", "a/b/c", "a/d"]);
    let metadata = namespace.metadata(b"/a").expect("it is there");
    assert_eq!((metadata.mode(), metadata.links(), metadata.file_type()), (0o040_755, 3, FileType::Directory));
}

#[test]
fn the_last_of_several_entries_with_one_name_holds() {
    let directory = Directory::new();
    directory.file("f", b"first");
    let file = directory.0.join("archive.tar");
    let run = |words: &[&str]| {
        let mut tar = Command::new("tar");
        output(tar.args(words).arg(&file).arg("--directory").arg(&directory.0).arg("f").stdin(Stdio::null()), b"");
    };
    run(&["--create", "--file"]);
    directory.file("f", b"and last");
    run(&["--append", "--file"]);
    let namespace = mounted(std::fs::read(&file).expect("it was made"));
    assert_eq!(namespace.read(b"/f"), Ok(b"and last".to_vec()));
    assert_eq!(namespace.metadata(b"/f").map(|metadata| metadata.links()), Ok(1));
}

#[test]
fn nothing_can_be_changed() {
    let namespace = mounted(Directory::filled().tar(&[]));
    let read_only = Some(ErrorKind::ReadOnlyFilesystem);
    assert_eq!(kind(namespace.write(b"/new", b"")), read_only);
    assert_eq!(kind(namespace.write(b"/index.html", b"")), read_only);
    assert_eq!(kind(namespace.open_with(b"/index.html", &options(|options| options.append(true)))), read_only);
    assert_eq!(kind(namespace.create_dir(b"/new")), read_only);
    assert_eq!(kind(namespace.remove_file(b"/index.html")), read_only);
    assert_eq!(kind(namespace.remove_dir(b"/hollow")), read_only);
    assert_eq!(kind(namespace.rename(b"/index.html", b"/new")), read_only);
    assert_eq!(kind(namespace.create_dir(b"/hollow")), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind(namespace.open(b"/hollow")), Some(ErrorKind::IsADirectory));
    let stats = namespace.stats(b"/").expect("it is mounted");
    assert_eq!((stats.blocks_free, stats.files), (0, 12));
}

#[test]
fn after_the_end_everything_is_not_connected() {
    let namespace = mounted(Directory::filled().tar(&[]));
    let (file, mut listing) =
        (namespace.open(b"/block").expect("a file"), namespace.read_dir(b"/").expect("a directory"));
    file.lock().expect("nobody has it");
    namespace.unmount_all();
    let gone = Some(ErrorKind::NotConnected);
    assert_eq!(kind(file.read_at(&mut [0; 4], 0)), gone);
    assert_eq!(listing.next().map(kind), Some(gone));
    assert_eq!(kind(file.unlock()), gone);
}

#[test]
fn a_compressed_archive_is_called_so() {
    let directory = Directory::filled();
    assert_eq!(refused(directory.tar(&["--gzip"])), ArchiveError::Compressed("gzip"));
    for (start, program) in [(&b"\x28\xB5\x2F\xFD\0"[..], "zstd"), (b"\xFD7zXZ\0\0", "xz"), (b"BZh9", "bzip2")] {
        assert_eq!(refused([start, &[0; 2000]].concat()), ArchiveError::Compressed(program));
    }
    assert_eq!(refused(b"hello"), ArchiveError::Unknown);
    assert_eq!(refused(b""), ArchiveError::Unknown);
}

#[test]
fn an_archive_that_is_cut_anywhere_is_refused() {
    let directory = Directory::filled();
    for image in [directory.tar(&["--format=posix"]), directory.cpio("newc")] {
        let is_tar = image.starts_with(b".") || !image.starts_with(b"0707");
        // What comes behind the end is padding.
        let end = if is_tar { image.len() - 10_240 } else { image.len() - 512 };
        for length in (1..end).step_by(97).chain([512, 1024, end]) {
            let error = open(&image[..length]).err();
            assert!(error.is_some(), "{length} of {}", image.len());
        }
    }
}

#[test]
fn a_header_that_was_changed_is_found_by_its_checksum_or_its_digits() {
    let directory = Directory::filled();
    let mut image = directory.tar(&[]);
    let at = image.windows(12).position(|window| window == b"./index.html").expect("it is in there");
    image[at + 2] ^= 1;
    assert_eq!(refused(image), Damage::Header.at(at));
    let mut image = directory.cpio("newc");
    let at = image.windows(10).position(|window| window == b"index.html").expect("it is in there") - 110;
    image[at + 20] = b'g';
    assert_eq!(refused(image), Damage::Header.at(at));
}

/// A tar of entries that are their name, their type, their size and their link.
fn lie(entries: &[(&str, u8, u64, &str)]) -> Vec<u8> {
    let mut image = Vec::new();
    for &(name, kind, size, link) in entries {
        let mut header = tar_core::HeaderBuilder::new_ustar();
        header.path(name).expect("short").size(size).expect("small").mode(0o644).expect("small");
        header.link_name(link).expect("short").mtime(1).expect("small");
        header.entry_type(tar_core::EntryType::from_byte(kind));
        image.extend_from_slice(header.finish().as_bytes());
        image.resize(image.len() + size.min(4096).next_multiple_of(512) as usize, b'x');
    }
    image.resize(image.len() + 1024, 0);
    image
}

#[test]
fn entries_that_lead_out_of_the_archive_or_contradict_others_are_refused() {
    let damage = |entries: &[_], expected: Damage| {
        let error = refused(lie(entries));
        assert!(matches!(error, ArchiveError::Damaged { damage, .. } if damage == expected), "{error:?}");
    };
    damage(&[("../etc/passwd", b'0', 1, "")], Damage::Name);
    damage(&[("a/../../b", b'0', 1, "")], Damage::Name);
    damage(&[("a", b'0', 1, ""), ("a/b", b'0', 1, "")], Damage::Conflict);
    damage(&[("a/b", b'0', 1, ""), ("a", b'0', 1, "")], Damage::Conflict);
    damage(&[("a", b'2', 0, "/"), ("a/b", b'0', 1, "")], Damage::Conflict);
    damage(&[("./.", b'0', 1, "")], Damage::Conflict);
    damage(&[("a", b'1', 0, "b")], Damage::Link);
    damage(&[("d/", b'5', 0, ""), ("a", b'1', 0, "d")], Damage::Link);
    damage(&[("a", b'0', 5 << 30, "")], Damage::Truncated);
    // What stays in place although it is odd.
    let namespace =
        mounted(lie(&[("/a", b'0', 1, ""), ("b", b'1', 0, "./a"), ("b", b'1', 0, "b"), ("c//d/", b'0', 0, "")]));
    assert_eq!((namespace.read(b"/b"), namespace.metadata(b"/a").map(|it| it.links())), (Ok(b"x".to_vec()), Ok(2)));
    assert_eq!(namespace.metadata(b"/c/d").map(|metadata| metadata.is_dir()), Ok(true));
}

#[test]
fn sizes_beside_which_the_library_would_count_over_the_end_never_get_to_it() {
    let mut image = Vec::new();
    for (kind, size) in [(b'L', 1024_u64), (b'x', u64::MAX - 1023)] {
        let mut header = tar_core::HeaderBuilder::new_gnu();
        header.path("n").expect("short").mode(0).expect("small");
        header.entry_type(tar_core::EntryType::from_byte(kind));
        let mut bytes = *header.finish().as_bytes();
        bytes[124..136].fill(0);
        bytes[124] = 0x80;
        bytes[128..136].copy_from_slice(&size.to_be_bytes());
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        image.extend_from_slice(&bytes);
        image.resize(image.len() + 1024, b'x');
    }
    image.resize(image.len() + 1024, 0);
    assert_eq!(refused(image), Damage::Truncated.at(0));
}

#[test]
fn there_are_no_more_objects_than_was_said() {
    let image = lie(&[(&"a/".repeat(48), b'5', 0, ""), ("b", b'0', 0, "")]);
    // An object and a name each.
    assert_eq!(
        open_with(&image[..], 2 * 49).ok().and_then(|it| it.stats(b"/").ok()).map(|stats| stats.files),
        Some(50)
    );
    assert_eq!(open_with(&image[..], 2 * 49 - 1).err(), Some(ArchiveError::TooMany));
}
