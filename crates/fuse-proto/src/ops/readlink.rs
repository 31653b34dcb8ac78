//! READLINK: where a symbolic link points.
//!
//! The target is the whole payload: 1 to 4095 bytes and no terminator. It is a path of the *host's* making. The
//! client walks it like any other path that it was given, inside the mount and with a limit on the number of
//! links, or a share is no jail.

use core::ops::RangeInclusive;

use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request};

/// The longest target in bytes (`PATH_MAX` on Linux, without the terminator).
pub const MAX_TARGET_LEN: usize = 4095;

/// Reads the target of a symbolic link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_READLINK")]
pub struct ReadLink {
    /// The link.
    pub node: NodeId,
}

impl Request for ReadLink {
    const OPCODE: Opcode = Opcode::ReadLink;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, _body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Operation for ReadLink {
    type Reply<'a> = &'a [u8];

    fn payload_len(&self) -> RangeInclusive<usize> {
        1..=MAX_TARGET_LEN
    }

    fn parse<'a>(&self, payload: &'a [u8]) -> Result<&'a [u8], ReplyError> {
        if !self.payload_len().contains(&payload.len()) {
            return Err(Defect::PayloadLength.into());
        }
        if payload.contains(&0) {
            return Err(Defect::LinkTarget.into());
        }
        Ok(payload)
    }
}
