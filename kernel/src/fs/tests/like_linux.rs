//! The same changes here and in a directory of the host: what they do, and how they fail, must be the same.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::path::{Path, PathBuf};

use super::writing::{everywhere, options};
use crate::fs::Namespace;
use crate::io::Write;

mod links;

/// A directory of the host, gone with this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        use core::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("toro-writing-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("the host has a directory for temporary files");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const EISDIR: i32 = 21;
const ENOTEMPTY: i32 = 39;

/// What came of an operation: text, or an error number.
type Outcome = Result<String, i32>;

#[derive(Clone, Copy, Debug)]
enum Change {
    Write(&'static str, u8),
    Append(&'static str, u8),
    CreateNew(&'static str),
    SetLength(&'static str, u64),
    CreateDirectory(&'static str),
    RemoveFile(&'static str),
    RemoveDirectory(&'static str),
    Rename(&'static str, &'static str),
    Look(&'static str),
}

const PATHS: [&str; 16] =
    ["a", "b", "f", "a/b", "a/f", "b/a", "a/b/f", "f/", "a/", "g/", "a/../f", "b/./a", "none/f", "a/b/", "f/x", "b/f"];

/// A number that follows from the one before.
fn any_number(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 20) as usize % below
}

/// A change that follows from numbers.
fn any_change(state: &mut u64) -> Change {
    let mut number = |below| any_number(state, below);
    let (path, other, length) = (PATHS[number(PATHS.len())], PATHS[number(PATHS.len())], number(200));
    match number(20) {
        0..3 => Change::Write(path, length as u8),
        3..5 => Change::Append(path, length as u8),
        5 => Change::CreateNew(path),
        6 => Change::SetLength(path, length as u64 * 50),
        7..10 => Change::CreateDirectory(path),
        10..12 => Change::RemoveFile(path),
        12..14 => Change::RemoveDirectory(path),
        14..18 => Change::Rename(path, other),
        _ => Change::Look(path),
    }
}

fn ours(namespace: &Namespace, change: Change) -> Outcome {
    let outcome = match change {
        Change::Write(path, length) => namespace.write(path.as_bytes(), &vec![length; usize::from(length)]),
        Change::Append(path, length) => namespace
            .open_with(path.as_bytes(), &options(|options| options.append(true).create(true)))
            .and_then(|mut file| file.write_all(&vec![length; usize::from(length)])),
        Change::CreateNew(path) => {
            namespace.open_with(path.as_bytes(), &options(|options| options.write(true).create_new(true))).map(drop)
        }
        Change::SetLength(path, length) => namespace
            .open_with(path.as_bytes(), &options(|options| options.write(true)))
            .and_then(|file| file.set_len(length)),
        Change::CreateDirectory(path) => namespace.create_dir(path.as_bytes()),
        Change::RemoveFile(path) => namespace.remove_file(path.as_bytes()),
        Change::RemoveDirectory(path) => namespace.remove_dir(path.as_bytes()),
        Change::Rename(from, to) => namespace.rename(from.as_bytes(), to.as_bytes()),
        Change::Look(path) => {
            return namespace
                .metadata(path.as_bytes())
                .and_then(|metadata| match metadata.is_dir() {
                    true => namespace.read_dir(path.as_bytes()).and_then(|listing| {
                        let mut names = Vec::new();
                        for entry in listing {
                            names.push(String::from_utf8_lossy(entry?.file_name()).into_owned());
                        }
                        names.sort();
                        Ok(format!("{names:?}"))
                    }),
                    false => namespace.read(path.as_bytes()).map(|bytes| format!("{} {bytes:?}", metadata.len())),
                })
                .map_err(|error| error.raw_os_error().unwrap_or(0));
        }
    };
    outcome.map(|()| String::new()).map_err(|error| error.raw_os_error().unwrap_or(0))
}

fn theirs(directory: &Path, change: Change) -> Outcome {
    let at = |path: &str| directory.join(path);
    let outcome = match change {
        Change::Write(path, length) => std::fs::write(at(path), vec![length; usize::from(length)]),
        Change::Append(path, length) => std::fs::File::options()
            .append(true)
            .create(true)
            .open(at(path))
            .and_then(|mut file| std::io::Write::write_all(&mut file, &vec![length; usize::from(length)])),
        Change::CreateNew(path) => std::fs::File::options().write(true).create_new(true).open(at(path)).map(drop),
        Change::SetLength(path, length) => {
            std::fs::File::options().write(true).open(at(path)).and_then(|file| file.set_len(length))
        }
        Change::CreateDirectory(path) => std::fs::create_dir(at(path)),
        Change::RemoveFile(path) => std::fs::remove_file(at(path)),
        Change::RemoveDirectory(path) => std::fs::remove_dir(at(path)),
        Change::Rename(from, to) => std::fs::rename(at(from), at(to)),
        Change::Look(path) => {
            return std::fs::metadata(at(path))
                .and_then(|metadata| match metadata.is_dir() {
                    true => std::fs::read_dir(at(path)).and_then(|listing| {
                        let mut names = Vec::new();
                        for entry in listing {
                            names.push(entry?.file_name().to_string_lossy().into_owned());
                        }
                        names.sort();
                        Ok(format!("{names:?}"))
                    }),
                    false => std::fs::read(at(path)).map(|bytes| format!("{} {bytes:?}", metadata.len())),
                })
                .map_err(|error| error.raw_os_error().unwrap_or(0));
        }
    };
    outcome.map(|()| String::new()).map_err(|error| error.raw_os_error().unwrap_or(0))
}

#[test]
#[cfg_attr(miri, ignore = "there is no host under Miri")]
fn any_sequence_of_changes_comes_out_as_on_linux_with_the_same_error_numbers() {
    everywhere(|namespace| {
        let directory = Directory::new();
        let mut state = 0x1234_5678_9ABC_DEF1;
        let mut done = Vec::new();
        let mut succeeded = 0;
        for _ in 0..2000 {
            let change = any_change(&mut state);
            done.push(change);
            let (ours, theirs) = (ours(namespace, change), theirs(&directory.0, change));
            // A file in the place of a directory that it is in itself: POSIX has both.
            if matches!((change, &ours, &theirs), (Change::Rename(..), Err(EISDIR), Err(ENOTEMPTY))) {
                continue;
            }
            assert_eq!(ours, theirs, "at the end of {:?}", &done[done.len().saturating_sub(30)..]);
            succeeded += usize::from(ours.is_ok());
        }
        assert!(succeeded > 300, "{succeeded} changes are too few to mean anything");
    });
}
