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

use super::fuse::Statistics;
use super::metadata::{AttributeChanges, FileSystemStats, FileType, Metadata};
use super::options::{Contents, Rights};
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

/// What becomes of something that has the new name already, when something is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collision {
    /// It is replaced: a file by a file, an empty directory by a directory.
    Replace,
    /// That is an error.
    Refuse,
    /// Both exchange their names.
    Exchange,
}

/// Something without contents of its own that has a name in a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialFile {
    /// A named pipe.
    Fifo,
    /// A local socket.
    Socket,
    /// A character device, in Linux' encoding.
    CharacterDevice(u32),
    /// A block device, in Linux' encoding.
    BlockDevice(u32),
}

/// Whether an extended attribute may, must or must not have been there when it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// It is created or replaced.
    Any,
    /// EEXIST if it is there.
    Create,
    /// ENODATA if it is not there.
    Replace,
}

/// What is looked for in a file that may have holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTarget {
    /// Bytes that are stored.
    Data,
    /// Zeros that are not; there is one behind the end of every file.
    Hole,
}

/// What happens to space in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// It is reserved, and the file lengthened where it ends earlier.
    Extend,
    /// It is reserved; the file's length stays.
    KeepSize,
    /// It becomes a hole of zeros; the file's length stays.
    PunchHole,
    /// It reads as zeros, and the file is lengthened where it ends earlier.
    Zero,
}

/// Who else may lock a file meanwhile. Locks are for the whole of it, as those of `flock`, and bind those who ask for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others that want it shared.
    Shared,
    /// Nobody.
    Exclusive,
}

/// What happens if a lock cannot be had at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// EAGAIN.
    Never,
    /// The thread waits, for as long as it takes.
    Forever,
}

/// Whether a file system can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Working,
    /// It cannot, for this reason; [`FileSystem::remount`] is the thing to try.
    Failed(Errno),
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

    /// Whether it can be used, as far as that is known without asking anybody.
    fn health(&self) -> Health {
        Health::Working
    }

    /// What has been done with it so far, if that is counted.
    fn statistics(&self) -> Option<Statistics> {
        None
    }

    /// Begins again with whoever stores the files, after a fault has ended it: what was open fails with ESTALE, what was not
    /// stable is lost, and new paths work again.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP where that means nothing, EBUSY while nothing is wrong, and what the file system says.
    fn remount(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
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

    /// Opens a file with rights that include writing; what it holds goes if that is asked for.
    ///
    /// # Errors
    ///
    /// As [`open`](Node::open), and EROFS.
    fn open_for_writing(&self, rights: Rights, contents: Contents) -> Result<Box<dyn OpenFile>, Errno> {
        let _ = (rights, contents);
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

    /// Creates an empty file with these permissions in a directory. `name` is one name, as for [`lookup`](Node::lookup).
    ///
    /// # Errors
    ///
    /// EEXIST if the name is taken, ENOTDIR, ENOSPC, EINVAL for a name that the file system cannot store, EROFS, and
    /// what the file system says.
    fn create(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>, Errno> {
        let _ = (name, mode);
        Err(Errno::EROFS)
    }

    /// Creates an empty file and opens it; in one request where that is possible. Somebody else may have created it
    /// meanwhile: then that is an error, and [`open_for_writing`](Node::open_for_writing) is the thing to do.
    ///
    /// # Errors
    ///
    /// As [`create`](Node::create) and [`open_for_writing`](Node::open_for_writing).
    fn create_and_open(&self, name: &[u8], mode: u32, rights: Rights) -> Result<Box<dyn OpenFile>, Errno> {
        self.create(name, mode)?.open_for_writing(rights, Contents::Keep)
    }

    /// Creates an empty directory in a directory.
    ///
    /// # Errors
    ///
    /// As [`create`](Node::create).
    fn create_directory(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>, Errno> {
        let _ = (name, mode);
        Err(Errno::EROFS)
    }

    /// Creates a symbolic link to `target`, which is not looked at.
    ///
    /// # Errors
    ///
    /// As [`create`](Node::create), and EPERM where the file system has none.
    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        let _ = (name, target);
        Err(Errno::EROFS)
    }

    /// Creates a pipe, a socket or a device, which nobody here can open.
    ///
    /// # Errors
    ///
    /// As [`create`](Node::create), and EPERM where the file system has none.
    fn create_special(&self, name: &[u8], mode: u32, what: SpecialFile) -> Result<(), Errno> {
        let _ = (name, mode, what);
        Err(Errno::EROFS)
    }

    /// Gives the object of the same file system whose [`id`](Node::id) is `node`, to which the caller has a handle, another
    /// name, in this directory.
    ///
    /// # Errors
    ///
    /// As [`create`](Node::create), EMLINK, and EPERM for a directory or where the file system has no such names.
    fn link(&self, name: &[u8], node: u64) -> Result<(), Errno> {
        let _ = (name, node);
        Err(Errno::EROFS)
    }

    /// Sets attributes.
    ///
    /// # Errors
    ///
    /// EPERM for those that the file system does not keep, EROFS, and what the file system says.
    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let _ = changes;
        Err(Errno::EROFS)
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    ///
    /// ENODATA if there is none of this name, EOPNOTSUPP where the file system has none at all, and what it says.
    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// The names of all extended attributes.
    ///
    /// # Errors
    ///
    /// As [`xattr`](Node::xattr).
    fn xattrs(&self) -> Result<Vec<Box<[u8]>>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    ///
    /// As [`xattr`](Node::xattr), EEXIST or ENODATA as `mode` says, ERANGE and E2BIG for names and values that are too long.
    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), Errno> {
        let _ = (name, value, mode);
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    ///
    /// As [`xattr`](Node::xattr).
    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes a directory's names stable.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn sync_directory(&self) -> Result<(), Errno> {
        Ok(())
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
    /// [`id`](Node::id) is `directory`; the caller has a handle to that.
    ///
    /// # Errors
    ///
    /// EEXIST if the new name is taken and that is refused, EINVAL if the file system cannot do what is wanted then;
    /// ENOENT, ENOTDIR, EISDIR for a file in the place of a directory, ENOTEMPTY, EINVAL for a directory below itself,
    /// EROFS, and what the file system says.
    fn rename(&self, name: &[u8], directory: u64, new_name: &[u8], collision: Collision) -> Result<(), Errno> {
        let _ = (name, directory, new_name, collision);
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

    /// Sets attributes.
    ///
    /// # Errors
    ///
    /// As [`Node::set_attributes`].
    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let _ = changes;
        Err(Errno::EROFS)
    }

    /// Reserves space, or gives it back.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP where the file system cannot; else as [`write_at`](OpenFile::write_at).
    fn allocate(&self, offset: u64, length: u64, how: Allocation) -> Result<(), Errno> {
        let _ = (offset, length, how);
        Err(Errno::EOPNOTSUPP)
    }

    /// Where the next data or the next hole begins, at or behind `offset`.
    ///
    /// # Errors
    ///
    /// ENXIO at or behind the end, and for data behind the last.
    fn seek(&self, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
        match (self.metadata()?.len, target) {
            (len, _) if offset >= len => Err(Errno::ENXIO),
            (_, SeekTarget::Data) => Ok(offset),
            (len, SeekTarget::Hole) => Ok(len),
        }
    }

    /// Copies bytes from this file to one of the same file system without their coming here, and returns how many those
    /// were; 0 only at the end of this file. `target` is what [`identity`](OpenFile::identity) says of the other one.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP or EXDEV where that cannot be done: reading and writing is the thing to do then.
    fn copy_to(&self, offset: u64, target: u64, target_offset: u64, length: u64) -> Result<u64, Errno> {
        let _ = (offset, target, target_offset, length);
        Err(Errno::EOPNOTSUPP)
    }

    /// What names this open file in its file system, for as long as it is open; `None` where nothing needs that.
    fn identity(&self) -> Option<u64> {
        None
    }

    /// Locks the file for this handle, which then has this lock and no other. Dropping the handle unlocks it. A handle that
    /// has another lock gives that up first, as with `flock`: if it cannot have the new one, it has none.
    ///
    /// # Errors
    ///
    /// EAGAIN if somebody else's lock is in the way and there is no waiting, EOPNOTSUPP where there are no locks.
    fn lock(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        let _ = (kind, wait);
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives the handle's lock up, if it has one.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP where there are no locks.
    fn unlock(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Says what went wrong with writes that have been accepted, as closing a descriptor does elsewhere. Nothing is stable
    /// for that.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn flush(&self) -> Result<(), Errno> {
        Ok(())
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
