//! What a file system is to the rest of the kernel.
//!
//! ```text
//!   path --> MountTable --> FileSystem::root() --> Node --lookup(name)--> Node --open()--> OpenFile
//!            longest        one per mount          counted handles;            \-open_directory()--> OpenDirectory
//!            prefix                                the last one dropped
//!                                                  tells the file system
//! ```
//!
//! # Ownership
//!
//! Nodes are handles: `Rc<dyn Node>`. Holding one keeps the object known to the file system, whatever happens to
//! its name; dropping the last one is what other systems call "forget". The same goes for open files and their
//! release. So nothing here has to be closed, and nothing can be closed twice.
//!
//! All of it belongs to one core and its cooperative threads. A call that has to wait blocks its thread only. What other
//! cores have mounted is a file system, too (`fs/remote.rs`).
//!
//! # Failure
//!
//! Errors are Linux error numbers, [`Errno`], because that is what file servers answer with; the public API turns
//! them into [`io::Error`](crate::io::Error).

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;
use toro_core::DmaBuf;

use super::metadata::{FileSystemStats, FileType, Metadata};
use super::path::{self, LastLink, Resolved};

/// How much a name may have aged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// An answer from a cache will do, for as long as the server said that it is valid.
    Cached,
    /// The server must be asked.
    Server,
}

/// A mounted file system.
pub trait FileSystem {
    /// Its root directory.
    ///
    /// # Errors
    ///
    /// ENOTCONN after [`shutdown`](FileSystem::shutdown).
    fn root(&self) -> Result<Rc<dyn Node>, Errno>;

    /// Resolves `path` below the root, as [`path::resolve`] does.
    ///
    /// # Errors
    ///
    /// Those of [`path::resolve`], and of [`root`](FileSystem::root).
    fn resolve(&self, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Resolved, Errno> {
        path::resolve(&self.root()?, path, last_link, freshness)
    }

    /// How full it is.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn stats(&self) -> Result<FileSystemStats, Errno>;

    /// Takes leave of whoever stores the files. Later calls on its nodes fail.
    fn shutdown(&self);
}

/// A handle to a file, directory, symbolic link or other object of a file system.
///
/// What a caller may rely on: the file type of a node never changes; two handles to one object have the same
/// [`id`](Node::id), as long as one of them lives.
pub trait Node {
    /// What identifies the object in its file system.
    fn id(&self) -> u64;

    /// What it is.
    fn file_type(&self) -> FileType;

    /// Its attributes.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn metadata(&self) -> Result<Metadata, Errno>;

    /// Finds a name in a directory. `name` is one name: not empty, no slash, no NUL, neither `.` nor `..`.
    ///
    /// # Errors
    ///
    /// ENOENT, ENOTDIR, and what the file system says.
    fn lookup(&self, name: &[u8], freshness: Freshness) -> Result<Rc<dyn Node>, Errno>;

    /// The target of a symbolic link.
    ///
    /// # Errors
    ///
    /// EINVAL if it is no link, and what the file system says.
    fn read_link(&self) -> Result<Vec<u8>, Errno>;

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// EISDIR, ELOOP for a symbolic link, and what the file system says.
    fn open(&self) -> Result<Box<dyn OpenFile>, Errno>;

    /// Opens a directory for listing.
    ///
    /// # Errors
    ///
    /// ENOTDIR, and what the file system says.
    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>, Errno>;
}

/// An open file. Dropping it releases it, without waiting.
pub trait OpenFile {
    /// The file's attributes.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn metadata(&self) -> Result<Metadata, Errno>;

    /// Reads from `offset` until `buffer` is full or the file ends; fewer bytes mean the end of the file.
    ///
    /// # Errors
    ///
    /// What the file system says, if nothing was read before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;

    /// Reads up to `length` bytes from `offset` into memory that devices can reach, without a copy. Fewer bytes
    /// than `length` or [`read_limit`](OpenFile::read_limit), whichever is less, mean the end of the file.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf, Errno>;

    /// The longest buffer that [`read_buffer`](OpenFile::read_buffer) returns, in bytes.
    fn read_limit(&self) -> usize;
}

/// A directory that is being listed. Dropping it releases it, without waiting.
pub trait OpenDirectory {
    /// The next name, without `.` and `..`; `None` at the end, and from then on.
    ///
    /// # Errors
    ///
    /// What the file system says; the listing ends with it.
    fn next(&mut self) -> Result<Option<RawEntry>, Errno>;
}

/// A name in a directory, as the file system lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    /// The name: not empty, no slash, no NUL.
    pub name: Box<[u8]>,
    /// The inode number.
    pub inode: u64,
    /// What it is, if the file system says so in the listing.
    pub file_type: Option<FileType>,
}
