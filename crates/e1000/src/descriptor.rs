//! Descriptors: 16 bytes each, here as the two 64-bit words that they are read and written by (manual §3.2.3, §3.3.6).
//!
//! ```text
//!             63              48 47    40 39    32 31              16 15               0
//!   receive   address of the buffer
//!             VLAN tag          | errors | status | checksum         | length
//!
//!   context   TUCSE | TUCSO | TUCSS                | IPCSE | IPCSO | IPCSS
//!             MSS               | HDRLEN | status | TUCMD, DTYP 0, PAYLEN (20 bits)
//!
//!   data      address of the bytes
//!             VLAN tag          | POPTS  | status | DCMD, DTYP 1, length (20 bits)
//! ```
//!
//! A context says where checksums are and how segments are cut; it stays in force for all data descriptors behind it.

use bitflags::bitflags;
use toro_core::BusAddr;

/// A descriptor's length in bytes.
pub(crate) const LEN: usize = 16;

bitflags! {
    /// What the device says about a received buffer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct ReceiveStatus: u8 {
        /// The descriptor is the driver's again.
        const DONE = 1 << 0;
        const END_OF_FRAME = 1 << 1;
        /// Nothing that is said about checksums counts.
        const IGNORE_SUMS = 1 << 2;
        /// The TCP or UDP checksum was looked at.
        const SUM_SEEN = 1 << 5;
        const _ = !0;
    }

    /// What it says was wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct ReceiveErrors: u8 {
        /// The TCP or UDP checksum.
        const SUM = 1 << 5;
        /// That of the IP header.
        const HEADER_SUM = 1 << 6;
        const _ = !0;
    }
}

/// What stands in a receive descriptor that the device has written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) len: u16,
    pub(crate) status: ReceiveStatus,
    pub(crate) errors: ReceiveErrors,
}

impl Received {
    /// From the second word; `None` while it is the device's.
    #[inline]
    pub(crate) fn parse(word: u64) -> Option<Self> {
        let status = ReceiveStatus::from_bits_retain((word >> 32) as u8);
        let errors = ReceiveErrors::from_bits_retain((word >> 40) as u8);
        status.contains(ReceiveStatus::DONE).then_some(Self { len: word as u16, status, errors })
    }

    /// Whether the frame arrived damaged. What is wrong with its checksums only, the stack will see.
    pub(crate) fn is_damaged(self) -> bool {
        !self.errors.difference(ReceiveErrors::SUM | ReceiveErrors::HEADER_SUM).is_empty()
    }

    /// Whether the device found the TCP or UDP checksum right.
    pub(crate) fn is_verified(self) -> bool {
        let looked = ReceiveStatus::SUM_SEEN | ReceiveStatus::IGNORE_SUMS;
        self.status & looked == ReceiveStatus::SUM_SEEN && self.errors.is_empty()
    }
}

/// A receive descriptor for an empty buffer.
#[inline]
pub(crate) fn empty(buffer: BusAddr) -> [u64; 2] {
    [buffer.get(), 0]
}

/// Whether a transmit descriptor's second word says that the device has sent what it stands for.
#[inline]
pub(crate) fn is_sent(word: u64) -> bool {
    word >> 32 & 1 != 0
}

const TYPE_DATA: u64 = 1 << 20;
const EXTENDED: u64 = 1 << 29;
const END_OF_FRAME: u64 = 1 << 24;
const INSERT_CHECK: u64 = 1 << 25;
const SEGMENT: u64 = 1 << 26;
const REPORT: u64 = 1 << 27;
const CONTEXT_TCP: u64 = 1 << 24;
const CONTEXT_IPV4: u64 = 1 << 25;
const SUM_HEADER: u64 = 1 << 40;
const SUM_SEGMENT: u64 = 1 << 41;

/// What the data descriptors of a frame have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders(u64);

impl Orders {
    /// The frame goes out as it is.
    pub(crate) const PLAIN: Self = Self(0);
    /// The context's checksum is put in.
    pub(crate) const CHECKSUM: Self = Self(SUM_SEGMENT);
    /// It is cut as the context says, over IPv4.
    pub(crate) const CUT_IPV4: Self = Self(SEGMENT | SUM_SEGMENT | SUM_HEADER);
    /// The same over IPv6, whose header has no checksum.
    pub(crate) const CUT_IPV6: Self = Self(SEGMENT | SUM_SEGMENT);
}

/// Bytes of a frame that are not its last ones.
#[inline]
pub(crate) fn part(address: u64, len: u16, orders: Orders) -> [u64; 2] {
    // The frame check sequence is asked for in all of them: some devices look at the first.
    [address, u64::from(len) | TYPE_DATA | EXTENDED | INSERT_CHECK | orders.0]
}

/// The same for the last ones.
#[inline]
pub(crate) fn last_part(address: u64, len: u16, orders: Orders) -> [u64; 2] {
    let [address, word] = part(address, len, orders);
    [address, word | END_OF_FRAME]
}

/// The second word of a descriptor that the device shall write back.
#[inline]
pub(crate) fn reporting(word: u64) -> u64 {
    word | REPORT
}

/// Where the checksum of a frame's TCP or UDP segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SumPlace {
    /// Where summing starts. It ends with the frame.
    pub(crate) start: u8,
    /// Where the sum goes, from the start of the frame.
    pub(crate) field: u8,
}

/// How a frame is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) ip: IpHeader,
    /// Headers, in bytes.
    pub(crate) header_len: u8,
    pub(crate) segment_size: u16,
    /// What is to be cut, in bytes.
    pub(crate) payload_len: u32,
}

/// Which IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpHeader {
    V4,
    V6,
}

/// Where IP headers start in a frame.
pub(crate) const IP_START: u8 = 14;
/// Where an IPv4 header has its checksum.
const IPV4_SUM: u8 = 10;

/// A context descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context([u64; 2]);

impl Context {
    /// For frames whose checksum the device puts in.
    pub(crate) fn checksum(place: SumPlace) -> Self {
        Self([sum_words(place), EXTENDED])
    }

    /// For a frame that the device cuts.
    pub(crate) fn cut(place: SumPlace, cut: Cut) -> Self {
        let ip = match cut.ip {
            IpHeader::V4 => {
                // The end is the last byte of the header, which TCP follows.
                let end = u64::from(place.start) - 1;
                u64::from(IP_START) | u64::from(IP_START + IPV4_SUM) << 8 | end << 16
            }
            IpHeader::V6 => u64::from(IP_START),
        };
        let kind = if cut.ip == IpHeader::V4 { CONTEXT_IPV4 } else { 0 };
        let head = u64::from(cut.header_len) << 40 | u64::from(cut.segment_size) << 48;
        let word = u64::from(cut.payload_len) | EXTENDED | SEGMENT | CONTEXT_TCP | kind | head;
        Self([sum_words(place) | ip, word])
    }

    /// As the device reads it.
    pub(crate) fn words(self) -> [u64; 2] {
        self.0
    }
}

fn sum_words(place: SumPlace) -> u64 {
    u64::from(place.start) << 32 | u64::from(place.field) << 40
}
