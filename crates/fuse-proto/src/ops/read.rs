//! READ: the contents of a file.
//!
//! The reply is the header and then the data, as much as there is: fewer bytes than were asked for mean that
//! the file ends there, or ended while it was read (HD-FS-22). What lies behind the data in the caller's buffer
//! is then *not* part of the file. The writable part of the chain is exactly as large as what was asked for,
//! because one server in the field fills whatever room it finds (FU-FR-3).
//!
//! To keep the data where the device put it, check the header by itself:
//!
//! ```
//! # use fuse_proto::{FileHandle, NodeId, Operation, ReplyError, UniqueAllocator};
//! # use fuse_proto::ops::{OpenFlags, Read};
//! let read = Read {
//!     node: NodeId::ROOT,
//!     handle: FileHandle(3),
//!     offset: 0,
//!     size: 8192,
//!     flags: OpenFlags::default(),
//! };
//! let unique = UniqueAllocator::new().allocate();
//! // ... the exchange; then the first 16 bytes of the reply:
//! let header = [21, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
//! assert_eq!(read.payload_range(unique, &header)?, 16..21);
//! # Ok::<(), ReplyError>(())
//! ```

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::OpenFlags;
use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, check_range};

/// Body of READ, READDIR and READDIRPLUS.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_read_in")]
pub struct WireRead {
    /// The open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// First byte, or cookie of a directory position.
    pub offset: U64,
    /// Bytes.
    pub size: U32,
    /// 2 if `lock_owner` counts.
    pub read_flags: U32,
    /// Who locks.
    pub lock_owner: U64,
    /// [`OpenFlags`] of the handle.
    pub flags: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireRead>() == 40);

/// Reads from an open file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_READ")]
pub struct Read {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, at most [`Session::max_read`](crate::Session::max_read).
    pub size: u32,
    /// The flags that the handle was opened with.
    pub flags: OpenFlags,
}

/// A length on the wire as a length in memory. Only a 16-bit machine has memory too small for it, and there no
/// buffer of that size exists either.
pub(super) fn length(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

impl Request for Read {
    const OPCODE: Opcode = Opcode::Read;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        check_range(self.offset, u64::from(self.size))?;
        body.fixed(&WireRead {
            handle: U64::new(self.handle.0),
            offset: U64::new(self.offset),
            size: U32::new(self.size),
            read_flags: U32::ZERO,
            lock_owner: U64::ZERO,
            flags: U32::new(self.flags.bits()),
            padding: U32::ZERO,
        })
    }
}

impl Operation for Read {
    type Reply<'a> = &'a [u8];

    fn payload_len(&self) -> RangeInclusive<usize> {
        0..=length(self.size)
    }

    fn parse<'a>(&self, payload: &'a [u8]) -> Result<&'a [u8], ReplyError> {
        if payload.len() > length(self.size) {
            return Err(Defect::PayloadLength.into());
        }
        Ok(payload)
    }
}
