//! NOTIFY_REPLY: the answer to a server that asked.
//!
//! Only one notification is a question: [`Notification::Retrieve`](crate::notify::Notification::Retrieve), for what the
//! client has cached of a file. The answer is a *request*, since only those go this way, and has no reply of its own.
//! It is not numbered by the client. Its number is the one that the server gave the question, which makes it the one
//! request whose number says nothing about requests that are under way: so it is not a
//! [`Request`](crate::operation::Request), and is encoded by itself.
//!
//! ```text
//!   [header 40: unique = the question's][zero 8 | offset 8 | size 4 | zero 20][data]
//! ```

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::EncodeError;
use crate::header::{Caller, REQUEST_HEADER_LEN, RequestHeader};
use crate::id::NodeId;
use crate::notify::Question;
use crate::opcode::Opcode;
use crate::operation::check_range;

/// Body of NOTIFY_REPLY for a retrieval; the data follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_notify_retrieve_in")]
pub struct WireNotifyReply {
    /// Zero.
    pub dummy1: U64,
    /// First byte.
    pub offset: U64,
    /// Bytes.
    pub size: U32,
    /// Zero.
    pub dummy2: U32,
    /// Zero.
    pub dummy3: U64,
    /// Zero.
    pub dummy4: U64,
}
const _: () = assert!(size_of::<WireNotifyReply>() == 40);

/// Answers a retrieval with what is cached; nothing, if nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_NOTIFY_REPLY")]
pub struct NotifyReply<'d> {
    /// The question's number.
    pub question: Question,
    /// The node that was asked about.
    pub node: NodeId,
    /// Where in the file the data begin.
    pub offset: u64,
    /// The data, none if nothing is cached there.
    pub data: &'d [u8],
}

impl NotifyReply<'_> {
    /// The operation's code.
    pub const OPCODE: Opcode = Opcode::NotifyReply;

    /// Bytes that the encoded request takes, header and data included.
    #[must_use]
    pub const fn request_len(&self) -> usize {
        (REQUEST_HEADER_LEN + size_of::<WireNotifyReply>()).saturating_add(self.data.len())
    }

    /// Writes the request at the start of `buffer` and returns its length. There is no reply and no writable part.
    ///
    /// # Errors
    ///
    /// - [`EncodeError::BufferTooSmall`].
    /// - [`EncodeError::OffsetOutOfRange`]: the data end beyond `i64::MAX`.
    /// - [`EncodeError::LengthOutOfRange`]: the length cannot be expressed.
    pub fn encode(&self, caller: Caller, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let len = u32::try_from(self.request_len()).map_err(|_| EncodeError::LengthOutOfRange)?;
        let size = u32::try_from(self.data.len()).map_err(|_| EncodeError::LengthOutOfRange)?;
        check_range(self.offset, size.into())?;
        let header = RequestHeader {
            len: U32::new(len),
            opcode: U32::new(Self::OPCODE.raw()),
            unique: U64::new(self.question.0),
            node: U64::new(self.node.get()),
            uid: U32::new(caller.uid),
            gid: U32::new(caller.gid),
            pid: U32::new(caller.pid),
            extension_len: U16::ZERO,
            padding: U16::ZERO,
        };
        let body = WireNotifyReply {
            dummy1: U64::ZERO,
            offset: U64::new(self.offset),
            size: U32::new(size),
            dummy2: U32::ZERO,
            dummy3: U64::ZERO,
            dummy4: U64::ZERO,
        };
        let mut rest = buffer.get_mut(..self.request_len()).ok_or(EncodeError::BufferTooSmall)?;
        for part in [header.as_bytes(), body.as_bytes(), self.data] {
            rest.split_off_mut(..part.len()).ok_or(EncodeError::BufferTooSmall)?.copy_from_slice(part);
        }
        Ok(self.request_len())
    }
}
