//! [`Offload`]: what a written frame still lacks, and who adds it.
//!
//! smoltcp leaves the checksums of TCP and UDP zero, and writes TCP segments longer than the link's where the device
//! can cut them. Between smoltcp and the device each frame comes by here, once:
//!
//! ```text
//!   as smoltcp wrote it --> headers --+-- checksum: the device sums (`Partial`), or it is completed here
//!                                     +-- longer than a segment: `Segmentation` with the connection's segment size
//!                                     +-- SYN: the MSS option says what fits the link
//!                                     +-- what it said, for those who keep account: `Said`
//! ```
//!
//! # Segments over IPv6
//!
//! smoltcp 0.14 drops packets of IPv6 that are longer than the MTU, and does not say a segment size with them. So where
//! the device cuts TCP over IPv6, smoltcp is told the MTU of the longest frame, and the link's own MTU is kept by what
//! connections agree on instead: the MSS that we state is lowered here, the one that peers state is lowered before
//! smoltcp sees it ([`clamp_mss`]). Only TCP can fill an MTU: datagrams are limited where they are sent, and answers to
//! pings are as long as the pings. The segment size is the connection's, which knows what its peer has stated.
//!
//! # Windows
//!
//! smoltcp rounds a window down to what the scale can say, anew with each acknowledgement, and accepts nothing beyond what
//! it said last. The end of the window so moves back by a few bytes now and then (RFC 9293 §3.8.6 says that it should
//! not), and what a peer has sent up to the former end is cut off and missed. What is stated here is therefore one unit
//! less than what smoltcp will accept.
//!
//! # Failure
//!
//! A frame that is too long and not TCP, or of a connection without a segment size, is not sent. There should be none.

use core::num::NonZeroU16;

use smoltcp::phy::{Checksum as SmolChecksum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::wire::TcpSeqNumber;
use toro_core::driver::net::{Checksum, Frame, NetLimits, Notes, Segmentation};

use super::checksum::{complete, prepare};
use super::headers::{ETHERNET, Headers, Protocol, Version, clamp_mss};
use super::segmentation;

/// Shortest and longest Ethernet frame that the stack works with where no device cuts it: the least that every IPv4
/// link carries, and a jumbo frame.
const FRAME_RANGE: (usize, usize) = (576 + ETHERNET, 9216 + ETHERNET);
/// The longest frame that can be cut: the IP header states its length in 16 bits.
const LONGEST: usize = 65_535 + ETHERNET;

/// What a transmitted TCP segment said about the state of its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// The sequence number after the segment.
    pub(super) next: TcpSeqNumber,
    /// What it acknowledged.
    pub(super) acknowledged: TcpSeqNumber,
}

/// What a written frame said that somebody keeps account of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// Where its TCP connection is.
    Tcp(Sent),
    /// A question for a neighbour's hardware address.
    WhoHas,
    /// Nothing of the kind.
    Nothing,
}

/// A frame is too long for the link, and nobody can cut it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsendable;

/// Who completes checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sums {
    Device,
    Here,
}

/// What the device does of the work, as far as it is made use of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offload {
    sums: Sums,
    max_frame: usize,
    /// The longest frames that the device cuts; 0: none.
    max_tcp4: usize,
    max_tcp6: usize,
}

impl Offload {
    pub(super) fn new(limits: NetLimits) -> Self {
        let max_frame = limits.max_frame.clamp(FRAME_RANGE.0, FRAME_RANGE.1);
        let offloads = limits.offloads;
        // A device that cuts has to complete the checksum of each piece.
        let is_useful = |max: usize| segmentation::IS_THERE && offloads.checksum && max > max_frame;
        let useful = |max: usize| if is_useful(max) { max.min(LONGEST) } else { 0 };
        Self {
            sums: if offloads.checksum { Sums::Device } else { Sums::Here },
            max_frame,
            max_tcp4: useful(offloads.max_tcp4),
            max_tcp6: useful(offloads.max_tcp6),
        }
    }

    /// The longest frame on the link.
    pub(super) fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// The longest frame that the device takes, to cut it or not.
    pub(super) fn longest(&self) -> usize {
        self.max_frame.max(self.max_tcp4).max(self.max_tcp6)
    }

    /// The longest TCP payload that fits the link.
    pub(super) fn segment_size(&self, version: Version) -> u16 {
        version.segment_size(self.max_frame) as u16
    }

    /// What smoltcp is told.
    pub(super) fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = if self.max_tcp6 > 0 { LONGEST } else { self.max_frame };
        capabilities.checksum = checksums();
        segmentation::allow(&mut capabilities, self.max_tcp4, self.max_tcp6);
        capabilities
    }

    /// Gives a written frame what it lacks. `segment_size` is that of the connection whose segment it may be.
    pub(super) fn finish(&self, frame: &mut Frame, segment_size: Option<NonZeroU16>) -> Result<Said, Unsendable> {
        let Some(headers) = Headers::of(frame) else {
            let is_request = matches!(frame.get(12..22), Some([8, 6, .., 0, 1]));
            return self.if_short(frame, if is_request { Said::WhoHas } else { Said::Nothing });
        };
        match headers.protocol {
            Protocol::Tcp => self.finish_tcp(frame, &headers, segment_size),
            Protocol::Udp => {
                let checksum = self.sum(frame, &headers);
                frame.set_notes(Notes { checksum, ..Notes::default() });
                self.if_short(frame, Said::Nothing)
            }
            // A neighbour solicitation (RFC 4861 §4.3).
            Protocol::Icmpv6 if frame.get(headers.transport) == Some(&135) => self.if_short(frame, Said::WhoHas),
            Protocol::Icmpv6 | Protocol::Fragment | Protocol::Other => self.if_short(frame, Said::Nothing),
        }
    }

    fn finish_tcp(
        &self,
        frame: &mut Frame,
        headers: &Headers,
        segment_size: Option<NonZeroU16>,
    ) -> Result<Said, Unsendable> {
        const FIN: u8 = 1;
        const SYN: u8 = 2;
        const RST: u8 = 4;
        const ACK: u8 = 16;
        let payload_at = headers.tcp_payload(frame);
        let tcp = &mut frame[headers.transport..];
        let flags = tcp[13];
        if flags & SYN != 0 {
            clamp_mss(tcp, self.segment_size(headers.version));
        }
        if flags & (SYN | RST) == 0 {
            let window = u16::from_be_bytes([tcp[14], tcp[15]]).saturating_sub(1);
            tcp[14..16].copy_from_slice(&window.to_be_bytes());
        }
        let number = |at: usize| TcpSeqNumber(i32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]));
        let (sequence, acknowledged) = (number(4), number(8));
        let payload = headers.end - payload_at;
        let said = if flags & ACK != 0 && flags & RST == 0 {
            let flagged = usize::from(flags & SYN != 0) + usize::from(flags & FIN != 0);
            Said::Tcp(Sent { next: sequence + payload + flagged, acknowledged })
        } else {
            Said::Nothing
        };
        let checksum = self.sum(frame, headers);
        let cuts = match headers.version {
            Version::V4 => self.max_tcp4,
            Version::V6 => self.max_tcp6,
        };
        let is_long = |size: &NonZeroU16| payload > usize::from(size.get());
        let segmentation = segment_size.filter(|_| cuts > 0).filter(is_long).map(|segment_size| {
            let over = headers.version.segmentation();
            // Headers are shorter than 200 bytes.
            Segmentation { over, segment_size, header_len: payload_at as u16 }
        });
        frame.set_notes(Notes { checksum, segmentation, continues: false });
        let longest = if segmentation.is_some() { cuts } else { self.max_frame };
        if frame.len() <= longest { Ok(said) } else { Err(Unsendable) }
    }

    fn sum(&self, frame: &mut [u8], headers: &Headers) -> Checksum {
        match self.sums {
            Sums::Device => prepare(frame, headers),
            Sums::Here => {
                complete(frame, headers);
                Checksum::Plain
            }
        }
    }

    fn if_short(&self, frame: &[u8], said: Said) -> Result<Said, Unsendable> {
        if frame.len() <= self.max_frame { Ok(said) } else { Err(Unsendable) }
    }
}

/// Which checksums smoltcp computes and verifies: those of ICMP, and those of the IPv4 headers that it writes (also of
/// the ones that ICMP quotes).
pub(super) fn checksums() -> ChecksumCapabilities {
    let mut checksums = ChecksumCapabilities::default();
    checksums.ipv4 = SmolChecksum::Tx;
    checksums.tcp = SmolChecksum::None;
    checksums.udp = SmolChecksum::None;
    checksums
}
