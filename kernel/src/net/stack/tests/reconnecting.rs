//! Peers that connect again from the port of a connection that we still have.

use super::*;

/// A client that takes a port, so that it can use it twice.
fn connect_from(world: &mut World, port: &ListenerId) -> ConnectionId {
    let there = SocketAddr::from((SERVER, PORT));
    world.client.connect_from(port, there, Count::default()).expect("nobody is connected from there").0
}

/// A connection from a port that the client keeps: the port, and the two ends.
fn connect_from_a_port(world: &mut World, listener: &ListenerId) -> (ListenerId, ConnectionId, ConnectionId) {
    let any = SocketAddr::from((ANY, 0));
    let (port, _) = world.client.reserve(any, Count::default()).expect("a port is free");
    let first = connect_from(world, &port);
    world.settle();
    let old = world.server.accept(listener).expect("the handshake is complete").id;
    (port, first, old)
}

#[test]
fn a_peer_that_resets_and_connects_again_from_the_same_port_gets_through() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (port, first, old) = connect_from_a_port(&mut world, &listener);
    world.client.send(&first, b"before").expect("it is open");
    let _ = world.client.poll(world.now);
    world.client.abort(first);
    let _ = world.client.poll(world.now);
    // What was said, the reset and the new SYN arrive together.
    let again = connect_from(&mut world, &port);
    let _ = world.client.poll(world.now);
    world.settle();
    assert_eq!(world.client.established(&again), Ok(()));
    let new = world.server.accept(&listener).expect("the handshake is complete").id;
    let mut buffer = [0; 16];
    assert_eq!(world.server.receive(&old, &mut buffer), Ok(6));
    assert_eq!(&buffer[..6], b"before");
    assert_eq!(world.server.receive(&old, &mut buffer), Err(NetError::ConnectionReset));
    world.server.close(old);
    world.client.send(&again, b"after").expect("it is open");
    world.settle();
    assert_eq!(world.server.receive(&new, &mut buffer), Ok(5));
    assert_eq!(&buffer[..5], b"after");
    assert_eq!(world.server.usage().pooled_in_use, 1);
}

#[test]
fn a_peer_that_connects_again_before_our_reset_has_left_gets_through() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (port, first, old) = connect_from_a_port(&mut world, &listener);
    let others = [world.pair(&listener), world.pair(&listener)];
    // The peer has restarted, and its reset is lost.
    world.cable.from(0).lose_if = Some(Box::new(|_| true));
    world.client.abort(first);
    let _ = world.client.poll(world.now);
    world.cable.from(0).lose_if = None;
    // Ours finds no room behind all that other connections have to say.
    world.cable.from(1).full = true;
    for (_, server) in &others {
        assert_eq!(world.server.send(&server.id, &pattern(60_000)), Ok(60_000));
    }
    let _ = world.server.poll(world.now);
    world.server.abort(old);
    let again = connect_from(&mut world, &port);
    let _ = world.client.poll(world.now);
    let _ = world.server.poll(world.now);
    world.cable.from(1).full = false;
    // The answer waits for room, not for the SYN to be sent again.
    world.pass(Duration::from_millis(10));
    assert_eq!(world.client.established(&again), Ok(()));
    assert!(world.server.accept(&listener).is_ok());
    assert_eq!(world.server.usage().pooled_in_use, 3);
}

#[test]
fn a_half_open_connection_that_is_reset_makes_room_for_the_next_from_the_same_port() {
    let mut world = World::new();
    let listener = world.listen(1);
    let any = SocketAddr::from((ANY, 0));
    let (port, _) = world.client.reserve(any, Count::default()).expect("a port is free");
    let (warm, server) = world.pair(&listener);
    world.client.abort(warm);
    world.server.abort(server.id);
    world.settle();
    // The SYN arrives, its answer does not; then the reset and the next SYN do, together.
    let first = connect_from(&mut world, &port);
    world.cable.from(1).lose_if = Some(Box::new(|_| true));
    world.settle();
    assert_eq!(world.server.usage().sockets, 1);
    world.cable.from(1).lose_if = None;
    world.client.abort(first);
    let _ = world.client.poll(world.now);
    let again = connect_from(&mut world, &port);
    let _ = world.client.poll(world.now);
    world.settle();
    assert_eq!(world.client.established(&again), Ok(()));
    assert!(world.server.accept(&listener).is_ok());
    assert_eq!(world.server.counters().backlog_full, 0);
}

#[test]
fn a_peer_that_restarted_gets_through_whatever_state_its_former_life_is_in() {
    // What the two sides have done before the peer restarts.
    type Before = fn(&mut World, &ConnectionId, ConnectionId);
    let befores: [(&str, Before); 5] = [
        ("established", |_, _, _| {}),
        ("FIN-WAIT-1", |world, _, server| {
            world.cable.from(1).lose_if = Some(Box::new(|_| true));
            world.server.close(server);
        }),
        ("FIN-WAIT-2", |world, _, server| {
            world.server.close(server);
            world.settle();
        }),
        ("CLOSE-WAIT", |world, client, _| {
            world.client.finish(client).expect("it is open");
            world.settle();
        }),
        ("LAST-ACK", |world, client, server| {
            world.client.finish(client).expect("it is open");
            world.settle();
            world.cable.from(1).lose_if = Some(Box::new(|_| true));
            world.server.close(server);
            world.settle();
        }),
    ];
    for (state, before) in befores {
        let mut world = World::new();
        let listener = world.listen(8);
        let any = SocketAddr::from((ANY, 0));
        let (port, _) = world.client.reserve(any, Count::default()).expect("a port is free");
        let first = connect_from(&mut world, &port);
        world.settle();
        let server = world.server.accept(&listener).expect("the handshake is complete").id;
        before(&mut world, &first, server);
        let _ = world.server.poll(world.now);
        world.cable.from(0).lose_if = Some(Box::new(|_| true));
        world.client.abort(first);
        let _ = world.client.poll(world.now);
        world.cable.from(0).lose_if = None;
        world.cable.from(1).lose_if = None;
        let again = connect_from(&mut world, &port);
        world.pass(Duration::from_secs(5));
        assert_eq!(world.client.established(&again), Ok(()), "{state}");
        assert!(world.server.accept(&listener).is_ok(), "{state}");
    }
}
