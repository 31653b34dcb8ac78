//! RELEASE and RELEASEDIR: a handle ends.
//!
//! Exactly once for every OPEN, OPENDIR or CREATE that returned a handle, after the last request that uses it
//! has been answered (FU-FR-10). The server may answer with an error, but the handle is gone either way.

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::OpenFlags;
use crate::error::{EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of RELEASE and RELEASEDIR.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_release_in")]
pub struct WireRelease {
    /// The handle.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// [`OpenFlags`] of the handle.
    pub flags: U32,
    /// 1 flushes, 2 drops a whole-file lock.
    pub release_flags: U32,
    /// Who locks.
    pub lock_owner: U64,
}
const _: () = assert!(size_of::<WireRelease>() == 24);

/// Ends what OPEN began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_RELEASE")]
pub struct Release {
    /// The file.
    pub node: NodeId,
    /// The handle.
    pub handle: FileHandle,
    /// The flags that it was opened with.
    pub flags: OpenFlags,
}

/// Ends what OPENDIR began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_RELEASEDIR")]
pub struct ReleaseDir {
    /// The directory.
    pub node: NodeId,
    /// The handle.
    pub handle: FileHandle,
}

fn write_release(body: &mut BodyWriter<'_>, handle: FileHandle, flags: OpenFlags) -> Result<(), EncodeError> {
    body.fixed(&WireRelease {
        handle: U64::new(handle.0),
        flags: U32::new(flags.bits()),
        release_flags: U32::ZERO,
        lock_owner: U64::ZERO,
    })
}

impl Request for Release {
    const OPCODE: Opcode = Opcode::Release;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_release(body, self.handle, self.flags)
    }
}

impl Operation for Release {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

impl Request for ReleaseDir {
    const OPCODE: Opcode = Opcode::ReleaseDir;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_release(body, self.handle, OpenFlags::DIRECTORY)
    }
}

impl Operation for ReleaseDir {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}
