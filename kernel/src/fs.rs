//! Files: a tree of mounts, and the functions of `std::fs`.
//!
//! ```text
//!   File, read_dir, metadata, ...      paths in, handles out; block the calling thread only      (on bare metal)
//!   ---------------------------------------------------------------------------------
//!   namespace   which mount a path is in
//!   path        the walk: `.`, `..`, symbolic links, one name at a time
//!   vfs         what a file system is: Node, OpenFile, OpenDirectory
//!   fuse        a file system over FUSE messages                     remote      one of another core
//!   fat         a volume on a disk, over block, which has the cache
//!   archive     a tar or cpio file that came with the kernel
//!   ---------------------------------------------------------------------------------
//!   dyn FuseDevice, dyn BlockDevice    drivers
//! ```
//!
//! The upper half needs the scheduler; the lower half is tested on a host, against models of servers and against
//! Linux' own path resolution, and is mounted on a host (`fs/host.rs`) to be tested and measured against real servers.
//!
//! # Paths
//!
//! A path is bytes; `&str`, `&[u8]` and `Vec<u8>` will do. There is no current directory, so `a/b` is `/a/b`. `..` and
//! symbolic links never lead out of a mount: a share is a jail. See [`path`] for the rules.
//!
//! # Permissions
//!
//! One machine runs one application, as the superuser: nothing is checked here. Modes and owners are stored, for others, as
//! they are given, without an `umask`. What may be read and written is what the server on the host may read and write
//! (`docs/adr/0020-permissions-and-locks.md`).
//!
//! # Writing
//!
//! What is written is seen by everybody on this machine at once, whatever core and handle it is read by. It survives the end
//! of the power after [`File::sync_all`], [`sync`] or an orderly end of the machine; a new or changed name after `sync_dir` of its
//! directory. A file system may accept writes that fail later; [`File::close`] and [`File::sync_all`] say so, dropping a
//! file does not.
//!
//! What a file system cannot have, it refuses: FAT has no links, owners or extended attributes (`PermissionDenied`, and
//! `Unsupported` for the last), and a server says what it thinks. Errors keep the number that they came with
//! ([`Error::raw_os_error`](crate::io::Error::raw_os_error)), and have the kind that std gives it on Linux.
//!
//! # Locks
//!
//! [`File::lock`] and its kin are `flock`: for a whole file, owned by an open file, in the way of those who ask for one. They
//! bind the threads of all cores; a server that has locks is asked, and then they bind its other clients, too. Where it has
//! none, and on disks, they are kept here, and those who wait are served in the order of coming.
//!
//! # Mounts
//!
//! A mount is chosen by the text of the path, name by name, the longest first, so there can be some within others, and none needs a
//! directory to stand on. Nothing is renamed or linked from one to another (`CrossesDevices`), and where one stands nothing is
//! removed. `unmount` leaves one, unless others are mounted in it (`ResourceBusy`); files that are open are no obstacle, and
//! fail with `NotConnected` from then on. A server that has gone away fails everything, until `remount` begins again with it;
//! what was open then fails with `StaleNetworkFileHandle` for ever. `mount_status` says what stands where, and what is wrong with it.
//!
//! # Freshness
//!
//! Of a share, names and attributes are remembered for as long as the server says, which its options decide (virtiofsd:
//! `--cache=never|auto|always`). Within that time a file ends where its attributes say, and contents that were read are
//! remembered too. A change on the host is seen when that time is over, at the latest; what is changed here is known
//! here at once.
//!
//! # Ownership
//!
//! Files and listings are handles for the core that opened them, hence not `Send`. A device, and so a mount, belongs to the
//! core on which it was attached; threads of all other cores see it at the same path, and their calls are sent to that
//! core, which costs a call between cores each: a few microseconds. What the owner's threads do costs nothing more for that.
//!
//! # Example
//!
//! ```ignore
//! let index = toro::fs::File::open("/index.html")?;
//! let mut start = [0; 512];
//! let count = index.read_at(&mut start, 0)?;
//! for entry in toro::fs::read_dir("/")? {
//!     toro::println!("{}", entry?.file_name().escape_ascii());
//! }
//! let counter = File::options().read(true).write(true).create(true).open("/counter")?;
//! counter.lock()?;
//! let number: u64 = toro::fs::read_to_string("/counter")?.parse().unwrap_or(0);
//! counter.write_all_at((number + 1).to_string().as_bytes(), 0)?;
//! counter.close()?;
//! ```
#![deny(unsafe_code)]

#[cfg(feature = "initrd")]
mod archive;
mod attributes;
#[cfg(feature = "block")]
pub mod block;
mod dir_builder;
#[cfg(all(target_os = "none", feature = "fat"))]
mod disks;
mod error;
#[cfg(feature = "fat")]
mod fat;
mod file;
#[cfg(target_os = "none")]
mod functions;
mod fuse;
#[cfg(not(target_os = "none"))]
#[doc(hidden)]
pub mod host;
#[cfg(all(target_os = "none", feature = "initrd"))]
mod initrd;
#[cfg(target_os = "none")]
mod kernel_scheduler;
mod lock;
mod locks;
pub mod metadata;
#[cfg(any(test, target_os = "none"))]
mod mount_words;
mod mounts;
mod namespace;
mod options;
pub mod path;
mod pieces;
mod read_dir;
mod remote;
mod scheduler;
mod statistics;
#[cfg(target_os = "none")]
mod system;
#[cfg(all(target_os = "none", feature = "fs-mounts"))]
mod upkeep;
pub mod vfs;

#[cfg(test)]
mod tests;

pub use attributes::{FileTimes, Permissions};
pub use dir_builder::DirBuilder;
pub use file::{File, TryLockError};
#[cfg(target_os = "none")]
pub use functions::{
    chown, create_special, exchange, hard_link, lchown, list_xattrs, remove_dir_all, remove_xattr, rename_with,
    set_permissions, set_times, set_times_nofollow, set_xattr, set_xattr_with, symlink, sync_dir, unmount, xattr,
};
pub use metadata::{FileSystemStats, FileTime, FileType, Metadata};
#[cfg(feature = "fs-mounts")]
pub use namespace::MountStatus;
pub use namespace::Namespace;
pub use options::OpenOptions;
pub use read_dir::{DirEntry, ReadDir};
pub use statistics::Statistics;
#[cfg(target_os = "none")]
pub(crate) use system::report_useless_words;
#[cfg(target_os = "none")]
pub use system::{attach, shutdown};
#[cfg(all(target_os = "none", feature = "fs-mounts"))]
pub use upkeep::{mount_status, remount, statfs, statistics};
pub use vfs::{Allocation, Collision, SpecialFile, XattrMode};

#[cfg(all(target_os = "none", feature = "fat"))]
pub(crate) use disks::mount_all;
#[cfg(all(target_os = "none", feature = "initrd"))]
pub(crate) use initrd::mount_archives;

#[cfg(target_os = "none")]
use alloc::{string::String, vec::Vec};

#[cfg(target_os = "none")]
use crate::io::Result;

/// The attributes of what `path` names; symbolic links are followed.
///
/// # Errors
///
/// `NotFound`, `NotADirectory`, `FilesystemLoop` after 40 links, `InvalidFilename` for a name of more than 255 bytes or
/// a path of more than 4,095, `InvalidInput` for a NUL byte, and what the server says.
#[cfg(target_os = "none")]
pub fn metadata(path: impl AsRef<[u8]>) -> Result<Metadata> {
    system::namespace().metadata(path.as_ref())
}

/// The attributes of what `path` names; a symbolic link at its end is not followed.
///
/// # Errors
///
/// As [`metadata`](metadata()).
#[cfg(target_os = "none")]
pub fn symlink_metadata(path: impl AsRef<[u8]>) -> Result<Metadata> {
    system::namespace().symlink_metadata(path.as_ref())
}

/// The target of a symbolic link, as it is stored.
///
/// # Errors
///
/// `InvalidInput` if it is no symbolic link; else as [`metadata`](metadata()).
#[cfg(target_os = "none")]
pub fn read_link(path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    system::namespace().read_link(path.as_ref())
}

/// Lists a directory.
///
/// # Errors
///
/// `NotADirectory`; else as [`metadata`](metadata()).
#[cfg(target_os = "none")]
pub fn read_dir(path: impl AsRef<[u8]>) -> Result<ReadDir> {
    system::namespace().read_dir(path.as_ref())
}

/// The path without `.`, `..`, symbolic links and superfluous slashes.
///
/// # Errors
///
/// As [`metadata`](metadata()).
#[cfg(target_os = "none")]
pub fn canonicalize(path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    system::namespace().canonicalize(path.as_ref())
}

/// The contents of a whole file.
///
/// # Errors
///
/// Those of [`File::open`] and [`File::read_at`], and `OutOfMemory`.
#[cfg(target_os = "none")]
pub fn read(path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    system::namespace().read(path.as_ref())
}

/// The contents of a whole file as text.
///
/// # Errors
///
/// `InvalidData` if it is not UTF-8; else as [`read`].
#[cfg(target_os = "none")]
pub fn read_to_string(path: impl AsRef<[u8]>) -> Result<String> {
    system::namespace().read_to_string(path.as_ref())
}

/// Whether there is something at `path`; symbolic links are followed.
///
/// # Errors
///
/// As [`metadata`](metadata()), but `NotFound`.
#[cfg(target_os = "none")]
pub fn exists(path: impl AsRef<[u8]>) -> Result<bool> {
    system::namespace().exists(path.as_ref())
}

/// Makes `contents` those of a whole file, which is created if there is none.
///
/// # Errors
///
/// Those of [`File::create`] and [`File::write_at`]; the file may hold a part of them then.
#[cfg(target_os = "none")]
pub fn write(path: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Result<()> {
    system::namespace().write(path.as_ref(), contents.as_ref())
}

/// Copies the contents of a file to another one, which is created or emptied before, with its permissions, and returns how
/// many bytes that were. The file system does it by itself where it can. A file is not copied to itself: that empties it, as in std.
///
/// # Errors
///
/// Those of [`read`] and [`write`](write()); `InvalidInput` if the original is no regular file.
#[cfg(target_os = "none")]
pub fn copy(from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<u64> {
    system::namespace().copy(from.as_ref(), to.as_ref())
}

/// Creates a directory, in one that exists.
///
/// # Errors
///
/// `AlreadyExists`, `NotFound`, `NotADirectory`, `ReadOnlyFilesystem`, `StorageFull`, `InvalidInput` or `InvalidFilename`
/// for a name that the file system cannot store, and what it says.
#[cfg(target_os = "none")]
pub fn create_dir(path: impl AsRef<[u8]>) -> Result<()> {
    system::namespace().create_dir(path.as_ref())
}

/// Creates a directory, and those that it is in, as far as they do not exist. The empty path exists, as in std.
///
/// # Errors
///
/// As [`create_dir`], but `AlreadyExists` only for what is no directory.
#[cfg(target_os = "none")]
pub fn create_dir_all(path: impl AsRef<[u8]>) -> Result<()> {
    system::namespace().create_dir_all(path.as_ref())
}

/// Removes a file. Where it is open, it can be used on, and its contents go when the last handle does.
///
/// # Errors
///
/// `NotFound`, `NotADirectory`, `IsADirectory`, `ReadOnlyFilesystem`, and what the file system says.
#[cfg(target_os = "none")]
pub fn remove_file(path: impl AsRef<[u8]>) -> Result<()> {
    system::namespace().remove_file(path.as_ref())
}

/// Removes an empty directory.
///
/// # Errors
///
/// `NotFound`, `NotADirectory`, `DirectoryNotEmpty`, `ResourceBusy` for a path that ends in `.`, `..` or a mount,
/// `ReadOnlyFilesystem`, and what the file system says.
#[cfg(target_os = "none")]
pub fn remove_dir(path: impl AsRef<[u8]>) -> Result<()> {
    system::namespace().remove_dir(path.as_ref())
}

/// Gives a file or directory another name, in the same file system. A file that had that name before is replaced, an empty
/// directory by a directory only.
///
/// # Errors
///
/// `NotFound`, `CrossesDevices` between two mounts, `NotADirectory`, `IsADirectory`, `DirectoryNotEmpty`, `InvalidInput` for
/// a directory below itself, `ResourceBusy` for a path that ends in `.`, `..` or a mount, `ReadOnlyFilesystem`, and what
/// the file system says.
#[cfg(target_os = "none")]
pub fn rename(from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<()> {
    system::namespace().rename(from.as_ref(), to.as_ref())
}

/// Makes all changes to all files of all mounts stable, as `sync` of POSIX.
///
/// # Errors
///
/// The first that a file system reports; the others have been told all the same.
#[cfg(target_os = "none")]
pub fn sync() -> Result<()> {
    system::namespace().sync()
}
