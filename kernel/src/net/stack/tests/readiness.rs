//! What sockets say could be done with them, and that a signal comes with each change.

use super::*;
use crate::net::readiness::Readiness;

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((ANY, port))
}

/// How a connection answers, beside room to write.
fn without_room(readiness: Readiness) -> Readiness {
    readiness & (Readiness::READABLE | Readiness::READ_CLOSED | Readiness::HANG_UP | Readiness::ERROR)
}

#[test]
fn a_listener_is_ready_while_somebody_waits_to_be_accepted() {
    let mut world = World::new();
    let listener = world.listen(8);
    assert_eq!(world.server.listener_readiness(&listener), Readiness::NONE);
    let client = world.connect();
    assert_eq!(world.client.connection_readiness(&client), Readiness::NONE, "the handshake has only begun");
    world.settle();
    assert_eq!(world.server.listener_readiness(&listener), Readiness::READABLE);
    assert_eq!(world.client.connection_readiness(&client), Readiness::WRITABLE);
    let _accepted = world.server.accept(&listener).expect("the handshake is complete");
    assert_eq!(world.server.listener_readiness(&listener), Readiness::NONE);
}

#[test]
fn a_listener_is_not_ready_any_more_when_who_waited_has_gone() {
    let mut world = World::new();
    let listener = world.listen(8);
    let client = world.connect();
    world.settle();
    world.client.abort(client);
    world.settle();
    assert_eq!(world.server.listener_readiness(&listener), Readiness::NONE);
    assert_eq!(world.server.accept(&listener).err(), Some(NetError::WouldBlock));
}

#[test]
fn bytes_and_the_end_of_the_stream_can_be_read() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    assert_eq!(world.server.connection_readiness(&server.id), Readiness::WRITABLE);
    world.client.send(&client, b"abc").expect("there is room");
    world.settle();
    assert_eq!(world.server.connection_readiness(&server.id), Readiness::READABLE | Readiness::WRITABLE);
    assert_eq!(world.server.receive(&server.id, &mut [0; 8]), Ok(3));
    assert_eq!(world.server.connection_readiness(&server.id), Readiness::WRITABLE);
    world.client.finish(&client).expect("it is open");
    world.settle();
    let ended = Readiness::READABLE | Readiness::WRITABLE | Readiness::READ_CLOSED;
    assert_eq!(world.server.connection_readiness(&server.id), ended);
    // Half-closed: the other direction still works, and hangs up when it ends, too.
    assert_eq!(without_room(world.client.connection_readiness(&client)), Readiness::NONE);
    world.server.finish(&server.id).expect("it is open");
    world.pass(Duration::from_millis(20));
    for readiness in [world.server.connection_readiness(&server.id), world.client.connection_readiness(&client)] {
        assert_eq!(without_room(readiness), Readiness::READABLE | Readiness::READ_CLOSED | Readiness::HANG_UP);
    }
}

#[test]
fn a_full_buffer_cannot_be_written_until_the_peer_reads() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    let mut sent = 0;
    loop {
        match world.server.send(&server.id, &pattern(10_000)) {
            Ok(len) => sent += len,
            Err(error) => {
                assert_eq!(error, NetError::WouldBlock);
                break;
            }
        }
        world.pass(Duration::from_millis(20));
    }
    assert_eq!(world.server.connection_readiness(&server.id), Readiness::NONE);
    let woken = server.signal.writable_calls();
    let mut buffer = [0; 10_000];
    let mut received = 0;
    while received < sent {
        received += world.client.receive(&client, &mut buffer).expect("there is more");
        world.pass(Duration::from_millis(20));
    }
    assert_eq!(world.server.connection_readiness(&server.id), Readiness::WRITABLE);
    assert!(server.signal.writable_calls() > woken, "and its writer was told");
}

#[test]
fn a_reset_is_an_error_until_somebody_has_asked_for_it() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    let (readable, writable) = (server.signal.readable_calls(), server.signal.writable_calls());
    world.client.abort(client);
    world.settle();
    let over = Readiness::READABLE | Readiness::WRITABLE | Readiness::READ_CLOSED | Readiness::HANG_UP;
    assert_eq!(world.server.connection_readiness(&server.id), over | Readiness::ERROR);
    assert!(server.signal.readable_calls() > readable && server.signal.writable_calls() > writable);
    assert_eq!(world.server.take_connection_error(&server.id), Some(NetError::ConnectionReset));
    assert_eq!(world.server.take_connection_error(&server.id), None);
    assert_eq!(world.server.connection_readiness(&server.id), over);
    assert_eq!(
        world.server.receive(&server.id, &mut [0; 8]),
        Err(NetError::ConnectionReset),
        "who reads is still told"
    );
}

#[test]
fn a_refused_connection_is_an_error_that_can_be_written_to() {
    let mut world = World::new();
    let client = world.connect();
    world.settle();
    let readiness = world.client.connection_readiness(&client);
    assert!(readiness.contains(Readiness::WRITABLE | Readiness::ERROR | Readiness::HANG_UP), "{readiness:?}");
    assert_eq!(world.client.take_connection_error(&client), Some(NetError::ConnectionRefused));
}

#[test]
fn who_stopped_reading_finds_the_end() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (_client, server) = world.pair(&listener);
    world.server.stop_reading(&server.id).expect("it is open");
    let readiness = world.server.connection_readiness(&server.id);
    assert_eq!(readiness, Readiness::READABLE | Readiness::WRITABLE | Readiness::READ_CLOSED);
}

#[test]
fn an_empty_datagram_wakes_its_reader() {
    let mut world = World::new();
    let reading = Count::default();
    let (server, _) = world.server.bind_udp(any(53), reading.clone()).expect("the port is free");
    let (client, _) = world.client.bind_udp(any(0), Count::default()).expect("a port is free");
    assert_eq!(world.server.udp_readiness(&server), Readiness::WRITABLE);
    world.client.send_to(&client, b"", SocketAddr::from((SERVER, 53))).expect("there is room");
    world.pass(Duration::from_millis(10));
    assert_eq!(reading.readable_calls(), 1);
    assert_eq!(world.server.udp_readiness(&server), Readiness::READABLE | Readiness::WRITABLE);
}

#[test]
fn a_sender_of_datagrams_is_woken_when_they_have_left() {
    let mut world = World::new();
    let sending = Count::default();
    let (client, _) = world.client.bind_udp(any(0), sending.clone()).expect("a port is free");
    let there = SocketAddr::from((SERVER, 53));
    // Long ones: the ring is full by bytes, not by number.
    while world.client.send_to(&client, &[0; MOST], there).is_ok() {}
    assert_eq!(world.client.send_to(&client, &[0; MOST], there), Err(NetError::WouldBlock));
    assert_eq!(world.client.udp_readiness(&client), Readiness::NONE);
    world.pass(Duration::from_secs(1));
    assert!(sending.writable_calls() > 0);
    assert_eq!(world.client.udp_readiness(&client), Readiness::WRITABLE);
    assert_eq!(world.client.send_to(&client, &[0; MOST], there), Ok(()));
}

#[test]
fn a_device_that_fails_makes_everything_ready_to_be_told() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (_client, server) = world.pair(&listener);
    let (socket, _) = world.server.bind_udp(any(53), Count::default()).expect("the port is free");
    world.cable.from(1).fault = Some(DeviceFault::NeedsReset);
    world.settle();
    assert!(world.server.listener_readiness(&listener).contains(Readiness::READABLE | Readiness::ERROR));
    assert!(world.server.udp_readiness(&socket).contains(Readiness::READABLE | Readiness::WRITABLE | Readiness::ERROR));
    let readiness = world.server.connection_readiness(&server.id);
    assert!(readiness.contains(Readiness::READABLE | Readiness::WRITABLE | Readiness::ERROR | Readiness::HANG_UP));
}
