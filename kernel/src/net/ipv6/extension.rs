//! Extension headers of IPv6 are taken off a frame before anybody reads it.
//!
//! ```text
//!   Ethernet | IPv6: next 0 | hop-by-hop: next 60 | destination: next 6 | TCP ...
//!   Ethernet | IPv6: next 6 | TCP ...
//! ```
//!
//! None of them means anything to a host that does not forward, so what is left says the same, and neither
//! [`dispatch`](crate::net::dispatch) nor smoltcp has to know of them. Which of them are accepted (RFC 8200 §4):
//!
//! | header | |
//! |---|---|
//! | hop-by-hop options, only as the first; destination options | as far as each unknown option says that it may be skipped |
//! | routing | with no segments left; those of type 0 that have some are a known attack (RFC 5095) |
//! | fragment | if it is the only one of its packet (RFC 6946), and not of ICMPv6: neighbour discovery is never in fragments (RFC 6980 §5) |
//! | all others, and more than [`MOST_HEADERS`] | not |
//!
//! What is not accepted is dropped in silence, as RFC 8200 allows for all but a few options that nobody uses: telling the
//! sender would make this host an amplifier. Real fragments are dropped too: nothing here puts packets together, and
//! those that we receive are no longer than our maximum segment size and datagram say.

use toro_core::driver::net::{Checksum, Frame};

/// Length of the Ethernet header.
const ETHERNET: usize = 14;
/// Where the IPv6 header's next header is.
const NEXT_HEADER: usize = ETHERNET + 6;
/// Where what follows the IPv6 header begins.
const PAYLOAD: usize = ETHERNET + 40;
/// How many extension headers a packet may have: each of the four kinds once, and destination options a second time.
const MOST_HEADERS: usize = 5;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
const ICMPV6: u8 = 58;

/// A packet with extension headers that nobody here accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) struct Unacceptable;

/// Takes the extension headers off a frame. Frames without any, of whatever kind, stay as they are.
pub(in crate::net) fn take_off(frame: &mut Frame) -> Result<(), Unacceptable> {
    let Some(Plain { upper, at, end }) = examine(frame)? else { return Ok(()) };
    let mut notes = frame.notes();
    if notes.continues || notes.segmentation.is_some() {
        // Nothing that makes segments of many puts such headers in front.
        return Err(Unacceptable);
    }
    let shift = at - PAYLOAD;
    if let Checksum::Partial { start, .. } = &mut notes.checksum {
        *start = start.checked_sub(u16::try_from(shift).map_err(|_| Unacceptable)?).ok_or(Unacceptable)?;
    }
    let len = u16::try_from(end - at).map_err(|_| Unacceptable)?;
    frame[NEXT_HEADER] = upper;
    frame[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&len.to_be_bytes());
    frame.copy_within(at..end, PAYLOAD);
    frame.set_len(end - shift).map_err(|_| Unacceptable)?;
    frame.set_notes(notes);
    Ok(())
}

/// What is behind the extension headers: a protocol, and where it begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plain {
    upper: u8,
    at: usize,
    end: usize,
}

/// Finds out what is behind the extension headers of a frame, if it has any.
fn examine(frame: &[u8]) -> Result<Option<Plain>, Unacceptable> {
    if frame.len() < PAYLOAD || frame[12..14] != [0x86, 0xdd] || !is_extension(frame[NEXT_HEADER]) {
        return Ok(None);
    }
    let end = PAYLOAD + usize::from(u16::from_be_bytes([frame[ETHERNET + 4], frame[ETHERNET + 5]]));
    let packet = frame.get(..end).ok_or(Unacceptable)?;
    let (mut next, mut at, mut whole) = (frame[NEXT_HEADER], PAYLOAD, true);
    for _ in 0..MOST_HEADERS {
        let [following, units, third, fourth] = *packet.get(at..at + 4).ok_or(Unacceptable)? else {
            return Err(Unacceptable);
        };
        let len = if next == FRAGMENT { 8 } else { 8 * (usize::from(units) + 1) };
        let header = packet.get(at..at + len).ok_or(Unacceptable)?;
        match next {
            HOP_BY_HOP if at == PAYLOAD => check_options(&header[2..])?,
            DESTINATION => check_options(&header[2..])?,
            ROUTING if fourth == 0 => {}
            // Neither an offset nor more to come.
            FRAGMENT if third == 0 && fourth & 0b1111_1001 == 0 => whole = false,
            _ => return Err(Unacceptable),
        }
        (next, at) = (following, at + len);
        if !is_extension(next) {
            return if whole || next != ICMPV6 { Ok(Some(Plain { upper: next, at, end })) } else { Err(Unacceptable) };
        }
    }
    Err(Unacceptable)
}

/// Whether a number names an extension header that could be taken off.
fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION)
}

/// Checks that options fill their header and may all be skipped by who does not know them.
fn check_options(mut options: &[u8]) -> Result<(), Unacceptable> {
    while let [kind, rest @ ..] = options {
        if *kind == 0 {
            // One byte of padding.
            options = rest;
            continue;
        }
        // The two highest bits say what to do with an unknown one (RFC 8200 §4.2).
        if kind >> 6 != 0 {
            return Err(Unacceptable);
        }
        let [len, rest @ ..] = rest else { return Err(Unacceptable) };
        options = rest.get(usize::from(*len)..).ok_or(Unacceptable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::net::testing::frame_of;

    /// A packet whose first header is of kind `next`, with these bytes behind the IPv6 header.
    fn packet(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = alloc::vec![0; PAYLOAD];
        bytes[12..14].copy_from_slice(&[0x86, 0xdd]);
        bytes[ETHERNET] = 0x60;
        bytes[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        bytes[NEXT_HEADER] = next;
        bytes.extend_from_slice(payload);
        bytes
    }

    fn taken_off(bytes: &[u8]) -> Result<Vec<u8>, Unacceptable> {
        let mut frame = frame_of(bytes);
        take_off(&mut frame).map(|()| frame.to_vec())
    }

    const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];

    fn header(next: u8, rest: [u8; 6]) -> Vec<u8> {
        [&[next, 0], &rest[..]].concat()
    }

    #[test]
    fn what_is_left_is_the_packet_without_its_extension_headers() {
        let plain = packet(17, b"datagram");
        assert_eq!(taken_off(&plain), Ok(plain.clone()), "nothing to take off");
        let routing = [0, 0, 0, 0, 0, 0];
        let atomic = [0, 0, 1, 2, 3, 4];
        for (first, headers) in [
            (HOP_BY_HOP, header(17, PADDING)),
            (HOP_BY_HOP, header(17, [5, 2, 0, 0, 0, 0])),
            (DESTINATION, header(17, [0x1e, 4, 9, 9, 9, 9])),
            (ROUTING, header(17, routing)),
            (FRAGMENT, header(17, atomic)),
            (HOP_BY_HOP, [header(DESTINATION, PADDING), header(ROUTING, PADDING), header(17, atomic)].concat()),
        ] {
            let bytes = packet(first, &[&headers[..], b"datagram"].concat());
            assert_eq!(taken_off(&bytes), Ok(plain.clone()), "{headers:?}");
        }
        let long = [&[17, 1][..], &[1, 12], &[0; 12], b"datagram"].concat();
        assert_eq!(taken_off(&packet(DESTINATION, &long)), Ok(plain.clone()));
        let mut padded = packet(DESTINATION, &[&header(17, PADDING)[..], b"datagram"].concat());
        padded.extend_from_slice(&[0; 9]);
        assert_eq!(taken_off(&padded), Ok(plain), "padding of Ethernet is none of it");
    }

    #[test]
    fn fragments_and_headers_that_must_not_be_skipped_are_dropped() {
        for (first, headers) in [
            (FRAGMENT, header(17, [0, 1, 0, 0, 0, 1])),
            (FRAGMENT, header(17, [0, 8, 0, 0, 0, 1])),
            (FRAGMENT, header(17, [0x80, 0, 0, 0, 0, 1])),
            (FRAGMENT, header(ICMPV6, [0, 0, 0, 0, 0, 1])),
            (ROUTING, header(17, [0, 1, 0, 0, 0, 0])),
            (DESTINATION, header(17, [0x40, 0, 1, 0, 1, 0])),
            (DESTINATION, header(17, [0xc2, 4, 0, 1, 0, 0])),
            (DESTINATION, header(17, [1, 5, 0, 0, 0, 0])),
            (DESTINATION, header(17, [0, 0, 0, 0, 0, 1])),
            (DESTINATION, header(HOP_BY_HOP, PADDING)),
            (DESTINATION, alloc::vec![17, 9, 1, 4, 0, 0, 0, 0]),
        ] {
            let bytes = packet(first, &[&headers[..], b"datagram"].concat());
            assert_eq!(taken_off(&bytes), Err(Unacceptable), "{headers:?}");
        }
        let endless = header(DESTINATION, PADDING).repeat(6);
        assert_eq!(taken_off(&packet(DESTINATION, &endless)), Err(Unacceptable));
    }

    #[test]
    fn a_truncated_chain_is_dropped() {
        let good = packet(HOP_BY_HOP, &[&header(DESTINATION, PADDING)[..], &header(17, PADDING), b"x"].concat());
        assert!(taken_off(&good).is_ok());
        for len in PAYLOAD..good.len() {
            assert_eq!(taken_off(&good[..len]), Err(Unacceptable), "{len} bytes");
        }
        for len in 0..PAYLOAD {
            assert!(taken_off(&good[..len]).is_ok(), "not even a header: somebody else's affair");
        }
    }

    #[test]
    fn the_place_of_a_checksum_moves_along() {
        use toro_core::driver::net::Notes;

        let mut frame = frame_of(&packet(DESTINATION, &[&header(17, PADDING)[..], b"datagram"].concat()));
        let partial = |start| Notes { checksum: Checksum::Partial { start, offset: 6 }, ..Notes::default() };
        frame.set_notes(partial(PAYLOAD as u16 + 8));
        assert_eq!(take_off(&mut frame), Ok(()));
        assert_eq!(frame.notes(), partial(PAYLOAD as u16));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_chain_ends_shorter_or_is_dropped(next: u8, payload in proptest::collection::vec(0_u8..64, 0..200)) {
            let bytes = packet(next, &payload);
            if let Ok(left) = taken_off(&bytes) {
                prop_assert!(left.len() <= bytes.len());
                prop_assert!(examine(&left) == Ok(None), "nothing is left to take off");
                prop_assert!(left.len() < PAYLOAD || left[..ETHERNET + 4] == bytes[..ETHERNET + 4]);
            }
        }
    }
}
