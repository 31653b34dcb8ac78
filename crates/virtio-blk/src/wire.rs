//! The bytes of the block device, as the specification draws them (VIRTIO 1.3 §5.2.4, §5.2.6).
//!
//! ```text
//!   header, 16 bytes                 data                                     status
//!   | type  4 | 0  4 | sector  8 |   sectors, or ranges of them, or nothing   | 1 |
//!     read by the device             read or written by it                      written by it
//! ```
//!
//! Numbers are little-endian, and in a legacy device in the byte order of the guest (§5.2.6.3).

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, LE, U16, U32, U64, Unaligned};

/// Types of requests.
pub mod kind {
    /// Read sectors.
    #[doc(alias = "VIRTIO_BLK_T_IN")]
    pub const IN: u32 = 0;
    /// Write sectors.
    #[doc(alias = "VIRTIO_BLK_T_OUT")]
    pub const OUT: u32 = 1;
    /// Make completed writes stable.
    #[doc(alias = "VIRTIO_BLK_T_FLUSH")]
    pub const FLUSH: u32 = 4;
    /// Write the serial number to a buffer of 20 bytes.
    #[doc(alias = "VIRTIO_BLK_T_GET_ID")]
    pub const GET_ID: u32 = 8;
    /// Write a [`Lifetime`](super::Lifetime) to the buffer.
    #[doc(alias = "VIRTIO_BLK_T_GET_LIFETIME")]
    pub const GET_LIFETIME: u32 = 10;
    /// Give up the [`Range`](super::Range)s in the buffer.
    #[doc(alias = "VIRTIO_BLK_T_DISCARD")]
    pub const DISCARD: u32 = 11;
    /// Fill them with zeros.
    #[doc(alias = "VIRTIO_BLK_T_WRITE_ZEROES")]
    pub const WRITE_ZEROES: u32 = 13;
    /// Erase them for good.
    #[doc(alias = "VIRTIO_BLK_T_SECURE_ERASE")]
    pub const SECURE_ERASE: u32 = 14;
}

/// What the status byte of a request says.
pub mod status {
    /// It was done.
    #[doc(alias = "VIRTIO_BLK_S_OK")]
    pub const OK: u8 = 0;
    /// It was not, or not all of it.
    #[doc(alias = "VIRTIO_BLK_S_IOERR")]
    pub const IOERR: u8 = 1;
    /// The device does not know such a request.
    #[doc(alias = "VIRTIO_BLK_S_UNSUPP")]
    pub const UNSUPP: u8 = 2;
    /// What the byte is before the device has written it.
    pub const UNWRITTEN: u8 = 0xff;
}

/// Some sectors to discard, to fill with zeros or to erase: such a request has one or several of these for data.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "virtio_blk_discard_write_zeroes")]
pub struct Range {
    /// The first sector.
    pub sector: U64<LE>,
    /// How many.
    pub sectors: U32<LE>,
    /// [`Range::UNMAP`], or 0.
    pub flags: U32<LE>,
}
const _: () = assert!(size_of::<Range>() == Range::LEN);

impl Range {
    /// Its length in bytes.
    pub const LEN: usize = 16;
    /// Of zeros: the disk may give up the room of these sectors. Has to be 0 in every other request.
    pub const UNMAP: u32 = 1;
}

/// How worn a disk is, in the terms of the eMMC standard.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "virtio_blk_lifetime")]
pub struct Lifetime {
    /// How much of the reserved blocks is used up: 1 normal, 2 80 %, 3 90 %; 0 unknown.
    pub pre_eol_info: U16<LE>,
    /// Wear of cells of the first type in steps of 10 %, 0 unknown.
    pub estimate_a: U16<LE>,
    /// The same of the second type.
    pub estimate_b: U16<LE>,
}
const _: () = assert!(size_of::<Lifetime>() == Lifetime::LEN);

impl Lifetime {
    /// Its length in bytes.
    pub const LEN: usize = 6;

    /// The beginning of a buffer, which the device has filled.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read_from_prefix(bytes).ok().map(|(lifetime, _)| lifetime)
    }
}

/// A serial number as the device wrote it: up to 20 bytes, ended by a zero byte or by the end of its field. What is not
/// printable is escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Serial<'a>(&'a [u8]);

impl<'a> Serial<'a> {
    /// The text in such a field, of which no more than 20 bytes count.
    pub fn new(field: &'a [u8]) -> Self {
        let field = field.get(..toro_core::driver::block::SERIAL_BYTES).unwrap_or(field);
        let len = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
        Self(field.get(..len).unwrap_or(field))
    }

    /// Its bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Display for Serial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Serial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// Offsets of the fields of the device configuration.
pub mod config {
    /// 64-bit number of sectors.
    pub const CAPACITY: usize = 0;
    /// Length of the part that every device has.
    pub const LEAST: usize = 8;
    /// 32-bit length of the longest buffer.
    pub const SIZE_MAX: usize = 8;
    /// 32-bit number of buffers of a request, header and status not counted.
    pub const SEG_MAX: usize = 12;
    /// 32-bit size of a block in bytes.
    pub const BLK_SIZE: usize = 20;
    /// 8-bit logarithm of how many blocks are one physical block.
    pub const PHYSICAL_BLOCK_EXPONENT: usize = 24;
    /// 8-bit mode of the write cache: 0 none, 1 write back.
    pub const WRITEBACK: usize = 32;
    /// 16-bit number of queues.
    pub const NUM_QUEUES: usize = 34;
    /// 32-bit number of sectors of a range, and of ranges of a request, to discard.
    pub const MAX_DISCARD: [usize; 2] = [36, 40];
    /// The same, to fill with zeros.
    pub const MAX_WRITE_ZEROES: [usize; 2] = [48, 52];
    /// 8-bit: whether the room of sectors filled with zeros may be given up.
    pub const WRITE_ZEROES_MAY_UNMAP: usize = 56;
    /// The same as of discarding, to erase.
    pub const MAX_SECURE_ERASE: [usize; 2] = [60, 64];
}

/// In which order the bytes of a number are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Guest,
}

impl ByteOrder {
    /// Whether a little-endian number has to be swapped; on most machines never.
    #[inline(always)]
    fn swaps(self) -> bool {
        cfg!(target_endian = "big") && self == Self::Guest
    }
}

/// The header of a request as two little-endian words, which is how a queue stores it.
#[inline(always)]
pub(crate) fn header(order: ByteOrder, kind: u32, sector: u64) -> [u64; 2] {
    match order.swaps() {
        true => [kind.swap_bytes().into(), sector.swap_bytes()],
        false => [kind.into(), sector],
    }
}

/// The bytes of a range.
pub(crate) fn range(order: ByteOrder, sector: u64, sectors: u32, flags: u32) -> Range {
    match order.swaps() {
        true => Range {
            sector: sector.swap_bytes().into(),
            sectors: sectors.swap_bytes().into(),
            flags: flags.swap_bytes().into(),
        },
        false => Range { sector: sector.into(), sectors: sectors.into(), flags: flags.into() },
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn blk_11_hd_blk_4_a_serial_number_ends_at_its_padding_or_fills_its_field_and_is_escaped() {
        assert_eq!(Serial::new(b"disk 1\0garbage\n\0\0\0\0\0").to_string(), "disk 1");
        assert_eq!(Serial::new(&[b'x'; 20]).as_bytes(), [b'x'; 20]);
        assert_eq!(Serial::new(&[b'x'; 99]).as_bytes().len(), 20);
        assert_eq!(Serial::new(b"\x1b[2J\xff").to_string(), "\\x1b[2J\\xff");
        assert_eq!(Serial::new(&[]).to_string(), "");
    }

    #[test]
    fn a_lifetime_is_read_from_what_there_is() {
        let lifetime = Lifetime::parse(&[1, 0, 2, 0, 3, 1, 99]).expect("six bytes are enough");
        assert_eq!((lifetime.pre_eol_info.get(), lifetime.estimate_b.get()), (1, 0x103));
        assert_eq!(Lifetime::parse(&[1; 5]), None);
    }

    #[test]
    fn blk_24_a_header_has_sixteen_bytes_and_the_sector_the_last_eight() {
        let words = header(ByteOrder::Little, 0x0102_0304, 0x1122_3344_5566_7788);
        assert_eq!(words[0].to_le_bytes(), [4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(words[1].to_le_bytes(), 0x1122_3344_5566_7788_u64.to_le_bytes());
        assert_eq!(range(ByteOrder::Guest, 1, 2, 3), range(ByteOrder::Little, 1, 2, 3), "on this machine");
    }
}
