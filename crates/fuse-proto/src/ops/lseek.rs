//! LSEEK: where data and holes are.
//!
//! Only two of the ways to seek need the server: to the next byte that is stored, and to the next that is not. All
//! others the client computes from its own offset and the file's size, and they cannot be expressed here. A server
//! that does not know holes answers `ENOSYS`; then all of the file is data, and its end the only hole.
//!
//! The answer is at or behind the place where the search began, and a place that a file can have. Anything else would
//! send somebody who walks from hole to hole backwards, for ever.

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, check_range, fixed_len, parse_fixed};

/// Body of LSEEK.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_lseek_in")]
pub struct WireLSeek {
    /// The open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// Where to begin, in bytes.
    pub offset: U64,
    /// [`SeekWhat`].
    pub whence: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireLSeek>() == 24);

/// Reply to LSEEK.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_lseek_out")]
pub struct WireLSeekReply {
    /// What was found, in bytes.
    pub offset: U64,
}
const _: () = assert!(size_of::<WireLSeekReply>() == 8);

/// What to look for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SeekWhat {
    /// Bytes that are stored; `ENXIO` if there are none behind the offset.
    #[doc(alias = "SEEK_DATA")]
    Data,
    /// Bytes that are not stored; the end of the file is one.
    #[doc(alias = "SEEK_HOLE")]
    Hole,
}

impl SeekWhat {
    const fn raw(self) -> u32 {
        match self {
            Self::Data => 3,
            Self::Hole => 4,
        }
    }
}

/// Looks for data or a hole in an open file, from an offset on. The reply is the offset of what was found, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_LSEEK")]
pub struct LSeek {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// Where to begin, in bytes, at most `i64::MAX`.
    pub offset: u64,
    /// What to look for.
    pub what: SeekWhat,
}

impl Request for LSeek {
    const OPCODE: Opcode = Opcode::LSeek;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        check_range(self.offset, 0)?;
        body.fixed(&WireLSeek {
            handle: U64::new(self.handle.0),
            offset: U64::new(self.offset),
            whence: U32::new(self.what.raw()),
            padding: U32::ZERO,
        })
    }
}

impl Operation for LSeek {
    /// At least [`LSeek::offset`], at most `i64::MAX`.
    type Reply<'a> = u64;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireLSeekReply>()
    }

    fn parse(&self, payload: &[u8]) -> Result<u64, ReplyError> {
        let wire: WireLSeekReply = parse_fixed(payload)?;
        let found = wire.offset.get();
        if found < self.offset || found > i64::MAX.unsigned_abs() {
            return Err(Defect::Offset.into());
        }
        Ok(found)
    }
}
