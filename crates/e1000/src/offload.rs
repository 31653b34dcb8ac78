//! What a frame's notes ask for, as orders to the device: [`plan`].
//!
//! ```text
//!   Checksum::Partial    the field holds the pseudo header's sum         goes out as it is
//!   Segmentation         IPv4: length and checksum, IPv6: length         zero
//!                        TCP: the pseudo header's sum without a length   each segment has its own
//! ```
//!
//! The notes are the caller's and may be wrong: they are held against the frame's own headers, and a frame that they do not
//! fit is refused, as the device would send something else than was meant, or hang (manual §3.5).
//!
//! The device's fields for places have eight bits. A checksum beyond them, behind long IPv6 extension headers, is put in
//! here instead.

use toro_core::DmaBuf;
use toro_core::driver::net::{Checksum, Notes, Offloads, Segmentation, SegmentationKind};

use crate::descriptor::{Context, Cut, IP_START, IpHeader, Orders, SumPlace};

/// Length of the Ethernet header.
pub(crate) const ETHERNET_HEADER_LEN: usize = 14;
/// The longest ordinary frame.
pub(crate) const MAX_FRAME: usize = 1514;
/// Shorter frames are padded to this.
const LEAST_FRAME: usize = 60;
const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const TCP_HEADER_LEN: usize = 20;
/// Where TCP has its checksum.
const TCP_SUM: u16 = 16;
const TCP: u8 = 6;

/// How a frame goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The context that has to be in force.
    pub(crate) context: Option<Context>,
    /// What its data descriptors say.
    pub(crate) orders: Orders,
}

impl Plan {
    const PLAIN: Self = Self { context: None, orders: Orders::PLAIN };
}

/// The notes and the frame do not fit together, or are beyond what this interface offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Senseless;

/// Makes a frame ready for the device.
///
/// # Errors
///
/// [`Senseless`]: the frame must not be sent. It may have been written to.
pub(crate) fn plan(frame: &mut DmaBuf, notes: Notes, offloads: Offloads) -> Result<Plan, Senseless> {
    if notes.continues || frame.len() < ETHERNET_HEADER_LEN {
        return Err(Senseless);
    }
    if let Some(cut) = notes.segmentation {
        return plan_cut(frame, notes.checksum, cut, offloads);
    }
    if frame.len() > MAX_FRAME {
        return Err(Senseless);
    }
    if frame.len() < LEAST_FRAME {
        pad(frame);
    }
    let Checksum::Partial { start, offset } = notes.checksum else { return Ok(Plan::PLAIN) };
    let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
    if start < ETHERNET_HEADER_LEN || field + 2 > frame.len() {
        return Err(Senseless);
    }
    match (u8::try_from(start), u8::try_from(field)) {
        (Ok(start), Ok(field)) => {
            Ok(Plan { context: Some(Context::checksum(SumPlace { start, field })), orders: Orders::CHECKSUM })
        }
        _ => {
            let sum = !folded(sum(0, &frame[start..]));
            // A sum of zero would say that there is none.
            frame[field..field + 2].copy_from_slice(&if sum == 0 { u16::MAX } else { sum }.to_be_bytes());
            Ok(Plan::PLAIN)
        }
    }
}

/// Fills a short frame with zeros, which the device would do as well, except where it is emulated. What it sums, they do
/// not change.
fn pad(frame: &mut DmaBuf) {
    let len = frame.len();
    if frame.set_len(LEAST_FRAME).is_ok() {
        frame[len..].fill(0);
    }
}

fn plan_cut(frame: &mut DmaBuf, checksum: Checksum, cut: Segmentation, offloads: Offloads) -> Result<Plan, Senseless> {
    let (longest, ip, orders) = match cut.over {
        SegmentationKind::Tcp4 => (offloads.max_tcp4, IpHeader::V4, Orders::CUT_IPV4),
        SegmentationKind::Tcp6 => (offloads.max_tcp6, IpHeader::V6, Orders::CUT_IPV6),
    };
    let Checksum::Partial { start, offset: TCP_SUM } = checksum else { return Err(Senseless) };
    let tcp = usize::from(start);
    let header_len = u8::try_from(cut.header_len).map_err(|_| Senseless)?;
    let headers = usize::from(header_len);
    if frame.len() > longest
        || frame.len() <= headers
        || tcp + TCP_HEADER_LEN > headers
        || headers + usize::from(cut.segment_size.get()) > MAX_FRAME
        || ip_header_end(frame, ip).is_none_or(|least| match ip {
            IpHeader::V4 => tcp != least,
            // Extension headers may follow.
            IpHeader::V6 => tcp < least,
        })
        || tcp + usize::from(frame[tcp + 12] >> 4) * 4 != headers
    {
        return Err(Senseless);
    }
    let field = tcp + usize::from(TCP_SUM);
    let place = SumPlace { start: tcp as u8, field: field as u8 };
    let first = usize::from(IP_START);
    let addresses = match ip {
        IpHeader::V4 => {
            frame[first + 2..first + 4].fill(0);
            frame[first + 10..first + 12].fill(0);
            first + 12..first + 20
        }
        IpHeader::V6 => {
            frame[first + 4..first + 6].fill(0);
            first + 8..first + 40
        }
    };
    let pseudo = folded(sum(u32::from(TCP), &frame[addresses]));
    frame[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    let payload_len = (frame.len() - headers) as u32;
    let cut = Cut { ip, header_len, segment_size: cut.segment_size.get(), payload_len };
    Ok(Plan { context: Some(Context::cut(place, cut)), orders })
}

/// Where the IP header ends that a frame says it has, if it is of this kind. Those of IPv6 end where extensions start.
fn ip_header_end(frame: &[u8], ip: IpHeader) -> Option<usize> {
    let first = usize::from(IP_START);
    let (ether_type, least) = match ip {
        IpHeader::V4 => (0x0800_u16, IPV4_HEADER_LEN),
        IpHeader::V6 => (0x86dd, IPV6_HEADER_LEN),
    };
    let header = frame.get(first..first + least)?;
    if frame[12..14] != ether_type.to_be_bytes() {
        return None;
    }
    match ip {
        IpHeader::V4 if header[0] >> 4 == 4 && header[9] == TCP => {
            let len = usize::from(header[0] & 0xf) * 4;
            (len >= IPV4_HEADER_LEN).then_some(first + len)
        }
        IpHeader::V6 if header[0] >> 4 == 6 => Some(first + IPV6_HEADER_LEN),
        _ => None,
    }
}

/// Adds 16-bit words (RFC 1071). A frame is too short for the sum to overflow.
fn sum(seed: u32, bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let words = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum::<u32>();
    seed + words + rest.first().map_or(0, |&byte| u32::from(byte) << 8)
}

fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum + (sum >> 16)) as u16
}
