//! Lossy cables, full rings, broken devices, and frames that nobody should send.

use toro_core::driver::net::BURST;

use super::*;
use crate::net::flow::mix;

fn transfer_over(world: &mut World, len: usize) {
    let listener = world.listen(8);
    let client = world.connect();
    let mut accepted = None;
    for _ in 0..100 {
        world.pass(Duration::from_secs(1));
        if let Ok(connection) = world.server.accept(&listener) {
            accepted = Some(connection);
            break;
        }
    }
    let server = accepted.expect("the handshake succeeds in the end");
    let up = pattern(len);
    let received = transfer(
        world,
        &up,
        |world, bytes| world.client.send(&client, bytes),
        |world, buffer| world.server.receive(&server.id, buffer),
    );
    assert_eq!(received, up);
    let down = pattern(len);
    let received = transfer(
        world,
        &down,
        |world, bytes| world.server.send(&server.id, bytes),
        |world, buffer| world.client.receive(&client, buffer),
    );
    assert_eq!(received, down);
    world.client.close(client);
    world.server.close(server.id);
    world.pass(Duration::from_secs(120));
    assert_eq!(world.server.usage().sockets, 0);
    assert_eq!(world.client.usage().sockets, 0);
}

#[test]
fn all_bytes_arrive_although_frames_are_lost() {
    for every in [5, 9, 30] {
        let mut world = World::new();
        world.cable.from(0).lose_every = Some(every);
        world.cable.from(1).lose_every = Some(every + 1);
        transfer_over(&mut world, 300_000);
    }
}

#[test]
fn all_bytes_arrive_through_a_tiny_ring() {
    let mut world = World::new();
    world.cable.from(0).slots = Some(1);
    world.cable.from(1).slots = Some(2);
    transfer_over(&mut world, 500_000);
}

#[test]
fn a_full_ring_holds_everything_back_and_nothing_is_lost() {
    let mut world = World::new();
    let listener = world.listen(8);
    let pairs: Vec<_> = (0..4).map(|_| world.pair(&listener)).collect();
    world.cable.from(1).full = true;
    let bytes = pattern(60_000);
    for (_, server) in &pairs {
        assert_eq!(world.server.send(&server.id, &bytes), Ok(60_000));
    }
    let before = world.cable.from(1).count;
    for _ in 0..50 {
        let _ = world.server.poll(world.now);
    }
    assert_eq!(world.cable.from(1).count, before);
    assert_eq!(world.server.poll(world.now), Activity::None, "a full ring is nothing to spin on");
    let retry = world.server.next_deadline().expect("it tries again");
    assert!(retry > world.now && retry <= world.now.saturating_add(Duration::from_millis(1)));
    assert_eq!(world.server.arm(), Armed::Idle);
    world.pass(Duration::from_millis(100));
    world.cable.from(1).full = false;
    for (client, _) in &pairs {
        let received = transfer(
            &mut world,
            &bytes,
            |_, rest| Ok(rest.len()),
            |world, buffer| world.client.receive(client, buffer),
        );
        assert_eq!(received, bytes);
    }
    assert_eq!(world.server.counters().answers_lost, 0);
}

#[test]
fn who_finds_the_ring_full_has_the_first_turn_when_it_is_not() {
    let mut world = World::new();
    let listener = world.listen(8);
    let pairs: Vec<_> = (0..BURST + 1).map(|_| world.pair(&listener)).collect();
    world.pass(Duration::from_secs(2));
    world.cable.from(1).full = true;
    // A segment of each fills the places before the ring; the last connection cannot even begin.
    for (_, server) in &pairs {
        assert_eq!(world.server.send(&server.id, b"next"), Ok(4));
    }
    let _ = world.server.poll(world.now);
    world.cable.from(1).full = false;
    world.pass(Duration::from_millis(5));
    let mut buffer = [0; 8];
    for (client, _) in &pairs {
        assert_eq!(world.client.receive(client, &mut buffer), Ok(4));
    }
}

#[test]
fn a_peer_that_vanishes_ends_the_connection_in_time() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    let (idle_client, idle) = world.pair(&listener);
    world.cable.from(0).lose_if = Some(Box::new(|_| true));
    world.server.send(&server.id, b"anybody there?").expect("there is room");
    world.pass(Duration::from_secs(59));
    let mut buffer = [0; 4];
    assert_eq!(world.server.receive(&server.id, &mut buffer), Err(NetError::WouldBlock));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.server.receive(&server.id, &mut buffer), Err(NetError::TimedOut));
    assert_eq!(world.server.receive(&idle.id, &mut buffer), Err(NetError::WouldBlock), "idle is not dead");
    world.server.close(server.id);
    world.server.close(idle.id);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.server.usage().pooled_in_use, 0, "orphans do not stay");
    world.client.abort(client);
    world.client.abort(idle_client);
}

#[test]
fn an_idle_connection_outlives_every_timeout() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.client.send(&client, b"a").expect("it is open");
    world.pass(Duration::from_secs(4000));
    world.server.send(&server.id, b"b").expect("it is open");
    world.pass(Duration::from_secs(1));
    let mut buffer = [0; 4];
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(1));
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(1));
    world.pass(Duration::from_secs(4000));
    world.client.close(client);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(0), "FIN, not a reset");
}

#[test]
fn nobody_answers_a_connection_attempt() {
    let mut world = World::new();
    world.cable.from(1).lose_if = Some(Box::new(|_| true));
    let client = world.connect();
    world.pass(Duration::from_secs(19));
    assert_eq!(world.client.established(&client), Err(NetError::WouldBlock));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.client.established(&client), Err(NetError::TimedOut));
}

#[test]
fn a_broken_device_is_told_to_everybody() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (_client, server) = world.pair(&listener);
    let (_other, orphan) = world.pair(&listener);
    world.server.send(&orphan.id, b"lost").expect("it is open");
    world.server.close(orphan.id);
    let reading = Count::default();
    let any = SocketAddr::from((ANY, 53));
    let (datagrams, _) = world.server.bind_udp(any, reading.clone()).expect("the port is free");
    world.cable.from(1).fault = Some(DeviceFault::NeedsReset);
    let _ = world.server.poll(world.now);
    assert_eq!(world.server.fault(), Some(DeviceFault::NeedsReset));
    let mut buffer = [0; 4];
    assert_eq!(world.server.receive(&server.id, &mut buffer), Err(NetError::NetworkDown));
    assert_eq!(world.server.send(&server.id, b"x"), Err(NetError::NetworkDown));
    assert_eq!(world.server.accept(&listener).err(), Some(NetError::NetworkDown));
    assert!(reading.readable_calls() > 0, "who waits for datagrams is woken");
    assert_eq!(world.server.receive_from(&datagrams, &mut buffer), Err(NetError::NetworkDown));
    let there = SocketAddr::from((CLIENT, PORT));
    assert_eq!(world.server.connect(there, Count::default()).err(), Some(NetError::NetworkDown));
    world.server.close(server.id);
    assert_eq!(world.server.usage().pooled_in_use, 0);
    assert_eq!(world.server.poll(world.now), Activity::None);
    assert_eq!(world.server.arm(), Armed::Idle);
}

/// Replays a whole conversation with flipped bits, cut ends and wrong order; nothing may panic, and the stack must
/// work afterwards.
#[test]
fn no_frame_disturbs_the_stack() {
    let mut world = World::new();
    let listener = world.listen(8);
    let mut recorded: Vec<Vec<u8>> = Vec::new();
    let client = world.connect();
    for _ in 0..20 {
        let _ = world.client.poll(world.now);
        while let Some(frame) = world.cable.take_from(0) {
            recorded.push(frame.clone());
            world.cable.inject(0, &frame);
            let _ = world.server.poll(world.now);
        }
        let _ = world.server.poll(world.now);
        if world.client.established(&client).is_ok() {
            let _ = world.client.send(&client, &pattern(100));
        }
    }
    assert!(recorded.len() > 3);
    let mut random = 1_u64;
    for _ in 0..30_000 {
        random = mix(random.wrapping_add(1));
        let mut frame = recorded[random as usize % recorded.len()].clone();
        for _ in 0..random >> 62 {
            random = mix(random);
            let index = (random >> 8) as usize % frame.len();
            frame[index] ^= 1 << (random & 7);
        }
        if random & 0xf00 == 0 {
            frame.truncate((random >> 20) as usize % frame.len());
        }
        world.cable.inject(0, &frame);
        let _ = world.server.poll(world.now);
        if random & 0xff == 0 {
            world.now = world.now.saturating_add(Duration::from_millis(300));
        }
        while let Ok(accepted) = world.server.accept(&listener) {
            world.server.close(accepted.id);
        }
        while world.cable.take_from(1).is_some() {}
    }
    world.client.abort(client);
    world.pass(Duration::from_secs(200));
    assert_eq!(world.server.usage().pooled_in_use, 0);
    world.pair(&listener);
}
