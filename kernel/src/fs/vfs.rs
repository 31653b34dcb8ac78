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
//! Errors are Linux error numbers, [`Errno`](fuse_proto::Errno), because that is what file servers answer with; the public API turns
//! them into [`io::Error`](crate::io::Error).
//!
//! # What is in which file
//!
//! ```text
//!   file_system.rs   FileSystem      paths
//!   upkeep.rs        Upkeep          fullness, health
//!   node.rs          Node            names and attributes
//!   file.rs          OpenFile        contents, space, locks
//!   directory.rs     OpenDirectory   listings
//! ```

mod directory;
mod file;
mod file_system;
mod node;
mod upkeep;

pub use self::directory::{OpenDirectory, RawEntry};
pub use self::file::{
    Allocation, Appended, FileChanges, LockKind, LockWait, OpenFile, SeekTarget, Sync, seek_without_holes,
};
pub use self::file_system::FileSystem;
pub use self::node::{Collision, Freshness, Node, NodeChanges, SpecialFile, XattrMode};
#[cfg(feature = "fs-mounts")]
pub use self::upkeep::Health;
pub use self::upkeep::Upkeep;
