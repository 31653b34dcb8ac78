//! The two headers that frame every exchange.
//!
//! ```text
//!   request (device-readable)                       reply (device-writable)
//!   0    4       8        16       24  28  32  36   0    4      8
//!   +----+-------+--------+--------+---+---+---+--+ +----+------+--------+---------
//!   |len |opcode | unique | nodeid |uid|gid|pid|xt| |len |error | unique | payload
//!   +----+-------+--------+--------+---+---+---+--+ +----+------+--------+---------
//! ```
//!
//! `len` counts the header itself and everything after it. It has to be exact in a request: a server takes the
//! length of the names from it (FU-FR-2). It is checked and never trusted in a reply.
//!
//! [`Unique`] ties the two together. On virtio-fs the descriptor chain already says which request a reply
//! belongs to, so the number is only compared with what was sent, never used to *find* a request (FU-RV-2): a
//! server that could choose which request it completes could complete one whose buffer it does not have.

use zerocopy::little_endian::{I32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of [`RequestHeader`] in bytes.
pub const REQUEST_HEADER_LEN: usize = 40;

/// Length of [`ReplyHeader`] in bytes. This many bytes of a reply buffer have to be zero when it is handed to
/// the device (FU-FR-8), so that a device that wrote nothing is seen to have written nothing.
pub const REPLY_HEADER_LEN: usize = 16;

/// Head of every request.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_in_header")]
pub struct RequestHeader {
    /// Bytes in the request, this header included.
    pub len: U32,
    /// Operation; [`Opcode`](crate::Opcode) gives it meaning.
    pub opcode: U32,
    /// Number of the request, repeated in the reply.
    pub unique: U64,
    /// Node the operation is about, 0 for none.
    #[doc(alias = "nodeid")]
    pub node: U64,
    /// User in whose name the server acts.
    pub uid: U32,
    /// Group in whose name the server acts.
    pub gid: U32,
    /// Process that asks; 0 is nobody in particular.
    pub pid: U32,
    /// Length of the extensions behind the names, in units of 8 bytes (7.38).
    #[doc(alias = "total_extlen")]
    pub extension_len: U16,
    /// Zero.
    pub padding: U16,
}
const _: () = assert!(size_of::<RequestHeader>() == REQUEST_HEADER_LEN);

/// Head of every reply.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_out_header")]
pub struct ReplyHeader {
    /// Bytes in the reply, this header included.
    pub len: U32,
    /// 0, or a negative error number.
    pub error: I32,
    /// Number of the request that this answers.
    pub unique: U64,
}
const _: () = assert!(size_of::<ReplyHeader>() == REPLY_HEADER_LEN);

/// Number of a request: even, not zero, bit 63 clear (FU-FR-7).
///
/// Zero marks a notification, odd numbers mark interrupts, and bit 63 marks a request sent again after a
/// server's restart. [`UniqueAllocator`](crate::UniqueAllocator) gives them out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Unique(u64);

impl Unique {
    /// The smallest number.
    pub const FIRST: Self = Self(2);

    /// Accepts a number that keeps the rules above, `None` for any other.
    #[must_use]
    pub const fn new(raw: u64) -> Option<Self> {
        if raw == 0 || raw & 1 != 0 || raw >> 63 != 0 { None } else { Some(Self(raw)) }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// On whose behalf a request is made.
///
/// A virtio-fs server acts with these ids when it creates something, and otherwise with its own: permission
/// checks are the client's duty (FU-SEM-16). The default is the superuser and no process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caller {
    /// User id; 0 is the superuser.
    pub uid: u32,
    /// Group id; 0 is the superuser's.
    pub gid: u32,
    /// Process id; 0 says that there is none.
    pub pid: u32,
}

impl Caller {
    /// The superuser, and no process.
    pub const SUPERUSER: Self = Self { uid: 0, gid: 0, pid: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fu_fr_7_unique_is_even_nonzero_and_below_bit_63() {
        for bad in [0, 1, 3, u64::MAX, 1 << 63, (1 << 63) + 2] {
            assert_eq!(Unique::new(bad), None, "{bad:#x}");
        }
        assert_eq!(Unique::new(2), Some(Unique::FIRST));
        assert!(Unique::new((1 << 63) - 2).is_some());
    }
}
