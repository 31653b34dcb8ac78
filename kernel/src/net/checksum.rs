//! Internet checksums (RFC 1071), of received and of transmitted frames.
//!
//! Transport checksums are not smoltcp's business here, in neither direction, because devices do that work in two of
//! three cases and smoltcp can only be told so for all frames at once:
//!
//! ```text
//!   received     Verified, Partial   trusted: the device has looked, or the bytes never were on a wire
//!                Plain               `verify`, before anybody else sees the frame
//!   transmitted  device sums         `prepare`: the field gets the pseudo header's sum
//!                it does not         `complete`: the field gets the checksum
//! ```
//!
//! The header of IPv4 has a checksum of its own, which is always looked at. ICMP is smoltcp's.
//!
//! # Speed
//!
//! The sum is taken eight bytes at a time, in the machine's byte order (RFC 1071 §2 B: the order does not matter until
//! the end), with the carry of each addition going into the next: one instruction for eight bytes.

use toro_core::driver::net::Checksum;

use super::headers::{ETHERNET, Headers, Protocol, Version};

/// A sum on its way: in the machine's byte order, with end-around carry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds bytes that begin at an even place of what is summed.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let mut sum = self.0;
        let (blocks, rest) = bytes.as_chunks::<64>();
        for block in blocks {
            sum = chain(sum, block.as_chunks::<8>().0);
        }
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            sum = around(sum, u64::from_ne_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            sum = around(sum, u64::from_ne_bytes(last));
        }
        Self(sum)
    }

    /// Adds a 16-bit number.
    pub(super) fn add_number(self, number: u16) -> Self {
        Self(around(self.0, u64::from(number.to_be())))
    }

    /// Adds the sum of bytes that begin at an odd place.
    pub(super) fn add_odd(self, other: Self) -> Self {
        self.add_number(other.folded().swap_bytes())
    }

    /// The sum as a number of 16 bits.
    pub(super) fn folded(self) -> u16 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        u16::from_be(sum as u16)
    }

    /// Whether it is the sum of bytes that contain their own checksum, unharmed.
    pub(super) fn is_right(self) -> bool {
        self.folded() == 0xffff
    }
}

/// Adds with end-around carry.
fn around(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    // No overflow: a sum that has overflowed is at most the largest number less one.
    sum + u64::from(carry)
}

/// Adds eight words, the carry of each into the next.
#[inline(always)]
fn chain(sum: u64, words: &[[u8; 8]]) -> u64 {
    let (mut sum, mut carry) = (sum, false);
    for word in words {
        (sum, carry) = sum.carrying_add(u64::from_ne_bytes(*word), carry);
    }
    around(sum, u64::from(carry))
}

/// The sum of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1) for a transport packet of this length.
pub(super) fn pseudo_header(frame: &[u8], headers: &Headers, len: usize) -> Sum {
    let protocol = if headers.protocol == Protocol::Udp { 17 } else { 6 };
    // No transport packet in one IP packet is longer than 65,535 bytes.
    Sum::default().add(headers.addresses(frame)).add_number(protocol).add_number(len as u16)
}

/// Where the checksum is, from the transport header; `None` for protocols whose checksums are not ours.
pub(super) const fn place(protocol: Protocol) -> Option<usize> {
    match protocol {
        Protocol::Tcp => Some(16),
        Protocol::Udp => Some(6),
        Protocol::Icmpv6 | Protocol::Fragment | Protocol::Other => None,
    }
}

/// Whether a received frame's checksums allow that somebody believes it. `state` is what its device says.
pub(super) fn verify(frame: &[u8], headers: &Headers, state: Checksum) -> bool {
    if headers.end > frame.len() || !is_ip_header_right(frame, headers) {
        return false;
    }
    let Some(place) = place(headers.protocol) else { return true };
    let packet = &frame[headers.transport..headers.end];
    if let Checksum::Partial { .. } = state {
        return true;
    }
    if headers.protocol == Protocol::Udp && packet[place..place + 2] == [0, 0] {
        // No checksum: allowed over IPv4, where the header has one of its own (RFC 768), and not over IPv6 (RFC 8200).
        return headers.version == Version::V4;
    }
    match state {
        Checksum::Verified | Checksum::Partial { .. } => true,
        Checksum::Plain if headers.protocol == Protocol::Udp => {
            let stated = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            packet
                .get(..stated)
                .is_some_and(|datagram| pseudo_header(frame, headers, datagram.len()).add(datagram).is_right())
        }
        Checksum::Plain => pseudo_header(frame, headers, packet.len()).add(packet).is_right(),
    }
}

/// Whether the checksum of the IP header is right; IPv6 has none.
pub(super) fn is_ip_header_right(frame: &[u8], headers: &Headers) -> bool {
    headers.version == Version::V6 || Sum::default().add(&frame[ETHERNET..headers.transport]).is_right()
}

/// Writes the checksum of an IPv4 header.
pub(super) fn complete_ip_header(frame: &mut [u8], headers: &Headers) {
    if headers.version == Version::V4 {
        frame[ETHERNET + 10..ETHERNET + 12].fill(0);
        let sum = !Sum::default().add(&frame[ETHERNET..headers.transport]).folded();
        frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Leaves the rest of the sum to the device.
pub(super) fn prepare(frame: &mut [u8], headers: &Headers) -> Checksum {
    let (Some(place), true) = (place(headers.protocol), headers.end <= frame.len()) else { return Checksum::Plain };
    let sum = pseudo_header(frame, headers, headers.end - headers.transport).folded();
    let at = headers.transport + place;
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Checksum::Partial { start: headers.transport as u16, offset: place as u16 }
}

/// Writes the checksum.
pub(super) fn complete(frame: &mut [u8], headers: &Headers) {
    let (Some(place), true) = (place(headers.protocol), headers.end <= frame.len()) else { return };
    let at = headers.transport + place;
    frame[at..at + 2].fill(0);
    let packet = &frame[headers.transport..headers.end];
    let sum = !pseudo_header(frame, headers, packet.len()).add(packet).folded();
    // Zero would say that there is none; both are zero in ones' complement (RFC 768).
    let sum = if sum == 0 && headers.protocol == Protocol::Udp { 0xffff } else { sum };
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, IpRepr, Ipv6Address,
        UdpPacket, UdpRepr,
    };

    use super::*;

    /// What the RFC says, word by word.
    fn model(bytes: &[u8]) -> u16 {
        let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
        let mut sum = 0;
        for word in words {
            sum += word;
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    proptest! {
        #[test]
        fn a_sum_is_what_the_rfc_says(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0..300_usize) {
            prop_assert_eq!(Sum::default().add(&bytes).folded(), model(&bytes));
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let (first_sum, second_sum) = (Sum::default().add(first), Sum::default().add(second));
            let whole = if first.len() % 2 == 0 { first_sum.add(second) } else { first_sum.add_odd(second_sum) };
            prop_assert_eq!(whole.folded(), model(&bytes));
        }
    }

    #[test]
    fn carries_come_around_as_often_as_needed() {
        for len in 0..200 {
            let bytes = vec![0xff; len];
            assert_eq!(Sum(u64::MAX).add(&bytes).folded(), if len % 2 == 0 { 0xffff } else { 0xff00 }, "{len} bytes");
        }
    }

    /// A UDP datagram as smoltcp writes it.
    fn datagram(source: IpAddress, destination: IpAddress, payload: &[u8]) -> Vec<u8> {
        let udp = UdpRepr { src_port: 5000, dst_port: 53 };
        let ip = IpRepr::new(source, destination, IpProtocol::Udp, 8 + payload.len(), 64);
        let ethertype = match ip {
            IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
            IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
        };
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress([2, 0, 0, 0, 0, 9]),
            dst_addr: EthernetAddress([2, 0, 0, 0, 0, 1]),
            ethertype,
        };
        let mut bytes = vec![0; 14 + ip.buffer_len()];
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
        let checksums = ChecksumCapabilities::default();
        ip.emit(&mut bytes[14..], &checksums);
        udp.emit(
            &mut UdpPacket::new_unchecked(&mut bytes[14 + ip.header_len()..]),
            &source,
            &destination,
            payload.len(),
            |room| room.copy_from_slice(payload),
            &checksums,
        );
        bytes
    }

    fn ends(version: Version) -> (IpAddress, IpAddress) {
        match version {
            Version::V4 => (IpAddress::v4(10, 0, 2, 2), IpAddress::v4(10, 0, 2, 15)),
            Version::V6 => {
                let host = |n| IpAddress::Ipv6(Ipv6Address::new(0xfec0, 0, 0, 0, 0, 0, 0, n));
                (host(2), host(15))
            }
        }
    }

    fn is_believed(frame: &[u8], state: Checksum) -> bool {
        Headers::of(frame).is_some_and(|headers| verify(frame, &headers, state))
    }

    #[test]
    fn net_22_what_nobody_has_looked_at_is_verified_and_a_flipped_bit_noticed() {
        for version in [Version::V4, Version::V6] {
            let (source, destination) = ends(version);
            let frame = datagram(source, destination, b"hello");
            assert!(is_believed(&frame, Checksum::Plain));
            // Not the fields of IPv6 that no checksum covers (class, label, hop limit), nor the protocol: then it is not UDP.
            let covered =
                (14..frame.len()).filter(|at| version == Version::V4 || ![14, 15, 16, 17, 20, 21].contains(at));
            for at in covered {
                let mut bad = frame.clone();
                bad[at] ^= 4;
                assert!(!is_believed(&bad, Checksum::Plain), "{version:?}, byte {at}");
            }
        }
    }

    #[test]
    fn net_22_what_the_device_vouches_for_is_not_verified_again() {
        let (source, destination) = ends(Version::V6);
        let mut frame = datagram(source, destination, b"hello");
        let last = frame.len() - 1;
        frame[last] ^= 1;
        assert!(!is_believed(&frame, Checksum::Plain));
        assert!(is_believed(&frame, Checksum::Verified));
        assert!(is_believed(&frame, Checksum::Partial { start: 54, offset: 6 }));
    }

    #[test]
    fn net_22_a_datagram_without_a_checksum_is_good_over_ipv4_only() {
        for (version, good) in [(Version::V4, true), (Version::V6, false)] {
            let (source, destination) = ends(version);
            let mut frame = datagram(source, destination, b"hello");
            let headers = Headers::of(&frame).expect("it is one");
            frame[headers.transport + 6..headers.transport + 8].fill(0);
            assert_eq!(is_believed(&frame, Checksum::Plain), good, "{version:?}");
            assert_eq!(is_believed(&frame, Checksum::Verified), good, "{version:?}");
        }
    }

    #[test]
    fn what_we_complete_is_what_smoltcp_completes() {
        for version in [Version::V4, Version::V6] {
            for len in 0..70 {
                let (source, destination) = ends(version);
                let frame = datagram(source, destination, &vec![0xa5; len]);
                let headers = Headers::of(&frame).expect("it is one");
                let mut ours = frame.clone();
                complete(&mut ours, &headers);
                assert_eq!(ours, frame);
                // What a device does with a partial sum comes to the same.
                let Checksum::Partial { start, offset } = prepare(&mut ours, &headers) else { panic!("it is UDP") };
                let sum = !Sum::default().add(&ours[usize::from(start)..]).folded();
                let at = usize::from(start + offset);
                ours[at..at + 2].copy_from_slice(&sum.to_be_bytes());
                assert_eq!(ours, frame);
            }
        }
    }

    #[test]
    fn a_datagram_whose_checksum_is_zero_says_the_other_zero() {
        let (source, destination) = ends(Version::V4);
        let found = (0..=u16::MAX).find(|n| {
            let frame = datagram(source, destination, &n.to_be_bytes());
            frame[40..42] == [0xff, 0xff]
        });
        let n = found.expect("one of all numbers makes the sum zero");
        let mut frame = datagram(source, destination, &n.to_be_bytes());
        let headers = Headers::of(&frame).expect("it is one");
        complete(&mut frame, &headers);
        assert_eq!(frame[40..42], [0xff, 0xff]);
        assert!(is_believed(&frame, Checksum::Plain));
    }
}
