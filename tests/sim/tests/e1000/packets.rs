//! TCP and UDP packets as a stack writes them, and whether those that went out are right.

use std::num::NonZeroU16;

use toro_core::driver::net::{Checksum, Notes, Segmentation, SegmentationKind};

use crate::rig::{MAC, PEER};

/// What carries a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Ipv4,
    Ipv6,
    /// With an extension header of so many bytes.
    Ipv6Extended(usize),
}

impl Over {
    /// Where the segment starts.
    pub fn start(self) -> usize {
        match self {
            Self::Ipv4 => 34,
            Self::Ipv6 => 54,
            Self::Ipv6Extended(len) => 54 + len,
        }
    }
}

fn sum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for (index, byte) in pieces.concat().iter().enumerate() {
        sum += u32::from(*byte) << if index % 2 == 0 { 8 } else { 0 };
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The pseudo header of a frame whose segment is `len` bytes long.
fn pseudo(frame: &[u8], protocol: u8, len: usize) -> Vec<u8> {
    let addresses = if frame[12..14] == [8, 0] { &frame[26..34] } else { &frame[22..54] };
    [addresses, &(len as u32).to_be_bytes(), &[0, protocol]].concat()
}

/// A frame and what is to be noted about it: `payload` behind a header of `protocol`, whose checksum is left to the device.
pub fn partial(over: Over, protocol: u8, payload: &[u8]) -> (Vec<u8>, Notes) {
    let (header, offset) = if protocol == 6 { (20, 16) } else { (8, 6) };
    let start = over.start();
    let len = header + payload.len();
    let mut frame = [&PEER[..], &MAC].concat();
    match over {
        Over::Ipv4 => {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend(((20 + len) as u16).to_be_bytes());
            frame.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]);
            let checksum = !sum(&[&frame[14..34]]);
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        }
        Over::Ipv6 | Over::Ipv6Extended(_) => {
            let extension = start - 54;
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(((extension + len) as u16).to_be_bytes());
            frame.extend([if extension == 0 { protocol } else { 60 }, 64]);
            frame.extend([0xfd; 15]);
            frame.extend([1; 1]);
            frame.extend([0xfe; 15]);
            frame.extend([2; 1]);
            if extension > 0 {
                // Destination options: one that pads.
                frame.extend([protocol, (extension / 8 - 1) as u8, 1, (extension - 4) as u8]);
                frame.resize(start, 0);
            }
        }
    }
    if protocol == 6 {
        frame.extend([0x1f, 0x90, 0xc0, 0x01, 0xff, 0xff, 0xff, 0x00, 0, 0, 0, 9, 0x50, 0x19, 0x20, 0, 0, 0, 0, 0]);
    } else {
        frame.extend([0x1f, 0x90, 0xc0, 0x01]);
        frame.extend((len as u16).to_be_bytes());
        frame.extend([0, 0]);
    }
    let seed = sum(&[&pseudo(&frame, protocol, len)]);
    let field = start + offset;
    frame[field..field + 2].copy_from_slice(&seed.to_be_bytes());
    frame.extend(payload);
    let checksum = Checksum::Partial { start: start as u16, offset: offset as u16 };
    (frame, Notes { checksum, ..Notes::default() })
}

/// A TCP segment that is to be cut.
pub fn long(over: Over, payload: &[u8], segment_size: u16) -> (Vec<u8>, Notes) {
    let (frame, notes) = partial(over, 6, payload);
    let segmentation = Segmentation {
        over: if over == Over::Ipv4 { SegmentationKind::Tcp4 } else { SegmentationKind::Tcp6 },
        segment_size: NonZeroU16::new(segment_size).expect("not zero"),
        header_len: over.start() as u16 + 20,
    };
    (frame, Notes { segmentation: Some(segmentation), ..notes })
}

/// Checks lengths and sums of a frame that went out, and gives its payload.
#[track_caller]
pub fn payload(frame: &[u8], over: Over, protocol: u8) -> Vec<u8> {
    let start = over.start();
    let field = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let end = match over {
        Over::Ipv4 => {
            assert_eq!(sum(&[&frame[14..34]]), 0xffff, "the sum of the IP header");
            14 + field(16)
        }
        _ => 54 + field(18),
    };
    assert!(end == frame.len() || frame.len() == 60, "the packet ends at {end} of {}", frame.len());
    let segment = &frame[start..end];
    assert_eq!(sum(&[&pseudo(frame, protocol, segment.len()), segment]), 0xffff, "the sum of the segment");
    segment[if protocol == 6 { 20 } else { 8 }..].to_vec()
}

/// Bytes that differ from their neighbours.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 7 + index / 251) as u8).collect()
}
