//! SETUPMAPPING and REMOVEMAPPING: parts of files in the window that host and guest share (DAX).
//!
//! ```text
//!   file      0        file_offset                     SETUPMAPPING    handle 8 | file offset 8 | length 8
//!             +--------+-----length-----+------                        | flags 8 | window offset 8
//!                       \                \
//!   window    0          window_offset    \            REMOVEMAPPING   count 4 | offset 8, length 8 | ...
//!             +----------+-----------------+------                     (no padding: the ranges begin at byte 4)
//! ```
//!
//! A new mapping replaces what it overlaps; a server that has no more mappings answers with an error, and READ and
//! WRITE do the same job. FSYNC makes what was written through the window durable.
//!
//! # Hostile servers
//!
//! A good reply says only that the server has done as it was told. It does not make the window any longer than the
//! device said when it was found (HD-FS-44): check with [`SetupMapping::check`] before sending. And a file that is
//! made shorter on the host turns an access to its mapping into a fault (HD-FS-45), so the window is for code that can
//! recover from one.

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, check_range, fixed_len, parse_fixed};

/// Body of SETUPMAPPING.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_setupmapping_in")]
pub struct WireSetupMapping {
    /// The open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// First byte of the file.
    #[doc(alias = "foffset")]
    pub file_offset: U64,
    /// Bytes.
    #[doc(alias = "len")]
    pub length: U64,
    /// [`MappingFlags`].
    pub flags: U64,
    /// First byte of the window.
    #[doc(alias = "moffset")]
    pub window_offset: U64,
}
const _: () = assert!(size_of::<WireSetupMapping>() == 40);

/// Head of REMOVEMAPPING; `count` times [`WireRemoveMappingOne`] follow at once.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_removemapping_in")]
pub struct WireRemoveMapping {
    /// Number of ranges.
    pub count: U32,
}
const _: () = assert!(size_of::<WireRemoveMapping>() == 4);

/// One range of a REMOVEMAPPING.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_removemapping_one")]
pub struct WireRemoveMappingOne {
    /// First byte of the window.
    #[doc(alias = "moffset")]
    pub window_offset: U64,
    /// Bytes.
    #[doc(alias = "len")]
    pub length: U64,
}
const _: () = assert!(size_of::<WireRemoveMappingOne>() == 16);

bitflags! {
    /// What a mapping is for.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct MappingFlags: u64 {
        /// Writing.
        #[doc(alias = "FUSE_SETUPMAPPING_FLAG_WRITE")]
        const WRITE = 1 << 0;
        /// Reading.
        #[doc(alias = "FUSE_SETUPMAPPING_FLAG_READ")]
        const READ = 1 << 1;
    }
}

/// A part of the window, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WindowRange {
    /// First byte.
    pub offset: u64,
    /// Bytes, not 0.
    pub length: u64,
}

impl WindowRange {
    /// The byte behind the range, `None` if the range is empty or wraps round.
    const fn end(self) -> Option<u64> {
        if self.length == 0 { None } else { self.offset.checked_add(self.length) }
    }

    /// Whether the range lies in a window of `window_len` bytes, on multiples of `alignment`.
    #[must_use]
    pub fn fits(self, window_len: u64, alignment: u32) -> bool {
        self.end().is_some_and(|end| end <= window_len)
            && is_aligned(self.offset, alignment)
            && is_aligned(self.length, alignment)
    }
}

/// An alignment of 0 is that of nothing.
fn is_aligned(number: u64, alignment: u32) -> bool {
    number.checked_rem(u64::from(alignment)) == Some(0)
}

/// Maps a part of a file into the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_SETUPMAPPING")]
pub struct SetupMapping {
    /// The file.
    pub node: NodeId,
    /// Its handle; without one the server goes by the node.
    pub handle: Option<FileHandle>,
    /// First byte of the file.
    pub file_offset: u64,
    /// Bytes, not 0.
    pub length: u64,
    /// What for, not nothing.
    pub flags: MappingFlags,
    /// First byte of the window.
    pub window_offset: u64,
}

/// `handle`: there is none.
const NO_HANDLE: u64 = u64::MAX;

impl SetupMapping {
    /// The part of the window that the mapping takes.
    #[must_use]
    pub const fn range(&self) -> WindowRange {
        WindowRange { offset: self.window_offset, length: self.length }
    }

    /// Checks that the mapping lies in a window of `window_len` bytes, and that all of its numbers are multiples of
    /// `alignment`, which is [`Session::map_alignment`](crate::Session::map_alignment).
    ///
    /// # Errors
    ///
    /// [`EncodeError::MappingOutOfRange`].
    pub fn check(&self, window_len: u64, alignment: u32) -> Result<(), EncodeError> {
        if self.range().fits(window_len, alignment) && is_aligned(self.file_offset, alignment) {
            Ok(())
        } else {
            Err(EncodeError::MappingOutOfRange)
        }
    }
}

impl Request for SetupMapping {
    const OPCODE: Opcode = Opcode::SetupMapping;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        self.range().end().ok_or(EncodeError::MappingOutOfRange)?;
        check_range(self.file_offset, self.length)?;
        body.fixed(&WireSetupMapping {
            handle: U64::new(self.handle.map_or(NO_HANDLE, |FileHandle(raw)| raw)),
            file_offset: U64::new(self.file_offset),
            length: U64::new(self.length),
            flags: U64::new(self.flags.bits()),
            window_offset: U64::new(self.window_offset),
        })
    }
}

impl Operation for SetupMapping {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

/// Removes mappings from the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_REMOVEMAPPING")]
pub struct RemoveMapping<'r> {
    /// A file that is mapped there.
    pub node: NodeId,
    /// The parts of the window, at least one and at most [`MAX_RANGES`](Self::MAX_RANGES).
    pub ranges: &'r [WindowRange],
}

impl RemoveMapping<'_> {
    /// The largest number of ranges: a page of them.
    pub const MAX_RANGES: usize = 4096 / size_of::<WireRemoveMappingOne>();
}

impl Request for RemoveMapping<'_> {
    const OPCODE: Opcode = Opcode::RemoveMapping;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        let count = match self.ranges.len() {
            count @ 1..=Self::MAX_RANGES => u32::try_from(count).map_err(|_| EncodeError::MappingOutOfRange)?,
            _ => return Err(EncodeError::MappingOutOfRange),
        };
        body.fixed(&WireRemoveMapping { count: U32::new(count) })?;
        for range in self.ranges {
            range.end().ok_or(EncodeError::MappingOutOfRange)?;
            body.fixed(&WireRemoveMappingOne {
                window_offset: U64::new(range.offset),
                length: U64::new(range.length),
            })?;
        }
        Ok(())
    }
}

impl Operation for RemoveMapping<'_> {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}
