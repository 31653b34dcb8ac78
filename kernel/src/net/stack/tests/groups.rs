//! Datagrams to groups, and reports about who is in them.

use super::*;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet};

/// A report that a host has sent: the group, and whether it joins, is in it, or leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Joins(IpAddr),
    IsIn(IpAddr),
    Leaves(IpAddr),
}

fn reports(frame: &[u8]) -> Vec<Report> {
    let ethernet = EthernetFrame::new_checked(frame).expect("stacks send frames");
    if ethernet.ethertype() == EthernetProtocol::Ipv4 {
        let ip = Ipv4Packet::new_checked(ethernet.payload()).expect("and packets");
        let message = ip.payload();
        if ip.next_header() != IpProtocol::Igmp {
            return Vec::new();
        }
        let group = Ipv4Addr::new(message[4], message[5], message[6], message[7]).into();
        return alloc::vec![if message[0] == 0x17 { Report::Leaves(group) } else { Report::Joins(group) }];
    }
    let Ok(ip) = Ipv6Packet::new_checked(ethernet.payload()) else { return Vec::new() };
    if ethernet.ethertype() != EthernetProtocol::Ipv6 || ip.next_header() != IpProtocol::HopByHop {
        return Vec::new();
    }
    let message = &ip.payload()[8..];
    assert_eq!((message[0], ip.hop_limit()), (143, 1));
    let packet = Icmpv6Packet::new_checked(message).expect("a report");
    assert!(packet.verify_checksum(&ip.src_addr(), &ip.dst_addr()));
    let records = message[8..].chunks_exact(20);
    records
        .map(|record| {
            let octets: [u8; 16] = record[4..20].try_into().expect("sixteen");
            let group = IpAddr::from(octets);
            // RFC 3810 §5.2.12: without sources, to exclude nobody is to join.
            match record[0] {
                2 => Report::IsIn(group),
                3 => Report::Leaves(group),
                4 => Report::Joins(group),
                other => panic!("a record of type {other}"),
            }
        })
        .collect()
}

/// What the server reports until it rests.
fn reported(world: &mut World) -> Vec<Report> {
    let mut found = Vec::new();
    while world.server.poll(world.now) == Activity::Some {}
    while let Some(frame) = world.cable.take_from(1) {
        found.extend(reports(&frame));
    }
    found
}

#[test]
fn a_socket_in_a_group_receives_what_is_sent_to_it_and_no_longer_than_it_stays() {
    let mut world = World::new();
    world.pass(Duration::from_secs(2));
    let (server, _) = world.server.bind_udp(SocketAddr::new(ANY, 5353), Count::default()).expect("it is free");
    let (client, _) = world.client.bind_udp(SocketAddr::new(ANY, 0), Count::default()).expect("one is free");
    let mut buffer = [0; 20];
    let mut arrives = |world: &mut World| {
        world.client.send_to(&client, b"who?", SocketAddr::new(GROUP, 5353)).expect("there is room");
        world.pass(Duration::from_millis(20));
        world.server.receive_from(&server, &mut buffer).is_ok()
    };
    assert!(!arrives(&mut world));
    assert_eq!(world.server.join_multicast(&server, GROUP), Ok(()));
    assert_eq!(world.server.join_multicast(&server, GROUP), Err(NetError::AddressInUse));
    assert!(arrives(&mut world));
    assert_eq!(world.server.leave_multicast(&server, GROUP), Ok(()));
    assert_eq!(world.server.leave_multicast(&server, GROUP), Err(NetError::AddressNotAvailable));
    assert!(!arrives(&mut world));
    assert_eq!(world.server.join_multicast(&server, SERVER), Err(NetError::InvalidInput));
    assert_eq!(world.server.join_multicast(&server, GROUP), Ok(()));
    assert!(arrives(&mut world));
    let (other, _) = world.server.bind_udp(SocketAddr::new(ANY, 0), Count::default()).expect("one is free");
    world.server.close_udp(server);
    assert!(!world.cable.from(1).filter.contains(&GROUP_MAC), "it has left");
    assert_eq!(world.server.leave_multicast(&other, GROUP), Err(NetError::AddressNotAvailable));
}

#[test]
fn joining_and_leaving_is_reported_and_told_to_the_device() {
    let mut world = World::new();
    let base = world.cable.from(1).filter.clone();
    assert_eq!(base, BASE, "from the start");
    reported(&mut world);
    let (server, _) = world.server.bind_udp(SocketAddr::new(ANY, 5353), Count::default()).expect("it is free");
    world.server.join_multicast(&server, GROUP).expect("there is room");
    assert_eq!(world.cable.from(1).filter, [&base[..], &[GROUP_MAC]].concat());
    assert_eq!(reported(&mut world), [Report::Joins(GROUP)]);
    world.server.leave_multicast(&server, GROUP).expect("it is in it");
    assert_eq!(reported(&mut world), [Report::Leaves(GROUP)]);
    assert_eq!(world.cable.from(1).filter, base);
}

#[test]
fn a_routers_question_is_answered_in_time() {
    let mut world = World::new();
    let (server, _) = world.server.bind_udp(SocketAddr::new(ANY, 5353), Count::default()).expect("it is free");
    world.server.join_multicast(&server, GROUP).expect("there is room");
    world.pass(Duration::from_secs(2));
    reported(&mut world);
    world.cable.inject(0, &query());
    let (mut found, end) = (reported(&mut world), world.now.saturating_add(Duration::from_secs(10)));
    while let Some(next) = world.server.next_deadline().filter(|&next| next <= end) {
        world.now = next;
        found.extend(reported(&mut world));
    }
    assert!(found.contains(&Report::Joins(GROUP)) || found.contains(&Report::IsIn(GROUP)), "{found:?}");
    assert!(world.server.next_deadline().is_none_or(|next| next > end), "and then it rests");
}
