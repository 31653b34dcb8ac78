//! Files: a tree of mounts, and the functions of `std::fs` that read.
//!
//! ```text
//!   File, read_dir, metadata, ...      paths in, handles out; block the calling thread only      (on bare metal)
//!   ---------------------------------------------------------------------------------
//!   namespace   which mount a path is in
//!   path        the walk: `.`, `..`, symbolic links, one name at a time
//!   vfs         what a file system is: Node, OpenFile, OpenDirectory
//!   fuse        a file system over FUSE messages                     remote      one of another core
//!   ---------------------------------------------------------------------------------
//!   dyn FuseDevice                     a driver
//! ```
//!
//! The upper half needs the scheduler; the lower half is tested on a host, against models of servers and against
//! Linux' own path resolution.
//!
//! # Paths
//!
//! A path is bytes; `&str`, `&[u8]` and `Vec<u8>` will do. There is no current directory, so `a/b` is `/a/b`. `..` and
//! symbolic links never lead out of a mount: a share is a jail. See [`path`] for the rules.
//!
//! # Permissions
//!
//! One machine runs one application, as the superuser: nothing is checked here. What may be read is what the server on
//! the host may read.
//!
//! # Freshness
//!
//! Names and attributes are remembered for as long as the server says, which its options decide (virtiofsd:
//! `--cache=never|auto|always`). Within that time a file ends where its attributes say, and the contents of small files
//! are remembered too. A change on the host is seen when that time is over, at the latest.
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
//! ```
#![deny(unsafe_code)]

pub mod block;
mod error;
mod file;
mod fuse;
pub mod metadata;
mod namespace;
pub mod path;
mod read_dir;
mod remote;
mod scheduler;
#[cfg(target_os = "none")]
mod system;
pub mod vfs;

#[cfg(test)]
mod tests;

pub use file::File;
pub use metadata::{FileSystemStats, FileTime, FileType, Metadata};
pub use namespace::Namespace;
pub use read_dir::{DirEntry, ReadDir};
#[cfg(target_os = "none")]
pub use system::{attach, shutdown};

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

/// How full the file system is that `path` is in.
///
/// # Errors
///
/// As [`metadata`](metadata()).
#[cfg(target_os = "none")]
pub fn statfs(path: impl AsRef<[u8]>) -> Result<FileSystemStats> {
    system::namespace().stats(path.as_ref())
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
