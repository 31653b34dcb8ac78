//! WRITE: new contents of a file.
//!
//! ```text
//!   [header 40][WireWrite 40]     what encode() writes
//!   [data, size bytes ......]     the caller's own buffer, which follows it in the chain
//!   [header 16][size 4][0 4]      how much of it is written now
//! ```
//!
//! The data is not a part of the operation and is never copied: [`Request::data_len`] says how many bytes of it
//! follow. One WRITE moves at most [`Session::max_write`](crate::Session::max_write) bytes, and more are several.
//!
//! The reply may be smaller than the request, where a disk is full or a limit reached: that much is written, the
//! rest may be tried again, and the next answer says why not. It may *not* be zero, or a client that writes until
//! nothing is left never ends, and not more than was sent (HD-FS-23).
//!
//! # Appending
//!
//! A server writes at the offset that it is given, unless it has opened the file with [`OpenFlags::APPEND`]: then
//! it writes at the end, wherever that is. A client sends the size it knows as the offset, passes the flag on in
//! OPEN, and the server's end of file counts (FU-SEM-11).
//!
//! # Durability
//!
//! That a WRITE was answered says that others can read the data. That it survives is said by FSYNC (FU-SEM-13).

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::OpenFlags;
use super::read::length;
use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::{FileHandle, LockOwner, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, check_range, fixed_len, parse_fixed};

/// Body of WRITE; the data follows, in a buffer of its own.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_write_in")]
pub struct WireWrite {
    /// The open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// First byte.
    pub offset: U64,
    /// Bytes.
    pub size: U32,
    /// [`WriteFlags`].
    pub write_flags: U32,
    /// Who locks.
    pub lock_owner: U64,
    /// [`OpenFlags`] of the handle.
    pub flags: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireWrite>() == 40);

/// Reply to WRITE, and to COPY_FILE_RANGE.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_write_out")]
pub struct WireWritten {
    /// Bytes that were written.
    pub size: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireWritten>() == 8);

bitflags! {
    /// How a file is written.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct WriteFlags: u32 {
        /// The data comes out of the client's cache: user and handle are not necessarily those of the writer.
        #[doc(alias = "FUSE_WRITE_CACHE")]
        const CACHE = 1 << 0;
        /// The lock owner counts. Set where [`Write::lock_owner`] is given, and only there.
        #[doc(alias = "FUSE_WRITE_LOCKOWNER")]
        const LOCK_OWNER = 1 << 1;
        /// Remove set-id bits; see [`SetIds`](super::SetIds).
        #[doc(alias = "FUSE_WRITE_KILL_SUIDGID")]
        const REMOVE_SET_IDS = 1 << 2;
    }
}

/// Writes to an open file. The reply is the number of bytes that were written: `1..=size`, and 0 only for 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_WRITE")]
pub struct Write {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, at most [`Session::max_write`](crate::Session::max_write).
    pub size: u32,
    /// The flags that the handle was opened with.
    pub open_flags: OpenFlags,
    /// How to write.
    pub flags: WriteFlags,
    /// Whose locks the server has to respect.
    pub lock_owner: Option<LockOwner>,
}

impl Request for Write {
    const OPCODE: Opcode = Opcode::Write;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn data_len(&self) -> usize {
        length(self.size)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        check_range(self.offset, u64::from(self.size))?;
        let mut flags = self.flags;
        flags.set(WriteFlags::LOCK_OWNER, self.lock_owner.is_some());
        body.fixed(&WireWrite {
            handle: U64::new(self.handle.0),
            offset: U64::new(self.offset),
            size: U32::new(self.size),
            write_flags: U32::new(flags.bits()),
            lock_owner: U64::new(self.lock_owner.unwrap_or_default().0),
            flags: U32::new(self.open_flags.bits()),
            padding: U32::ZERO,
        })
    }
}

impl Operation for Write {
    type Reply<'a> = u32;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireWritten>()
    }

    fn parse(&self, payload: &[u8]) -> Result<u32, ReplyError> {
        let wire: WireWritten = parse_fixed(payload)?;
        let written = wire.size.get();
        if written > self.size || (written == 0 && self.size != 0) {
            return Err(Defect::WriteLength.into());
        }
        Ok(written)
    }
}
