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
//! # Writing
//!
//! A file system that can be written implements the methods that change something; those of one that cannot answer EROFS
//! by themselves. What they change is seen by every handle at once, and is stable when a `sync` that began
//! afterwards has returned.
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

use super::metadata::{FileSystemStats, FileTime, FileType, Metadata};
use super::path::{self, LastLink, Place, Resolved};

/// How much a name may have aged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// An answer from a cache will do, for as long as the server said that it is valid.
    Cached,
    /// The server must be asked.
    Server,
}

/// How much has to be stable after [`OpenFile::sync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The contents, and of the rest what it takes to get at them.
    Data,
    /// Contents and attributes.
    All,
}

/// What became of an [`append`](OpenFile::append).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many bytes were written.
    pub count: usize,
    /// Where the file ended after them.
    pub end: u64,
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

    /// Finds out where the last name of `path` is, or would be, as [`path::locate`] does.
    ///
    /// # Errors
    ///
    /// Those of [`path::locate`], and of [`root`](FileSystem::root).
    fn locate(&self, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Place, Errno> {
        path::locate(&self.root()?, path, last_link, freshness)
    }

    /// How full it is.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn stats(&self) -> Result<FileSystemStats, Errno>;

    /// Makes stable all that has been changed.
    ///
    /// # Errors
    ///
    /// What the file system says: part of it may not be stable then.
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

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

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    ///
    /// As [`open`](Node::open), and EROFS.
    fn open_for_writing(&self) -> Result<Box<dyn OpenFile>, Errno> {
        Err(match self.file_type() {
            FileType::Directory => Errno::EISDIR,
            FileType::Symlink => Errno::ELOOP,
            _ => Errno::EROFS,
        })
    }

    /// Opens a directory for listing.
    ///
    /// # Errors
    ///
    /// ENOTDIR, and what the file system says.
    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>, Errno>;

    /// Creates an empty file in a directory. `name` is one name, as for [`lookup`](Node::lookup).
    ///
    /// # Errors
    ///
    /// EEXIST if the name is taken, ENOTDIR, ENOSPC, EINVAL for a name that the file system cannot store, EROFS, and
    /// what the file system says.
    fn create(&self, name: &[u8]) -> Result<Rc<dyn Node>, Errno> {
        let _ = name;
        Err(Errno::EROFS)
    }

    /// Creates an empty directory in a directory.
    ///
    /// # Errors
    ///
    /// As [`create`](Node::create).
    fn create_directory(&self, name: &[u8]) -> Result<Rc<dyn Node>, Errno> {
        let _ = name;
        Err(Errno::EROFS)
    }

    /// Removes the name of a file, or of anything else that is no directory. Whoever has a handle to it can use it on.
    ///
    /// # Errors
    ///
    /// ENOENT, ENOTDIR, EISDIR if the name is a directory's, EROFS, and what the file system says.
    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EROFS)
    }

    /// Removes an empty directory from a directory.
    ///
    /// # Errors
    ///
    /// ENOENT, ENOTDIR if the name is no directory's, ENOTEMPTY, EROFS, and what the file system says.
    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EROFS)
    }

    /// Gives what is called `name` in this directory the name `new_name` in the directory of the same file system whose
    /// [`id`](Node::id) is `directory`; the caller has a handle to that. What had that name before is replaced: a file
    /// by a file, an empty directory by a directory.
    ///
    /// # Errors
    ///
    /// ENOENT, ENOTDIR, EISDIR for a file in the place of a directory, ENOTEMPTY, EINVAL for a directory below itself,
    /// EROFS, and what the file system says.
    fn rename(&self, name: &[u8], directory: u64, new_name: &[u8]) -> Result<(), Errno> {
        let _ = (name, directory, new_name);
        Err(Errno::EROFS)
    }
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

    /// Writes `bytes` from `offset` on, and returns how many were written; fewer than there are mean that an error stopped
    /// the rest. A file that ends before `offset` has zeros in between.
    ///
    /// # Errors
    ///
    /// EBADF if it was opened for reading alone, ENOSPC, EFBIG, EROFS, and what the file system says, if nothing was
    /// written before.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        let _ = (bytes, offset);
        Err(Errno::EROFS)
    }

    /// Writes `bytes` behind the end, wherever that is when it is their turn. Nobody else's bytes get between them.
    ///
    /// # Errors
    ///
    /// As [`write_at`](OpenFile::write_at).
    fn append(&self, bytes: &[u8]) -> Result<Appended, Errno> {
        let _ = bytes;
        Err(Errno::EROFS)
    }

    /// Cuts the file off at `length`, or lengthens it with zeros.
    ///
    /// # Errors
    ///
    /// As [`write_at`](OpenFile::write_at); the length is unchanged then.
    fn set_len(&self, length: u64) -> Result<(), Errno> {
        let _ = length;
        Err(Errno::EROFS)
    }

    /// Makes the file stable.
    ///
    /// # Errors
    ///
    /// What the file system says: part of it may not be stable then.
    fn sync(&self, what: Sync) -> Result<(), Errno> {
        let _ = what;
        Ok(())
    }

    /// Sets the time when the contents last changed, moved to the nearest that the file system can store.
    ///
    /// # Errors
    ///
    /// EROFS, EINVAL for a time before 1970 where that cannot be stored, and what the file system says.
    fn set_modified(&self, time: FileTime) -> Result<(), Errno> {
        let _ = time;
        Err(Errno::EROFS)
    }
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
