//! COPY_FILE_RANGE: bytes from file to file, without a way through the client.
//!
//! ```text
//!   handle 8 | offset 8 | node 8 | handle 8 | offset 8 | length 8 | flags 8       (the header names the first node)
//!   '---- source -----'   '----------- target --------'
//! ```
//!
//! The request counts in 64 bits and the reply of the older operation in 32, in the structure [`WireWritten`] of WRITE.
//! A server that copied 4 GiB would report 0, so [`CopyFileRange`] refuses to ask for more than
//! [`CopyFileRange::MAX_LENGTH`]; [`CopyFileRange64`] (7.45) has no such limit. Fewer bytes than asked for is what a
//! caller has to expect, and none is the end of the source.
//!
//! What the client caches of the target is older than the copy and must go before the next read.

use core::ops::RangeInclusive;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::WireWritten;
use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, check_range, fixed_len, parse_fixed};

/// Body of both operations.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_copy_file_range_in")]
pub struct WireCopyFileRange {
    /// The open source.
    #[doc(alias = "fh_in")]
    pub handle: U64,
    /// First byte of it.
    #[doc(alias = "off_in")]
    pub offset: U64,
    /// The target's node.
    #[doc(alias = "nodeid_out")]
    pub to_node: U64,
    /// The open target.
    #[doc(alias = "fh_out")]
    pub to_handle: U64,
    /// First byte of it.
    #[doc(alias = "off_out")]
    pub to_offset: U64,
    /// Bytes.
    #[doc(alias = "len")]
    pub length: U64,
    /// Zero.
    pub flags: U64,
}
const _: () = assert!(size_of::<WireCopyFileRange>() == 56);

/// Reply to COPY_FILE_RANGE_64.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_copy_file_range_out")]
pub struct WireCopied64 {
    /// Bytes that were copied.
    #[doc(alias = "bytes_copied")]
    pub size: U64,
}
const _: () = assert!(size_of::<WireCopied64>() == 8);

/// Copies from one open file to another. The reply is the number of bytes that were copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_COPY_FILE_RANGE")]
pub struct CopyFileRange {
    /// The source.
    pub node: NodeId,
    /// Its handle, open for reading.
    pub handle: FileHandle,
    /// First byte of it.
    pub offset: u64,
    /// The target.
    pub to_node: NodeId,
    /// Its handle, open for writing.
    pub to_handle: FileHandle,
    /// First byte of it.
    pub to_offset: u64,
    /// Bytes, at most [`MAX_LENGTH`](Self::MAX_LENGTH).
    pub length: u64,
}

impl CopyFileRange {
    /// The most that one request copies: 4 GiB less a page, so that long copies stay aligned.
    pub const MAX_LENGTH: u64 = (1 << 32) - 4096;
}

/// The same for any length, with servers that speak 7.45.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_COPY_FILE_RANGE_64")]
pub struct CopyFileRange64 {
    /// The source.
    pub node: NodeId,
    /// Its handle, open for reading.
    pub handle: FileHandle,
    /// First byte of it.
    pub offset: u64,
    /// The target.
    pub to_node: NodeId,
    /// Its handle, open for writing.
    pub to_handle: FileHandle,
    /// First byte of it.
    pub to_offset: u64,
    /// Bytes.
    pub length: u64,
}

/// The older operation asks for what the newer one asks for, as long as it is not too much.
impl From<CopyFileRange> for CopyFileRange64 {
    fn from(copy: CopyFileRange) -> Self {
        let CopyFileRange { node, handle, offset, to_node, to_handle, to_offset, length } = copy;
        Self { node, handle, offset, to_node, to_handle, to_offset, length }
    }
}

/// A number of bytes that an answer names, of those that were asked for.
fn copied<T: Copy + Into<u64>>(count: T, asked: u64) -> Result<T, ReplyError> {
    if count.into() > asked {
        return Err(Defect::Copied.into());
    }
    Ok(count)
}

impl Request for CopyFileRange {
    const OPCODE: Opcode = Opcode::CopyFileRange;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        if self.length > Self::MAX_LENGTH {
            return Err(EncodeError::LengthOutOfRange);
        }
        CopyFileRange64::from(*self).write_body(body)
    }
}

impl Operation for CopyFileRange {
    /// At most [`CopyFileRange::length`].
    type Reply<'a> = u32;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireWritten>()
    }

    fn parse(&self, payload: &[u8]) -> Result<u32, ReplyError> {
        let wire: WireWritten = parse_fixed(payload)?;
        copied(wire.size.get(), self.length)
    }
}

impl Request for CopyFileRange64 {
    const OPCODE: Opcode = Opcode::CopyFileRange64;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        for offset in [self.offset, self.to_offset] {
            check_range(offset, self.length)?;
        }
        body.fixed(&WireCopyFileRange {
            handle: U64::new(self.handle.0),
            offset: U64::new(self.offset),
            to_node: U64::new(self.to_node.get()),
            to_handle: U64::new(self.to_handle.0),
            to_offset: U64::new(self.to_offset),
            length: U64::new(self.length),
            flags: U64::ZERO,
        })
    }
}

impl Operation for CopyFileRange64 {
    /// At most [`CopyFileRange64::length`].
    type Reply<'a> = u64;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireCopied64>()
    }

    fn parse(&self, payload: &[u8]) -> Result<u64, ReplyError> {
        let wire: WireCopied64 = parse_fixed(payload)?;
        copied(wire.size.get(), self.length)
    }
}
