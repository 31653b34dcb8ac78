//! [`Node`]: a handle to an object, and what is done with its names and attributes.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::{OpenDirectory, OpenFile};
use crate::fs::metadata::{AttributeChanges, FileType, Metadata};
use crate::fs::options::{Contents, Rights};

/// How much a name may have aged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// An answer from a cache will do, for as long as the server said that it is valid.
    Cached,
    /// The server must be asked.
    Server,
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

/// A handle to a file, directory, symbolic link or other object of a file system.
///
/// What a caller may rely on: the file type of a node never changes; two handles to one object have the same
/// [`id`](Node::id), as long as one of them lives.
pub trait Node: NodeChanges {
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

    /// Creates an empty file and opens it; in one request where that is possible. Somebody else may have created it
    /// meanwhile: then that is an error, and [`open_for_writing`](Node::open_for_writing) is the thing to do.
    ///
    /// # Errors
    ///
    /// As [`create`](NodeChanges::create) and [`open_for_writing`](Node::open_for_writing).
    fn create_and_open(&self, name: &[u8], mode: u32, rights: Rights) -> Result<Box<dyn OpenFile>, Errno> {
        self.create(name, mode)?.open_for_writing(rights, Contents::Keep)
    }
}

/// What is done with a node beyond looking at it and opening it. Where it is not implemented, there is only that.
pub trait NodeChanges {
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

    /// Creates an empty directory in a directory.
    ///
    /// # Errors
    ///
    /// As [`create`](NodeChanges::create).
    fn create_directory(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>, Errno> {
        let _ = (name, mode);
        Err(Errno::EROFS)
    }

    /// Creates a symbolic link to `target`, which is not looked at.
    ///
    /// # Errors
    ///
    /// As [`create`](NodeChanges::create), and EPERM where the file system has none.
    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        let _ = (name, target);
        Err(Errno::EROFS)
    }

    /// Creates a pipe, a socket or a device, which nobody here can open.
    ///
    /// # Errors
    ///
    /// As [`create`](NodeChanges::create), and EPERM where the file system has none.
    fn create_special(&self, name: &[u8], mode: u32, what: SpecialFile) -> Result<(), Errno> {
        let _ = (name, mode, what);
        Err(Errno::EROFS)
    }

    /// Gives the object of the same file system whose [`id`](Node::id) is `node`, to which the caller has a handle, another
    /// name, in this directory.
    ///
    /// # Errors
    ///
    /// As [`create`](NodeChanges::create), EMLINK, and EPERM for a directory or where the file system has no such names.
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
    /// As [`xattr`](NodeChanges::xattr).
    fn xattrs(&self) -> Result<Vec<Box<[u8]>>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    ///
    /// As [`xattr`](NodeChanges::xattr), EEXIST or ENODATA as `mode` says, ERANGE and E2BIG for names and values that are too long.
    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), Errno> {
        let _ = (name, value, mode);
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    ///
    /// As [`xattr`](NodeChanges::xattr).
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
