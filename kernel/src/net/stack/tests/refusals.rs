//! Datagrams that find nobody.

use super::*;

fn socket(world: &mut World, port: u16) -> (UdpId, Count) {
    let reading = Count::default();
    let (id, _) = world.client.bind_udp(SocketAddr::new(ANY, port), reading.clone()).expect("the port is free");
    (id, reading)
}

#[test]
fn a_socket_hears_that_its_datagram_has_found_nobody_once() {
    let mut world = World::new();
    let (socket, reading) = socket(&mut world, 0);
    let there = SocketAddr::new(SERVER, 9);
    assert_eq!(world.client.take_refusal(&socket), None);
    world.client.send_to(&socket, b"anybody?", there).expect("there is room");
    world.pass(Duration::from_millis(50));
    assert!(reading.readable_calls() > 0, "who waits for an answer is woken");
    assert_eq!(world.client.take_refusal(&socket), Some(there));
    assert_eq!(world.client.take_refusal(&socket), None);
}

#[test]
fn a_message_about_a_datagram_that_was_not_ours_or_is_broken_is_nothing() {
    let mut world = World::new();
    let (socket, _) = socket(&mut world, 5000);
    world.client.send_to(&socket, b"anybody?", SocketAddr::new(SERVER, 9)).expect("there is room");
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
        let refusal = world.client.take_refusal(&socket);
        assert!(refusal.is_none() || (SERVER.is_ipv6() && [14, 15, 16, 17, 21].contains(&byte)), "byte {byte}");
    }
    for len in 0..caught.len() {
        world.cable.inject(1, &caught[..len]);
        while world.client.poll(world.now) == Activity::Some {}
        assert_eq!(world.client.take_refusal(&socket), None, "{len} bytes");
    }
    world.cable.inject(1, &caught);
    while world.client.poll(world.now) == Activity::Some {}
    assert_eq!(world.client.take_refusal(&socket), Some(SocketAddr::new(SERVER, 9)));
}

fn is_refusal(frame: &[u8]) -> bool {
    match SERVER {
        IpAddr::V4(_) => frame[12..14] == [8, 0] && frame[23] == 1 && frame[34] == 3,
        IpAddr::V6(_) => frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 1,
    }
}
