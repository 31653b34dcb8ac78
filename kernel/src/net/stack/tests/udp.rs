//! Datagrams.

use super::*;

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((ANY, port))
}

#[test]
fn datagrams_go_both_ways_and_keep_their_borders() {
    let mut world = World::new();
    let reading = Count::default();
    let (server, _) = world.server.bind_udp(any(53), reading.clone()).expect("the port is free");
    let (client, local) = world.client.bind_udp(any(0), Count::default()).expect("a port is free");
    assert_eq!(world.server.bind_udp(any(53), Count::default()).err(), Some(NetError::AddressInUse));
    for text in ["one", "", "three"] {
        world.client.send_to(&client, text.as_bytes(), SocketAddr::from((SERVER, 53))).expect("there is room");
    }
    world.pass(Duration::from_millis(10));
    assert!(reading.readable_calls() > 0);
    let from = SocketAddr::from((CLIENT, local.port()));
    let mut buffer = [0; 4];
    assert_eq!(world.server.receive_from(&server, &mut buffer), Ok((3, from)));
    assert_eq!(world.server.receive_from(&server, &mut buffer), Ok((0, from)));
    assert_eq!(world.server.receive_from(&server, &mut buffer), Ok((4, from)), "cut to the reader's buffer");
    assert_eq!(&buffer, b"thre");
    assert_eq!(world.server.receive_from(&server, &mut buffer), Err(NetError::WouldBlock));
    world.server.send_to(&server, b"answer", from).expect("there is room");
    world.pass(Duration::from_millis(10));
    let mut buffer = [0; 2000];
    let answer = world.client.receive_from(&client, &mut buffer);
    assert_eq!(answer, Ok((6, SocketAddr::from((SERVER, 53)))));
}

#[test]
fn a_datagram_is_refused_where_it_cannot_go() {
    let mut world = World::new();
    let (socket, _) = world.client.bind_udp(any(0), Count::default()).expect("a port is free");
    let there = SocketAddr::from((SERVER, 9));
    assert_eq!(world.client.send_to(&socket, &[0; MOST], there), Ok(()));
    assert_eq!(world.client.send_to(&socket, &[0; MOST + 1], there), Err(NetError::MessageTooLong));
    assert_eq!(world.client.send_to(&socket, b"", any(9)), Err(NetError::InvalidInput));
    assert_eq!(world.client.send_to(&socket, b"", SocketAddr::from((SERVER, 0))), Err(NetError::InvalidInput));
    let far = SocketAddr::new(FAR, 9);
    assert_eq!(world.client.send_to(&socket, b"", far), Err(NetError::NetworkUnreachable));
    assert_eq!(world.client.connect(far, Count::default()).err(), Some(NetError::NetworkUnreachable));
    let before = world.client.usage();
    world.client.close_udp(socket);
    assert!(world.client.usage().memory < before.memory);
}

#[test]
fn a_reader_that_is_too_slow_loses_datagrams_and_nothing_else() {
    let mut world = World::new();
    let (server, _) = world.server.bind_udp(any(53), Count::default()).expect("the port is free");
    let (client, _) = world.client.bind_udp(any(0), Count::default()).expect("a port is free");
    for _ in 0..200 {
        world.client.send_to(&client, &[7; 1000], SocketAddr::from((SERVER, 53))).expect("there is room");
        world.pass(Duration::from_millis(1));
    }
    let mut buffer = [0; 1000];
    let read = core::iter::from_fn(|| world.server.receive_from(&server, &mut buffer).ok()).count();
    assert!((16..200).contains(&read), "{read}");
    world.client.send_to(&client, &[7; 1000], SocketAddr::from((SERVER, 53))).expect("there is room");
    world.pass(Duration::from_millis(10));
    assert!(world.server.receive_from(&server, &mut buffer).is_ok());
}
