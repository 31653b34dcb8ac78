//! SYNCFS: makes a whole file system durable.
//!
//! What FSYNC is for a file, this is for everything behind a node, on the host. It says nothing of what the client
//! still holds back: that is written first. A server that answers `ENOSYS` leaves the client to FSYNC what it has
//! open.

use core::ops::RangeInclusive;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of SYNCFS.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_syncfs_in")]
pub struct WireSyncFs {
    /// Zero.
    pub padding: U64,
}
const _: () = assert!(size_of::<WireSyncFs>() == 8);

/// Makes the file system that a node is in durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_SYNCFS")]
pub struct SyncFs {
    /// Any node of it; the root for the share itself, the root of a submount for another file system of the host.
    pub node: NodeId,
}

impl Request for SyncFs {
    const OPCODE: Opcode = Opcode::SyncFs;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireSyncFs { padding: U64::ZERO })
    }
}

impl Operation for SyncFs {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}
