//! Numbers of sockets, and what happens at each.

use super::*;
use crate::net::limits::Limits;

fn limited(address: IpAddr, change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = fixed(address);
    change(&mut config.limits);
    config
}

#[test]
fn connections_beyond_the_limit_are_refused_here_and_make_room_when_they_end() {
    let mut world = World::with(fixed(SERVER), limited(CLIENT, |limits| limits.tcp_sockets = 3));
    let _listener = world.listen(8);
    let there = SocketAddr::from((SERVER, PORT));
    let mut open: Vec<_> = (0..3).map(|_| world.connect()).collect();
    assert_eq!(world.client.connect(there, Count::default()).err(), Some(NetError::LimitReached));
    world.pass(Duration::from_millis(20));
    world.client.send(&open[0], b"still works").expect("it is connected");
    world.client.abort(open.pop().expect("there are three"));
    world.pass(Duration::from_millis(20));
    assert!(world.client.connect(there, Count::default()).is_ok());
}

#[test]
fn a_peers_connection_beyond_the_limit_waits_until_another_one_ends() {
    let mut world = World::with(limited(SERVER, |limits| limits.tcp_sockets = 2), fixed(CLIENT));
    let _listener = world.listen(8);
    let first = world.connect();
    world.settle();
    let second = world.connect();
    world.settle();
    let third = world.connect();
    world.settle();
    assert_eq!(world.client.established(&third), Err(NetError::WouldBlock), "silence, no refusal");
    assert_eq!(world.server.counters().limit_reached, 1);
    world.client.abort(first);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.client.established(&third), Ok(()));
    assert_eq!(world.client.established(&second), Ok(()));
}

#[test]
fn udp_sockets_beyond_the_limit_are_refused_until_one_is_closed() {
    let mut world = World::with(fixed(SERVER), limited(CLIENT, |limits| limits.udp_sockets = 2));
    let any = SocketAddr::from((ANY, 0));
    let (first, _) = world.client.bind_udp(any, Count::default()).expect("the first of two");
    let _second = world.client.bind_udp(any, Count::default()).expect("the second of two");
    assert_eq!(world.client.bind_udp(any, Count::default()).err(), Some(NetError::LimitReached));
    world.client.close_udp(first);
    assert!(world.client.bind_udp(any, Count::default()).is_ok());
}

#[test]
fn handshakes_beyond_the_limit_wait_although_the_backlog_has_room() {
    let mut world = World::with(limited(SERVER, |limits| limits.half_open = 1), fixed(CLIENT));
    let listener = world.listen(8);
    // Answers get lost: the handshakes stay half open.
    world.cable.from(1).lose_if = Some(Box::new(|_| true));
    let first = world.connect();
    world.settle();
    let second = world.connect();
    world.settle();
    assert_eq!(world.server.counters().backlog_full, 0, "the first frames asked for the hardware address");
    world.cable.from(1).lose_if = Some(Box::new(|frame| frame[12..14] == [0x08, 0x00]));
    world.pass(Duration::from_secs(2));
    assert!(world.server.counters().backlog_full > 0);
    world.cable.from(1).lose_if = None;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.client.established(&first), Ok(()));
    assert_eq!(world.client.established(&second), Ok(()));
    assert!(world.server.accept(&listener).is_ok() && world.server.accept(&listener).is_ok());
}

#[test]
fn a_backlog_above_the_limit_is_the_limit() {
    let mut world = World::with(limited(SERVER, |limits| limits.backlog = 2), fixed(CLIENT));
    let listener = world.listen(1000);
    let clients: Vec<_> = (0..3).map(|_| world.connect()).collect();
    world.settle();
    let established = |world: &World| clients.iter().filter(|id| world.client.established(id).is_ok()).count();
    assert_eq!(established(&world), 2);
    assert!(world.server.counters().backlog_full > 0);
    assert!(world.server.accept(&listener).is_ok());
    world.pass(Duration::from_secs(3));
    assert_eq!(established(&world), 3);
}

#[test]
fn limits_of_nothing_refuse_everything_and_panic_nowhere() {
    let none = Limits { tcp_sockets: 0, udp_sockets: 0, half_open: 0, backlog: 0 };
    let mut world = World::with(limited(SERVER, |limits| *limits = none), fixed(CLIENT));
    let listener = world.listen(0);
    let client = world.connect();
    world.pass(Duration::from_secs(1));
    assert_eq!(world.client.established(&client), Err(NetError::WouldBlock));
    let any = SocketAddr::from((ANY, 0));
    assert_eq!(world.server.bind_udp(any, Count::default()).err(), Some(NetError::LimitReached));
    let there = SocketAddr::from((CLIENT, PORT));
    assert_eq!(world.server.connect(there, Count::default()).err(), Some(NetError::LimitReached));
    world.server.close_listener(listener);
}
