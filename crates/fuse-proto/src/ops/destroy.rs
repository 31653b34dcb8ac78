//! DESTROY: a session ends.
//!
//! Sent when nothing else is under way, and followed by a reset of the device. The server drops every reference
//! and every handle. Servers disagree on whether to answer: some send an empty reply, others complete the
//! request without writing even the header (FU-FR-12). Both are fine.

use core::ops::{Range, RangeInclusive};

use crate::error::{EncodeError, ReplyError};
use crate::header::{REPLY_HEADER_LEN, Unique};
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, check_header, fixed_len, parse_fixed};

/// Ends the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[doc(alias = "FUSE_DESTROY")]
pub struct Destroy;

impl Request for Destroy {
    const OPCODE: Opcode = Opcode::Destroy;

    fn node(&self) -> Option<NodeId> {
        None
    }

    fn write_body(&self, _body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Operation for Destroy {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    /// As for any operation, except that a header that was never written is a good reply.
    fn payload_range(&self, unique: Unique, header: &[u8; REPLY_HEADER_LEN]) -> Result<Range<usize>, ReplyError> {
        if *header == [0; REPLY_HEADER_LEN] {
            return Ok(REPLY_HEADER_LEN..REPLY_HEADER_LEN);
        }
        check_header(unique, header, &self.payload_len())
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}
