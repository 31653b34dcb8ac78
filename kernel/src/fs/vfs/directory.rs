//! [`OpenDirectory`]: a listing.

use alloc::boxed::Box;

use fuse_proto::Errno;

use crate::fs::metadata::FileType;

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
