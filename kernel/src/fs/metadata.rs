//! What is known about a file besides its contents.

use core::time::Duration;

use crate::time::{SystemTime, UNIX_EPOCH};

/// What kind of object a name stands for, as in `std::fs::FileType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A file with contents.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device of the host.
    BlockDevice,
    /// A character device of the host.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A local socket.
    Socket,
}

impl FileType {
    /// Whether it is a regular file.
    pub fn is_file(self) -> bool {
        self == Self::File
    }

    /// Whether it is a directory.
    pub fn is_dir(self) -> bool {
        self == Self::Directory
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(self) -> bool {
        self == Self::Symlink
    }
}

/// A moment as file systems keep it: seconds since 1970 (UTC), negative before, and nanoseconds below 10^9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// What is left, in nanoseconds.
    pub nanoseconds: u32,
}

/// What is known about a file, as in `std::fs::Metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub(crate) file_type: FileType,
    pub(crate) len: u64,
    pub(crate) mode: u32,
    pub(crate) inode: u64,
    pub(crate) links: u32,
    pub(crate) modified: FileTime,
}

impl Metadata {
    /// What kind of object it is.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type.is_file()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type.is_dir()
    }

    /// Whether it is a symbolic link; only [`symlink_metadata`](super::symlink_metadata) shows one.
    pub fn is_symlink(&self) -> bool {
        self.file_type.is_symlink()
    }

    /// Length in bytes, at most `i64::MAX`.
    #[expect(clippy::len_without_is_empty, reason = "as in std: it is the length of the file, not of this value")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Kind and permissions as one number, `st_mode` on Linux.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// Inode number on the host. Not unique where the share spans several file systems of the host.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// How many names the object has.
    pub fn links(&self) -> u32 {
        self.links
    }

    /// When the contents last changed; the start of 1970 for files that claim to be older.
    pub fn modified(&self) -> SystemTime {
        let seconds = u64::try_from(self.modified.seconds).unwrap_or(0);
        UNIX_EPOCH + Duration::new(seconds, self.modified.nanoseconds.min(999_999_999))
    }

    /// When the contents last changed, to the nanosecond and with its sign.
    pub fn modified_time(&self) -> FileTime {
        self.modified
    }
}

/// How full a file system is, as `statvfs` tells. Sizes are in units of [`block_size`](Self::block_size) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystemStats {
    /// Bytes in a block, never 0.
    pub block_size: u32,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks that anybody may use.
    pub blocks_available: u64,
    /// All inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Longest name in bytes.
    pub name_max: u32,
}
