//! Addresses, neighbours and routers of IPv6: a stack, and a test that is everybody else on the link.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Message, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};
use toro_core::driver::net::MacAddress;

use super::*;
use crate::net::configuration::NetworkAddress6;
use crate::net::flow::mix;
use crate::net::ipv6::advertisement::tests::{PREFIX, dns, message, prefix};
use crate::net::neighbor::{ALL_NODES, group_mac6};

/// The stack's addresses: end 1 of the cable.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe00, 2);
const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0x5054, 0xff, 0xfe00, 2);
/// The router's: end 0.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);
const ROUTER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

/// An Ethernet frame with an IPv6 packet, whose payload is as given.
pub(super) fn packet(from: Ipv6Addr, to: Ipv6Addr, next: IpProtocol, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = alloc::vec![0; 54];
    let mac = if to.is_multicast() { group_mac6(to) } else { Cable::mac(1) };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(ROUTER_MAC.0),
        dst_addr: EthernetAddress(mac.0),
        ethertype: EthernetProtocol::Ipv6,
    };
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
    let ip = Ipv6Repr { src_addr: from, dst_addr: to, next_header: next, payload_len: payload.len(), hop_limit };
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut bytes[14..]));
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame with an ICMPv6 message, whose checksum is made right.
pub(super) fn icmp(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&from, &to);
    packet(from, to, IpProtocol::Icmpv6, 255, &message)
}

fn neighbor(from: Ipv6Addr, to: Ipv6Addr, repr: NdiscRepr<'_>) -> Vec<u8> {
    let repr = Icmpv6Repr::Ndisc(repr);
    let mut bytes = alloc::vec![0; repr.buffer_len()];
    repr.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    icmp(from, to, &bytes)
}

fn mac_option() -> Option<RawHardwareAddress> {
    Some(EthernetAddress(ROUTER_MAC.0).into())
}

/// An advertisement of `target`'s place.
fn advertisement(from: Ipv6Addr, to: Ipv6Addr, target_addr: Ipv6Addr) -> Vec<u8> {
    let flags = NdiscNeighborFlags::OVERRIDE | NdiscNeighborFlags::SOLICITED;
    neighbor(from, to, NdiscRepr::NeighborAdvert { flags, target_addr, lladdr: mac_option() })
}

/// What an ICMPv6 frame is: its kind, its ends, and the address it is about if it has one.
fn read(frame: &[u8]) -> Option<(Icmpv6Message, Ipv6Addr, Ipv6Addr, Option<Ipv6Addr>)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let ip = Ipv6Packet::new_checked(ethernet.payload()).ok().filter(|ip| ip.next_header() == IpProtocol::Icmpv6)?;
    let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    assert!(message.verify_checksum(&ip.src_addr(), &ip.dst_addr()));
    let kind = message.msg_type();
    let has_target = matches!(kind, Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert);
    Some((kind, ip.src_addr(), ip.dst_addr(), has_target.then(|| message.target_addr())))
}

/// A stack and its link.
struct Link {
    stack: Stack<Count>,
    cable: Cable,
    configured: Count,
    now: Instant,
}

impl Link {
    fn new() -> Self {
        let config = Config { addressing: Addressing::None, ..Config::default() };
        let (cable, _, end) = Cable::new();
        let now = Instant::from_nanos(5_000_000_000);
        let configured = Count::default();
        Self { stack: Stack::new(Box::new(end), config, configured.clone(), now), cable, configured, now }
    }

    /// With an address in the router's network, whatever was said to get it forgotten.
    fn configured() -> Self {
        let mut link = Self::new();
        link.hear(&advertise(1800, &[prefix(PREFIX, 64, 0xc0, 7200, 7200)]));
        link.pass(Duration::from_secs(2));
        link.said();
        link
    }

    fn settle(&mut self) {
        for _ in 0..1000 {
            if self.stack.poll(self.now) == Activity::None {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn hear(&mut self, frame: &[u8]) {
        self.cable.inject(0, frame);
        self.settle();
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.saturating_add(duration);
        self.settle();
        while let Some(next) = self.stack.next_deadline().filter(|&next| next <= end) {
            assert!(next > self.now, "a deadline that does not move");
            self.now = next;
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// The ICMPv6 messages that have left since the last call, but for reports of groups.
    fn said(&mut self) -> Vec<(Icmpv6Message, Ipv6Addr, Ipv6Addr, Option<Ipv6Addr>)> {
        core::iter::from_fn(|| self.cable.take_from(1)).filter_map(|frame| read(&frame)).collect()
    }

    fn addresses(&self) -> Vec<Ipv6Addr> {
        self.stack.configuration().ipv6.iter().map(|own| own.address).collect()
    }
}

fn advertise(lifetime: u16, options: &[Vec<u8>]) -> Vec<u8> {
    icmp(ROUTER, ALL_NODES, &message(lifetime, options))
}

#[test]
fn a_router_that_is_asked_gives_an_address_a_way_and_a_dns_server() {
    let mut link = Link::new();
    assert_eq!(link.addresses(), [LINK_LOCAL], "from the start");
    link.settle();
    let said = link.said();
    let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    assert!(said.contains(&(Icmpv6Message::RouterSolicit, LINK_LOCAL, all_routers, None)), "{said:?}");
    let there = SocketAddr::from((FAR, 80));
    assert_eq!(link.stack.connect(there, Count::default()).err(), Some(NetError::NetworkUnreachable));

    let calls = link.configured.readable_calls();
    let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 53);
    link.hear(&advertise(1800, &[prefix(PREFIX, 64, 0xc0, 7200, 7200), dns(600, &[server])]));
    assert_eq!(link.configured.readable_calls(), calls + 1, "who waits is told");
    assert_eq!(link.stack.configuration().ipv6[1], NetworkAddress6 { address: OURS, prefix: 64 });
    assert_eq!(link.stack.dns_servers(), [SocketAddr::from((server, 53))]);
    let probe = (Icmpv6Message::NeighborSolicit, Ipv6Addr::UNSPECIFIED, group(OURS), Some(OURS));
    assert!(link.said().contains(&probe), "and asks whether somebody else has it");

    let (connection, local) = link.stack.connect(there, Count::default()).expect("through the router");
    assert_eq!(local.ip(), IpAddr::V6(OURS));
    link.settle();
    let question = (Icmpv6Message::NeighborSolicit, LINK_LOCAL, group(ROUTER), Some(ROUTER));
    assert!(link.said().contains(&question), "where is the router?");
    link.hear(&advertisement(ROUTER, LINK_LOCAL, ROUTER));
    let syn = link.cable.take_from(1).expect("the connection was waiting for nothing else");
    assert_eq!((&syn[..6], syn[20]), (&ROUTER_MAC.0[..], 6));

    // The router is none any more, and the address is over.
    link.pass(Duration::from_secs(1801));
    assert_eq!(link.stack.connect(there, Count::default()).err(), Some(NetError::NetworkUnreachable));
    assert_eq!(link.stack.dns_servers(), [] as [SocketAddr; 0]);
    link.pass(Duration::from_secs(5400));
    assert_eq!(link.addresses(), [LINK_LOCAL]);
    assert!(link.stack.established(&connection).is_err());
}

fn group(address: Ipv6Addr) -> Ipv6Addr {
    crate::net::address6::solicited_node(address)
}

#[test]
fn a_lone_interface_asks_ever_less_often_and_sleeps_meanwhile() {
    let mut link = Link::new();
    let polls = |link: &Link| link.stack.counters().socket_polls;
    link.pass(Duration::from_secs(3600));
    let (said, before) = (link.said(), polls(&link));
    let asked = said.iter().filter(|message| message.0 == Icmpv6Message::RouterSolicit).count();
    assert_eq!(asked, 10);
    link.pass(Duration::from_secs(24 * 3600));
    assert!((23..=25).contains(&link.said().len()), "once an hour");
    assert!(polls(&link) - before < 100, "{}", polls(&link) - before);
}

#[test]
fn advertisements_from_beyond_the_link_and_broken_ones_are_not_heard() {
    let good = message(1800, &[prefix(PREFIX, 64, 0xc0, 7200, 7200)]);
    let mut through_a_router = icmp(ROUTER, ALL_NODES, &good);
    through_a_router[21] = 254;
    let mut broken = icmp(ROUTER, ALL_NODES, &good);
    broken[80] ^= 1;
    let mut with_code = good.clone();
    with_code[1] = 1;
    for frame in [
        through_a_router,
        broken,
        icmp(ROUTER, ALL_NODES, &with_code),
        icmp(FAR, ALL_NODES, &good),
        icmp(Ipv6Addr::UNSPECIFIED, ALL_NODES, &good),
        icmp(Ipv6Addr::LOCALHOST, ALL_NODES, &good),
        icmp(ROUTER, ALL_NODES, &message(1800, &[prefix(PREFIX, 129, 0xc0, 7200, 7200)])),
        icmp(ROUTER, ALL_NODES, &message(1800, &[prefix(ALL_NODES, 64, 0xc0, 7200, 7200)])),
    ] {
        let mut link = Link::new();
        link.hear(&frame);
        assert_eq!(link.addresses(), [LINK_LOCAL]);
    }
}

#[test]
fn an_address_that_another_host_has_is_given_up() {
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
    for objection in [
        advertisement(OURS, ALL_NODES, OURS),
        advertisement(other, ALL_NODES, OURS),
        neighbor(Ipv6Addr::UNSPECIFIED, group(OURS), NdiscRepr::NeighborSolicit { target_addr: OURS, lladdr: None }),
    ] {
        let mut link = Link::new();
        link.hear(&advertise(1800, &[prefix(PREFIX, 64, 0xc0, 7200, 7200)]));
        let there = SocketAddr::from((FAR, 80));
        let (connection, _) = link.stack.connect(there, Count::default()).expect("it is used at once");
        let mut our_own = objection.clone();
        our_own[6..12].copy_from_slice(&Cable::mac(1).0);
        link.hear(&our_own);
        assert_eq!(link.addresses(), [LINK_LOCAL, OURS], "a network may give back what was sent");
        link.hear(&objection);
        assert_eq!(link.addresses(), [LINK_LOCAL]);
        link.pass(Duration::from_secs(3));
        assert_eq!(link.stack.established(&connection), Err(NetError::NetworkDown));
        // An objection that comes too late is one to theirs.
        let mut link = Link::configured();
        link.hear(&objection);
        assert_eq!(link.addresses(), [LINK_LOCAL, OURS]);
    }
}

#[test]
fn a_host_that_wants_our_address_is_told_that_it_is_taken() {
    let mut link = Link::configured();
    let probe = NdiscRepr::NeighborSolicit { target_addr: OURS, lladdr: None };
    link.hear(&neighbor(Ipv6Addr::UNSPECIFIED, group(OURS), probe));
    assert_eq!(link.said(), [(Icmpv6Message::NeighborAdvert, OURS, ALL_NODES, Some(OURS))]);
}

#[test]
fn a_question_for_our_place_is_answered() {
    let mut link = Link::configured();
    let question = NdiscRepr::NeighborSolicit { target_addr: OURS, lladdr: mac_option() };
    for to in [group(OURS), OURS] {
        link.hear(&neighbor(ROUTER, to, question));
        assert_eq!(link.said(), [(Icmpv6Message::NeighborAdvert, OURS, ROUTER, Some(OURS))]);
    }
    let other = NdiscRepr::NeighborSolicit { target_addr: FAR, lladdr: mac_option() };
    link.hear(&neighbor(ROUTER, group(OURS), other));
    assert_eq!(link.said(), [], "that is another's");
}

#[test]
fn an_answer_from_another_address_of_the_neighbour_is_an_answer() {
    let mut link = Link::configured();
    let near = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 7);
    let there = SocketAddr::from((near, 80));
    link.stack.connect(there, Count::default()).expect("it is on the link");
    link.settle();
    assert_eq!(link.said(), [(Icmpv6Message::NeighborSolicit, OURS, group(near), Some(near))]);
    link.hear(&advertisement(ROUTER, OURS, near));
    let syn = link.cable.take_from(1).expect("the place is known");
    assert_eq!((&syn[..6], syn[20]), (&ROUTER_MAC.0[..], 6));
}

#[test]
fn pings_are_answered_also_behind_extension_headers() {
    let echo = |to| {
        let repr = Icmpv6Repr::EchoRequest { ident: 1, seq_no: 2, data: b"abcd" };
        let mut bytes = alloc::vec![0; repr.buffer_len()];
        repr.emit(&ROUTER, &to, &mut Icmpv6Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
        bytes
    };
    let mut link = Link::configured();
    link.hear(&advertisement(ROUTER, LINK_LOCAL, ROUTER));
    link.said();
    for (to, from) in [(LINK_LOCAL, LINK_LOCAL), (OURS, OURS), (ALL_NODES, LINK_LOCAL)] {
        link.hear(&packet(ROUTER, to, IpProtocol::Icmpv6, 64, &echo(to)));
        assert_eq!(link.said(), [(Icmpv6Message::EchoReply, from, ROUTER, None)]);
        let options = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &echo(to)].concat();
        link.hear(&packet(ROUTER, to, IpProtocol::Ipv6Opts, 64, &options));
        assert_eq!(link.said(), [(Icmpv6Message::EchoReply, from, ROUTER, None)]);
        let fragment = [&[58, 0, 0, 1, 0, 0, 0, 9][..], &echo(to)].concat();
        link.hear(&packet(ROUTER, to, IpProtocol::Ipv6Frag, 64, &fragment));
        assert_eq!(link.said(), []);
    }
    // Not to who is nobody, and not where only we could have sent it from.
    for from in [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, ALL_NODES, Ipv4Addr::LOCALHOST.to_ipv6_mapped()] {
        link.hear(&packet(from, OURS, IpProtocol::Icmpv6, 64, &echo(OURS)));
    }
    link.hear(&packet(ROUTER, Ipv6Addr::LOCALHOST, IpProtocol::Icmpv6, 64, &echo(Ipv6Addr::LOCALHOST)));
    assert!(link.cable.take_from(1).is_none());
}

#[test]
fn what_a_host_does_not_take_part_in_is_not_answered() {
    let mut link = Link::configured();
    link.hear(&advertisement(ROUTER, LINK_LOCAL, ROUTER));
    link.said();
    // A redirection, which anybody could send; a router's question; protocols without a name.
    let mut redirection = alloc::vec![137, 0, 0, 0, 0, 0, 0, 0];
    redirection.extend_from_slice(&ROUTER.octets());
    redirection.extend_from_slice(&FAR.octets());
    link.hear(&icmp(ROUTER, OURS, &redirection));
    link.hear(&icmp(ROUTER, OURS, &[133, 0, 0, 0, 0, 0, 0, 0]));
    for next in [IpProtocol::Unknown(200), IpProtocol::Ipv6NoNxt, IpProtocol::IpSecEsp, IpProtocol::Icmp] {
        link.hear(&packet(ROUTER, OURS, next, 64, &[0; 40]));
    }
    assert!(link.cable.take_from(1).is_none());
}

#[test]
fn a_flood_of_neighbours_and_routers_leaves_the_stack_as_it_was() {
    let mut link = Link::configured();
    for i in 0..3000_u16 {
        let somebody = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, i);
        link.cable.inject(0, &advertisement(somebody, ALL_NODES, somebody));
        let network = Ipv6Addr::new(0x2001, 0xdb8, i, 9, 0, 0, 0, 0);
        let said = message(i % 3, &[prefix(network, 64, 0xc0, 1, 1), dns(1, &[network, somebody])]);
        link.cable.inject(0, &icmp(somebody, ALL_NODES, &said));
        if i % 100 == 0 {
            link.pass(Duration::from_millis(20));
        }
    }
    link.pass(Duration::from_secs(5));
    assert_eq!(link.addresses(), [LINK_LOCAL, OURS]);
    assert_eq!(link.stack.configuration().gateway6, Some(ROUTER), "the first that is still one");
    assert_eq!(link.stack.usage().sockets, 0);
}

/// Repeats what routers and neighbours say with flipped bits, cut ends and right checksums; nothing may panic, and the
/// stack must work afterwards.
#[test]
fn no_message_disturbs_the_stack() {
    let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 53);
    let question = NdiscRepr::NeighborSolicit { target_addr: OURS, lladdr: mac_option() };
    let query = [&[130, 0, 0, 0, 0, 100, 0, 0][..], &[0; 16], &[2, 125, 0, 0]].concat();
    let unreachable = [&[1, 4, 0, 0, 0, 0, 0, 0][..], &packet(OURS, FAR, IpProtocol::Udp, 64, &[0; 8])[14..]].concat();
    let recorded = [
        advertise(1800, &[prefix(PREFIX, 64, 0xc0, 7200, 7200), dns(600, &[server])]),
        advertisement(ROUTER, LINK_LOCAL, ROUTER),
        neighbor(ROUTER, group(OURS), question),
        neighbor(Ipv6Addr::UNSPECIFIED, group(FAR), NdiscRepr::NeighborSolicit { target_addr: FAR, lladdr: None }),
        icmp(ROUTER, ALL_NODES, &query),
        icmp(ROUTER, OURS, &[128, 0, 0, 0, 0, 1, 0, 2, 3, 4]),
        icmp(ROUTER, OURS, &unreachable),
        packet(
            ROUTER,
            OURS,
            IpProtocol::HopByHop,
            255,
            &[60, 0, 5, 2, 0, 0, 1, 0, 17, 0, 1, 4, 0, 0, 0, 0, 0, 9, 0, 9, 0, 8, 0, 0],
        ),
    ];
    let mut link = Link::configured();
    let mut random = 1_u64;
    for _ in 0..20_000 {
        random = mix(random.wrapping_add(1));
        let mut frame = recorded[random as usize % recorded.len()].clone();
        for _ in 0..random >> 62 {
            random = mix(random);
            let index = 14 + (random >> 8) as usize % (frame.len() - 14);
            frame[index] ^= 1 << (random & 7);
        }
        if random & 0xf00 == 0 {
            frame.truncate((random >> 20) as usize % frame.len());
        }
        // Mostly with a checksum that is right, so that more of it is read.
        if frame.len() > 58 && frame[20] == 58 && random & 0x3000 != 0 {
            let len = (frame.len() - 54) as u16;
            frame[18..20].copy_from_slice(&len.to_be_bytes());
            let ip = Ipv6Packet::new_unchecked(&frame[14..]);
            let (from, to) = (ip.src_addr(), ip.dst_addr());
            Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&from, &to);
        }
        link.cable.inject(0, &frame);
        let _ = link.stack.poll(link.now);
        if random & 0xff == 0 {
            link.now = link.now.saturating_add(Duration::from_millis(300));
        }
        while link.cable.take_from(1).is_some() {}
    }
    link.pass(Duration::from_secs(3));
    link.said();
    link.hear(&neighbor(
        ROUTER,
        group(LINK_LOCAL),
        NdiscRepr::NeighborSolicit { target_addr: LINK_LOCAL, lladdr: mac_option() },
    ));
    assert_eq!(link.said(), [(Icmpv6Message::NeighborAdvert, LINK_LOCAL, ROUTER, Some(LINK_LOCAL))]);
}
