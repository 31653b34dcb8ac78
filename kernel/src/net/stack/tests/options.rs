//! Options of sockets: what they do on the wire and to the other side.

use core::num::NonZeroU8;

use super::*;
use crate::net::connection::KeepAlive;
use crate::net::udp::Broadcast;

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((ANY, port))
}

#[test]
fn a_look_takes_nothing_and_sees_across_the_rings_end() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    // The receive ring is 16 KiB; most of it is used up, so that the next bytes lie at its end and its beginning.
    let filler = pattern(16_000);
    let sent = transfer(
        &mut world,
        &filler,
        |world, bytes| world.client.send(&client, bytes),
        |world, into| world.server.receive(&server.id, into),
    );
    assert_eq!(sent, filler);
    let text = pattern(2_000);
    assert_eq!(world.client.send(&client, &text), Ok(2_000));
    world.pass(Duration::from_millis(20));
    let mut buffer = [0; 3_000];
    for _ in 0..2 {
        assert_eq!(world.server.peek(&server.id, &mut buffer), Ok(2_000));
        assert_eq!(buffer[..2_000], text);
    }
    assert_eq!(world.server.received(&server.id), 2_000);
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(2_000));
    assert_eq!(buffer[..2_000], text);
    assert_eq!(world.server.peek(&server.id, &mut buffer), Err(NetError::WouldBlock));
    world.client.finish(&client).expect("it is open");
    world.settle();
    assert_eq!(world.server.peek(&server.id, &mut buffer), Ok(0), "the end");
}

#[test]
fn an_idle_peer_is_asked_and_an_answer_keeps_the_connection() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.pass(Duration::from_secs(3600));
    let keep_alive = KeepAlive::every(Duration::from_secs(10));
    let zero = KeepAlive { interval: Duration::ZERO, ..keep_alive };
    assert_eq!(world.server.set_keep_alive(&server.id, Some(zero)), Err(NetError::InvalidInput));
    assert_eq!(world.server.set_keep_alive(&server.id, Some(keep_alive)), Ok(()));
    assert_eq!(world.server.keep_alive(&server.id), Some(keep_alive));
    let before = world.cable.from(1).count;
    world.pass(Duration::from_secs(600));
    let asked = world.cable.from(1).count - before;
    assert!((50..=70).contains(&asked), "once in ten seconds: {asked}");
    assert_eq!(world.server.established(&server.id), Ok(()));
    assert_eq!(world.client.send(&client, b"alive"), Ok(5));
    world.settle();
    assert_eq!(world.server.receive(&server.id, &mut [0; 8]), Ok(5));
    world.server.set_keep_alive(&server.id, None).expect("it is open");
    world.pass(Duration::from_secs(60));
    let before = world.cable.from(1).count;
    world.pass(Duration::from_secs(600));
    assert_eq!(world.cable.from(1).count, before, "nobody is asked any more");
}

#[test]
fn a_peer_that_does_not_answer_is_given_up_after_as_many_questions_as_were_allowed() {
    for idle_before in [0, 3600] {
        let mut world = World::new();
        let listener = world.listen(8);
        let (_client, server) = world.pair(&listener);
        world.pass(Duration::from_secs(idle_before));
        world.cable.from(0).lose_if = Some(Box::new(|_| true));
        let probes = NonZeroU8::new(3).expect("not zero");
        let keep_alive = KeepAlive { interval: Duration::from_secs(10), probes };
        world.server.set_keep_alive(&server.id, Some(keep_alive)).expect("it is open");
        world.pass(Duration::from_secs(35));
        assert_eq!(world.server.established(&server.id), Ok(()), "idle for {idle_before} s before");
        world.pass(Duration::from_secs(10));
        assert_eq!(world.server.established(&server.id), Err(NetError::TimedOut));
        assert_eq!(world.server.receive(&server.id, &mut [0; 8]), Err(NetError::TimedOut));
    }
}

#[test]
fn a_peer_that_vanishes_later_is_given_up_as_well() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (_client, server) = world.pair(&listener);
    world.server.set_keep_alive(&server.id, Some(KeepAlive::every(Duration::from_secs(1)))).expect("it is open");
    world.pass(Duration::from_secs(100));
    assert_eq!(world.server.established(&server.id), Ok(()));
    world.cable.from(0).lose_if = Some(Box::new(|_| true));
    world.pass(Duration::from_secs(12));
    assert_eq!(world.server.established(&server.id), Err(NetError::TimedOut));
}

/// The time to live of the next frame with this IP protocol that leaves an end.
fn time_to_live(world: &World, end: usize, protocol: u8) -> u8 {
    let frames = core::iter::from_fn(|| world.cable.take_from(end));
    let mut packets = frames.filter(|frame| frame[12..14] == [8, 0] && frame[23] == protocol);
    packets.next().expect("a packet left")[22]
}

#[test]
fn packets_carry_the_chosen_time_to_live() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, _server) = world.pair(&listener);
    let five = NonZeroU8::new(5);
    assert_eq!(world.client.hop_limit(&client), 64);
    world.client.set_hop_limit(&client, five).expect("it is open");
    assert_eq!(world.client.hop_limit(&client), 5);
    world.client.send(&client, b"near").expect("there is room");
    let _ = world.client.poll(world.now);
    assert_eq!(time_to_live(&world, 0, 6), 5);

    let (socket, _) = world.client.bind_udp(any(0), Count::default()).expect("a port is free");
    assert_eq!(world.client.udp_hop_limit(&socket), 64);
    world.client.set_udp_hop_limit(&socket, NonZeroU8::new(1)).expect("it is bound");
    world.client.send_to(&socket, b"nearer", SocketAddr::from((SERVER, 53))).expect("there is room");
    let _ = world.client.poll(world.now);
    assert_eq!(time_to_live(&world, 0, 17), 1);
}

#[test]
fn a_socket_that_is_used_again_has_forgotten_its_options() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, _server) = world.pair(&listener);
    world.client.set_hop_limit(&client, NonZeroU8::new(5)).expect("it is open");
    world.client.set_keep_alive(&client, Some(KeepAlive::every(Duration::from_secs(1)))).expect("it is open");
    world.client.abort(client);
    world.settle();
    let (client, _server) = world.pair(&listener);
    assert_eq!((world.client.hop_limit(&client), world.client.keep_alive(&client)), (64, None));
}

#[test]
fn the_end_is_finished_when_the_peer_has_acknowledged_it() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    assert_eq!(world.server.finished(&server.id), Err(NetError::WouldBlock), "it is open");
    world.cable.from(1).lose_if = Some(Box::new(|_| true));
    world.server.send(&server.id, b"last words").expect("there is room");
    world.server.finish(&server.id).expect("it is open");
    world.pass(Duration::from_millis(100));
    assert_eq!(world.server.finished(&server.id), Err(NetError::WouldBlock));
    world.cable.from(1).lose_if = None;
    let woken = server.signal.writable_calls();
    world.pass(Duration::from_secs(5));
    assert_eq!(world.server.finished(&server.id), Ok(()));
    assert!(server.signal.writable_calls() > woken, "who waited for it is told");
    assert_eq!(world.client.receive(&client, &mut [0; 32]), Ok(10));
}

#[test]
fn a_port_that_is_taken_and_not_listened_to_is_closed_to_peers() {
    let mut world = World::new();
    let (id, _) = world.server.reserve(any(PORT), Count::default()).expect("the port is free");
    assert_eq!(world.server.reserve(any(PORT), Count::default()).err(), Some(NetError::AddressInUse));
    let client = world.connect();
    world.settle();
    assert_eq!(world.client.established(&client), Err(NetError::ConnectionRefused));
    world.server.start_listening(&id, 4).expect("it is there");
    let client = world.connect();
    world.settle();
    assert_eq!(world.client.established(&client), Ok(()));
}

#[test]
fn a_connection_can_come_from_a_port_that_was_taken_before() {
    let mut world = World::new();
    let listener = world.listen(8);
    let there = SocketAddr::from((SERVER, PORT));
    let (port, _) = world.client.reserve(any(4000), Count::default()).expect("the port is free");
    let (client, here) = world.client.connect_from(&port, there, Count::default()).expect("there is room");
    assert_eq!(here, SocketAddr::from((CLIENT, 4000)));
    let again = world.client.connect_from(&port, there, Count::default());
    assert_eq!(again.err(), Some(NetError::AddressInUse), "there is this very connection");
    world.client.close_listener(port);
    world.settle();
    assert_eq!(world.client.established(&client), Ok(()), "the connection outlives its port's reservation");
    assert_eq!(world.server.accept(&listener).expect("the handshake is complete").remote, here);
}

#[test]
fn a_datagram_socket_with_a_peer_hears_and_answers_only_that_one() {
    let mut world = World::new();
    let (server, _) = world.server.bind_udp(any(53), Count::default()).expect("the port is free");
    let sockets = [1000, 2000].map(|port| world.client.bind_udp(any(port), Count::default()).expect("it is free").0);
    let there = SocketAddr::from((SERVER, 53));
    assert_eq!(world.client.send_datagram(&sockets[0], b"x"), Err(NetError::NotConnected));
    for socket in &sockets {
        assert_eq!(world.client.connect_udp(socket, Some(there)), Ok(()));
        world.client.send_datagram(socket, b"before").expect("there is room");
    }
    world.pass(Duration::from_millis(10));
    let peer = SocketAddr::from((CLIENT, 2000));
    world.server.connect_udp(&server, Some(peer)).expect("it can be reached");
    assert_eq!(world.server.udp_peer(&server), Some(peer));
    for socket in &sockets {
        world.client.send_datagram(socket, b"after").expect("there is room");
    }
    world.pass(Duration::from_millis(10));
    let mut buffer = [0; 16];
    assert_eq!(world.server.peek_from(&server, &mut buffer), Ok((6, peer)), "what came from it before");
    assert_eq!(world.server.receive_from(&server, &mut buffer), Ok((6, peer)));
    assert_eq!(world.server.receive_from(&server, &mut buffer), Ok((5, peer)));
    assert_eq!(world.server.receive_from(&server, &mut buffer), Err(NetError::WouldBlock));
    world.server.connect_udp(&server, None).expect("that is always possible");
    let refused = world.client.send_datagram(&sockets[0], b"again");
    assert_eq!(refused, Err(NetError::ConnectionRefused), "nobody was there for it");
    world.client.send_datagram(&sockets[0], b"again").expect("there is room");
    world.pass(Duration::from_millis(10));
    assert_eq!(world.server.receive_from(&server, &mut buffer), Ok((5, SocketAddr::from((CLIENT, 1000)))));
}

#[test]
fn a_peer_that_cannot_be_reached_is_refused() {
    let mut world = World::new();
    let (socket, _) = world.client.bind_udp(any(0), Count::default()).expect("a port is free");
    let refused = |world: &mut World, peer| world.client.connect_udp(&socket, Some(peer));
    assert_eq!(refused(&mut world, any(53)), Err(NetError::InvalidInput));
    assert_eq!(refused(&mut world, SocketAddr::from((SERVER, 0))), Err(NetError::InvalidInput));
    let far = SocketAddr::from((FAR, 53));
    assert_eq!(refused(&mut world, far), Err(NetError::NetworkUnreachable));
    assert_eq!(world.client.udp_peer(&socket), None);
}

#[test]
fn everybody_is_sent_to_only_by_those_who_may() {
    let mut world = World::new();
    let (server, _) = world.server.bind_udp(any(53), Count::default()).expect("the port is free");
    let (client, local) = world.client.bind_udp(any(0), Count::default()).expect("a port is free");
    for address in [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 2, 255)] {
        let everybody = SocketAddr::from((address, 53));
        world.client.set_broadcast(&client, Broadcast::Refused).expect("it is bound");
        assert_eq!(world.client.send_to(&client, b"all", everybody), Err(NetError::PermissionDenied));
        world.client.set_broadcast(&client, Broadcast::Allowed).expect("it is bound");
        assert_eq!(world.client.broadcast(&client), Ok(Broadcast::Allowed));
        assert_eq!(world.client.send_to(&client, b"all", everybody), Ok(()));
        world.pass(Duration::from_millis(10));
        let from = SocketAddr::from((CLIENT, local.port()));
        assert_eq!(world.server.receive_from(&server, &mut [0; 8]), Ok((3, from)));
    }
}
