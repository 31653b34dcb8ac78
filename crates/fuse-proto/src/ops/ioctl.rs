//! IOCTL: whatever a file can do that has no operation of its own.
//!
//! In FUSE there are two kinds. A *restricted* one moves a block of bytes of known length in each direction, and both
//! lengths stand in the request. An *unrestricted* one, for character devices in user space, lets the server ask for
//! more: it answers "try again" with a list of addresses in the *caller's* memory that it wants to read and write.
//! This client sends the first kind only, and hands no server any of its memory.
//!
//! ```text
//!   request   handle 8 | flags 4 | command 4 | argument 8 | in 4 | out 4 | bytes in
//!   reply     result 4 | flags 4 | ins 4 | outs 4 | bytes out               done
//!                                                 | base 8, length 8 | ...  try again: ins + outs ranges
//! ```
//!
//! A server may say "try again" all the same. That answer is kept as it came, [`IoctlReply::Retry`], its ranges
//! counted and bounded; what the addresses mean is not guessed at, and nothing is ever fetched from them. A client
//! that knows nothing of it fails with `EIO`, as Linux does.

use core::ops::RangeInclusive;

use zerocopy::little_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::read::length;
use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request};

/// Body of IOCTL; the bytes for the server follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_ioctl_in")]
pub struct WireIoctl {
    /// The open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// 16 for a directory.
    pub flags: U32,
    /// The command.
    #[doc(alias = "cmd")]
    pub command: U32,
    /// Its argument.
    #[doc(alias = "arg")]
    pub argument: U64,
    /// Bytes for the server.
    #[doc(alias = "in_size")]
    pub input_len: U32,
    /// Room for bytes from the server.
    #[doc(alias = "out_size")]
    pub output_len: U32,
}
const _: () = assert!(size_of::<WireIoctl>() == 32);

/// `flags`: the file is a directory.
const DIRECTORY: u32 = 1 << 4;

/// Head of the reply to IOCTL.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_ioctl_out")]
pub struct WireIoctlReply {
    /// What the call returns.
    pub result: I32,
    /// 4 for "try again".
    pub flags: U32,
    /// Ranges that the server would read.
    #[doc(alias = "in_iovs")]
    pub inputs: U32,
    /// Ranges that the server would write.
    #[doc(alias = "out_iovs")]
    pub outputs: U32,
}
const _: () = assert!(size_of::<WireIoctlReply>() == 16);

/// `flags` of the reply: try again.
const RETRY: u32 = 1 << 2;

/// A range of the caller's memory that a server asks for.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[doc(alias = "fuse_ioctl_iovec")]
pub struct WireIoctlRange {
    /// An address that the server made up from the argument.
    pub base: U64,
    /// Bytes.
    pub len: U64,
}
const _: () = assert!(size_of::<WireIoctlRange>() == 16);

/// What kind of node the handle is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IoctlTarget {
    /// Anything with OPEN.
    File,
    /// A directory; needs `HAS_IOCTL_DIR` in the session.
    Directory,
}

/// A command to an open file, with bytes in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_IOCTL")]
pub struct Ioctl<'i> {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// File or directory.
    pub target: IoctlTarget,
    /// The command, in Linux' encoding.
    pub command: u32,
    /// The argument as a number. A server cannot follow it, if it is an address.
    pub argument: u64,
    /// What the argument points to, for a command that reads it; at most `u32::MAX` bytes.
    pub input: &'i [u8],
    /// How many bytes the command may write to where the argument points.
    pub output_capacity: u32,
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoctlReply<'a> {
    /// It was carried out.
    Done {
        /// What it returns.
        result: i32,
        /// What it writes, at most [`Ioctl::output_capacity`] bytes.
        output: &'a [u8],
    },
    /// The server wants more of the caller's memory first, which it has no right to here.
    Retry {
        /// What it would read.
        inputs: &'a [WireIoctlRange],
        /// What it would write.
        outputs: &'a [WireIoctlRange],
    },
}

impl Ioctl<'_> {
    /// The largest number of ranges that a server may ask for.
    #[doc(alias = "FUSE_IOCTL_MAX_IOV")]
    pub const MAX_RANGES: u32 = 256;
}

impl Request for Ioctl<'_> {
    const OPCODE: Opcode = Opcode::Ioctl;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        let input_len = u32::try_from(self.input.len()).map_err(|_| EncodeError::LengthOutOfRange)?;
        let flags = match self.target {
            IoctlTarget::File => 0,
            IoctlTarget::Directory => DIRECTORY,
        };
        body.fixed(&WireIoctl {
            handle: U64::new(self.handle.0),
            flags: U32::new(flags),
            command: U32::new(self.command),
            argument: U64::new(self.argument),
            input_len: U32::new(input_len),
            output_len: U32::new(self.output_capacity),
        })?;
        body.bytes(self.input)
    }
}

impl Operation for Ioctl<'_> {
    type Reply<'a> = IoctlReply<'a>;

    fn payload_len(&self) -> RangeInclusive<usize> {
        let head = size_of::<WireIoctlReply>();
        head..=head.saturating_add(length(self.output_capacity))
    }

    fn parse<'a>(&self, payload: &'a [u8]) -> Result<IoctlReply<'a>, ReplyError> {
        let (head, rest) = WireIoctlReply::read_from_prefix(payload).map_err(|_| Defect::PayloadLength)?;
        if rest.len() > length(self.output_capacity) {
            return Err(Defect::PayloadLength.into());
        }
        if head.flags.get() & RETRY == 0 {
            return Ok(IoctlReply::Done { result: head.result.get(), output: rest });
        }
        let (inputs, outputs) = (head.inputs.get(), head.outputs.get());
        if inputs.checked_add(outputs).is_none_or(|ranges| ranges > Self::MAX_RANGES) {
            return Err(Defect::IoctlRanges.into());
        }
        let ranges = <[WireIoctlRange]>::ref_from_bytes(rest).map_err(|_| Defect::IoctlRanges)?;
        let (inputs, rest) = ranges.split_at_checked(length(inputs)).ok_or(Defect::IoctlRanges)?;
        if rest.len() != length(outputs) {
            return Err(Defect::IoctlRanges.into());
        }
        Ok(IoctlReply::Retry { inputs, outputs: rest })
    }
}
