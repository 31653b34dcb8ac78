//! The numbers by which a server names things.
//!
//! A FUSE server hands out three kinds of 64-bit number, and a client must keep them apart:
//!
//! ```text
//!   NodeId       one file, directory, link ...   counted: LOOKUP takes a reference, FORGET returns it
//!   Generation   which life of that NodeId       a server may use a number again after the last FORGET
//!   FileHandle   one OPEN of it                  ended by exactly one RELEASE
//! ```
//!
//! A fourth goes the other way: a [`LockOwner`] is how the *client* names whoever holds its locks.
//!
//! The server's three are *opaque*. Virtiofsd happens to count node ids upwards and C virtiofsd happens to send
//! pointers as handles; neither is a promise. Nothing in this crate uses one of them as an index, compares
//! them for anything but equality, or gives handle 0 a meaning. Only two values of a node id are fixed by the
//! protocol: 1 is the root of the mount, which exists without a LOOKUP and is never forgotten, and 0 is "no
//! node". The second is why [`NodeId`] cannot be zero: a place where "no node" may stand says
//! `Option<NodeId>`, which is as large as the number itself.

use core::fmt;
use core::num::NonZeroU64;

/// A file system object, as the server names it; never zero.
///
/// Together with a [`Generation`] it identifies one object for the life of a session. `attr.ino` does not: two
/// file systems mounted on the host under one share use the same inode numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
#[doc(alias = "nodeid")]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// The root of the mount. It needs no LOOKUP and takes no FORGET.
    #[doc(alias = "FUSE_ROOT_ID")]
    pub const ROOT: Self = Self(NonZeroU64::MIN);

    /// Makes a node id of a number on the wire; `None` for 0, which means "no node".
    #[must_use]
    pub const fn new(raw: u64) -> Option<Self> {
        match NonZeroU64::new(raw) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Whether this is the root of the mount.
    #[must_use]
    pub const fn is_root(self) -> bool {
        self.get() == Self::ROOT.get()
    }

    /// The node id to give back after a reply that named `raw` turned out to be unusable: none for "no node",
    /// and none for the root, which is not counted.
    pub(crate) const fn owed(raw: u64) -> Option<Self> {
        match Self::new(raw) {
            Some(node) if !node.is_root() => Some(node),
            _ => None,
        }
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({:#x})", self.get())
    }
}

/// Which of the objects that have carried one [`NodeId`] is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Generation(pub u64);

/// One open file or directory, as the server names it. Any value is legal, zero included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[doc(alias = "fh")]
pub struct FileHandle(pub u64);

/// Who holds a lock, as the client names it: one number for everything that shares its locks, which in POSIX is a
/// process. Any value is legal. Linux sends a number that says nothing about its process; so may anybody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[doc(alias = "lock_owner")]
pub struct LockOwner(pub u64);

/// A position in a directory stream: a cookie that the server gave with an entry.
///
/// It is not an index and need not grow. The only thing to do with one is to send it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DirOffset(pub u64);

impl DirOffset {
    /// The beginning of the directory.
    pub const START: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_never_zero_and_costs_nothing_to_leave_out() {
        assert_eq!(NodeId::new(0), None);
        assert_eq!(NodeId::new(1), Some(NodeId::ROOT));
        assert_eq!(size_of::<Option<NodeId>>(), 8);
    }

    #[test]
    fn fu_sem_2_the_root_is_never_owed_a_forget() {
        assert_eq!(NodeId::owed(0), None);
        assert_eq!(NodeId::owed(1), None);
        assert_eq!(NodeId::owed(2), NodeId::new(2));
        assert_eq!(NodeId::owed(u64::MAX), NodeId::new(u64::MAX));
    }
}
