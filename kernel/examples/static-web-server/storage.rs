//! What the server needs from a tree of files, and the small tree that it brings along.
//!
//! The server is written against two traits, so that the very same code answers requests from a share
//! on a host (through `toro::fs`), from a copy of it in memory, from the bundled site, and, in the host's
//! tests, from a directory of the machine that runs the tests:
//!
//! ```text
//!   open("/a/b.txt") -> Node::File { file, metadata } -> file.read_at(..)*  -> drop closes it
//!                    -> Node::Directory                -> list("/a", visit)
//!                    -> Node::Other                       a fifo, a socket, a device: never opened
//! ```
//!
//! Paths are what [`crate::target::parse`] leaves behind: absolute, decoded, without `.` and `..`.
//! An implementation follows symbolic links inside its tree and must not leave it.
//!
//! `open` returns the metadata with the file, because that is what a request costs: one walk of the path,
//! one open, one read for a small file. Length and times describe the *opened* file, so a file that is
//! replaced meanwhile is still answered consistently.

use alloc::vec::Vec;
use core::{error, fmt, ops::ControlFlow};

use crate::date::UnixTime;

/// Why a file could not be opened, read or listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// There is no such name, or something on the way to it is not a directory.
    NotFound,
    /// The tree does not let us, or a link leads out of it.
    Forbidden,
    /// The tree failed: a device error, a server that does not answer.
    Failed,
}

impl fmt::Display for StorageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotFound => "no such file",
            Self::Forbidden => "access denied",
            Self::Failed => "input or output failed",
        })
    }
}

impl error::Error for StorageError {}

/// What is known about a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes.
    pub length: u64,
    /// When the contents changed last, where the tree knows.
    pub modified: Option<UnixTime>,
    /// A number that differs between files: the inode, or a hash of the contents.
    pub identity: u64,
}

/// What a path leads to.
pub enum Node<F> {
    /// A regular file, opened.
    File {
        /// The open file; dropping it closes it.
        file: F,
        /// Its metadata at the time of opening.
        metadata: Metadata,
    },
    /// A directory.
    Directory,
    /// Anything else. It is never opened: opening a fifo may wait for ever, opening a device may act.
    Other,
}

/// Whether an entry of a listing is a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A directory, or a link to one.
    Directory,
    /// A regular file, or a link to one.
    File,
}

/// One line of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, one path component.
    pub name: Vec<u8>,
    /// File or directory.
    pub kind: EntryKind,
    /// Length in bytes; meaningless for a directory.
    pub length: u64,
    /// When the contents changed last, where the tree knows.
    pub modified: Option<UnixTime>,
}

/// A tree of files, read only.
pub trait Storage {
    /// A file that is open.
    type File: StoredFile;

    /// Opens what `path` leads to, following links inside the tree.
    ///
    /// # Errors
    /// [`StorageError`].
    fn open(&self, path: &[u8]) -> Result<Node<Self::File>, StorageError>;

    /// Shows the files and directories in the directory `path` to `visit`, in any order, until it breaks.
    /// What is neither (special files, links that lead nowhere or outside) is left out.
    ///
    /// # Errors
    /// [`StorageError`], also after some entries were shown.
    fn list(&self, path: &[u8], visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), StorageError>;
}

/// A file that is open for reading.
pub trait StoredFile {
    /// Reads from `offset` into the front of `buffer` and returns how many bytes; 0 only at the end of
    /// the file or for an empty buffer.
    ///
    /// # Errors
    /// [`StorageError`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError>;

    /// All of it, where that lies in memory already: then nothing has to be read.
    fn contents(&self) -> Option<&[u8]> {
        None
    }
}

/// One of three trees, chosen when the server starts.
pub enum OneOf<A, B, C> {
    /// A directory that somebody shares with us.
    Share(A),
    /// A copy of it in memory.
    Copied(B),
    /// The site inside the image.
    Bundled(C),
}

impl<A: Storage, B: Storage, C: Storage> Storage for OneOf<A, B, C> {
    type File = OneOf<A::File, B::File, C::File>;

    fn open(&self, path: &[u8]) -> Result<Node<Self::File>, StorageError> {
        Ok(match self {
            Self::Share(share) => share.open(path)?.map(OneOf::Share),
            Self::Copied(copied) => copied.open(path)?.map(OneOf::Copied),
            Self::Bundled(bundled) => bundled.open(path)?.map(OneOf::Bundled),
        })
    }

    fn list(&self, path: &[u8], visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), StorageError> {
        match self {
            Self::Share(share) => share.list(path, visit),
            Self::Copied(copied) => copied.list(path, visit),
            Self::Bundled(bundled) => bundled.list(path, visit),
        }
    }
}

impl<F> Node<F> {
    fn map<G>(self, convert: impl FnOnce(F) -> G) -> Node<G> {
        match self {
            Self::File { file, metadata } => Node::File { file: convert(file), metadata },
            Self::Directory => Node::Directory,
            Self::Other => Node::Other,
        }
    }
}

impl<A: StoredFile, B: StoredFile, C: StoredFile> StoredFile for OneOf<A, B, C> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        match self {
            Self::Share(file) => file.read_at(buffer, offset),
            Self::Copied(file) => file.read_at(buffer, offset),
            Self::Bundled(file) => file.read_at(buffer, offset),
        }
    }
    fn contents(&self) -> Option<&[u8]> {
        match self {
            Self::Share(file) => file.contents(),
            Self::Copied(file) => file.contents(),
            Self::Bundled(file) => file.contents(),
        }
    }
}
