//! [`Splitter`]: a packet that came in several buffers, as frames with headers of their own.
//!
//! A device that merges receive buffers puts a packet of up to 64 KiB into as many as it takes; all but the first hold
//! bytes without headers. smoltcp wants a frame in one piece. TCP lets us make each buffer one, without moving a byte of
//! data: a segment may be cut anywhere, so each buffer gets a copy of the headers into the room in front of its data.
//!
//! ```text
//!   arrived    [Ethernet IP TCP | aaaaaaaa]   [bbbbbbbbbbbb]                  [ccccc]
//!   handed out [Ethernet IP TCP | aaaaaaaa]   [Ethernet IP TCP | bbbbbbbbbbbb]  [Ethernet IP TCP | ccccc]
//!                  sequence n                     n + 8                          n + 20, FIN and PSH if any
//! ```
//!
//! What cannot be had so cheaply is copied: data without room in front of it into frames of the device, and what is not
//! TCP (a datagram on a link with jumbo frames) into one.
//!
//! # Failure
//!
//! The whole is verified before any part is handed out, unless the device vouches for it. A packet whose end is missing,
//! whose headers make no sense or state more than there is, and what there is no frame for, is lost and counted; data
//! that is lost will be sent again.

use smoltcp::wire::TcpSeqNumber;
use toro_core::driver::net::{Burst, Checksum, Frame, Notes};

use super::checksum::{Sum, complete_ip_header, is_ip_header_right, place, pseudo_header, verify};
use super::headers::{ETHERNET, Headers, LONGEST_HEADERS, Protocol, Version};
use super::stack::Counters;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;

/// Cuts packets, one at a time. Empty between two of them.
pub(super) struct Splitter {
    /// The buffers that have not been handed out, oldest first. The very first has its headers.
    parts: Burst<Frame>,
    kind: Kind,
    headers: [u8; LONGEST_HEADERS],
    /// How long the headers are; 0 before the first packet.
    header_len: usize,
    layout: Option<Headers>,
    sequence: TcpSeqNumber,
    /// Payload bytes that have not been handed out.
    rest: usize,
    /// How many bytes of the oldest buffer have been copied out already.
    copied: usize,
    notes: Notes,
}

/// How the buffers of the packet are to be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The first buffer of a TCP segment.
    First,
    /// A later one.
    Later,
    /// Copied into one frame.
    Whole,
}

impl Splitter {
    pub(super) const fn new() -> Self {
        Self {
            parts: Burst::new(),
            kind: Kind::First,
            headers: [0; LONGEST_HEADERS],
            header_len: 0,
            layout: None,
            sequence: TcpSeqNumber(0),
            rest: 0,
            copied: 0,
            notes: Notes { checksum: Checksum::Verified, segmentation: None, continues: false },
        }
    }

    /// Takes a packet's first buffer, and the others from `burst`.
    pub(super) fn begin(&mut self, first: Frame, burst: &mut Burst<Frame>, counters: &mut Counters) {
        let notes = first.notes();
        self.parts = Burst::new();
        let (mut continues, mut total) = (true, first.len());
        let _ = self.parts.push(first);
        while continues {
            let Some(part) = burst.pop() else { break };
            continues = part.notes().continues;
            total += part.len();
            // Both bursts are of the same size, and this one was not full.
            let _ = self.parts.push(part);
        }
        counters.merged += 1;
        if continues || self.plan(notes, total).is_none() {
            self.parts = Burst::new();
            counters.merged_lost += 1;
        }
    }

    /// Decides how the packet is to be handed out; `None`: not at all.
    fn plan(&mut self, notes: Notes, total: usize) -> Option<()> {
        let first = self.parts.pop()?;
        let layout = Headers::of(&first).filter(|layout| layout.end <= total)?;
        self.kind = Kind::Whole;
        self.rest = total;
        self.copied = 0;
        self.notes = Notes { continues: false, ..notes };
        self.layout = Some(layout);
        if layout.protocol == Protocol::Tcp && first[layout.transport + 13] & (SYN | RST) == 0 {
            let len = layout.tcp_payload(&first);
            let is_right = notes.checksum != Checksum::Plain || self.is_right(&first, &layout);
            if len > LONGEST_HEADERS || !is_ip_header_right(&first, &layout) || !is_right {
                return None;
            }
            self.kind = Kind::First;
            self.header_len = len;
            self.headers[..len].copy_from_slice(&first[..len]);
            self.sequence = sequence(&first[layout.transport..]);
            self.rest = layout.end - len;
            self.notes.checksum = Checksum::Verified;
        }
        self.parts.unpop(first).ok()
    }

    /// Whether the TCP checksum over all buffers is right. They are back in order afterwards.
    fn is_right(&mut self, first: &Frame, layout: &Headers) -> bool {
        let mut rest = layout.end - layout.transport;
        let mut sum = pseudo_header(first, layout, rest);
        let mut at = 0;
        let mut add = |bytes: &[u8]| {
            let bytes = &bytes[..bytes.len().min(rest)];
            sum = if at % 2 == 0 { sum.add(bytes) } else { sum.add_odd(Sum::default().add(bytes)) };
            at += bytes.len();
            rest -= bytes.len();
        };
        add(&first[layout.transport..]);
        for _ in 0..self.parts.len() {
            let Some(part) = self.parts.pop() else { break };
            add(&part);
            let _ = self.parts.push(part);
        }
        sum.is_right()
    }

    /// Hands the next frame out; `None` between packets. `frame` gives frames to copy into, where that has to be; none
    /// longer than `max_frame` is needed.
    pub(super) fn next(
        &mut self,
        counters: &mut Counters,
        frame: impl FnMut(usize) -> Option<Frame>,
        max_frame: usize,
    ) -> Option<Frame> {
        if self.parts.is_empty() {
            return None;
        }
        let next = match self.kind {
            Kind::Whole => self.whole(frame, max_frame),
            Kind::First => match self.first() {
                // Headers alone would be one acknowledgement too many.
                Some(headers) if headers.len() == self.header_len && self.rest > 0 => self.later(frame, max_frame),
                first => first,
            },
            Kind::Later => self.later(frame, max_frame),
        };
        if next.is_none() && self.rest > 0 {
            counters.merged_lost += 1;
        }
        if next.is_none() || self.rest == 0 {
            self.parts = Burst::new();
        }
        next
    }

    /// The first buffer, which has the headers already.
    fn first(&mut self) -> Option<Frame> {
        self.kind = Kind::Later;
        let mut part = self.parts.pop()?;
        let payload = (part.len() - self.header_len).min(self.rest);
        part.set_len(self.header_len + payload).ok()?;
        self.rest -= payload;
        self.describe(&mut part, payload);
        Some(part)
    }

    /// A later buffer, or as much of it as fits a frame.
    fn later(&mut self, mut frame: impl FnMut(usize) -> Option<Frame>, max_frame: usize) -> Option<Frame> {
        let mut part = loop {
            let part = self.parts.pop()?;
            // The device may have put nothing into it.
            if !part.is_empty() {
                break part;
            }
        };
        let payload = (part.len() - self.copied).min(self.rest);
        if self.copied == 0 && part.push_front(self.header_len).is_ok() {
            part.set_len(self.header_len + payload).ok()?;
            part[..self.header_len].copy_from_slice(&self.headers[..self.header_len]);
            self.rest -= payload;
            self.describe(&mut part, payload);
            return Some(part);
        }
        let payload = payload.min(max_frame - self.header_len);
        let mut copy = frame(self.header_len + payload)?;
        copy.set_len(self.header_len + payload).ok()?;
        copy[..self.header_len].copy_from_slice(&self.headers[..self.header_len]);
        copy[self.header_len..].copy_from_slice(&part[self.copied..self.copied + payload]);
        self.rest -= payload;
        self.copied += payload;
        if self.copied < part.len() {
            self.parts.unpop(part).ok()?;
        } else {
            self.copied = 0;
        }
        self.describe(&mut copy, payload);
        Some(copy)
    }

    /// All of them in one frame.
    fn whole(&mut self, mut frame: impl FnMut(usize) -> Option<Frame>, max_frame: usize) -> Option<Frame> {
        if self.rest > max_frame {
            return None;
        }
        let mut whole = frame(self.rest)?;
        whole.set_len(self.rest).ok()?;
        let mut at = 0;
        while let Some(part) = self.parts.pop() {
            whole[at..at + part.len()].copy_from_slice(&part);
            at += part.len();
        }
        if self.layout.is_some_and(|layout| !verify(&whole, &layout, self.notes.checksum)) {
            return None;
        }
        self.rest = 0;
        self.notes.checksum = Checksum::Verified;
        whole.set_notes(self.notes);
        Some(whole)
    }

    /// Makes the headers of a frame say what is in it: `payload` bytes, which `self.rest` follow.
    fn describe(&mut self, part: &mut Frame, payload: usize) {
        let Some(layout) = self.layout else { return };
        let at = layout.transport;
        part[at + 4..at + 8].copy_from_slice(&self.sequence.0.to_be_bytes());
        if self.rest > 0 {
            part[at + 13] &= !(FIN | PSH);
        }
        if let Some(place) = place(layout.protocol) {
            part[at + place..at + place + 2].fill(0);
        }
        let end = self.header_len + payload;
        match layout.version {
            Version::V4 => {
                part[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&((end - ETHERNET) as u16).to_be_bytes());
                complete_ip_header(part, &layout);
            }
            Version::V6 => {
                part[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&((end - ETHERNET - 40) as u16).to_be_bytes());
            }
        }
        self.sequence += payload;
        part.set_notes(self.notes);
    }
}

fn sequence(tcp: &[u8]) -> TcpSeqNumber {
    TcpSeqNumber(i32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use smoltcp::wire::{IpAddress, Ipv4Packet, Ipv6Packet, TcpPacket};

    use super::*;
    use crate::net::testing::frame;

    const MAX_FRAME: usize = 1514;

    /// A TCP segment in one frame, with right checksums.
    fn segment(version: Version, payload: &[u8], flags: u8) -> Vec<u8> {
        let ip = if version == Version::V4 { 20 } else { 40 };
        let mut bytes = vec![0; 14 + ip];
        let len = (24 + payload.len()) as u16;
        if version == Version::V4 {
            bytes[12] = 8;
            bytes[14] = 0x45;
            bytes[16..18].copy_from_slice(&(len + 20).to_be_bytes());
            bytes[23] = 6;
            bytes[26..34].copy_from_slice(&[10, 0, 2, 2, 10, 0, 2, 15]);
            Ipv4Packet::new_unchecked(&mut bytes[14..]).fill_checksum();
        } else {
            bytes[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
            bytes[18..20].copy_from_slice(&len.to_be_bytes());
            bytes[20] = 6;
            (bytes[37], bytes[53]) = (1, 2);
        }
        let mut tcp = vec![0; 24];
        tcp[..4].copy_from_slice(&[0x13, 0x88, 0, 80]);
        tcp[4..8].copy_from_slice(&0xffff_ff00_u32.to_be_bytes());
        tcp[12] = 6 << 4;
        tcp[13] = flags;
        tcp[20..].fill(1);
        bytes.extend_from_slice(&tcp);
        bytes.extend_from_slice(payload);
        let (source, destination) = ends(&bytes);
        TcpPacket::new_unchecked(&mut bytes[14 + ip..]).fill_checksum(&source, &destination);
        bytes
    }

    fn ends(bytes: &[u8]) -> (IpAddress, IpAddress) {
        if bytes[12] == 8 {
            let ip = Ipv4Packet::new_unchecked(&bytes[14..]);
            (ip.src_addr().into(), ip.dst_addr().into())
        } else {
            let ip = Ipv6Packet::new_unchecked(&bytes[14..]);
            (ip.src_addr().into(), ip.dst_addr().into())
        }
    }

    /// Cuts `bytes` into buffers and hands them in; answers what comes out and what was counted.
    fn split(bytes: &[u8], sizes: &[usize], headroom: usize, notes: Notes) -> (Vec<Vec<u8>>, Counters) {
        let mut parts = Vec::new();
        let mut rest = bytes;
        for &size in sizes.iter().take(60) {
            let (part, others) = rest.split_at(size.min(rest.len()));
            parts.push(part);
            rest = others;
        }
        parts.push(rest);
        let mut burst = Burst::new();
        for (at, part) in parts.iter().enumerate() {
            let notes = if at == 0 { notes } else { Notes::default() };
            let part = frame(part, headroom, Notes { continues: at + 1 < parts.len(), ..notes });
            burst.push(part).expect("they are no more than 61");
        }
        let (mut splitter, mut counters) = (Splitter::new(), Counters::default());
        let first = burst.pop().expect("there is one");
        splitter.begin(first, &mut burst, &mut counters);
        assert!(burst.is_empty(), "what belongs together is taken together");
        let mut out = Vec::new();
        while let Some(part) =
            splitter.next(&mut counters, |len| Some(frame(&vec![0xee; len], 16, Notes::default())), MAX_FRAME)
        {
            assert!(out.len() < 1000, "without end");
            out.push(part.to_vec());
        }
        (out, counters)
    }

    /// What the parts say when they are put together again.
    fn joined(parts: &[Vec<u8>], version: Version) -> (Vec<u8>, Vec<u8>) {
        let (mut payload, mut flags) = (Vec::new(), Vec::new());
        for part in parts {
            let headers = Headers::of(part).expect("each part is a frame");
            assert_eq!((headers.version, headers.protocol, headers.end), (version, Protocol::Tcp, part.len()));
            assert!(is_ip_header_right(part, &headers));
            let at = sequence(&part[headers.transport..]);
            assert_eq!(at, TcpSeqNumber(0xffff_ff00_u32 as i32) + payload.len());
            flags.push(part[headers.transport + 13]);
            payload.extend_from_slice(&part[headers.tcp_payload(part)..]);
        }
        (payload, flags)
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(
            len in 0..9000_usize,
            sizes in prop::collection::vec(0..2500_usize, 0..12),
            headroom in prop_oneof![Just(0_usize), Just(80), Just(200)],
            version in prop_oneof![Just(Version::V4), Just(Version::V6)],
            first in 78..400_usize,
        ) {
            let payload: Vec<u8> = (0..len).map(|i| (i ^ (i >> 8)) as u8).collect();
            let bytes = segment(version, &payload, FIN | PSH | 16);
            let sizes: Vec<usize> = core::iter::once(first).chain(sizes).collect();
            let (parts, counters) = split(&bytes, &sizes, headroom, Notes::default());
            let (found, flags) = joined(&parts, version);
            prop_assert!(found == payload);
            prop_assert_eq!(counters.merged_lost, 0);
            let (last, others) = flags.split_last().expect("there is one part at least");
            prop_assert_eq!(*last, FIN | PSH | 16);
            prop_assert!(others.iter().all(|&flags| flags == 16), "the end comes last: {:?}", flags);
        }

        #[test]
        fn hd_net_a_merged_packet_that_lies_is_lost_without_harm(
            len in 0..3000_usize,
            sizes in prop::collection::vec(0..1500_usize, 0..5),
            changes in prop::collection::vec((0..90_usize, any::<u8>()), 0..4),
            vouched in any::<bool>(),
        ) {
            let mut bytes = segment(Version::V4, &vec![7; len], 16);
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let checksum = if vouched { Checksum::Verified } else { Checksum::Plain };
            let (parts, _) = split(&bytes, &sizes, 80, Notes { checksum, ..Notes::default() });
            let total: usize = parts.iter().map(|part| part.len()).sum();
            prop_assert!(total <= bytes.len() + parts.len() * LONGEST_HEADERS);
        }
    }

    #[test]
    fn a_flipped_bit_in_any_buffer_loses_the_packet() {
        for at in [60, 100, 150, 299] {
            let mut bytes = segment(Version::V4, &[1; 242], 16);
            assert_eq!(bytes.len(), 300);
            bytes[at] ^= 1;
            let (parts, counters) = split(&bytes, &[101, 99], 80, Notes::default());
            assert_eq!((parts.len(), counters.merged_lost), (0, 1), "byte {at}");
            let (parts, _) = split(&bytes, &[101, 99], 80, Notes { checksum: Checksum::Verified, ..Notes::default() });
            assert_eq!(parts.len(), 3, "the device vouches for it");
        }
    }

    #[test]
    fn hd_net_a_packet_without_an_end_or_with_too_little_in_it_is_lost() {
        let bytes = segment(Version::V4, &[1; 242], 16);
        let (mut splitter, mut counters) = (Splitter::new(), Counters::default());
        let alone = frame(&bytes, 80, Notes { continues: true, ..Notes::default() });
        splitter.begin(alone, &mut Burst::new(), &mut counters);
        assert!(splitter.next(&mut counters, |_| None, MAX_FRAME).is_none());
        assert_eq!((counters.merged, counters.merged_lost), (1, 1));
        let verified = Notes { checksum: Checksum::Verified, ..Notes::default() };
        let (parts, counters) = split(&bytes[..299], &[100, 100], 80, verified);
        assert_eq!((parts.len(), counters.merged_lost), (0, 1));
        // What follows the packet is padding.
        let padded = [&bytes[..], &[0; 40]].concat();
        let (parts, _) = split(&padded, &[100, 100, 110], 80, Notes::default());
        assert_eq!(joined(&parts, Version::V4).0, [1; 242]);
    }
}
