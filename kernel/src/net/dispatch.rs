//! Where a received frame belongs, told from its headers alone.
//!
//! ```text
//!   Ethernet -- IP ---- TCP   to us            --> Tcp(segment): the stack looks up its flow
//!                 |---- UDP                    --> Udp(end): the stack looks up its socket
//!                 |---- ICMP "nobody is there" --> Refusal(datagram): so does the one that was sent from here
//!                 |---- ICMP echo reply        --> Echo(identifier): the stack looks up who has asked
//!                 |---- ICMPv6 of neighbours   --> Neighbor: smoltcp answers, and learns where they are
//!                 |---- ICMPv6 of routers      --> Router: the stack decides which addresses it has
//!                 |---- ICMP echo, queries     --> System, Query: smoltcp answers by itself
//!                 +---- others                 --> System (IPv4), Foreign (IPv6)
//!      |------- ARP                            --> Arp
//!      +------- anything else                  --> Foreign
//! ```
//!
//! IPv6 packets come here without extension headers: [`ipv6`](super::ipv6) has taken them off. Checksums have
//! been looked at before ([`Port::receive_frame`](super::port::Port::receive_frame)).
//!
//! What is dropped here is what smoltcp would misunderstand (fragments: it is built without reassembly and would take them
//! for whole) or must not meet (an address as a source that is none, to which it would answer). Of ICMPv6 it gets what it
//! acts on, and nothing else.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket, TcpSeqNumber, UdpPacket};
use toro_core::driver::net::MacAddress;

use super::echo;
use super::flow::Flow;
use super::headers::{ETHERNET, IPV4, TCP};
use super::ipv6;
use super::neighbor::Neighbor;
use super::refusal::{self, Datagram};

/// Flags of TCP.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Where a received frame belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "ipv6"), expect(dead_code, reason = "some of it is there with IPv6 only"))]
pub(super) enum Traffic {
    /// A TCP segment for this host.
    Tcp(Segment),
    /// A UDP datagram for this address and port, for this host or for many.
    Udp(SocketAddr),
    /// Word that a datagram of ours has found nobody.
    Refusal(Datagram),
    /// The reply to an echo request with this identifier.
    Echo(u16),
    /// An ARP packet.
    Arp,
    /// What a neighbour says about an IPv6 address.
    Neighbor(Neighbor),
    /// What a router says about networks.
    Router,
    /// The question which groups there are members of here.
    Query,
    /// What smoltcp handles without a socket.
    System,
    /// Nothing that this stack takes part in.
    Foreign,
}

/// What the headers of a TCP segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) flow: Flow,
    pub(super) kind: SegmentKind,
    pub(super) sequence: TcpSeqNumber,
    /// How much of the sequence space it takes: its bytes, and one each for SYN and FIN.
    pub(super) len: usize,
    /// What it acknowledges, if it does.
    pub(super) acknowledged: Option<TcpSeqNumber>,
    /// How much more it lets come, in the units of its connection.
    pub(super) window: u16,
}

impl Segment {
    /// Whether it does nothing but acknowledge.
    pub(super) fn is_bare_acknowledgement(&self) -> bool {
        self.kind == SegmentKind::Other && self.len == 0 && self.acknowledged.is_some()
    }

    /// Whether it says all that a bare acknowledgement directly before it said, and more. Never true of a duplicate:
    /// these are counted, and three of them mean that a segment was lost.
    pub(super) fn supersedes(&self, bare: &Self) -> bool {
        self.flow == bare.flow
            && matches!(self.kind, SegmentKind::Other | SegmentKind::Finish)
            && self.sequence >= bare.sequence
            && self.acknowledged > bare.acknowledged
    }

    /// Whether it has data and says, besides, what a bare acknowledgement directly before it said. That one may be forgotten if
    /// it was the first to say so.
    pub(super) fn repeats(&self, bare: &Self) -> bool {
        self.flow == bare.flow
            && self.len > 0
            && matches!(self.kind, SegmentKind::Other | SegmentKind::Finish)
            && self.sequence >= bare.sequence
            && self.acknowledged == bare.acknowledged
    }
}

/// What a segment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentKind {
    /// To open a connection: SYN without ACK.
    Open,
    /// To open it from both sides: SYN with ACK.
    Answer,
    /// To end it: FIN.
    Finish,
    /// To forget it: RST.
    Reset,
    /// None of these.
    Other,
}

/// Reads the headers of a frame that came to the interface `mac`.
pub(super) fn classify(frame: &[u8], mac: MacAddress) -> Traffic {
    match ordinary(frame, mac) {
        Some(segment) => Traffic::Tcp(segment),
        None => classify_any(frame, mac),
    }
}

/// Length of the headers of an ordinary segment, without the options of TCP.
const ORDINARY: usize = ETHERNET + IPV4 + TCP;

/// The same for nearly every frame of a server: a segment over IPv4 without options of IP, all of whose headers lie where
/// they always do. `None` for everything else, malformed or not.
fn ordinary(frame: &[u8], mac: MacAddress) -> Option<Segment> {
    let headers: &[u8; ORDINARY] = frame.first_chunk()?;
    let is_ipv4 = headers[12..15] == [8, 0, 0x45] && headers[23] == 6;
    // Neither "more fragments" nor an offset.
    let is_whole = headers[20] & 0x3f == 0 && headers[21] == 0;
    if headers[..6] != mac.0 || !is_ipv4 || !is_whole {
        return None;
    }
    let end = ETHERNET + usize::from(u16::from_be_bytes([headers[16], headers[17]]));
    let [source, destination] = [26, 30].map(|at| {
        let [a, b, c, d] = [headers[at], headers[at + 1], headers[at + 2], headers[at + 3]];
        Ipv4Addr::new(a, b, c, d)
    });
    let is_from_none = source.is_unspecified() || source.is_loopback() || destination.is_loopback();
    let tcp = &headers[ETHERNET + IPV4..];
    let payload = ETHERNET + IPV4 + usize::from(tcp[12] >> 4) * 4;
    if end > frame.len() || payload < ORDINARY || payload > end || is_from_none || source == destination {
        return None;
    }
    let short = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let number = |at: usize| TcpSeqNumber(i32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]));
    let flags = tcp[13];
    let has = |flag: u8| flags & flag != 0;
    let kind = match flags {
        _ if has(RST) => SegmentKind::Reset,
        _ if has(SYN) && has(ACK) => SegmentKind::Answer,
        _ if has(SYN) => SegmentKind::Open,
        _ if has(FIN) => SegmentKind::Finish,
        _ => SegmentKind::Other,
    };
    Some(Segment {
        flow: Flow {
            local: SocketAddr::new(destination.into(), short(2)),
            remote: SocketAddr::new(source.into(), short(0)),
        },
        kind,
        sequence: number(4),
        len: end - payload + usize::from(has(SYN)) + usize::from(has(FIN)),
        acknowledged: has(ACK).then(|| number(8)),
        window: short(14),
    })
}

fn classify_any(frame: &[u8], mac: MacAddress) -> Traffic {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return Traffic::Foreign };
    match ethernet.ethertype() {
        EthernetProtocol::Arp => Traffic::Arp,
        EthernetProtocol::Ipv4 => {
            let Ok(ip) = Ipv4Packet::new_checked(ethernet.payload()) else { return Traffic::Foreign };
            classify_ipv4(&ip, ethernet.dst_addr().0 == mac.0)
        }
        EthernetProtocol::Ipv6 => ipv6::classify(ethernet.payload(), ethernet.dst_addr().0 == mac.0),
        _ => Traffic::Foreign,
    }
}

fn classify_ipv4(ip: &Ipv4Packet<&[u8]>, to_us: bool) -> Traffic {
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    if ip.more_frags() || ip.frag_offset() != 0 || source.is_unspecified() {
        return Traffic::Foreign;
    }
    // No host says these on a wire (RFC 1122 §3.2.1.3), nor speaks to itself there.
    if source.is_loopback() || destination.is_loopback() || source == destination {
        return Traffic::Foreign;
    }
    let ends = [ip.src_addr().into(), ip.dst_addr().into()];
    match ip.next_header() {
        IpProtocol::Tcp => classify_tcp(ip.payload(), ends, to_us),
        IpProtocol::Udp => classify_udp(ip.payload(), ends),
        IpProtocol::Icmp if to_us => match echo::reply_identifier(ip.payload(), echo::REPLY4) {
            Some(identifier) => Traffic::Echo(identifier),
            None => refusal::parse4(ip).map_or(Traffic::System, Traffic::Refusal),
        },
        IpProtocol::Igmp => Traffic::Query,
        _ => Traffic::System,
    }
}

pub(super) fn classify_tcp(payload: &[u8], [source, destination]: [IpAddr; 2], to_us: bool) -> Traffic {
    match TcpPacket::new_checked(payload) {
        Ok(tcp) if to_us => Traffic::Tcp(describe(&tcp, source, destination)),
        _ => Traffic::Foreign,
    }
}

pub(super) fn classify_udp(payload: &[u8], [_, destination]: [IpAddr; 2]) -> Traffic {
    match UdpPacket::new_checked(payload) {
        Ok(udp) => Traffic::Udp(SocketAddr::new(destination, udp.dst_port())),
        Err(_) => Traffic::Foreign,
    }
}

pub(super) fn describe(tcp: &TcpPacket<&[u8]>, source: IpAddr, destination: IpAddr) -> Segment {
    let kind = if tcp.rst() {
        SegmentKind::Reset
    } else if tcp.syn() {
        if tcp.ack() { SegmentKind::Answer } else { SegmentKind::Open }
    } else if tcp.fin() {
        SegmentKind::Finish
    } else {
        SegmentKind::Other
    };
    let flow =
        Flow { local: SocketAddr::new(destination, tcp.dst_port()), remote: SocketAddr::new(source, tcp.src_port()) };
    let acknowledged = tcp.ack().then(|| tcp.ack_number());
    Segment { flow, kind, sequence: tcp.seq_number(), len: tcp.segment_len(), acknowledged, window: tcp.window_len() }
}

/// Who sent a datagram, for sockets that have a peer.
pub(super) fn udp_source(frame: &[u8]) -> Option<SocketAddr> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let ports = |bytes| UdpPacket::new_checked(bytes).ok().map(|udp: UdpPacket<&[u8]>| udp.src_port());
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            Some(SocketAddr::new(ip.src_addr().into(), ports(ip.payload())?))
        }
        EthernetProtocol::Ipv6 => {
            let (source, payload) = ipv6::source_and_payload(ethernet.payload())?;
            Some(SocketAddr::new(source.into(), ports(payload)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{EthernetAddress, EthernetRepr, IpAddress, Ipv4Repr, TcpControl, TcpRepr};

    use super::*;

    const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    fn segment(control: TcpControl, ack: Option<i32>, payload: &[u8]) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: 5000,
            dst_port: 80,
            control,
            seq_number: TcpSeqNumber(7),
            ack_number: ack.map(TcpSeqNumber),
            window_len: 1000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let ip = Ipv4Repr {
            src_addr: THERE,
            dst_addr: HERE,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress([2, 0, 0, 0, 0, 9]),
            dst_addr: EthernetAddress(OURS.0),
            ethertype: EthernetProtocol::Ipv4,
        };
        let mut bytes = alloc::vec![0; 14 + 20 + tcp.buffer_len()];
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
        let checksums = ChecksumCapabilities::default();
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[14..]), &checksums);
        tcp.emit(
            &mut TcpPacket::new_unchecked(&mut bytes[34..]),
            &IpAddress::Ipv4(THERE),
            &IpAddress::Ipv4(HERE),
            &checksums,
        );
        bytes
    }

    fn tcp(frame: &[u8]) -> Segment {
        match classify(frame, OURS) {
            Traffic::Tcp(segment) => segment,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_segment_is_described_by_its_ends_and_its_flags() {
        let found = tcp(&segment(TcpControl::None, Some(1), b"hello"));
        assert_eq!(found.flow.local, SocketAddr::from((HERE, 80)));
        assert_eq!(found.flow.remote, SocketAddr::from((THERE, 5000)));
        assert_eq!((found.kind, found.sequence, found.len), (SegmentKind::Other, TcpSeqNumber(7), 5));
        assert_eq!(tcp(&segment(TcpControl::Syn, None, b"")).kind, SegmentKind::Open);
        assert_eq!(tcp(&segment(TcpControl::Syn, Some(1), b"")).kind, SegmentKind::Answer);
        assert_eq!(tcp(&segment(TcpControl::Fin, Some(1), b"x")).kind, SegmentKind::Finish);
        assert_eq!(tcp(&segment(TcpControl::Fin, Some(1), b"x")).len, 2);
        assert_eq!(tcp(&segment(TcpControl::Rst, Some(1), b"")).kind, SegmentKind::Reset);
    }

    #[test]
    fn only_a_later_acknowledgement_supersedes_a_bare_one() {
        let bare = tcp(&segment(TcpControl::None, Some(100), b""));
        assert!(bare.is_bare_acknowledgement());
        let supersedes = |control, ack, payload| tcp(&segment(control, ack, payload)).supersedes(&bare);
        assert!(supersedes(TcpControl::None, Some(101), b""));
        assert!(supersedes(TcpControl::Psh, Some(101), b"data"));
        assert!(supersedes(TcpControl::Fin, Some(101), b""));
        assert!(!supersedes(TcpControl::None, Some(100), b""), "a duplicate");
        assert!(!supersedes(TcpControl::None, Some(99), b""), "an old one");
        assert!(!supersedes(TcpControl::Rst, Some(101), b""));
        assert!(!supersedes(TcpControl::Syn, Some(101), b""));
        for (control, ack, payload) in [
            (TcpControl::None, Some(100), &b"x"[..]),
            (TcpControl::Fin, Some(100), b""),
            (TcpControl::Syn, None, b""),
            (TcpControl::Rst, Some(100), b""),
        ] {
            assert!(!tcp(&segment(control, ack, payload)).is_bare_acknowledgement());
        }
    }

    #[test]
    fn fragments_strangers_and_the_unspecified_source_are_foreign() {
        let good = segment(TcpControl::None, Some(1), b"hello");
        for (offset, value) in [(20, 0x20), (21, 1), (0, 4)] {
            let mut bad = good.clone();
            bad[offset] = value;
            assert_eq!(classify(&bad, OURS), Traffic::Foreign, "byte {offset}");
        }
        let mut bad = good.clone();
        bad[26..30].fill(0);
        assert_eq!(classify(&bad, OURS), Traffic::Foreign);
    }

    proptest! {
        #[test]
        fn an_ordinary_segment_is_read_as_any_other(
            payload in prop::collection::vec(any::<u8>(), 0..40),
            changes in prop::collection::vec((0..74_usize, prop_oneof![any::<u8>(), Just(0), Just(127)]), 0..4),
            len in 0..120_usize,
        ) {
            let mut frame = segment(TcpControl::Psh, Some(1), &payload);
            for (at, value) in changes {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            frame.truncate(len);
            if let Some(found) = ordinary(&frame, OURS) {
                prop_assert_eq!(Traffic::Tcp(found), classify_any(&frame, OURS));
            }
        }
    }

    #[test]
    fn an_ordinary_segment_takes_the_short_way() {
        assert!(ordinary(&segment(TcpControl::None, Some(1), b"hello"), OURS).is_some());
        assert!(ordinary(&segment(TcpControl::Syn, None, b""), OURS).is_some());
    }

    #[test]
    fn no_truncated_frame_is_misread() {
        let good = segment(TcpControl::None, Some(1), b"hello");
        for len in 0..good.len() {
            assert_eq!(classify(&good[..len], OURS), Traffic::Foreign, "{len} bytes");
        }
    }
}
