//! The messages of vhost-user, as they are on the socket: a header, and a payload of as many bytes as it says.
//!
//! ```text
//!   0 request   4 flags: version 1, REPLY, NEED_REPLY   8 size of the payload   12 payload
//! ```
//!
//! Both ends are on one machine, so words are in its byte order.

use std::os::fd::BorrowedFd;

/// Bytes in a header.
pub const HEADER: usize = 12;
/// The longest payload that is sent or believed: a part of the configuration, with where it is.
pub const PAYLOAD: usize = 12 + 256;

/// In the flags: the version, and what every message has in the bits of the version.
const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
/// The message answers one.
const REPLY: u32 = 1 << 2;
/// A message that has no answer of its own shall be answered by a number, 0 if it succeeded.
const NEED_REPLY: u32 = 1 << 3;

/// What is asked for or said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Request {
    GetFeatures = 1,
    SetFeatures = 2,
    SetOwner = 3,
    SetMemTable = 5,
    SetVringNum = 8,
    SetVringAddr = 9,
    SetVringBase = 10,
    GetVringBase = 11,
    SetVringKick = 12,
    SetVringCall = 13,
    GetProtocolFeatures = 15,
    SetProtocolFeatures = 16,
    GetQueueNum = 17,
    SetVringEnable = 18,
    GetConfig = 24,
    SetConfig = 25,
}

/// Bits of the protocol's own features.
pub mod protocol {
    /// The device says how many queues it has.
    pub const MQ: u64 = 1 << 0;
    /// It answers messages that ask for it.
    pub const REPLY_ACK: u64 = 1 << 3;
    /// It has the configuration space.
    pub const CONFIG: u64 = 1 << 9;
}

/// The feature bit by which a device says that it has protocol features. No feature of the device.
pub const PROTOCOL_FEATURES: u64 = 1 << 30;

/// Whether an answer is wanted to a message that has none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    Please,
    No,
}

/// A message to the device.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub request: Request,
    pub payload: Vec<u8>,
    pub files: Vec<BorrowedFd<'a>>,
}

impl<'a> Message<'a> {
    /// One without a payload.
    pub fn new(request: Request) -> Self {
        Self { request, payload: Vec::new(), files: Vec::new() }
    }

    /// Adds a 32-bit word.
    pub fn word(mut self, word: u32) -> Self {
        self.payload.extend_from_slice(&word.to_ne_bytes());
        self
    }

    /// Adds a 64-bit word.
    pub fn wide(mut self, word: u64) -> Self {
        self.payload.extend_from_slice(&word.to_ne_bytes());
        self
    }

    /// Adds bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.payload.extend_from_slice(bytes);
        self
    }

    /// Sends a file along.
    pub fn file(mut self, file: BorrowedFd<'a>) -> Self {
        self.files.push(file);
        self
    }

    /// Header and payload.
    pub fn encode(&self, acknowledge: Acknowledge) -> Vec<u8> {
        let flags = VERSION | if acknowledge == Acknowledge::Please { NEED_REPLY } else { 0 };
        let words = [self.request as u32, flags, self.payload.len() as u32];
        words.iter().flat_map(|word| word.to_ne_bytes()).chain(self.payload.iter().copied()).collect()
    }
}

/// The length of the payload that follows a header, if that is the header of an answer to `request`.
pub fn reply_len(header: [u8; HEADER], request: Request) -> Option<usize> {
    let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (flags, len) = (word(4), word(8) as usize);
    let is_answer = word(0) == request as u32 && flags & VERSION_MASK == VERSION && flags & REPLY != 0;
    (is_answer && len <= PAYLOAD).then_some(len)
}

/// The 64-bit word that is the whole of a payload.
pub fn as_wide(payload: &[u8]) -> Option<u64> {
    payload.try_into().ok().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(request: u32, flags: u32, len: u32) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        for (place, word) in bytes.chunks_exact_mut(4).zip([request, flags, len]) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_message_is_its_header_and_its_payload() {
        let message = Message::new(Request::SetVringNum).word(1).word(256);
        let bytes = message.encode(Acknowledge::Please);
        assert_eq!(bytes[..HEADER], header(8, 9, 8));
        assert_eq!(bytes[HEADER..], [1_u32.to_ne_bytes(), 256_u32.to_ne_bytes()].concat());
        assert_eq!(message.encode(Acknowledge::No)[..HEADER], header(8, 1, 8));
    }

    #[test]
    fn only_an_answer_to_what_was_asked_is_one() {
        let asked = Request::GetFeatures;
        assert_eq!(reply_len(header(1, 5, 8), asked), Some(8));
        for wrong in [header(2, 5, 8), header(1, 1, 8), header(1, 4, 8), header(1, 6, 8), header(1, 5, 1 << 20)] {
            assert_eq!(reply_len(wrong, asked), None, "{wrong:?}");
        }
        assert_eq!(as_wide(&7_u64.to_ne_bytes()), Some(7));
        assert_eq!(as_wide(&[0; 7]), None);
    }
}
