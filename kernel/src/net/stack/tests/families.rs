//! Sockets that serve both families, or one only.

use super::*;

/// A stack with addresses of both families.
fn both(server: bool) -> Config {
    let (ipv4, ipv6) = if server { (V4::SERVER, V6::SERVER) } else { (V4::CLIENT, V6::CLIENT) };
    Config { addressing: fixed(ipv4).addressing, ..fixed(ipv6) }
}

fn world() -> World<V4> {
    World::with(both(true), both(false))
}

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(_) => panic!("it is one of IPv6 already"),
    }
}

#[test]
fn a_listener_serves_both_families_or_one() {
    for (bound, ipv4, ipv6) in [
        (V6::ANY, true, true),
        (V4::ANY, true, false),
        (V4::SERVER, true, false),
        (V6::SERVER, false, true),
        (mapped(V4::ANY), true, false),
    ] {
        let mut world = world();
        let (listener, _) =
            world.server.listen(SocketAddr::new(bound, PORT), 8, Count::default()).expect("the port is free");
        for (address, serves) in [(V4::SERVER, ipv4), (V6::SERVER, ipv6)] {
            let there = SocketAddr::new(address, PORT);
            let (client, local) = world.client.connect(there, Count::default()).expect("there is room");
            // smoltcp asks for one neighbour a second.
            world.pass(Duration::from_secs(2));
            let expected = if serves { Ok(()) } else { Err(NetError::ConnectionRefused) };
            assert_eq!(world.client.established(&client), expected, "{bound}: {address}");
            if serves {
                let accepted = world.server.accept(&listener).expect("the handshake is complete");
                assert_eq!((accepted.remote, accepted.local), (local, there), "each in its own family");
            }
        }
    }
}

#[test]
fn a_datagram_socket_serves_both_families_or_one() {
    for (bound, ipv4, ipv6) in [(V6::ANY, true, true), (V4::ANY, true, false), (V6::SERVER, false, true)] {
        let mut world = world();
        let (server, _) = world.server.bind_udp(SocketAddr::new(bound, 53), Count::default()).expect("it is free");
        let (client, local) =
            world.client.bind_udp(SocketAddr::new(V6::ANY, 0), Count::default()).expect("one is free");
        for (there, here, serves) in [(V4::SERVER, V4::CLIENT, ipv4), (V6::SERVER, V6::CLIENT, ipv6)] {
            world.client.send_to(&client, b"question", SocketAddr::new(there, 53)).expect("there is room");
            world.pass(Duration::from_secs(2));
            let from = SocketAddr::new(here, local.port());
            let mut buffer = [0; 20];
            let heard = world.server.receive_from(&server, &mut buffer);
            assert_eq!(heard, if serves { Ok((8, from)) } else { Err(NetError::WouldBlock) }, "{bound}: {there}");
            let answer = world.server.send_to(&server, b"answer", from);
            assert_eq!(answer, if serves { Ok(()) } else { Err(NetError::InvalidInput) }, "{bound}: {there}");
        }
    }
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() {
    let mut world = world();
    let listener = world.listen(8);
    let there = SocketAddr::new(mapped(V4::SERVER), PORT);
    let (client, local) = world.client.connect(there, Count::default()).expect("there is room");
    assert_eq!(local.ip(), V4::CLIENT);
    world.pass(Duration::from_millis(20));
    assert_eq!(world.client.established(&client), Ok(()));
    assert!(world.server.accept(&listener).is_ok());
    let (socket, _) = world.client.bind_udp(SocketAddr::new(V4::ANY, 0), Count::default()).expect("one is free");
    assert_eq!(world.client.send_to(&socket, b"x", there), Ok(()));
}

#[test]
fn a_socket_of_one_family_says_nothing_to_itself_in_the_other() {
    let mut world = world();
    let (four, local) = world.server.bind_udp(SocketAddr::new(V4::ANY, 0), Count::default()).expect("one is free");
    for address in [V6::SERVER, IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let there = SocketAddr::new(address, local.port());
        assert_eq!(world.server.send_to(&four, b"x", there), Err(NetError::InvalidInput));
        let (both, _) = world.server.bind_udp(SocketAddr::new(V6::ANY, 0), Count::default()).expect("one is free");
        assert_eq!(world.server.send_to(&both, b"x", there), Ok(()), "as if nobody had the port");
        world.pass(Duration::from_millis(10));
        let mut buffer = [0; 4];
        assert_eq!(world.server.receive_from(&four, &mut buffer), Err(NetError::WouldBlock));
        world.server.close_udp(both);
    }
}

#[test]
fn a_family_that_is_not_there_is_unreachable() {
    let mut world = World::<V4>::new();
    let six = SocketAddr::new(V6::SERVER, PORT);
    assert_eq!(world.client.connect(six, Count::default()).err(), Some(NetError::NetworkUnreachable));
    let (socket, _) = world.client.bind_udp(SocketAddr::new(V6::ANY, 0), Count::default()).expect("it may come");
    assert_eq!(world.client.send_to(&socket, b"x", six), Err(NetError::NetworkUnreachable));
    let everybody = SocketAddr::new(V6::EVERYBODY, PORT);
    assert_eq!(world.client.send_to(&socket, b"x", everybody), Err(NetError::NetworkUnreachable));
    let mut world = World::<V6>::new();
    let four = SocketAddr::new(V4::SERVER, PORT);
    assert_eq!(world.client.connect(four, Count::default()).err(), Some(NetError::NetworkUnreachable));
    for address in [V6::EVERYBODY, V6::ANY, V6::FAR] {
        let there = SocketAddr::new(address, PORT);
        assert_eq!(
            world.client.connect(there, Count::default()).err(),
            Some(NetError::NetworkUnreachable),
            "{address}"
        );
    }
}
