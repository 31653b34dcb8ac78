//! Multicast listener discovery: questions which groups there are members of, and smoltcp's reports (RFC 3810).
//!
//! smoltcp 0.14 says in MLD that it leaves a group when it joins it, and the other way round, by which switches that listen
//! to reports would cut us off from neighbour discovery. [`correct_report`] exchanges the two in the frame.

use core::time::Duration;

use smoltcp::wire::{Icmpv6Packet, Ipv6Packet};

/// How long an answer to the question in a packet may take.
pub(in crate::net) fn longest_wait(packet: &[u8]) -> Option<Duration> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    let code = ip.payload().get(4..6)?;
    Some(Duration::from_millis(u16::from_be_bytes([code[0], code[1]]).into()))
}

/// Exchanges joining and leaving in a frame that is a report of a change in MLD, as smoltcp writes it: one record behind a
/// header of hop-by-hop options.
pub(in crate::net) fn correct_report(frame: &mut [u8]) {
    /// Where the message and its record begin.
    const MESSAGE: usize = 14 + 40 + 8;
    const RECORD: usize = MESSAGE + 8;
    const REPORT: u8 = 143;
    const CHANGE_TO_INCLUDE: u8 = 3;
    const CHANGE_TO_EXCLUDE: u8 = 4;
    let is_report = frame.len() > RECORD
        && frame[12..14] == [0x86, 0xdd]
        && (frame[20], frame[54]) == (0, 58)
        && frame[MESSAGE] == REPORT
        && frame[MESSAGE + 6..RECORD] == [0, 1];
    if !is_report {
        return;
    }
    frame[RECORD] = match frame[RECORD] {
        CHANGE_TO_INCLUDE => CHANGE_TO_EXCLUDE,
        CHANGE_TO_EXCLUDE => CHANGE_TO_INCLUDE,
        _ => return,
    };
    let ip = Ipv6Packet::new_unchecked(&frame[14..]);
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    Icmpv6Packet::new_unchecked(&mut frame[MESSAGE..]).fill_checksum(&source, &destination);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_report_stays_as_it_is() {
        for bytes in [alloc::vec![], alloc::vec![0; 70], alloc::vec![0xff; 100]] {
            let mut frame = bytes.clone();
            correct_report(&mut frame);
            assert_eq!(frame, bytes);
        }
    }
}
