//! Operation codes.
//!
//! The list is the whole of the protocol up to minor 45 that a virtio-fs client may ever send, not only what
//! this crate encodes today: [`Session::plan`](crate::Session::plan) and log messages talk about operations by
//! code. Codes 7 and 19 were never assigned.

use core::fmt;

macro_rules! opcodes {
    ($($(#[$meta:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        /// What a request asks for (`fuse_in_header.opcode`).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        #[repr(u32)]
        pub enum Opcode {
            $($(#[$meta])* #[doc(alias = $text)] $name = $value,)*
        }

        impl Opcode {
            /// Gives a number on the wire its meaning; `None` when it has none here.
            #[must_use]
            pub const fn from_raw(raw: u32) -> Option<Self> {
                match raw {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The protocol's name for the operation, without its `FUSE_` prefix.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

opcodes! {
    /// Find a name in a directory; takes a reference on what it finds.
    Lookup = 1, "LOOKUP";
    /// Give references back; has no reply.
    Forget = 2, "FORGET";
    /// Read attributes.
    GetAttr = 3, "GETATTR";
    /// Change attributes.
    SetAttr = 4, "SETATTR";
    /// Read the target of a symbolic link.
    ReadLink = 5, "READLINK";
    /// Create a symbolic link.
    SymLink = 6, "SYMLINK";
    /// Create a file or a special file.
    MkNod = 8, "MKNOD";
    /// Create a directory.
    MkDir = 9, "MKDIR";
    /// Remove a file's name.
    Unlink = 10, "UNLINK";
    /// Remove a directory.
    RmDir = 11, "RMDIR";
    /// Move a name.
    Rename = 12, "RENAME";
    /// Add a name to a file.
    Link = 13, "LINK";
    /// Open a file.
    Open = 14, "OPEN";
    /// Read from a file.
    Read = 15, "READ";
    /// Write to a file.
    Write = 16, "WRITE";
    /// Describe the file system.
    StatFs = 17, "STATFS";
    /// End what OPEN began.
    Release = 18, "RELEASE";
    /// Make a file durable.
    FSync = 20, "FSYNC";
    /// Set an extended attribute.
    SetXattr = 21, "SETXATTR";
    /// Read an extended attribute.
    GetXattr = 22, "GETXATTR";
    /// List the extended attributes.
    ListXattr = 23, "LISTXATTR";
    /// Remove an extended attribute.
    RemoveXattr = 24, "REMOVEXATTR";
    /// A descriptor is being closed.
    Flush = 25, "FLUSH";
    /// Begin a session.
    Init = 26, "INIT";
    /// Open a directory.
    OpenDir = 27, "OPENDIR";
    /// List a directory.
    ReadDir = 28, "READDIR";
    /// End what OPENDIR began.
    ReleaseDir = 29, "RELEASEDIR";
    /// Make a directory durable.
    FSyncDir = 30, "FSYNCDIR";
    /// Ask about a record lock.
    GetLk = 31, "GETLK";
    /// Take or drop a record lock.
    SetLk = 32, "SETLK";
    /// Take a record lock, waiting for it.
    SetLkW = 33, "SETLKW";
    /// Ask for permission.
    Access = 34, "ACCESS";
    /// Create a file and open it.
    Create = 35, "CREATE";
    /// Interrupt another request; has no reply.
    Interrupt = 36, "INTERRUPT";
    /// Ask where a block lies on the disk below.
    Bmap = 37, "BMAP";
    /// End a session.
    Destroy = 38, "DESTROY";
    /// Whatever has no operation of its own.
    Ioctl = 39, "IOCTL";
    /// Ask whether a file is ready.
    Poll = 40, "POLL";
    /// Answer a notification that asks; has no reply.
    NotifyReply = 41, "NOTIFY_REPLY";
    /// Give references to many nodes back; has no reply.
    BatchForget = 42, "BATCH_FORGET";
    /// Allocate or punch space.
    FAllocate = 43, "FALLOCATE";
    /// List a directory together with attributes; takes references.
    ReadDirPlus = 44, "READDIRPLUS";
    /// Move a name, with flags.
    Rename2 = 45, "RENAME2";
    /// Find data or a hole.
    LSeek = 46, "LSEEK";
    /// Copy between files inside the server.
    CopyFileRange = 47, "COPY_FILE_RANGE";
    /// Map a part of a file into the DAX window.
    SetupMapping = 48, "SETUPMAPPING";
    /// Remove mappings from the DAX window.
    RemoveMapping = 49, "REMOVEMAPPING";
    /// Make the whole file system durable.
    SyncFs = 50, "SYNCFS";
    /// Create a file without a name.
    TmpFile = 51, "TMPFILE";
    /// Read extended attributes of the `statx` kind.
    StatX = 52, "STATX";
    /// Copy between files, with a 64-bit result.
    CopyFileRange64 = 53, "COPY_FILE_RANGE_64";
}

impl Opcode {
    /// The number on the wire.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_itself() {
        let known = (0..=64)
            .filter_map(|raw| Opcode::from_raw(raw).map(|opcode| (raw, opcode)))
            .inspect(|&(raw, opcode)| assert_eq!(opcode.raw(), raw))
            .count();
        assert_eq!(known, 51);
    }

    #[test]
    fn codes_that_do_not_exist_have_no_meaning() {
        for raw in [0, 7, 19, 54, 4096, u32::MAX] {
            assert_eq!(Opcode::from_raw(raw), None, "{raw}");
        }
    }
}
