//! A copy of a tree in memory, made when the server starts and served from there.
//!
//! ```text
//!   start     storage --list, open, read--> path -> Directory | File { bytes, metadata }
//!   request   one lookup; the response is written from where the bytes lie
//! ```
//!
//! With `preload=on` a request waits for nobody: no server on the host, no disk. The price is memory, and a change to the
//! original is seen only after the next start. What could not be read whole ends the start: a server that lacks a file
//! is worse than one that says so.
//!
//! One copy serves all cores, since nothing in it ever changes.

use alloc::{sync::Arc, vec, vec::Vec};
use core::ops::ControlFlow;

use crate::{
    sort::sort,
    storage::{Entry, EntryKind, Metadata, Node, Storage, StorageError, StoredFile},
};

/// Deepest directory that is copied. Links may form rings, which have no end.
const DEPTH_LIMIT: usize = 32;

/// Most files and directories that are copied. Rings may branch, too.
const NODE_LIMIT: usize = 1 << 16;

/// The copy.
#[derive(Clone)]
pub struct Copied {
    /// In the order of their paths, without a slash at the end; that of the root is empty.
    nodes: Arc<Vec<(Vec<u8>, Kept)>>,
}

enum Kept {
    Directory(Vec<Entry>),
    File(Arc<CopiedFile>),
}

/// A file of it.
pub struct CopiedFile {
    contents: Vec<u8>,
    metadata: Metadata,
}

impl Copied {
    /// Copies all files of `original` and of its directories.
    ///
    /// # Errors
    /// What reading them meets, and `Failed` for a tree that is too deep or too large.
    pub fn of(original: &impl Storage) -> Result<Self, StorageError> {
        let mut nodes = Vec::new();
        let mut waiting = vec![(Vec::new(), 0)];
        while let Some((directory, depth)) = waiting.pop() {
            if depth > DEPTH_LIMIT || nodes.len() + waiting.len() > NODE_LIMIT {
                return Err(StorageError::Failed);
            }
            let mut entries = Vec::new();
            let place: &[u8] = if directory.is_empty() { b"/" } else { &directory };
            original.list(place, &mut |entry| {
                entries.push(entry);
                ControlFlow::Continue(())
            })?;
            for entry in &entries {
                let path = [&directory, &b"/"[..], &entry.name].concat();
                if entry.kind == EntryKind::Directory {
                    waiting.push((path, depth + 1));
                } else if let Node::File { file, metadata } = original.open(&path)? {
                    let contents = read_whole(&file, metadata.length)?;
                    nodes.push((path, Kept::File(Arc::new(CopiedFile { contents, metadata }))));
                }
            }
            nodes.push((directory, Kept::Directory(entries)));
        }
        sort(&mut nodes, |one, other| one.0.cmp(&other.0));
        Ok(Self { nodes: Arc::new(nodes) })
    }

    fn get(&self, path: &[u8]) -> Result<&Kept, StorageError> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let place = self.nodes.binary_search_by(|(other, _)| other.as_slice().cmp(path));
        place.ok().and_then(|place| self.nodes.get(place)).map(|(_, kept)| kept).ok_or(StorageError::NotFound)
    }
}

fn read_whole(file: &impl StoredFile, length: u64) -> Result<Vec<u8>, StorageError> {
    let length = usize::try_from(length).map_err(|_| StorageError::Failed)?;
    let mut contents = Vec::new();
    contents.try_reserve_exact(length).map_err(|_| StorageError::Failed)?;
    contents.resize(length, 0);
    let mut filled = 0;
    while let Some(rest) = contents.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read_at(rest, filled as u64)? {
            0 => return Err(StorageError::Failed),
            count => filled += count,
        }
    }
    Ok(contents)
}

impl Storage for Copied {
    type File = Arc<CopiedFile>;

    fn open(&self, path: &[u8]) -> Result<Node<Self::File>, StorageError> {
        Ok(match self.get(path)? {
            Kept::Directory(_) => Node::Directory,
            Kept::File(file) => Node::File { file: Arc::clone(file), metadata: file.metadata },
        })
    }

    fn list(&self, path: &[u8], visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), StorageError> {
        let Kept::Directory(entries) = self.get(path)? else {
            return Err(StorageError::NotFound);
        };
        // The answer is the visitor's; that it breaks early is no failure.
        let _ = entries.iter().cloned().try_for_each(visit);
        Ok(())
    }
}

impl StoredFile for Arc<CopiedFile> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.contents.get(start..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }
    fn contents(&self) -> Option<&[u8]> {
        Some(&self.contents)
    }
}
