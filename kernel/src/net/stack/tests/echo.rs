//! ICMP echo between two stacks, and of a stack with itself.

use super::*;
use crate::net::echo::EchoReply;

#[test]
fn hosts_answer_with_what_was_sent_and_its_number() {
    let mut world = World::new();
    let id = world.client.open_echo(SERVER, Count::default()).expect("there is a way");
    let mut buffer = [0; 2000];
    assert_eq!(world.client.receive_echo(&id, &mut buffer), Err(NetError::WouldBlock));
    for (sequence, len) in [(0, 0), (1, 1), (65_535, 56), (7, MOST)] {
        let data = pattern(len);
        assert_eq!(world.client.send_echo(&id, sequence, &data), Ok(()));
        world.pass(Duration::from_millis(20));
        let reply = world.client.receive_echo(&id, &mut buffer);
        assert_eq!(reply, Ok(EchoReply { from: SERVER, sequence, len }));
        assert_eq!(buffer[..len], data);
    }
    assert_eq!(world.client.send_echo(&id, 8, &pattern(MOST + 1)), Err(NetError::MessageTooLong));
    world.client.close_echo(id);
    assert_eq!(world.client.usage().sockets, 0);
}

#[test]
fn everybody_hears_the_replies_to_their_own_requests_only() {
    let mut world = World::new();
    let ids: Vec<_> =
        (0..5).map(|_| world.client.open_echo(SERVER, Count::default()).expect("there is room")).collect();
    for (number, id) in (0..).zip(&ids) {
        world.client.send_echo(id, number, b"hello").expect("there is room");
    }
    world.pass(Duration::from_millis(20));
    for (number, id) in (0..).zip(&ids) {
        let reply = world.client.receive_echo(id, &mut []).map(|reply| (reply.sequence, reply.len));
        assert_eq!(reply, Ok((number, 5)));
        assert_eq!(world.client.receive_echo(id, &mut []), Err(NetError::WouldBlock));
    }
}

#[test]
fn replies_that_nobody_waits_for_change_nothing() {
    let mut world = World::new();
    let id = world.client.open_echo(SERVER, Count::default()).expect("there is a way");
    world.client.send_echo(&id, 0, b"hello").expect("there is room");
    world.client.close_echo(id);
    let id = world.client.open_echo(SERVER, Count::default()).expect("there is a way");
    world.client.send_echo(&id, 1, b"hello").expect("there is room");
    world.settle();
    world.client.close_echo(id);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.client.usage().sockets, 0);
}

#[test]
fn only_who_can_be_reached_can_be_asked() {
    let mut world = World::new();
    let unreachable = world.client.open_echo(FAR, Count::default()).map(drop);
    assert_eq!(unreachable, Err(NetError::NetworkUnreachable));
    let nobody = world.client.open_echo(ANY, Count::default()).map(drop);
    assert_eq!(nobody, Err(NetError::NetworkUnreachable));
}

#[test]
fn a_host_answers_itself() {
    let mut world = World::new();
    // What a host says on its own account is said by then.
    world.pass(Duration::from_secs(30));
    let loopback = if SERVER.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    for address in [loopback, SERVER] {
        let before = world.cable.from(1).count;
        let id = world.server.open_echo(address, Count::default()).expect("there is a way");
        world.server.send_echo(&id, 3, b"me").expect("there is room");
        world.settle();
        let mut buffer = [0; 9];
        let reply = world.server.receive_echo(&id, &mut buffer);
        assert_eq!(reply, Ok(EchoReply { from: address, sequence: 3, len: 2 }));
        assert_eq!(&buffer[..2], b"me");
        assert_eq!(world.cable.from(1).count, before, "nothing has left by the wire");
        world.server.close_echo(id);
    }
}
