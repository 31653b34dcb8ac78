//! The same with all that file systems of POSIX have: links of both kinds, permissions, renaming with conditions, trees.
#![allow(unsafe_code)]

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{Directory, EISDIR, ENOTEMPTY, Outcome, any_number};
use crate::fs::fuse::tests::mount;
use crate::fs::tests::on_both_sides;
use crate::fs::tests::writing::{on_models, options};
use crate::fs::{Collision, Namespace, Permissions};

#[derive(Clone, Copy, Debug)]
enum Change {
    Write(&'static str, u8),
    Fill(&'static str),
    CreateNew(&'static str),
    CreateAll(&'static str),
    CreateDirectory(&'static str),
    Symlink(&'static str, &'static str),
    HardLink(&'static str, &'static str),
    Rename(&'static str, &'static str, Collision),
    RemoveFile(&'static str),
    RemoveDirectory(&'static str),
    RemoveAll(&'static str),
    Copy(&'static str, &'static str),
    SetMode(&'static str, u32),
    Look(&'static str),
    Peek(&'static str),
    Canonicalize(&'static str),
}

/// As deep as links and `..` can lead upwards, and deeper: a mount has nothing above it, and Linux has.
const TOP: &str = "x/x/x/x/x/x/x/x";

const PATHS: [&str; 20] = [
    "a", "b", "f", "l", "m", "a/b", "a/f", "a/l", "b/m", "l/f", "l/a", "m/l", "a/b/f", "l/", "f/", "g/", "a/../f",
    "b/./l", "l/../f", "none/f",
];
const TARGETS: [&str; 11] = ["a", "b", "f", "l", "a/b", "../f", "../a", "..", ".", "a/", "none"];

fn any_change(state: &mut u64) -> Change {
    let mut number = |below| any_number(state, below);
    let (path, other, length) = (PATHS[number(PATHS.len())], PATHS[number(PATHS.len())], number(200));
    match number(40) {
        0..4 => Change::Write(path, length as u8),
        4 => Change::Fill(path),
        5 => Change::CreateNew(path),
        6..8 => Change::CreateAll(path),
        8..12 => Change::CreateDirectory(path),
        12..17 => Change::Symlink(TARGETS[number(TARGETS.len())], path),
        17..20 => Change::HardLink(path, other),
        20..24 => Change::Rename(path, other, Collision::Replace),
        24 => Change::Rename(path, other, Collision::Refuse),
        25..27 => Change::Rename(path, other, Collision::Exchange),
        27..29 => Change::RemoveFile(path),
        29..31 => Change::RemoveDirectory(path),
        // Behind a slash, std empties what a link names, and then fails.
        31 if !path.ends_with('/') => Change::RemoveAll(path),
        31..34 => Change::Copy(path, other),
        34 => Change::SetMode(path, 0o1700 | length as u32 & 0o77),
        35..37 => Change::Look(path),
        37..39 => Change::Peek(path),
        _ => Change::Canonicalize(path),
    }
}

/// The part of a mode that does not depend on who created the file, and how: what was set has the sticky bit.
fn telling(mode: u32) -> u32 {
    if mode & 0o1000 == 0 { 0 } else { mode & 0o7777 }
}

fn ours(namespace: &Namespace, change: Change) -> Outcome {
    let at = |path: &str| format!("{TOP}/{path}").into_bytes();
    let nothing = |()| String::new();
    let outcome = match change {
        Change::Write(path, length) => namespace.write(&at(path), &vec![length; usize::from(length)]).map(nothing),
        Change::Fill(path) => {
            namespace.open_with(&at(path), &options(|options| options.append(true))).map(|_| String::new())
        }
        Change::CreateNew(path) => {
            let new = options(|options| options.write(true).create_new(true));
            namespace.open_with(&at(path), &new).map(|_| String::new())
        }
        Change::CreateAll(path) => namespace.create_dir_all(&at(path)).map(nothing),
        Change::CreateDirectory(path) => namespace.create_dir(&at(path)).map(nothing),
        Change::Symlink(target, path) => namespace.symlink(target.as_bytes(), &at(path)).map(nothing),
        Change::HardLink(from, to) => namespace.hard_link(&at(from), &at(to)).map(nothing),
        Change::Rename(from, to, collision) => namespace.rename_with(&at(from), &at(to), collision).map(nothing),
        Change::RemoveFile(path) => namespace.remove_file(&at(path)).map(nothing),
        Change::RemoveDirectory(path) => namespace.remove_dir(&at(path)).map(nothing),
        Change::RemoveAll(path) => namespace.remove_dir_all(&at(path)).map(nothing),
        Change::Copy(from, to) => namespace.copy(&at(from), &at(to)).map(|count| format!("{count}")),
        Change::SetMode(path, mode) => namespace.set_permissions(&at(path), &Permissions::from_mode(mode)).map(nothing),
        Change::Look(path) => namespace.metadata(&at(path)).and_then(|metadata| {
            let mode = telling(metadata.mode());
            Ok(match metadata.is_dir() {
                true => {
                    let listing = namespace.read_dir(&at(path))?;
                    let mut names = listing
                        .map(|entry| Ok(String::from_utf8_lossy(entry?.file_name()).into_owned()))
                        .collect::<crate::io::Result<Vec<_>>>()?;
                    names.sort();
                    format!("{mode:o} {names:?}")
                }
                false => format!("{mode:o} {:?} {}", namespace.read(&at(path))?, metadata.links()),
            })
        }),
        Change::Peek(path) => namespace.symlink_metadata(&at(path)).and_then(|metadata| {
            let links = if metadata.is_dir() { 0 } else { metadata.links() };
            let target = match metadata.is_symlink() {
                true => namespace.read_link(&at(path))?,
                false => Vec::new(),
            };
            Ok(format!("{} {} {links} {:?}", metadata.is_dir(), metadata.is_file(), String::from_utf8_lossy(&target)))
        }),
        Change::Canonicalize(path) => {
            namespace.canonicalize(&at(path)).map(|path| String::from_utf8_lossy(&path).into_owned())
        }
    };
    outcome.map_err(|error| error.raw_os_error().unwrap_or(0))
}

fn theirs(directory: &Path, change: Change) -> Outcome {
    let at = |path: &str| directory.join(TOP).join(path);
    let nothing = |()| String::new();
    let outcome = match change {
        Change::Write(path, length) => std::fs::write(at(path), vec![length; usize::from(length)]).map(nothing),
        Change::Fill(path) => std::fs::File::options().append(true).open(at(path)).map(|_| String::new()),
        Change::CreateNew(path) => {
            std::fs::File::options().write(true).create_new(true).open(at(path)).map(|_| String::new())
        }
        Change::CreateAll(path) => std::fs::create_dir_all(at(path)).map(nothing),
        Change::CreateDirectory(path) => std::fs::create_dir(at(path)).map(nothing),
        Change::Symlink(target, path) => std::os::unix::fs::symlink(target, at(path)).map(nothing),
        Change::HardLink(from, to) => std::fs::hard_link(at(from), at(to)).map(nothing),
        Change::Rename(from, to, collision) => rename(&at(from), &at(to), collision).map(nothing),
        Change::RemoveFile(path) => std::fs::remove_file(at(path)).map(nothing),
        Change::RemoveDirectory(path) => std::fs::remove_dir(at(path)).map(nothing),
        Change::RemoveAll(path) => std::fs::remove_dir_all(at(path)).map(nothing),
        Change::Copy(from, to) => std::fs::copy(at(from), at(to)).map(|count| format!("{count}")),
        Change::SetMode(path, mode) => {
            std::fs::set_permissions(at(path), std::fs::Permissions::from_mode(mode)).map(nothing)
        }
        Change::Look(path) => std::fs::metadata(at(path)).and_then(|metadata| {
            let mode = telling(metadata.mode());
            Ok(match metadata.is_dir() {
                true => {
                    let listing = std::fs::read_dir(at(path))?;
                    let mut names = listing
                        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                        .collect::<std::io::Result<Vec<_>>>()?;
                    names.sort();
                    format!("{mode:o} {names:?}")
                }
                false => format!("{mode:o} {:?} {}", std::fs::read(at(path))?, metadata.nlink()),
            })
        }),
        Change::Peek(path) => std::fs::symlink_metadata(at(path)).and_then(|metadata| {
            let links = if metadata.is_dir() { 0 } else { metadata.nlink() };
            let target = match metadata.is_symlink() {
                true => std::fs::read_link(at(path))?,
                false => std::path::PathBuf::new(),
            };
            Ok(format!("{} {} {links} {:?}", metadata.is_dir(), metadata.is_file(), target.to_string_lossy()))
        }),
        Change::Canonicalize(path) => std::fs::canonicalize(at(path)).map(|path| {
            let path = path.strip_prefix(directory).expect("nothing leads out");
            format!("/{}", path.display())
        }),
    };
    outcome.map_err(|error| error.raw_os_error().unwrap_or(0))
}

fn rename(from: &Path, to: &Path, collision: Collision) -> std::io::Result<()> {
    let flags = match collision {
        Collision::Replace => return std::fs::rename(from, to),
        Collision::Refuse => libc::RENAME_NOREPLACE,
        Collision::Exchange => libc::RENAME_EXCHANGE,
    };
    let [from, to] = [from, to].map(|path| CString::new(path.as_os_str().as_bytes()).expect("paths have no NUL"));
    // SAFETY: both paths end in NUL, and live until the call has returned.
    match unsafe { libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Whether the host's file system can exchange names; some cannot.
fn can_exchange(directory: &Path) -> bool {
    let [one, other] = ["one", "other"].map(|name| directory.join(name));
    std::fs::write(&one, "").and_then(|()| std::fs::write(&other, "")).expect("there is room");
    let can = rename(&one, &other, Collision::Exchange).is_ok();
    std::fs::remove_file(&one).and_then(|()| std::fs::remove_file(&other)).expect("they are there");
    can
}

/// Makes changes, in a new directory of the host each time: what is there grows into a knot, in which little is possible.
fn compare(namespace: &Namespace, state: &mut u64) {
    let mut succeeded = 0;
    for _ in 0..100 {
        let directory = Directory::new();
        let root = std::fs::canonicalize(&directory.0).expect("it is new");
        let can_exchange = can_exchange(&root);
        std::fs::create_dir_all(root.join(TOP)).expect("it is new");
        namespace.create_dir_all(TOP.as_bytes()).expect("it is new");
        let mut done = Vec::new();
        for _ in 0..100 {
            let change = any_change(state);
            if matches!(change, Change::Rename(_, _, Collision::Exchange | Collision::Refuse)) && !can_exchange {
                continue;
            }
            done.push(change);
            let (ours, theirs) = (ours(namespace, change), theirs(&root, change));
            // A file in the place of a directory that it is in itself: POSIX has both.
            if matches!((change, &ours, &theirs), (Change::Rename(..), Err(EISDIR), Err(ENOTEMPTY))) {
                continue;
            }
            assert_eq!(ours, theirs, "at the end of {done:#?}");
            succeeded += usize::from(ours.is_ok());
        }
        assert_eq!(namespace.remove_dir_all(b"x"), Ok(()));
    }
    assert!(succeeded > 1500, "{succeeded} changes are too few to mean anything");
}

#[test]
#[cfg_attr(miri, ignore = "there is no host under Miri")]
fn links_permissions_and_trees_come_out_as_on_linux_with_the_same_error_numbers() {
    let mut state = 0x0FED_CBA9_8765_4321;
    on_models(|namespace, _| compare(namespace, &mut state));
}

#[test]
#[cfg_attr(miri, ignore = "there is no host under Miri")]
fn they_come_out_as_on_linux_on_a_server_too() {
    on_both_sides(|namespace| {
        let mount = mount(|_| ());
        let namespace = namespace(&mount, "/");
        compare(&namespace, &mut 0x1357_9BDF_0246_8ACE);
        namespace.unmount_all();
        mount.finish();
    });
}
