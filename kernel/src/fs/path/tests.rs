//! Path resolution against Linux: `openat2` with RESOLVE_IN_ROOT treats a directory as we treat the root of a mount.

use alloc::boxed::Box;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::fs::metadata::{FileTime, Metadata};
use crate::fs::vfs::{NodeChanges, OpenDirectory, OpenFile};

/// A node that is a file of the host, asked for single names as a file server would be.
struct HostNode {
    path: PathBuf,
    metadata: fs::Metadata,
}

impl HostNode {
    fn at(path: PathBuf) -> Result<Rc<dyn Node>, Errno> {
        let metadata = fs::symlink_metadata(&path).map_err(|error| errno(&error))?;
        Ok(Rc::new(Self { path, metadata }))
    }
}

fn errno(error: &std::io::Error) -> Errno {
    let number = error.raw_os_error().and_then(|number| u16::try_from(number).ok());
    number.and_then(Errno::new).expect("the host's errors have numbers")
}

impl Node for HostNode {
    fn id(&self) -> u64 {
        self.metadata.ino()
    }

    fn file_type(&self) -> FileType {
        match self.metadata.file_type() {
            kind if kind.is_dir() => FileType::Directory,
            kind if kind.is_symlink() => FileType::Symlink,
            kind if kind.is_fifo() => FileType::Fifo,
            _ => FileType::File,
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(Metadata {
            file_type: self.file_type(),
            len: self.metadata.len(),
            mode: self.metadata.mode(),
            inode: self.metadata.ino(),
            links: 1,
            uid: 0,
            gid: 0,
            device: 0,
            blocks: 0,
            block_size: 4096,
            accessed: FileTime { seconds: self.metadata.atime(), nanoseconds: 0 },
            modified: FileTime { seconds: self.metadata.mtime(), nanoseconds: 0 },
            changed: FileTime { seconds: self.metadata.ctime(), nanoseconds: 0 },
        })
    }

    fn lookup(&self, name: &[u8], _: Freshness) -> Result<Rc<dyn Node>, Errno> {
        assert!(!matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0));
        HostNode::at(self.path.join(OsStr::from_bytes(name)))
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        fs::read_link(&self.path).map(|target| target.into_os_string().into_vec()).map_err(|error| errno(&error))
    }

    fn open(&self) -> Result<Box<dyn OpenFile>, Errno> {
        Err(Errno::ENOSYS)
    }

    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>, Errno> {
        Err(Errno::ENOSYS)
    }
}

impl NodeChanges for HostNode {}

/// A directory of the host, gone with this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = std::format!("toro-path-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the host has a directory for temporary files");
        Self(path)
    }

    /// A share with a bit of everything, and a file beside it that must not be found.
    fn share() -> (Self, PathBuf) {
        let directory = Self::new();
        let share = directory.0.join("share");
        fs::create_dir_all(share.join("a/b/c")).expect("it is new");
        for file in ["../secret", "f", "a/f", "a/b/f", "a/b/c/f"] {
            fs::write(share.join(file), file).expect("it is new");
        }
        (directory, share)
    }

    fn link(share: &Path, name: &str, target: &str) {
        symlink(target, share.join(name)).expect("it is new");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ours(share: &Path, path: &[u8], last_link: LastLink) -> Result<String, Errno> {
    let root = HostNode::at(share.into())?;
    let resolved = resolve(&root, path, last_link, Freshness::Cached)?;
    let text = String::from_utf8(resolved.path).expect("names in tests are text");
    let same = fs::symlink_metadata(share.join(&text)).expect("the canonical path exists").ino();
    assert_eq!(resolved.node.id(), same, "the node is the one that the path names");
    Ok(text)
}

/// What Linux makes of `path` with `share` as root.
#[allow(unsafe_code)]
fn theirs(share: &Path, path: &[u8], last_link: LastLink) -> Result<String, Errno> {
    const RESOLVE_IN_ROOT: u64 = 0x10;
    let share = fs::canonicalize(share).expect("it exists");
    let root = fs::File::open(&share).expect("it exists");
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let keep = if last_link == LastLink::Keep { libc::O_NOFOLLOW } else { 0 };
    let how: [u64; 3] = [(libc::O_PATH | keep) as u64, 0, RESOLVE_IN_ROOT];
    let descriptor = loop {
        // SAFETY: the descriptor is open, the path ends with NUL, and `how` is the kernel's `struct open_how` with its
        // size; the kernel only reads them.
        let result = unsafe {
            libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), how.as_ptr(), size_of_val(&how))
        };
        if let Ok(descriptor @ 0..) = i32::try_from(result) {
            break descriptor;
        }
        match errno(&std::io::Error::last_os_error()) {
            // Somebody has renamed something, anywhere on the machine, while a ".." was walked: openat2(2) wants to be
            // called again.
            Errno::EAGAIN => std::thread::yield_now(),
            errno => return Err(errno),
        }
    };
    // SAFETY: the kernel has just opened it for us alone.
    let opened = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let found = fs::read_link(std::format!("/proc/self/fd/{}", opened.as_raw_fd())).expect("it is open");
    let below = found.strip_prefix(&share).expect("it is in the share");
    Ok(String::from(below.to_str().expect("names in tests are text")))
}

fn assert_same(share: &Path, path: &[u8]) {
    for last_link in [LastLink::Follow, LastLink::Keep] {
        let theirs = theirs(share, path, last_link);
        assert_eq!(ours(share, path, last_link), theirs, "{} {last_link:?}", path.escape_ascii());
    }
}

#[test]
fn plain_paths_are_walked_as_linux_walks_them() {
    let (_directory, share) = Directory::share();
    let paths = [
        "",
        "/",
        "//",
        ".",
        "./",
        "..",
        "../..",
        "/..",
        "f",
        "/f",
        "f/",
        "f/.",
        "f/..",
        "f/x",
        "a",
        "a/",
        "a//b///f",
        "a/./b/../f",
        "a/../..",
        "a/../../f",
        "a/b/../../../a/b/f",
        "../secret",
        "a/../../secret",
        "missing",
        "missing/..",
        "a/missing",
        "a/missing/f",
        "a/b/c/f/",
        "...",
        "a/...",
        " ",
        "a/b/",
    ];
    paths.iter().for_each(|path| assert_same(&share, path.as_bytes()));
}

#[test]
fn links_are_followed_as_linux_follows_them_and_stay_in_the_share() {
    let (_directory, share) = Directory::share();
    let links = [
        ("to_f", "f"),
        ("to_a", "a"),
        ("a/up", ".."),
        ("a/up_and_out", "../../../.."),
        ("absolute", "/a/b"),
        ("a/b/absolute", "/f"),
        ("secret1", "../secret"),
        ("secret2", "/secret"),
        ("a/secret3", "../../secret"),
        ("dangling", "nowhere"),
        ("slash", "a/"),
        ("file_slash", "f/"),
        ("self", "self"),
        ("left", "right"),
        ("right", "left"),
        ("twice", "to_a/up/to_f"),
        ("root", "/"),
        ("dot", "."),
    ];
    for (name, target) in links {
        Directory::link(&share, name, target);
    }
    for (name, _) in links {
        for tail in ["", "/", "/.", "/..", "/b", "/f", "/b/f", "/../f", "/to_f", "/a/f/"] {
            assert_same(&share, std::format!("{name}{tail}").as_bytes());
        }
    }
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let (_directory, share) = Directory::share();
    Directory::link(&share, "l1", "f");
    (2..=42).for_each(|index| Directory::link(&share, &std::format!("l{index}"), &std::format!("l{}", index - 1)));
    for index in [1, 39, 40, 41, 42] {
        assert_same(&share, std::format!("l{index}").as_bytes());
    }
    assert_eq!(ours(&share, b"l40", LastLink::Follow), Ok(String::from("f")));
    assert_eq!(ours(&share, b"l41", LastLink::Follow), Err(Errno::ELOOP));
}

#[test]
fn long_names_and_paths_are_refused_as_linux_refuses_them() {
    let (_directory, share) = Directory::share();
    let name = |length: usize| "n".repeat(length);
    for path in [name(255), name(256), name(300) + "/..", std::format!("a/{}/f", name(256)), "f/".into()] {
        assert_same(&share, path.as_bytes());
    }
    for length in [4094, 4095, 4096, 5000] {
        let path = "/".repeat(length - 1) + "f";
        assert_same(&share, path.as_bytes());
        assert_same(&share, ("a/../".repeat(length / 5) + &"f".repeat(length % 5)).as_bytes());
    }
}

#[test]
fn nul_is_in_no_path() {
    let (_directory, share) = Directory::share();
    assert_eq!(ours(&share, b"f\0", LastLink::Follow), Err(Errno::EINVAL));
}

const NAMES: [&str; 4] = ["a", "b", "c", "f"];

/// A relative or absolute path of a few components.
fn any_path() -> impl Strategy<Value = String> {
    let component =
        prop_oneof![4 => proptest::sample::select(&NAMES[..]), 2 => Just(".."), 1 => Just("."), 1 => Just("")];
    let components = proptest::collection::vec(component, 1..7);
    (components, any::<bool>()).prop_map(|(components, absolute)| {
        let path = components.join("/");
        if absolute { std::format!("/{path}") } else { path }
    })
}

#[derive(Clone, Debug)]
enum Make {
    Directory,
    File,
    Link(String),
}

fn any_tree() -> impl Strategy<Value = Vec<(String, Make)>> {
    let make = prop_oneof![
        2 => Just(Make::Directory),
        1 => Just(Make::File),
        4 => any_path().prop_filter("a target", |path| !path.is_empty()).prop_map(Make::Link),
    ];
    let place = proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4).prop_map(|names| names.join("/"));
    proptest::collection::vec((place, make), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_path_in_any_tree_leads_where_linux_says(
        tree in any_tree(),
        paths in proptest::collection::vec(any_path(), 1..20),
    ) {
        let directory = Directory::new();
        for (place, make) in tree {
            let path = directory.0.join(&place);
            // What does not fit in the tree so far is left out; links out of the tree are not built on.
            let inside = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
            if inside.is_none_or(|parent| !parent.starts_with(&directory.0)) {
                continue;
            }
            let _ = match make {
                Make::Directory => fs::create_dir(&path),
                Make::File if fs::symlink_metadata(&path).is_err() => fs::write(&path, "x"),
                Make::File => Ok(()),
                Make::Link(target) => symlink(target, &path),
            };
        }
        for path in paths {
            assert_same(&directory.0, path.as_bytes());
        }
    }
}
