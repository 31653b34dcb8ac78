//! FALLOCATE: space for a part of a file, or none.
//!
//! ```text
//!   nothing                    space is reserved; the file grows to the end of the range if it was shorter
//!   KEEP_SIZE                  the same, but the length stays
//!   PUNCH_HOLE | KEEP_SIZE     the range reads as zeros and takes no space
//!   ZERO_RANGE [| KEEP_SIZE]   the range reads as zeros and has space
//!   COLLAPSE                   the range is cut out, and what is behind it moves up
//!   INSERT                     a hole is pushed in, and what is behind it moves down
//!   UNSHARE [| KEEP_SIZE]      blocks that the file shares with others become its own
//! ```
//!
//! No other combination exists, and none other is encoded. Many file systems do only some of them: `EOPNOTSUPP`
//! is an answer about this one, `ENOSYS` about the operation ([`Session::plan`](crate::Session::plan)). All of
//! them change what the client knows of the file: the length, unless it is kept, and cached data in and behind
//! the range.

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, check_range, fixed_len, parse_fixed};

/// Body of FALLOCATE.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_fallocate_in")]
pub struct WireFAllocate {
    /// The open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// First byte.
    pub offset: U64,
    /// Bytes.
    pub length: U64,
    /// [`AllocateMode`].
    pub mode: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireFAllocate>() == 32);

bitflags! {
    /// What happens to a range: Linux' numbers.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct AllocateMode: u32 {
        /// The length of the file stays.
        #[doc(alias = "FALLOC_FL_KEEP_SIZE")]
        const KEEP_SIZE = 0x01;
        /// The range becomes a hole.
        #[doc(alias = "FALLOC_FL_PUNCH_HOLE")]
        const PUNCH_HOLE = 0x02;
        /// The range is cut out.
        #[doc(alias = "FALLOC_FL_COLLAPSE_RANGE")]
        const COLLAPSE = 0x08;
        /// The range becomes zeros.
        #[doc(alias = "FALLOC_FL_ZERO_RANGE")]
        const ZERO_RANGE = 0x10;
        /// A hole is pushed in.
        #[doc(alias = "FALLOC_FL_INSERT_RANGE")]
        const INSERT = 0x20;
        /// Shared blocks become the file's own.
        #[doc(alias = "FALLOC_FL_UNSHARE_RANGE")]
        const UNSHARE = 0x40;
    }
}

impl AllocateMode {
    /// Whether Linux has this combination.
    fn exists(self) -> bool {
        match self.difference(Self::KEEP_SIZE) {
            Self::PUNCH_HOLE => self.contains(Self::KEEP_SIZE),
            Self::COLLAPSE | Self::INSERT => !self.contains(Self::KEEP_SIZE),
            other => other.is_empty() || other == Self::ZERO_RANGE || other == Self::UNSHARE,
        }
    }
}

/// Changes the space of a part of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_FALLOCATE")]
pub struct FAllocate {
    /// The file.
    pub node: NodeId,
    /// Its handle, open for writing.
    pub handle: FileHandle,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, at least 1.
    pub length: u64,
    /// What happens to them.
    pub mode: AllocateMode,
}

impl Request for FAllocate {
    const OPCODE: Opcode = Opcode::FAllocate;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        if !self.mode.exists() {
            return Err(EncodeError::AllocateMode);
        }
        if self.length == 0 {
            return Err(EncodeError::EmptyRange);
        }
        check_range(self.offset, self.length)?;
        body.fixed(&WireFAllocate {
            handle: U64::new(self.handle.0),
            offset: U64::new(self.offset),
            length: U64::new(self.length),
            mode: U32::new(self.mode.bits()),
            padding: U32::ZERO,
        })
    }
}

impl Operation for FAllocate {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}
