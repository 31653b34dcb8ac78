//! FLUSH, FSYNC and FSYNCDIR: what was written is handed on, and made durable.
//!
//! ```text
//!   FLUSH      one descriptor is closed     errors of earlier writes come to light, POSIX locks of the owner end
//!   FSYNC      an open file                 data, or data and attributes, survive from here on
//!   FSYNCDIR   an open directory            so do the names in it
//! ```
//!
//! FLUSH makes nothing durable; only an answered FSYNC does (FU-SEM-13). FLUSH is sent for every `close`, and so
//! any number of times per handle; RELEASE is sent once, after the last. It is left out for handles with
//! [`OpenedFlags::NO_FLUSH`](super::OpenedFlags::NO_FLUSH). A client that caches writes has to send them *before*
//! any of the three.
//!
//! A server that does not implement one of them says `ENOSYS` once, and it counts as done from then on
//! ([`Session::plan`](crate::Session::plan)).

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::{FileHandle, LockOwner, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of FSYNC and FSYNCDIR.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_fsync_in")]
pub struct WireFSync {
    /// The handle.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// 1 leaves attributes out.
    #[doc(alias = "fsync_flags")]
    pub flags: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireFSync>() == 16);

/// Body of FLUSH.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_flush_in")]
pub struct WireFlush {
    /// The handle.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// Zero.
    pub unused: U32,
    /// Zero.
    pub padding: U32,
    /// Who locks.
    pub lock_owner: U64,
}
const _: () = assert!(size_of::<WireFlush>() == 24);

/// What is to survive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SyncWhat {
    /// The data, and of the attributes only what is needed to read it, like the length.
    #[doc(alias = "FUSE_FSYNC_FDATASYNC")]
    Data,
    /// Data and attributes.
    All,
}

impl SyncWhat {
    const fn bits(self) -> u32 {
        match self {
            Self::Data => 1,
            Self::All => 0,
        }
    }
}

/// Makes a file durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_FSYNC")]
pub struct FSync {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// How much of it.
    pub what: SyncWhat,
}

/// Makes the names in a directory durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_FSYNCDIR")]
pub struct FSyncDir {
    /// The directory.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// How much of it.
    pub what: SyncWhat,
}

/// Says that one of the descriptors of a handle is being closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_FLUSH")]
pub struct Flush {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// Whose record locks on the file end.
    pub lock_owner: LockOwner,
}

fn write_fsync(body: &mut BodyWriter<'_>, handle: FileHandle, what: SyncWhat) -> Result<(), EncodeError> {
    body.fixed(&WireFSync { handle: U64::new(handle.0), flags: U32::new(what.bits()), padding: U32::ZERO })
}

impl Request for FSync {
    const OPCODE: Opcode = Opcode::FSync;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_fsync(body, self.handle, self.what)
    }
}

impl Operation for FSync {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

impl Request for FSyncDir {
    const OPCODE: Opcode = Opcode::FSyncDir;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_fsync(body, self.handle, self.what)
    }
}

impl Operation for FSyncDir {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

impl Request for Flush {
    const OPCODE: Opcode = Opcode::Flush;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireFlush {
            handle: U64::new(self.handle.0),
            unused: U32::ZERO,
            padding: U32::ZERO,
            lock_owner: U64::new(self.lock_owner.0),
        })
    }
}

impl Operation for Flush {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}
