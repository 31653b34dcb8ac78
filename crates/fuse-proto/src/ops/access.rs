//! ACCESS: may this caller do that?
//!
//! The question is about the ids in the request's header, and only the server can answer it where its file system
//! knows more than mode bits. A client that checks permissions itself has no use for it; virtio-fs servers act with
//! their own ids, so that there checking is the client's duty (FU-SEM-16). A server that answers `ENOSYS` allows
//! everything and is not asked again.

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of ACCESS.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_access_in")]
pub struct WireAccess {
    /// [`AccessMask`].
    pub mask: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireAccess>() == 8);

bitflags! {
    /// What a caller would like to do; nothing at all asks whether the node exists.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct AccessMask: u32 {
        /// Execute a file, search a directory.
        #[doc(alias = "X_OK")]
        const EXECUTE = 1;
        /// Write.
        #[doc(alias = "W_OK")]
        const WRITE = 2;
        /// Read.
        #[doc(alias = "R_OK")]
        const READ = 4;
    }
}

/// Asks for permission; `EACCES` is a no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_ACCESS")]
pub struct Access {
    /// The node.
    pub node: NodeId,
    /// What for.
    pub mask: AccessMask,
}

impl Request for Access {
    const OPCODE: Opcode = Opcode::Access;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireAccess { mask: U32::new(self.mask.bits()), padding: U32::ZERO })
    }
}

impl Operation for Access {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}
