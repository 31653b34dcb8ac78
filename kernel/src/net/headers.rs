//! [`Headers`]: where the parts of an Ethernet frame lie, for code that works on frames as bytes.
//!
//! ```text
//!   0          14 = IP           transport                      end      len
//!   | Ethernet | IPv4 or IPv6 .. | TCP, UDP, ICMP: headers, data | padding |
//! ```
//!
//! smoltcp reads headers into values of its own. What has to *change* a frame (checksums, the cutting of merged
//! packets, the MSS option) needs places, and the same ones for IPv4 and IPv6.
//!
//! # Failure
//!
//! Nothing is believed: whoever uses `end` compares it with the frame's length first, because the first buffer of a
//! merged packet states the length of the whole. All other places lie in the frame. Fragments are told apart, since
//! what follows their IP header need not be a transport header.

use toro_core::driver::net::SegmentationKind;

/// Length of an Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// Lengths of an IPv4 header without options, and of an IPv6 header without extensions.
pub(super) const IPV4: usize = 20;
pub(super) const IPV6: usize = 40;
/// Length of a TCP header without options.
pub(super) const TCP: usize = 20;
/// Length of a UDP header.
pub(super) const UDP: usize = 8;

/// The longest headers of a TCP segment: with all options that IPv4 and TCP have room for.
pub(super) const LONGEST_HEADERS: usize = ETHERNET + 60 + 60;

/// Which version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Version {
    /// What TCP over it is called where it is cut.
    pub(super) const fn segmentation(self) -> SegmentationKind {
        match self {
            Self::V4 => SegmentationKind::Tcp4,
            Self::V6 => SegmentationKind::Tcp6,
        }
    }

    /// The longest TCP payload in a frame of this length, without options.
    pub(super) const fn segment_size(self, frame: usize) -> usize {
        let ip = match self {
            Self::V4 => IPV4,
            Self::V6 => IPV6,
        };
        frame.saturating_sub(ETHERNET + ip + TCP)
    }
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// A TCP segment, or the beginning of one: the header up to its own stated length is in the frame.
    Tcp,
    /// A UDP datagram, or the beginning of one: the header is in the frame.
    Udp,
    /// ICMP for IPv6.
    Icmpv6,
    /// A part of a packet.
    Fragment,
    /// Anything else.
    Other,
}

/// Where the parts of a frame lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) version: Version,
    pub(super) protocol: Protocol,
    /// Where the transport header begins.
    pub(super) transport: usize,
    /// Where the packet ends according to its IP header; not before `transport`.
    pub(super) end: usize,
}

impl Headers {
    /// Reads them; `None` for what is no IP packet, or a malformed one.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        match frame.get(12..ETHERNET)? {
            [0x08, 0x00] => Self::of_ipv4(frame),
            [0x86, 0xdd] => Self::of_ipv6(frame),
            _ => None,
        }
    }

    fn of_ipv4(frame: &[u8]) -> Option<Self> {
        let ip = frame.get(ETHERNET..)?.first_chunk::<IPV4>()?;
        let len = usize::from(ip[0] & 0xf) * 4;
        let end = ETHERNET + usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let transport = ETHERNET + len;
        if ip[0] >> 4 != 4 || len < IPV4 || end < transport || transport > frame.len() {
            return None;
        }
        // All but "don't fragment": "more fragments" and the offset.
        let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
        let protocol = if fragment { Protocol::Fragment } else { transport_protocol(ip[9]) };
        Self { version: Version::V4, protocol, transport, end }.checked(frame)
    }

    fn of_ipv6(frame: &[u8]) -> Option<Self> {
        let ip = frame.get(ETHERNET..)?.first_chunk::<IPV6>()?;
        let end = ETHERNET + IPV6 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
        let (mut next, mut transport) = (ip[6], ETHERNET + IPV6);
        if ip[0] >> 4 != 6 {
            return None;
        }
        // Hop-by-hop and destination options (RFC 8200 §4.3, §4.6). Ends: each takes eight bytes of the frame at least.
        while let 0 | 60 = next {
            let [following, len] = *frame.get(transport..)?.first_chunk::<2>()?;
            transport += (usize::from(len) + 1) * 8;
            next = following;
        }
        if end < transport || transport > frame.len() {
            return None;
        }
        let protocol = if next == 44 { Protocol::Fragment } else { transport_protocol(next) };
        Self { version: Version::V6, protocol, transport, end }.checked(frame)
    }

    /// Checks that the transport header is in the frame and in the packet.
    fn checked(self, frame: &[u8]) -> Option<Self> {
        let rest = &frame[self.transport..];
        let header = match self.protocol {
            Protocol::Tcp => {
                let len = usize::from(rest.get(12)? >> 4) * 4;
                if len < TCP {
                    return None;
                }
                len
            }
            Protocol::Udp => UDP,
            Protocol::Icmpv6 | Protocol::Fragment | Protocol::Other => 0,
        };
        (header <= rest.len() && header <= self.end - self.transport).then_some(self)
    }

    /// Where the payload of a TCP segment begins. Only for frames in which these headers were found.
    pub(super) fn tcp_payload(&self, frame: &[u8]) -> usize {
        self.transport + usize::from(frame[self.transport + 12] >> 4) * 4
    }

    /// The addresses, source and destination, as bytes.
    pub(super) fn addresses<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        match self.version {
            Version::V4 => &frame[ETHERNET + 12..ETHERNET + IPV4],
            Version::V6 => &frame[ETHERNET + 8..ETHERNET + IPV6],
        }
    }
}

fn transport_protocol(number: u8) -> Protocol {
    match number {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        58 => Protocol::Icmpv6,
        _ => Protocol::Other,
    }
}

/// Makes the MSS option of a SYN say no more than `limit`; answers what it says then, if there is one
/// (RFC 9293 §3.2). `tcp` begins with the TCP header, which is complete.
pub(super) fn clamp_mss(tcp: &mut [u8], limit: u16) -> Option<u16> {
    let len = usize::from(tcp.get(12)? >> 4) * 4;
    let mut at = TCP;
    while at < len {
        match *tcp.get(at..len)? {
            [0, ..] => return None,
            [1, ..] => at += 1,
            [2, 4, high, low, ..] => {
                let size = u16::from_be_bytes([high, low]).min(limit);
                tcp[at + 2..at + 4].copy_from_slice(&size.to_be_bytes());
                return Some(size);
            }
            [_, len, ..] if len >= 2 => at += usize::from(len),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// A frame with a TCP header and five bytes of payload.
    fn ipv4(options: &[u8]) -> Vec<u8> {
        let tcp = TCP + options.len();
        let mut frame = vec![0; ETHERNET + IPV4 + tcp + 5];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[17] = (IPV4 + tcp + 5) as u8;
        frame[23] = 6;
        frame[34 + 12] = ((tcp / 4) << 4) as u8;
        frame[54..54 + options.len()].copy_from_slice(options);
        frame
    }

    #[test]
    fn the_parts_of_an_ipv4_frame_are_found() {
        let frame = ipv4(&[2, 4, 5, 180]);
        let headers = Headers::of(&frame).expect("it is one");
        assert_eq!((headers.version, headers.protocol), (Version::V4, Protocol::Tcp));
        assert_eq!((headers.transport, headers.tcp_payload(&frame), headers.end), (34, 58, 63));
    }

    #[test]
    fn extension_headers_are_walked_over() {
        let mut frame = vec![0; ETHERNET + IPV6 + 8 + 16 + UDP];
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[19] = 8 + 16 + UDP as u8;
        frame[54..56].copy_from_slice(&[60, 0]);
        frame[62..64].copy_from_slice(&[17, 1]);
        let headers = Headers::of(&frame).expect("it is one");
        assert_eq!((headers.version, headers.protocol), (Version::V6, Protocol::Udp));
        assert_eq!((headers.transport, headers.end), (78, 86));
        frame[63] = 200;
        assert_eq!(Headers::of(&frame), None);
    }

    #[test]
    fn what_is_too_short_or_says_so_is_nothing() {
        let frame = ipv4(&[]);
        for len in 0..54 {
            assert_eq!(Headers::of(&frame[..len]), None, "{len} bytes");
        }
        for (at, value) in [(14, 0x44), (14, 0x55), (14, 0x4f), (17, 19), (17, 39), (34 + 12, 0x40), (34 + 12, 0xf0)] {
            let mut bad = frame.clone();
            bad[at] = value;
            assert_eq!(Headers::of(&bad), None, "byte {at}");
        }
    }

    #[test]
    fn fragments_are_told_apart() {
        for (at, value) in [(20, 0x20), (21, 1)] {
            let mut frame = ipv4(&[]);
            frame[at] = value;
            assert_eq!(Headers::of(&frame).map(|headers| headers.protocol), Some(Protocol::Fragment));
        }
    }

    #[test]
    fn an_mss_option_is_made_smaller_and_never_larger() {
        for (options, limit, expected) in [
            (&[2, 4, 0x23, 0x00][..], 1460, Some(1460)),
            (&[1, 1, 2, 4, 2, 24, 1, 1], 1460, Some(536)),
            (&[3, 3, 7, 1], 1460, None),
            (&[0, 0, 0, 0], 1460, None),
            (&[5, 0, 0, 0], 1460, None),
            (&[5, 200, 0, 0], 1460, None),
            (&[1, 1, 2, 4], 1460, None),
        ] {
            let mut frame = ipv4(options);
            assert_eq!(clamp_mss(&mut frame[34..], limit), expected, "{options:?}");
        }
    }
}
