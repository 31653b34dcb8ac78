//! Random operations on a volume and on a model of it, which have to agree.

use std::collections::BTreeSet;

use toro_fat::{Error, Storage, Volume};

use crate::model::{Tree, join, read_all, split, walk};
use crate::random::Random;

/// Names of every kind: short ones, mixed case, aliases that collide, characters beyond ASCII, long ones.
const NAMES: [&str; 24] = [
    "A",
    "README.TXT",
    "readme.md",
    "Makefile",
    "a name with spaces",
    "LONGNA~1.TXT",
    "long name one.txt",
    "long name two.txt",
    "long name three.txt",
    "long name four.txt",
    ".hidden",
    "two.dots.tar",
    "Übergröße.dat",
    "данные.bin",
    "日本語のファイル",
    "😀.png",
    "x",
    "y.z",
    "lower.TXT",
    "UPPER.txt",
    "exactly-thirtn",
    "a+b=c;d,e.[f]",
    "a-name-that-takes-more-than-two-of-the-slots-of-a-directory-as-it-has-quite-a-few-characters.text",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
     0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
     0123456789012345678901234567890123456789.long",
];

/// A run of random operations.
pub struct Script {
    random: Random,
    /// What the volume should hold.
    pub tree: Tree,
    /// Files that were synced and not changed since, under names that did not change since either.
    pub synced: BTreeSet<String>,
    /// The largest that a write is.
    pub largest: u64,
    /// Whether a directory was renamed.
    pub has_moved_directories: bool,
}

impl Script {
    /// The operations of `seed`, for a volume that holds `tree`.
    pub fn new(seed: u64, tree: Tree, largest: u64) -> Self {
        let random = Random::new(seed);
        Self { random, tree, synced: BTreeSet::new(), largest, has_moved_directories: false }
    }

    fn files(&self) -> Vec<String> {
        self.tree.iter().filter(|(_, contents)| contents.is_some()).map(|(path, _)| path.clone()).collect()
    }

    fn directories(&self) -> Vec<String> {
        let directories = self.tree.iter().filter(|(_, contents)| contents.is_none());
        directories.map(|(path, _)| path.clone()).chain([String::new()]).collect()
    }

    /// The path in the tree that is this one but for its case.
    fn resolve(&self, path: &str) -> Option<String> {
        let folded = path.to_uppercase();
        self.tree.keys().find(|key| key.to_uppercase() == folded).cloned()
    }

    /// Forgets that anything at or below `path` was synced.
    fn spoil(&mut self, path: &str) {
        let below = format!("{path}/");
        self.synced.retain(|synced| synced != path && !synced.starts_with(&below));
    }

    fn new_path(&mut self) -> String {
        let directories = self.directories();
        let directory = self.random.pick(&directories).clone();
        let name = *self.random.pick(&NAMES);
        let number = self.random.below(4);
        // Many names per directory, so that it grows.
        let name = if number == 0 { name.to_owned() } else { format!("{number}{name}") };
        join(&directory, &name)
    }

    /// Does one operation. What the volume refuses for lack of room, the model leaves as well.
    ///
    /// # Errors
    ///
    /// What the volume said, unless the model expects it: the volume ran out of power.
    pub fn step<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let done = match self.random.below(23) {
            0..=3 => self.create(volume),
            4..=7 => self.write(volume),
            8..=9 => self.append(volume),
            10 => self.truncate(volume),
            11..=12 => self.rename(volume),
            13..=14 => self.remove(volume),
            15 => self.make_directory(volume),
            16 => self.remove_directory(volume),
            17 | 20..=22 => self.sync_one(volume),
            18 => self.read(volume),
            _ => self.remove_held(volume),
        };
        match done {
            Ok(()) | Err(Error::NoSpace) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn create<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let path = self.new_path();
        let (directory, name) = split(&path);
        let parent = walk(volume, directory)?;
        let result = volume.create(parent, name.as_bytes());
        let expected = self.resolve(&path);
        let result = match result {
            Ok(node) => {
                assert_eq!(expected, None, "{path} was there");
                self.tree.insert(path.clone(), Some(Vec::new()));
                volume.forget(node)
            }
            Err(Error::Exists) => {
                // Or it is the alias of something.
                assert!(expected.is_some() || name.contains('~'), "{path} was not there");
                Ok(())
            }
            Err(error) => Err(error),
        };
        finish(volume, parent, result)
    }

    fn some_file(&mut self) -> Option<String> {
        let files = self.files();
        (!files.is_empty()).then(|| self.random.pick(&files).clone())
    }

    fn write<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let Some(path) = self.some_file() else { return Ok(()) };
        let size = self.contents(&path).len() as u64;
        // Beyond the end, too.
        let offset = self.random.below(size + self.largest / 8 + 1);
        let len = self.random.below(self.largest) as usize;
        let data = self.random.bytes(len);
        self.write_at(volume, &path, offset, &data)
    }

    fn append<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let Some(path) = self.some_file() else { return Ok(()) };
        let size = self.contents(&path).len() as u64;
        let len = self.random.below(self.largest / 4 + 1) as usize;
        let data = self.random.bytes(len);
        self.write_at(volume, &path, size, &data)
    }

    fn write_at<S: Storage>(
        &mut self,
        volume: &mut Volume<S>,
        path: &str,
        offset: u64,
        data: &[u8],
    ) -> Result<(), Error> {
        let node = walk(volume, path)?;
        self.spoil(path);
        let result = volume.write(node, offset, data).map(|count| {
            if count > 0 {
                let contents = self.contents_mut(path);
                let end = offset as usize + count;
                contents.resize(contents.len().max(end), 0);
                contents[offset as usize..end].copy_from_slice(&data[..count]);
            }
        });
        // A write that found no room may still have filled the gap before it.
        if result == Err(Error::NoSpace) {
            let size = volume.metadata(node)?.size as usize;
            let contents = self.contents_mut(path);
            assert!(size >= contents.len() && size <= (offset as usize).max(contents.len()));
            contents.resize(size, 0);
        }
        finish(volume, node, result)
    }

    fn truncate<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let Some(path) = self.some_file() else { return Ok(()) };
        let size = self.contents(&path).len() as u64;
        let len = match self.random.below(3) {
            0 => 0,
            1 => self.random.below(size + 1),
            _ => size + self.random.below(self.largest),
        };
        let node = walk(volume, &path)?;
        self.spoil(&path);
        let result = volume.set_len(node, len).map(|()| self.contents_mut(&path).resize(len as usize, 0));
        finish(volume, node, result)
    }

    fn rename<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let paths: Vec<_> = self.tree.keys().cloned().collect();
        if paths.is_empty() {
            return Ok(());
        }
        let from = self.random.pick(&paths).clone();
        let to = if self.random.below(3) == 0 { self.random.pick(&paths).clone() } else { self.new_path() };
        let ((from_directory, old), (to_directory, new)) = (split(&from), split(&to));
        if self.resolve(&to).is_none() && new.contains('~') && is_there(volume, &to)? {
            // The alias of something: the tree has none.
            return Ok(());
        }
        let (source, target) = (walk(volume, from_directory)?, walk(volume, to_directory)?);
        self.spoil(&from);
        self.has_moved_directories |= self.tree[&from].is_none();
        let there = self.resolve(&to);
        if let Some(there) = &there {
            self.spoil(there);
        }
        let result = match volume.rename(source, old.as_bytes(), target, new.as_bytes()) {
            Ok(()) => {
                self.move_in_tree(&from, &to, there);
                Ok(())
            }
            Err(Error::NoSpace) => Err(Error::NoSpace),
            Err(error @ (Error::Storage(_) | Error::Corrupt(_) | Error::Stale | Error::NotFound)) => Err(error),
            Err(_) => {
                let is_directory = self.tree[&from].is_none();
                let into_itself = to.starts_with(&format!("{from}/")) || to == from;
                assert!((is_directory && into_itself) || there.is_some(), "{from:?} to {to:?} was refused");
                Ok(())
            }
        };
        let result = finish(volume, source, result);
        finish(volume, target, result)
    }

    /// What a successful renaming does to the tree.
    fn move_in_tree(&mut self, from: &str, to: &str, there: Option<String>) {
        // In place of what was there, under its name; but a change of case is one.
        let to = match there {
            Some(there) if there != from => there,
            _ => to.to_owned(),
        };
        let below = format!("{from}/");
        let moved: Vec<_> =
            self.tree.keys().filter(|path| *path == from || path.starts_with(&below)).cloned().collect();
        for path in moved {
            if let Some(contents) = self.tree.remove(&path) {
                self.tree.insert(format!("{to}{}", &path[from.len()..]), contents);
            }
        }
    }

    fn remove<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let Some(path) = self.some_file() else { return Ok(()) };
        let (directory, name) = split(&path);
        let parent = walk(volume, directory)?;
        self.spoil(&path);
        let result = volume.remove_file(parent, name.as_bytes());
        if result.is_ok() {
            self.tree.remove(&path);
        }
        finish(volume, parent, result)
    }

    /// Removes a file that is held, and writes and reads it afterwards.
    fn remove_held<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let Some(path) = self.some_file() else { return Ok(()) };
        let node = walk(volume, &path)?;
        let mut expected = self.contents(&path).clone();
        self.remove_by_path(volume, &path)?;
        let len = self.random.below(self.largest) as usize;
        let data = self.random.bytes(len);
        match volume.write(node, 0, &data) {
            Ok(count) => {
                expected.resize(expected.len().max(count), 0);
                expected[..count].copy_from_slice(&data[..count]);
                assert!(read_all(volume, node)? == expected, "{path} while it is held");
                let half = expected.len() as u64 / 2;
                volume.set_len(node, half)?;
                expected.truncate(half as usize);
                assert!(read_all(volume, node)? == expected, "half of {path} while it is held");
            }
            Err(Error::NoSpace) => {}
            Err(error) => return Err(error),
        }
        volume.forget(node)
    }

    fn remove_by_path<S: Storage>(&mut self, volume: &mut Volume<S>, path: &str) -> Result<(), Error> {
        let (directory, name) = split(path);
        let parent = walk(volume, directory)?;
        self.spoil(path);
        let result = volume.remove_file(parent, name.as_bytes());
        if result.is_ok() {
            self.tree.remove(path);
        }
        finish(volume, parent, result)
    }

    fn make_directory<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let path = self.new_path();
        if path.matches('/').count() > 3 {
            return Ok(());
        }
        let (directory, name) = split(&path);
        let parent = walk(volume, directory)?;
        let result = match volume.create_directory(parent, name.as_bytes()) {
            Ok(node) => {
                assert_eq!(self.resolve(&path), None, "{path} was there");
                self.tree.insert(path.clone(), None);
                volume.forget(node)
            }
            Err(Error::Exists) => Ok(()),
            Err(error) => Err(error),
        };
        finish(volume, parent, result)
    }

    fn remove_directory<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let directories: Vec<_> = self.directories().into_iter().filter(|path| !path.is_empty()).collect();
        if directories.is_empty() {
            return Ok(());
        }
        let path = self.random.pick(&directories).clone();
        let below = format!("{path}/");
        let is_empty = !self.tree.keys().any(|other| other.starts_with(&below));
        let (directory, name) = split(&path);
        let parent = walk(volume, directory)?;
        let result = match volume.remove_directory(parent, name.as_bytes()) {
            Ok(()) => {
                assert!(is_empty, "{path} was not empty");
                self.tree.remove(&path);
                Ok(())
            }
            Err(Error::NotEmpty) => {
                assert!(!is_empty, "{path} was empty");
                Ok(())
            }
            Err(error) => Err(error),
        };
        finish(volume, parent, result)
    }

    fn sync_one<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let Some(path) = self.some_file() else { return Ok(()) };
        let node = walk(volume, &path)?;
        let result = volume.sync(node).map(|()| {
            self.synced.insert(path);
        });
        finish(volume, node, result)
    }

    fn read<S: Storage>(&mut self, volume: &mut Volume<S>) -> Result<(), Error> {
        let Some(path) = self.some_file() else { return Ok(()) };
        let expected = self.contents(&path).clone();
        let offset = self.random.below(expected.len() as u64 + 1) as usize;
        let mut piece = vec![0; self.random.below(self.largest) as usize];
        let node = walk(volume, &path)?;
        let result = volume.read(node, offset as u64, &mut piece).map(|count| {
            assert_eq!(count, piece.len().min(expected.len() - offset), "{path}");
            assert!(piece[..count] == expected[offset..offset + count], "{path} at {offset}");
        });
        finish(volume, node, result)
    }

    fn contents(&self, path: &str) -> &Vec<u8> {
        self.tree[path].as_ref().expect("it is a file")
    }

    fn contents_mut(&mut self, path: &str) -> &mut Vec<u8> {
        self.tree.get_mut(path).and_then(Option::as_mut).expect("it is a file")
    }
}

/// Whether a volume has a path.
fn is_there<S: Storage>(volume: &mut Volume<S>, path: &str) -> Result<bool, Error> {
    match walk(volume, path) {
        Ok(node) => volume.forget(node).map(|()| true),
        Err(Error::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Forgets a node after something was done with it.
fn finish<S: Storage>(volume: &mut Volume<S>, node: toro_fat::NodeId, result: Result<(), Error>) -> Result<(), Error> {
    if node != volume.root() {
        volume.forget(node)?;
    }
    result
}
