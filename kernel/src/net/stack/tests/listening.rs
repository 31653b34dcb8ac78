//! Listeners: how many handshakes and connections wait with them, and what becomes of those.

use super::*;

#[test]
fn a_syn_beyond_the_backlog_is_dropped_and_succeeds_when_there_is_room() {
    let mut world = World::new();
    let listener = world.listen(2);
    let clients: Vec<_> = (0..3).map(|_| world.connect()).collect();
    world.settle();
    let established = |world: &World| clients.iter().filter(|id| world.client.established(id).is_ok()).count();
    assert_eq!(established(&world), 2);
    assert_eq!(world.server.counters().backlog_full, 1);
    world.server.accept(&listener).expect("two are waiting");
    world.pass(Duration::from_secs(4));
    assert_eq!(established(&world), 3, "the SYN was sent again");
    world.server.accept(&listener).expect("the second");
    world.server.accept(&listener).expect("the third");
}

#[test]
fn half_open_connections_count_against_the_backlog_and_expire() {
    let mut world = World::new();
    let listener = world.listen(2);
    // ARP must work before SYN-ACKs are lost.
    let (client, server) = world.pair(&listener);
    world.client.abort(client);
    world.server.abort(server.id);
    world.settle();
    world.cable.from(1).lose_if = Some(Box::new(|_| true));
    let _silent: Vec<_> = (0..3).map(|_| world.connect()).collect();
    world.settle();
    assert_eq!(world.server.usage().sockets, 2);
    // Not even their resets arrive.
    world.cable.from(0).lose_if = Some(Box::new(|_| true));
    world.pass(Duration::from_secs(14));
    assert_eq!(world.server.usage().sockets, 2);
    world.pass(Duration::from_secs(26));
    assert_eq!(world.server.usage().sockets, 0, "half-open connections do not stay");
    world.cable.from(0).lose_if = None;
    world.cable.from(1).lose_if = None;
    world.pair(&listener);
}

#[test]
fn closing_a_listener_resets_what_nobody_accepted() {
    let mut world = World::new();
    let listener = world.listen(8);
    let client = world.connect();
    world.settle();
    world.server.close_listener(listener);
    world.settle();
    let mut buffer = [0; 4];
    assert_eq!(world.client.receive(&client, &mut buffer), Err(NetError::ConnectionReset));
    assert_eq!(world.server.usage().pooled_in_use, 0);
    let late = world.connect();
    world.settle();
    assert_eq!(world.client.established(&late), Err(NetError::ConnectionRefused));
}

#[test]
fn a_connection_that_is_reset_while_it_waits_makes_room() {
    let mut world = World::new();
    let listener = world.listen(1);
    let first = world.connect();
    world.settle();
    world.client.abort(first);
    world.settle();
    let second = world.connect();
    world.settle();
    assert_eq!(world.client.established(&second), Ok(()));
    assert!(world.server.accept(&listener).is_ok());
    assert!(world.server.accept(&listener).is_err());
}
