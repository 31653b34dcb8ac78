//! What is known about a file besides its contents.

use core::time::Duration;

use super::attributes::Permissions;
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

impl From<FileTime> for SystemTime {
    /// The start of 1970 for what is earlier.
    fn from(time: FileTime) -> Self {
        let seconds = u64::try_from(time.seconds).unwrap_or(0);
        UNIX_EPOCH + Duration::new(seconds, time.nanoseconds.min(999_999_999))
    }
}

impl From<SystemTime> for FileTime {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Self { seconds, nanoseconds: since.subsec_nanos() }
    }
}

/// A time that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeChange {
    /// The time at which whoever stores the file gets to it.
    Now,
    /// This time, moved to the nearest that can be stored.
    To(FileTime),
}

/// Attributes that are set; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChanges {
    /// Permissions: the lower twelve bits of `st_mode`.
    pub mode: Option<u32>,
    /// Whose it is.
    pub uid: Option<u32>,
    /// Whose group it is for.
    pub gid: Option<u32>,
    /// When the contents were last read.
    pub accessed: Option<TimeChange>,
    /// When the contents last changed.
    pub modified: Option<TimeChange>,
}

/// What is known about a file, as in `std::fs::Metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub(crate) file_type: FileType,
    pub(crate) len: u64,
    pub(crate) mode: u32,
    pub(crate) inode: u64,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) device: u32,
    pub(crate) blocks: u64,
    pub(crate) block_size: u32,
    pub(crate) accessed: FileTime,
    pub(crate) modified: FileTime,
    pub(crate) changed: FileTime,
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

    /// What its permissions say.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode)
    }

    /// Inode number on the host. Not unique where the share spans several file systems of the host.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// How many names the object has.
    pub fn links(&self) -> u32 {
        self.links
    }

    /// Whose it is; 0 is the superuser.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whose group it is for; 0 is the superuser's.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Which device it stands for, in Linux' encoding; 0 for what is none.
    pub fn device(&self) -> u32 {
        self.device
    }

    /// What it takes on its disk, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How many bytes it is good to read or write at a time, never 0.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// When the contents were last read, as far as that is kept; as [`modified`](Self::modified).
    pub fn accessed(&self) -> SystemTime {
        self.accessed.into()
    }

    /// When the contents last changed; the start of 1970 for files that claim to be older.
    pub fn modified(&self) -> SystemTime {
        self.modified.into()
    }

    /// When the contents or the attributes last changed; as [`modified`](Self::modified).
    pub fn changed(&self) -> SystemTime {
        self.changed.into()
    }

    /// When the contents were last read, to the nanosecond and with its sign.
    pub fn accessed_time(&self) -> FileTime {
        self.accessed
    }

    /// When contents or attributes last changed, to the nanosecond and with its sign.
    pub fn changed_time(&self) -> FileTime {
        self.changed
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
