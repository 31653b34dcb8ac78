//! How an operation becomes bytes, and bytes become its result.
//!
//! Each operation is a small struct that holds the parameters and knows four things: its code, its node, the
//! body of its request, and what its reply may look like. Everything that is the same for all of them stands
//! here, once:
//!
//! ```text
//!   Lookup { parent, name }
//!      | encode(unique, caller, buffer)        header, then write_body()
//!      v
//!   [header 40][fixed struct][names\0][extensions]  [data]    ->  device-readable
//!   [header 16][payload ............ ]                        <-  device-writable, exactly reply_capacity()
//!                                                                 bytes, header zeroed
//!      | payload_range(unique, header)         FU-RV-1 to FU-RV-5: may this payload be looked at?
//!      | parse(payload)                        FU-RV-6 to FU-RV-8: does it make sense?
//!      v
//!   LookupReply
//! ```
//!
//! [`Request`] is the first half and [`Operation`] adds the second, because not everything that is sent is
//! answered: FORGET has no reply, not even a header (FU-FR-4), and the type says so.
//!
//! # Where the data lies
//!
//! The data of a WRITE is the caller's, and it should not be copied behind a header first. So it has no place in
//! the operation: [`encode`](Request::encode) writes everything before it and already counts it in the header,
//! and the device-readable part of the chain is two buffers, the encoded one and then exactly
//! [`data_len`](Request::data_len) bytes of data. For every operation without data that number is 0, and one
//! buffer is all.
//!
//! ```text
//!   buffer 1  [header 40, len = 40 + 40 + 4096][WireWrite 40]     request_len() = 80 bytes
//!   buffer 2  [data ......................................]     data_len()   = 4096 bytes
//! ```
//!
//! The payload of a READ is the file's data, and it should stay where the device put it. So a reply can be
//! checked by its header alone: [`payload_range`](Operation::payload_range) takes a *copy* of the 16 bytes and
//! says which part of the reply holds the payload. If header and data share one buffer, that is the range to
//! keep; if they lie in two, the data is the first `range.len()` bytes of the second. For all other operations
//! [`decode`](Operation::decode) does both steps.
//!
//! # Hostile servers
//!
//! - Lengths and error come from one copy of the header, taken before anything is checked (HD-FS-10). What
//!   [`parse`](Operation::parse) reads out of the payload is copied out once, too; borrowed results (names,
//!   data, link targets) are as constant as the memory the caller passed in.
//! - The length that the *device* reports for the chain is not asked for. Servers in the field report 0, or the
//!   wrong number (FU-RV-6, HD-FS-9). A reply that was never written has a zeroed header and so fails.
//! - A reply that claims more bytes than were written exposes what was in the buffer before. Hand out zeroed
//!   buffers where their old contents are somebody else's secret.
//! - Nothing panics, whatever the bytes.

use core::ops::{Range, RangeInclusive};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::errno::Errno;
use crate::error::{Defect, EncodeError, ReplyError};
use crate::extensions::Extensions;
use crate::header::{Caller, REPLY_HEADER_LEN, REQUEST_HEADER_LEN, ReplyHeader, RequestHeader, Unique};
use crate::id::NodeId;
use crate::name::Name;
use crate::opcode::Opcode;

/// Something that can be sent to a server.
///
/// What an implementation owes: [`write_body`](Self::write_body) writes the same bytes each time it is called
/// on the same value, because one call only measures and the next one writes.
pub trait Request {
    /// The operation's code.
    const OPCODE: Opcode;

    /// The node that the operation is about; `None` for the few that are about the session.
    fn node(&self) -> Option<NodeId>;

    /// Writes what follows the header: the fixed structure, then names with their terminators.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] from the writer, and the operation's own reasons.
    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError>;

    /// What follows the names, for operations that create something. Nothing, unless the operation was wrapped
    /// in [`Extended`](crate::extensions::Extended).
    fn extensions(&self) -> Extensions<'_> {
        Extensions::NONE
    }

    /// Bytes of data that follow the encoded request, in a buffer of their own: what a WRITE writes. They are
    /// part of the length in the header but not of [`request_len`](Self::request_len).
    fn data_len(&self) -> usize {
        0
    }

    /// Bytes that the encoded request takes, header included and [data](Self::data_len) excluded.
    ///
    /// # Errors
    ///
    /// Those of [`write_body`](Self::write_body), and those of the extensions.
    fn request_len(&self) -> Result<usize, EncodeError> {
        measure(&self)
    }

    /// Writes the request at the start of `buffer` and returns how many bytes that took. The device-readable
    /// part of the chain is exactly these bytes, and then exactly [`data_len`](Self::data_len) bytes of data
    /// (FU-FR-2).
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`], [`EncodeError::TooLong`], and the operation's own reasons. `buffer` may
    /// have been written to.
    fn encode(&self, unique: Unique, caller: Caller, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        write(&self, Self::OPCODE, unique, caller, buffer)
    }
}

/// What differs from request to request when one is written; the rest is compiled once for all of them.
trait Parts {
    fn node(&self) -> Option<NodeId>;
    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError>;
    fn extensions(&self) -> Extensions<'_>;
    fn data_len(&self) -> usize;
}

impl<R: Request + ?Sized> Parts for &R {
    fn node(&self) -> Option<NodeId> {
        R::node(self)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        R::write_body(self, body)
    }

    fn extensions(&self) -> Extensions<'_> {
        R::extensions(self)
    }

    fn data_len(&self) -> usize {
        R::data_len(self)
    }
}

fn measure(request: &dyn Parts) -> Result<usize, EncodeError> {
    let mut body = BodyWriter { room: None, written: 0 };
    request.write_body(&mut body)?;
    request.extensions().write(&mut body)?;
    total_len(&body, request.data_len())?;
    Ok(REQUEST_HEADER_LEN + body.written)
}

fn write(
    request: &dyn Parts,
    opcode: Opcode,
    unique: Unique,
    caller: Caller,
    buffer: &mut [u8],
) -> Result<usize, EncodeError> {
    let (head, rest) = buffer.split_first_chunk_mut::<REQUEST_HEADER_LEN>().ok_or(EncodeError::BufferTooSmall)?;
    let mut body = BodyWriter { room: Some(rest), written: 0 };
    request.write_body(&mut body)?;
    let extension_units = request.extensions().write(&mut body)?;
    let header = RequestHeader {
        len: U32::new(total_len(&body, request.data_len())?),
        opcode: U32::new(opcode.raw()),
        unique: U64::new(unique.get()),
        node: U64::new(request.node().map_or(0, NodeId::get)),
        uid: U32::new(caller.uid),
        gid: U32::new(caller.gid),
        pid: U32::new(caller.pid),
        extension_len: U16::new(extension_units),
        padding: U16::ZERO,
    };
    head.copy_from_slice(header.as_bytes());
    Ok(REQUEST_HEADER_LEN + body.written)
}

/// The length in the header of a request with this body and that much data.
fn total_len(body: &BodyWriter<'_>, data_len: usize) -> Result<u32, EncodeError> {
    REQUEST_HEADER_LEN
        .checked_add(body.written)
        .and_then(|len| len.checked_add(data_len))
        .and_then(|len| u32::try_from(len).ok())
        .ok_or(EncodeError::TooLong)
}

/// A [`Request`] that is answered.
pub trait Operation: Request {
    /// What a good reply means. It may borrow names or data from the reply.
    type Reply<'a>;

    /// The lengths, in bytes, that the payload of a good reply may have.
    fn payload_len(&self) -> RangeInclusive<usize>;

    /// Gives the payload of a good reply its meaning. `payload` is what
    /// [`payload_range`](Self::payload_range) found, without the header.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Malformed`] where the payload breaks a rule. The error may carry a node to forget.
    fn parse<'a>(&self, payload: &'a [u8]) -> Result<Self::Reply<'a>, ReplyError>;

    /// Bytes of the device-writable part of the chain: the header and the largest good payload. Neither more
    /// nor less is safe with the servers in the field (FU-FR-3).
    fn reply_capacity(&self) -> usize {
        REPLY_HEADER_LEN + self.payload_len().end()
    }

    /// Checks a copy of the reply's header, and says which bytes of the reply are the payload.
    ///
    /// # Errors
    ///
    /// - [`ReplyError::Remote`]: the server answers with an error. A payload, if any, is to be ignored
    ///   (FU-RV-4).
    /// - [`ReplyError::Malformed`]: the header is wrong (FU-RV-1, FU-RV-2, FU-RV-3), or the payload is too short
    ///   or too long for the operation (FU-RV-5).
    fn payload_range(&self, unique: Unique, header: &[u8; REPLY_HEADER_LEN]) -> Result<Range<usize>, ReplyError> {
        check_header(unique, header, &self.payload_len())
    }

    /// Checks a whole reply, header first, and gives it its meaning. `reply` is the device-writable part of the
    /// chain; what lies behind the length in the header is not looked at.
    ///
    /// # Errors
    ///
    /// Those of [`payload_range`](Self::payload_range) and [`parse`](Self::parse).
    fn decode<'a>(&self, unique: Unique, reply: &'a [u8]) -> Result<Self::Reply<'a>, ReplyError> {
        let header = *reply.first_chunk::<REPLY_HEADER_LEN>().ok_or(Defect::HeaderLength)?;
        let range = self.payload_range(unique, &header)?;
        let payload = reply.get(range).ok_or(Defect::Overlong)?;
        self.parse(payload)
    }
}

/// FU-RV-1 to FU-RV-5, for a payload of one of the lengths in `accepted`.
pub(crate) fn check_header(
    unique: Unique,
    header: &[u8; REPLY_HEADER_LEN],
    accepted: &RangeInclusive<usize>,
) -> Result<Range<usize>, ReplyError> {
    let header: ReplyHeader = zerocopy::transmute!(*header);
    let payload_len = usize::try_from(header.len.get())
        .ok()
        .and_then(|len| len.checked_sub(REPLY_HEADER_LEN))
        .ok_or(Defect::HeaderLength)?;
    if payload_len > *accepted.end() {
        return Err(Defect::Overlong.into());
    }
    if header.unique.get() != unique.get() {
        return Err(Defect::WrongUnique.into());
    }
    match Errno::from_reply(header.error.get()) {
        Err(_) => Err(Defect::ErrorRange.into()),
        Ok(Some(errno)) => Err(ReplyError::Remote(errno)),
        Ok(None) if payload_len < *accepted.start() => Err(Defect::PayloadLength.into()),
        Ok(None) => Ok(REPLY_HEADER_LEN..REPLY_HEADER_LEN + payload_len),
    }
}

/// Copies a payload that is exactly one structure.
pub(crate) fn parse_fixed<T: FromBytes>(payload: &[u8]) -> Result<T, ReplyError> {
    T::read_from_bytes(payload).map_err(|_| Defect::PayloadLength.into())
}

/// The lengths of a payload that is exactly one structure.
pub(crate) const fn fixed_len<T>() -> RangeInclusive<usize> {
    size_of::<T>()..=size_of::<T>()
}

/// Accepts a range of a file whose end is an offset that a server can express.
pub(crate) fn check_range(offset: u64, length: u64) -> Result<(), EncodeError> {
    match offset.checked_add(length) {
        Some(end) if end <= i64::MAX.unsigned_abs() => Ok(()),
        _ => Err(EncodeError::OffsetOutOfRange),
    }
}

/// Where an operation writes the body of its request, or has it measured.
#[derive(Debug)]
pub struct BodyWriter<'a> {
    /// What is left of the buffer; `None` while only measuring.
    room: Option<&'a mut [u8]>,
    written: usize,
}

impl BodyWriter<'_> {
    /// Appends a fixed structure.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`].
    pub fn fixed<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.bytes(value.as_bytes())
    }

    /// Appends a name and its terminator.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`].
    pub fn name(&mut self, name: Name<'_>) -> Result<(), EncodeError> {
        self.bytes(name.as_bytes())?;
        self.bytes(&[0])
    }

    /// Appends zeros.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`].
    pub(crate) fn zeros(&mut self, count: usize) -> Result<(), EncodeError> {
        (0..count).try_for_each(|_| self.bytes(&[0]))
    }

    /// Appends bytes as they are.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if let Some(room) = &mut self.room {
            let target = room.split_off_mut(..bytes.len()).ok_or(EncodeError::BufferTooSmall)?;
            target.copy_from_slice(bytes);
        }
        self.written += bytes.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
