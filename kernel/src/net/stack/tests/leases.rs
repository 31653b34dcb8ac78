//! Pings and leases of IPv4.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

pub(super) fn packet(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut bytes = alloc::vec![0; 14 + 20 + len];
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(Cable::mac(0).0),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Ipv4,
    };
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
    let ip = Ipv4Repr { src_addr: from, dst_addr: to, next_header: protocol, payload_len: len, hop_limit: 64 };
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[14..]), &ChecksumCapabilities::default());
    fill(&mut bytes[34..]);
    bytes
}

#[test]
fn a_ping_is_answered() {
    let mut world = World::<V4>::new();
    world.pass(Duration::from_secs(1));
    let echo = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: b"abcd" };
    let request = || {
        let mut frame = packet(CLIENT, SERVER, IpProtocol::Icmp, echo.buffer_len(), |bytes| {
            echo.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
        });
        frame[..6].copy_from_slice(&Cable::mac(1).0);
        frame
    };
    // The first one finds no hardware address to answer to; asking for it is its answer.
    world.cable.inject(0, &request());
    world.settle();
    world.cable.inject(0, &request());
    let _ = world.server.poll(world.now);
    let answer = world.cable.take_from(1).expect("it is answered");
    assert_eq!((answer[23], answer[34]), (1, 0), "an ICMP echo reply");
    assert_eq!(&answer[42..46], b"abcd");
}

/// What a DHCP server that gives `address` answers to a request, if it is one.
pub(super) fn dhcp_answer(frame: &[u8], address: Ipv4Addr, lease: u32) -> Option<(DhcpMessageType, Vec<u8>)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    if udp.dst_port() != 67 {
        return None;
    }
    let packet_of_request = DhcpPacket::new_checked(udp.payload()).ok()?;
    let request = DhcpRepr::parse(&packet_of_request).ok()?;
    let answer = match request.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request => DhcpMessageType::Ack,
        _ => return None,
    };
    let dhcp = DhcpRepr {
        message_type: answer,
        transaction_id: request.transaction_id,
        secs: 0,
        client_hardware_address: request.client_hardware_address,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: address,
        server_ip: CLIENT,
        router: Some(CLIENT),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(CLIENT),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: Some(lease),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let repr = UdpRepr { src_port: 67, dst_port: 68 };
    let (from, to) = (CLIENT, Ipv4Addr::BROADCAST);
    let frame = packet(from, to, IpProtocol::Udp, 8 + dhcp.buffer_len(), |bytes| {
        repr.emit(
            &mut UdpPacket::new_unchecked(bytes),
            &IpAddress::Ipv4(from),
            &IpAddress::Ipv4(to),
            dhcp.buffer_len(),
            |payload| dhcp.emit(&mut DhcpPacket::new_unchecked(payload)).expect("it fits"),
            &ChecksumCapabilities::default(),
        );
    });
    Some((request.message_type, frame))
}

/// A stack that asks for an address, and how often it was told about one.
fn asking() -> (Stack<Count>, Cable, Count, Instant) {
    let (cable, _end, server_end) = Cable::new();
    let now = Instant::from_nanos(1_000_000_000);
    let configured = Count::default();
    let config = Config { addressing6: Addressing6::None, ..Config::default() };
    let stack = Stack::new(Box::new(server_end), config, configured.clone(), now);
    (stack, cable, configured, now)
}

fn serve(stack: &mut Stack<Count>, cable: &Cable, now: Instant, address: Ipv4Addr) -> Vec<DhcpMessageType> {
    let mut seen = Vec::new();
    for _ in 0..8 {
        let _ = stack.poll(now);
        while let Some(frame) = cable.take_from(1) {
            if let Some((request, answer)) = dhcp_answer(&frame, address, 100) {
                seen.push(request);
                cable.inject(0, &answer);
            }
        }
    }
    seen
}

#[test]
fn a_lease_gives_the_address_and_the_gateway() {
    let (mut stack, cable, configured, now) = asking();
    let there = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 80));
    assert_eq!(stack.address(), None);
    assert_eq!(stack.connect(there, Count::default()).err(), Some(NetError::NetworkUnreachable));
    let seen = serve(&mut stack, &cable, now, SERVER);
    assert_eq!(seen, [DhcpMessageType::Discover, DhcpMessageType::Request]);
    assert_eq!(stack.address(), Some(SERVER));
    assert_eq!(configured.readable_calls(), 1);
    assert!(stack.connect(there, Count::default()).is_ok(), "through the gateway");
}

#[test]
fn a_silent_server_is_asked_again() {
    let (mut stack, cable, _, mut now) = asking();
    let _ = stack.poll(now);
    let discovers = || core::iter::from_fn(|| cable.take_from(1)).count();
    assert_eq!(discovers(), 1);
    for _ in 0..5 {
        now = stack.next_deadline().expect("it will ask again");
        while stack.poll(now) == Activity::Some {}
        assert_eq!(discovers(), 1);
    }
    assert!(now.as_nanos() < 8_000_000_000);
    now = stack.next_deadline().expect("it will ask again");
    serve(&mut stack, &cable, now, SERVER);
    assert_eq!(stack.address(), Some(SERVER));
}

#[test]
fn a_lease_that_is_not_renewed_runs_out_and_takes_its_connections_along() {
    let (mut stack, cable, configured, mut now) = asking();
    serve(&mut stack, &cable, now, SERVER);
    let mut connection = None;
    for _ in 0..10_000 {
        while stack.poll(now) == Activity::Some {}
        while cable.take_from(1).is_some() {}
        if connection.is_none() && now.as_nanos() > 82_000_000_000 {
            let there = SocketAddr::from((CLIENT, 80));
            connection = Some(stack.connect(there, Count::default()).expect("there is room").0);
        }
        match stack.next_deadline() {
            Some(next) if stack.address().is_some() => now = now.max(next),
            _ => break,
        }
    }
    assert_eq!(stack.address(), None);
    assert!(now.as_nanos() >= 100_000_000_000);
    assert_eq!(configured.readable_calls(), 2);
    let connection = connection.expect("time stops at the second renewal");
    assert_eq!(stack.established(&connection), Err(NetError::NetworkDown));
    // A new server, a new address.
    serve(&mut stack, &cable, now.saturating_add(Duration::from_secs(2)), Ipv4Addr::new(10, 0, 2, 99));
    assert_eq!(stack.address(), Some(Ipv4Addr::new(10, 0, 2, 99)));
}

#[test]
fn an_address_that_no_host_can_have_is_not_taken() {
    for address in [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::UNSPECIFIED] {
        let (mut stack, cable, _, now) = asking();
        serve(&mut stack, &cable, now, address);
        assert_eq!(stack.address(), None, "{address}");
    }
}
