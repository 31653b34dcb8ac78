//! Archives as file systems: what comes with the kernel as an initial RAM disk, a tar or cpio file, read where it lies.
//!
//! ```text
//!   vfs --> node.rs     ArchiveNode, ArchiveFile, ArchiveListing: handles, a number each
//!             |
//!           index.rs    objects and the names that lead to them     made once, when it is opened
//!             |                                    ^
//!           contents.rs where a file's bytes are   |  entries, one after the other
//!             |                                    |
//!             |         tar.rs  over `tar-core`    cpio.rs  over `cpio_reader`
//!             v                                    |
//!           the image   |header|bytes..|header|bytes......|     never copied, never written
//! ```
//!
//! # Ownership
//!
//! Whoever opens an archive gives its bytes away: the kernel those of a module, which are mapped read-only for ever, a test
//! those of a vector. The index has names and numbers; contents stay where they are, and reading a file copies from there
//! to the reader, once.
//!
//! # What is in an archive
//!
//! Directories, files, symbolic links, hard links, pipes, sockets and devices, with their modes, owners and times of change. A
//! directory that is named by a path alone is there too, with mode 755 and the start of 1970 for a time. Of two entries
//! with one name the later holds, as when the archive is unpacked. Extended attributes are left out.
//!
//! Nothing can be changed: EROFS. Locks are kept in memory ([`LockTable`]).
//!
//! # Whom we believe
//!
//! Nobody. Both libraries are asked for headers only, and are never asked about sizes that cannot be (see `tar.rs` and
//! `cpio.rs`); every range of bytes is checked against the image before it is kept. A path that leads out of the archive, two entries
//! that exclude each other, a link to nothing, an end that is missing: each is an [`ArchiveError`] that says where, and the
//! archive is not mounted at all, since nobody knows what else is wrong with it. How many objects there may be is bounded by
//! the caller, because a path of a few bytes makes as many directories as it has slashes.

use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use core::cell::Cell;

use fuse_proto::Errno;
use toro_core::DmaBuf;

use self::index::Index;
use self::node::ArchiveNode;
use super::locks::LockTable;
use super::scheduler::Scheduler;
use super::vfs::{FileSystem, Node};

mod contents;
mod cpio;
mod entry;
mod error;
mod format;
mod index;
mod node;
mod tar;
#[cfg(test)]
mod tests;
#[cfg(feature = "fs-mounts")]
mod upkeep;

pub use self::error::ArchiveError;
#[cfg(not(target_os = "none"))]
pub use self::error::Damage;

/// What is counted as a block.
const BLOCK: u64 = 512;

/// What an archive needs of the kernel.
pub struct Platform {
    /// Time, and events to wait for.
    pub scheduler: Box<dyn Scheduler>,
    /// A buffer of so many bytes, at most [`READ_LIMIT`], that devices can reach.
    pub buffer: Box<dyn Fn(usize) -> Result<DmaBuf, Errno>>,
}

/// The longest buffer that a platform is asked for, in bytes.
pub const READ_LIMIT: usize = 64 << 10;

/// A mounted archive.
pub struct Archive {
    me: Weak<Archive>,
    image: Box<dyn AsRef<[u8]>>,
    index: Index,
    /// Who has locked files, and who wants to.
    locks: Rc<LockTable>,
    buffer: Box<dyn Fn(usize) -> Result<DmaBuf, Errno>>,
    is_closed: Cell<bool>,
}

impl Archive {
    /// Reads the headers of the archive that `image` is. There may be `most` objects and names in it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn open(image: Box<dyn AsRef<[u8]>>, most: usize, platform: Platform) -> Result<Rc<Self>, ArchiveError> {
        let index = Index::of((*image).as_ref(), most)?;
        let Platform { scheduler, buffer } = platform;
        let locks = LockTable::new(scheduler);
        let is_closed = Cell::new(false);
        Ok(Rc::new_cyclic(|me| Self { me: Weak::clone(me), image, index, locks, buffer, is_closed }))
    }

    /// How many objects it has, its root included.
    pub fn objects(&self) -> usize {
        self.index.len()
    }

    fn image(&self) -> &[u8] {
        (*self.image).as_ref()
    }

    /// Fails after the end.
    fn expect_open(&self) -> Result<(), Errno> {
        if self.is_closed.get() { Err(Errno::ENOTCONN) } else { Ok(()) }
    }

    /// A handle to the object with this number.
    fn node(&self, number: u32) -> Result<Rc<ArchiveNode>, Errno> {
        let archive = self.me.upgrade().ok_or(Errno::ENOTCONN)?;
        Ok(Rc::new(ArchiveNode::new(archive, number)))
    }
}

impl FileSystem for Archive {
    fn root(&self) -> Result<Rc<dyn Node>, Errno> {
        self.expect_open()?;
        let root: Rc<dyn Node> = self.node(Index::ROOT)?;
        Ok(root)
    }

    fn shutdown(&self) {
        self.is_closed.set(true);
        self.locks.abandon(Errno::ENOTCONN);
    }
}
