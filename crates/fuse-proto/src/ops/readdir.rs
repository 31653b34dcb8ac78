//! READDIR and READDIRPLUS: the names in a directory.
//!
//! Both ask for the records behind a cookie and get as many as fit; none at all is the end of the directory.
//! The records and their rules are in [`dirent`](crate::dirent). The difference is in the debts: each record of
//! READDIRPLUS is a LOOKUP as well, and its node a reference to keep or to forget.

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};

use super::read::{WireRead, length};
use crate::dirent::{DirEntries, DirEntriesPlus, MIN_DIRECTORY_READ};
use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::{DirOffset, FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request};
use crate::ops::OpenFlags;

/// Lists a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_READDIR")]
pub struct ReadDir {
    /// The directory.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// Where to go on: [`DirOffset::START`], or the cookie of the last name that was taken.
    pub offset: DirOffset,
    /// Bytes of records, from [`MIN_DIRECTORY_READ`] to [`Session::max_read`](crate::Session::max_read).
    pub size: u32,
}

/// Lists a directory and looks every name up. Ask [`Session::plan`](crate::Session::plan) whether the server
/// does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_READDIRPLUS")]
pub struct ReadDirPlus {
    /// The directory.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// Where to go on: [`DirOffset::START`], or the cookie of the last name that was taken.
    pub offset: DirOffset,
    /// Bytes of records, from [`MIN_DIRECTORY_READ`] to [`Session::max_read`](crate::Session::max_read).
    pub size: u32,
}

fn write_listing(
    body: &mut BodyWriter<'_>,
    handle: FileHandle,
    offset: DirOffset,
    size: u32,
) -> Result<(), EncodeError> {
    if size < MIN_DIRECTORY_READ {
        return Err(EncodeError::DirectoryReadTooSmall);
    }
    body.fixed(&WireRead {
        handle: U64::new(handle.0),
        offset: U64::new(offset.0),
        size: U32::new(size),
        read_flags: U32::ZERO,
        lock_owner: U64::ZERO,
        flags: U32::new(OpenFlags::DIRECTORY.bits()),
        padding: U32::ZERO,
    })
}

fn check_size(payload: &[u8], size: u32) -> Result<(), ReplyError> {
    if payload.len() > length(size) {
        return Err(Defect::PayloadLength.into());
    }
    Ok(())
}

impl Request for ReadDir {
    const OPCODE: Opcode = Opcode::ReadDir;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_listing(body, self.handle, self.offset, self.size)
    }
}

impl Operation for ReadDir {
    type Reply<'a> = DirEntries<'a>;

    fn payload_len(&self) -> RangeInclusive<usize> {
        0..=length(self.size)
    }

    fn parse<'a>(&self, payload: &'a [u8]) -> Result<DirEntries<'a>, ReplyError> {
        check_size(payload, self.size)?;
        Ok(DirEntries::new(payload, self.offset))
    }
}

impl Request for ReadDirPlus {
    const OPCODE: Opcode = Opcode::ReadDirPlus;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_listing(body, self.handle, self.offset, self.size)
    }
}

impl Operation for ReadDirPlus {
    type Reply<'a> = DirEntriesPlus<'a>;

    fn payload_len(&self) -> RangeInclusive<usize> {
        0..=length(self.size)
    }

    fn parse<'a>(&self, payload: &'a [u8]) -> Result<DirEntriesPlus<'a>, ReplyError> {
        check_size(payload, self.size)?;
        Ok(DirEntriesPlus::new(payload, self.node, self.offset))
    }
}
