//! [`Entry`]: what both formats say of one name.

use alloc::borrow::Cow;

use super::contents::Contents;
use crate::fs::metadata::{FileTime, FileType};

/// One entry of an archive.
pub struct Entry<'a> {
    /// Where it begins in the archive.
    pub offset: usize,
    /// Its path, as it is written there.
    pub path: Cow<'a, [u8]>,
    /// What is known about it.
    pub attributes: Attributes,
    /// What it is.
    pub what: What<'a>,
}

/// What is known about an object besides what it is.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// Permissions: the lower twelve bits of `st_mode`.
    pub mode: u32,
    /// Whose it is.
    pub uid: u32,
    /// Whose group it is for.
    pub gid: u32,
    /// When it was changed.
    pub modified: FileTime,
}

impl Attributes {
    /// Those of a directory that no entry describes.
    pub const IMPLICIT: Self = Self { mode: 0o755, uid: 0, gid: 0, modified: FileTime { seconds: 0, nanoseconds: 0 } };
}

/// What an entry is.
pub enum What<'a> {
    /// A directory.
    Directory,
    /// A file.
    File(Contents),
    /// One name of a file that has several, all of them with this number; one of them has the contents.
    SharedFile(SharedNumber, Contents),
    /// Another name of what an earlier entry has under this path.
    HardLink(Cow<'a, [u8]>),
    /// A symbolic link to this target.
    Symlink(Cow<'a, [u8]>),
    /// A pipe, a socket or a device, with its number in Linux' encoding.
    Special(FileType, u32),
}

/// Device and inode on the machine where the archive was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedNumber {
    /// Major and minor number of the device.
    pub device: (u32, u32),
    /// The inode.
    pub inode: u32,
}

/// The number of a device in Linux' encoding.
pub fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xFF) | ((major & 0xFFF) << 8) | ((minor & 0xF_FF00) << 12)
}
