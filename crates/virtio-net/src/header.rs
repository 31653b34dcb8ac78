//! Between [`Notes`] and the header in front of a frame (VIRTIO 1.3 §5.1.6.2, §5.1.6.4).
//!
//! ```text
//!   Notes of the stack --Sending::header--> header      refused: more than was negotiated, or nonsense
//!   header of the device --Receiving::notes--> Notes    refused: not negotiated, or outside the packet
//! ```
//!
//! Both ways most frames have nothing to say: a header of zeros, plain notes. That is one comparison; all else is in
//! functions of its own, out of the way.
//!
//! # Hostile devices
//!
//! What a received header says is checked against the packet that it came with, and against what was negotiated. The
//! length of the headers is not looked at at all (NET-21): the stack reads the headers anyway.

use core::num::NonZeroU16;

use toro_core::driver::net::{Checksum, Notes, Offloads, Segmentation, SegmentationKind};
use virtio_queue_rt::FeatureBits;

use crate::features;
use crate::wire::{ETHERNET_HEADER_LEN, HEADER_LEN, Header, flags, gso};

/// The longest packet that several buffers may hold: an IPv6 packet whose length field says the most, and its Ethernet
/// header.
pub(crate) const LONGEST_PACKET: usize = ETHERNET_HEADER_LEN + 40 + u16::MAX as usize;
/// Where the checksum of a TCP segment is, and where its flags are.
const TCP_CHECKSUM: u16 = 16;
const TCP_FLAGS: usize = 13;
const TCP_CWR: u8 = 0x80;
/// The shortest TCP header.
const TCP_HEADER: usize = 20;

/// What may be asked of the device about frames to transmit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    pub max_frame: usize,
    pub offloads: Offloads,
    /// Whether it cuts segments with the CWR flag.
    pub has_ecn: bool,
}

impl Sending {
    /// The header for a frame about which there is something to do; `None` if it cannot be sent.
    pub fn header(&self, frame: &[u8], notes: Notes) -> Option<Header> {
        let Notes { checksum: Checksum::Partial { start, offset }, segmentation, continues: false } = notes else {
            // Parts of packets are received and not sent; segments without a checksum to complete cannot be cut.
            return None;
        };
        if !self.offloads.checksum || !is_inside(start, offset, frame.len()) {
            return None;
        }
        let sum = Header {
            flags: flags::NEEDS_CSUM,
            csum_start: start.into(),
            csum_offset: offset.into(),
            ..Header::default()
        };
        let Some(Segmentation { over, segment_size, header_len }) = segmentation else {
            // A hint, as far as is known: up to behind the field.
            let hdr_len = (start + offset + 2).into();
            return (frame.len() <= self.max_frame).then_some(Header { hdr_len, ..sum });
        };
        let (gso_type, longest) = match over {
            SegmentationKind::Tcp4 => (gso::TCPV4, self.offloads.max_tcp4),
            SegmentationKind::Tcp6 => (gso::TCPV6, self.offloads.max_tcp6),
        };
        let headers = usize::from(header_len);
        let is_sound = offset == TCP_CHECKSUM
            && usize::from(start) + TCP_HEADER <= headers
            && headers <= frame.len()
            && frame.len() <= longest
            && headers + usize::from(segment_size.get()) <= self.max_frame;
        if !is_sound {
            return None;
        }
        let has_cwr = frame[usize::from(start) + TCP_FLAGS] & TCP_CWR != 0;
        if has_cwr && !self.has_ecn {
            return None;
        }
        let gso_type = if has_cwr { gso_type | gso::ECN } else { gso_type };
        Some(Header { gso_type, hdr_len: header_len.into(), gso_size: segment_size.get().into(), ..sum })
    }
}

/// What the device may say about received packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiving {
    pub max_frame: usize,
    /// What was negotiated.
    pub features: FeatureBits,
}

impl Receiving {
    /// What a header says about a packet of `len` bytes, `first` of them in its first buffer; `None` if the packet is to be
    /// dropped.
    #[inline(always)]
    pub fn notes(&self, header: &Header, first: usize, len: usize) -> Option<Notes> {
        if header.flags & (flags::NEEDS_CSUM | flags::DATA_VALID) == 0 && header.gso_type == gso::NONE {
            // All that remains to be said is that nobody has looked at the checksum.
            return (len <= self.max_frame).then(Notes::default);
        }
        self.offloaded_notes(header, first, len)
    }

    fn offloaded_notes(&self, header: &Header, first: usize, len: usize) -> Option<Notes> {
        // With RSC_INFO, which is never negotiated, the fields about the checksum are something else (NET-20).
        let has_fields = header.flags & (flags::NEEDS_CSUM | flags::RSC_INFO) == flags::NEEDS_CSUM;
        let checksum = if has_fields {
            let (start, offset) = (header.csum_start.get(), header.csum_offset.get());
            // In the first buffer, where all headers are (HD-NET-11).
            if !is_inside(start, offset, first) {
                return None;
            }
            Checksum::Partial { start, offset }
        } else if header.flags & (flags::NEEDS_CSUM | flags::DATA_VALID) == flags::DATA_VALID {
            Checksum::Verified
        } else {
            Checksum::Plain
        };
        let over = match header.gso_type & !gso::ECN {
            gso::NONE if header.gso_type == gso::NONE => {
                let notes = Notes { checksum, ..Notes::default() };
                return (len <= self.max_frame).then_some(notes);
            }
            gso::TCPV4 if self.features.contains(features::GUEST_TSO4) => SegmentationKind::Tcp4,
            gso::TCPV6 if self.features.contains(features::GUEST_TSO6) => SegmentationKind::Tcp6,
            // HD-NET-9: not negotiated, or nothing at all.
            _ => return None,
        };
        let has_cwr = header.gso_type & gso::ECN != 0;
        let segment_size = NonZeroU16::new(header.gso_size.get())?;
        // HD-NET-9, 10.
        let is_sound = matches!(checksum, Checksum::Partial { offset: TCP_CHECKSUM, .. })
            && usize::from(segment_size.get()) <= len
            && (!has_cwr || self.features.contains(features::GUEST_ECN));
        let segmentation = Some(Segmentation { over, segment_size, header_len: 0 });
        is_sound.then_some(Notes { checksum, segmentation, continues: false })
    }
}

/// Whether an ordinary frame can have this length.
#[inline(always)]
pub(crate) fn is_frame(len: usize, max_frame: usize) -> bool {
    // One comparison: what is too short wraps around. No unit makes a frame shorter than its header.
    len.wrapping_sub(ETHERNET_HEADER_LEN) <= max_frame - ETHERNET_HEADER_LEN
}

/// Whether a header says nothing about the checksum, segmentation, or any length; how many buffers it is does not matter.
#[inline(always)]
pub(crate) fn says_nothing(header: &[u8; HEADER_LEN]) -> bool {
    let [a, b, c, d, e, f, g, h, i, j, _, _] = *header;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h]) | u64::from(u16::from_ne_bytes([i, j])) == 0
}

/// Whether a header says nothing but that the packet is one buffer.
#[inline(always)]
pub(crate) fn is_one_buffer(header: &[u8; HEADER_LEN]) -> bool {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *header;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h]) == 0 && u32::from_le_bytes([i, j, k, l]) == 1 << 16
}

/// Whether a checksum can be there in a frame of `len` bytes: behind the Ethernet header, with both its bytes.
fn is_inside(start: u16, offset: u16, len: usize) -> bool {
    usize::from(start) >= ETHERNET_HEADER_LEN && usize::from(start) + usize::from(offset) + 2 <= len
}
