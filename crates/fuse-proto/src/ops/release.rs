//! RELEASE and RELEASEDIR: a handle ends.
//!
//! Exactly once for every OPEN, OPENDIR or CREATE that returned a handle, after the last request that uses it
//! has been answered (FU-FR-10). The server may answer with an error, but the handle is gone either way.

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::OpenFlags;
use crate::error::{EncodeError, ReplyError};
use crate::id::{FileHandle, LockOwner, NodeId};
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
    /// [`ReleaseFlags`].
    pub release_flags: U32,
    /// Who locks.
    pub lock_owner: U64,
}
const _: () = assert!(size_of::<WireRelease>() == 24);

bitflags! {
    /// What ends together with a handle.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct ReleaseFlags: u32 {
        /// Do what a FLUSH would have done.
        #[doc(alias = "FUSE_RELEASE_FLUSH")]
        const FLUSH = 1 << 0;
        /// Drop the lock on the whole file that [`Release::lock_owner`] has.
        #[doc(alias = "FUSE_RELEASE_FLOCK_UNLOCK")]
        const UNLOCK_FILE = 1 << 1;
    }
}

/// Ends what OPEN or CREATE began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_RELEASE")]
pub struct Release {
    /// The file.
    pub node: NodeId,
    /// The handle.
    pub handle: FileHandle,
    /// The flags that it was opened with.
    pub flags: OpenFlags,
    /// What ends together with it.
    pub ends: ReleaseFlags,
    /// Whose locks end.
    pub lock_owner: Option<LockOwner>,
}

impl Release {
    /// Ends a handle that was opened with `flags`, and nothing else with it.
    #[must_use]
    pub const fn new(node: NodeId, handle: FileHandle, flags: OpenFlags) -> Self {
        Self { node, handle, flags, ends: ReleaseFlags::empty(), lock_owner: None }
    }
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

impl Request for Release {
    const OPCODE: Opcode = Opcode::Release;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireRelease {
            handle: U64::new(self.handle.0),
            flags: U32::new(self.flags.bits()),
            release_flags: U32::new(self.ends.bits()),
            lock_owner: U64::new(self.lock_owner.unwrap_or_default().0),
        })
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
        body.fixed(&WireRelease {
            handle: U64::new(self.handle.0),
            flags: U32::new(OpenFlags::DIRECTORY.bits()),
            release_flags: U32::ZERO,
            lock_owner: U64::ZERO,
        })
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
