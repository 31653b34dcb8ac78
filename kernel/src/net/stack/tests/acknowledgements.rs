//! Acknowledgements: sent with what goes anyway, and processed no sooner than somebody has use for it.

use super::*;

#[test]
fn an_acknowledgement_rides_on_the_answer() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.pass(Duration::from_secs(1));
    let before = world.cable.from(1).count;
    world.client.send(&client, b"ping").expect("it is open");
    let _ = world.client.poll(world.now);
    let _ = world.server.poll(world.now);
    let mut buffer = [0; 8];
    world.server.receive(&server.id, &mut buffer).expect("it has arrived");
    world.server.send(&server.id, b"pong").expect("there is room");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.cable.from(1).count - before, 1);
}

/// A server that has sent an answer, the acknowledgement of which has arrived and is not followed by anything.
fn acknowledged_answer(world: &mut World) -> (ConnectionId, Accepted<Count>) {
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    // The first is acknowledged by a request, so that the next acknowledgement is known to be news.
    for _ in 0..2 {
        world.client.send(&client, b"ask").expect("there is room");
        world.settle();
        assert_eq!(world.server.receive(&server.id, &mut [0; 9]), Ok(3));
        world.server.send(&server.id, &pattern(4_000)).expect("there is room");
        world.settle();
        assert_eq!(world.client.receive(&client, &mut [0; 4_000]), Ok(4_000));
    }
    // Without an answer to ride on it leaves some milliseconds later.
    while world.server.held.is_none() {
        world.now = world.now.saturating_add(Duration::from_millis(1));
        let _ = world.client.poll(world.now);
        let _ = world.server.poll(world.now);
    }
    (client, server)
}

#[test]
fn an_acknowledgement_that_the_next_request_repeats_is_not_processed() {
    let mut world = World::new();
    let (client, server) = acknowledged_answer(&mut world);
    let before = world.server.counters();
    world.client.send(&client, b"next").expect("there is room");
    world.settle();
    let after = world.server.counters();
    assert_eq!(after.acknowledgements_merged - before.acknowledgements_merged, 1);
    assert_eq!(world.server.receive(&server.id, &mut [0; 9]), Ok(4));
    assert_eq!(world.server.drained(&server.id), Ok(()));
}

#[test]
fn an_acknowledgement_that_nothing_follows_is_processed_in_time_or_when_it_is_asked_for() {
    let mut world = World::new();
    let (_client, server) = acknowledged_answer(&mut world);
    assert_eq!(world.server.drained(&server.id), Ok(()));
    assert!(world.server.held.is_none());

    let mut world = World::new();
    let (_client, server) = acknowledged_answer(&mut world);
    assert_eq!(world.server.arm(), Armed::Idle);
    let until = world.server.next_deadline().expect("it is not held for ever");
    assert!(until <= world.now.saturating_add(Duration::from_millis(20)));
    world.pass(Duration::from_millis(20));
    assert!(world.server.held.is_none());
    assert_eq!(world.server.drained(&server.id), Ok(()));
}

#[test]
fn an_acknowledgement_is_processed_before_more_is_sent() {
    let mut world = World::new();
    let (_client, server) = acknowledged_answer(&mut world);
    world.server.send(&server.id, b"more").expect("there is room");
    assert!(world.server.held.is_none(), "it says how much the peer takes");
}

#[test]
fn whoever_waits_for_an_acknowledgement_is_told_at_once() {
    let mut world = World::new();
    let (client, server) = acknowledged_answer(&mut world);
    world.client.send(&client, b"ask").expect("there is room");
    world.settle();
    world.server.send(&server.id, &pattern(4_000)).expect("there is room");
    assert_eq!(world.server.drained(&server.id), Err(NetError::WouldBlock));
    let before = server.signal.writable_calls();
    for _ in 0..50 {
        world.pass(Duration::from_millis(1));
        assert!(world.server.held.is_none(), "somebody waits for it");
    }
    assert!(server.signal.writable_calls() > before);
    assert_eq!(world.server.drained(&server.id), Ok(()));
}

#[test]
fn acknowledgements_of_a_long_answer_are_processed_once_per_burst() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    let bytes = pattern(60_000);
    world.server.send(&server.id, &bytes).expect("there is room");
    let before = world.server.counters();
    let _ = world.server.poll(world.now);
    // The client sees the segments one by one, and acknowledges each second one by itself.
    let segments: Vec<_> = core::iter::from_fn(|| world.cable.take_from(1)).collect();
    for segment in &segments[..8] {
        world.cable.inject(1, segment);
        let _ = world.client.poll(world.now);
        let _ = world.client.poll(world.now);
    }
    let _ = world.server.poll(world.now);
    let after = world.server.counters();
    assert!(after.received - before.received >= 3);
    assert_eq!(after.acknowledgements_merged - before.acknowledgements_merged, after.received - before.received - 1);
    for segment in &segments[8..] {
        world.cable.inject(1, segment);
    }
    let received =
        transfer(&mut world, &bytes, |_, rest| Ok(rest.len()), |world, buffer| world.client.receive(&client, buffer));
    assert_eq!(received, bytes);
}
