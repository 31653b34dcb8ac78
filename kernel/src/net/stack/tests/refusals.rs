//! Datagrams that find nobody.

use super::*;
use crate::net::readiness::Readiness;

/// A socket of the client's whose peer is a port where nobody is.
fn socket(world: &mut World) -> (UdpId, Count) {
    let reading = Count::default();
    let (id, _) = world.client.bind_udp(SocketAddr::new(ANY, 5000), reading.clone()).expect("the port is free");
    assert_eq!(world.client.connect_udp(&id, Some(SocketAddr::new(SERVER, 9))), Ok(()));
    (id, reading)
}

#[test]
fn a_socket_hears_that_a_datagram_to_its_peer_has_found_nobody_once() {
    let mut world = World::new();
    let (socket, reading) = socket(&mut world);
    let mut buffer = [0; 8];
    for round in 0..4 {
        assert_eq!(world.client.receive_from(&socket, &mut buffer), Err(NetError::WouldBlock));
        assert!(!world.client.udp_readiness(&socket).contains(Readiness::ERROR));
        let calls = reading.readable_calls();
        assert_eq!(world.client.send_datagram(&socket, b"anybody?"), Ok(()));
        world.pass(Duration::from_millis(50));
        assert!(reading.readable_calls() > calls, "who waits for an answer is woken");
        assert!(world.client.udp_readiness(&socket).contains(Readiness::READABLE | Readiness::ERROR));
        let refused = match round {
            0 => world.client.receive_from(&socket, &mut buffer).err(),
            1 => world.client.peek_from(&socket, &mut buffer).err(),
            2 => world.client.send_datagram(&socket, b"again").err(),
            _ => world.client.take_udp_error(&socket),
        };
        assert_eq!(refused, Some(NetError::ConnectionRefused));
    }
}

#[test]
fn a_socket_without_a_peer_hears_nothing() {
    let mut world = World::new();
    let (socket, _) = socket(&mut world);
    assert_eq!(world.client.connect_udp(&socket, None), Ok(()));
    world.client.send_to(&socket, b"anybody?", SocketAddr::new(SERVER, 9)).expect("there is room");
    world.pass(Duration::from_millis(50));
    assert_eq!(world.client.take_udp_error(&socket), None);
    world.client.connect_udp(&socket, Some(SocketAddr::new(SERVER, 10))).expect("it is a host");
    world.client.send_to(&socket, b"anybody?", SocketAddr::new(SERVER, 9)).expect("there is room");
    world.pass(Duration::from_millis(50));
    assert_eq!(world.client.take_udp_error(&socket), None, "that was another");
}

#[test]
fn a_message_about_a_datagram_that_was_not_ours_or_is_broken_is_nothing() {
    let mut world = World::new();
    let (socket, _) = socket(&mut world);
    world.client.send_datagram(&socket, b"anybody?").expect("there is room");
    // Keeps the message off the cable.
    let caught = loop {
        while world.client.poll(world.now) == Activity::Some {}
        while world.server.poll(world.now) == Activity::Some {}
        match world.cable.take_from(1) {
            Some(frame) if is_refusal(&frame) => break frame,
            Some(frame) => world.cable.inject(1, &frame),
            None => world.now = world.now.saturating_add(Duration::from_millis(5)),
        }
    };
    for byte in 14..caught.len() {
        let mut bad = caught.clone();
        bad[byte] ^= 1;
        world.cable.inject(1, &bad);
        while world.client.poll(world.now) == Activity::Some {}
        // The hop limit, the traffic class and the label of the flow are in no checksum of IPv6.
        let refusal = world.client.take_udp_error(&socket);
        assert!(refusal.is_none() || (SERVER.is_ipv6() && [14, 15, 16, 17, 21].contains(&byte)), "byte {byte}");
    }
    for len in 0..caught.len() {
        world.cable.inject(1, &caught[..len]);
        while world.client.poll(world.now) == Activity::Some {}
        assert_eq!(world.client.take_udp_error(&socket), None, "{len} bytes");
    }
    world.cable.inject(1, &caught);
    while world.client.poll(world.now) == Activity::Some {}
    assert_eq!(world.client.take_udp_error(&socket), Some(NetError::ConnectionRefused));
}

fn is_refusal(frame: &[u8]) -> bool {
    match SERVER {
        IpAddr::V4(_) => frame[12..14] == [8, 0] && frame[23] == 1 && frame[34] == 3,
        IpAddr::V6(_) => frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 1,
    }
}
