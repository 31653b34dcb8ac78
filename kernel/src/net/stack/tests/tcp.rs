//! TCP as it is meant to be.

use super::*;

#[test]
fn a_handshake_wakes_both_sides_and_bytes_go_both_ways() {
    let mut world = World::new();
    let listening = Count::default();
    let any = SocketAddr::from((ANY, PORT));
    let (listener, local) = world.server.listen(any, 8, listening.clone()).expect("the port is free");
    assert_eq!(local.port(), PORT);
    assert_eq!(world.server.accept(&listener).err(), Some(NetError::WouldBlock));

    let connecting = Count::default();
    let there = SocketAddr::from((SERVER, PORT));
    let (client, here) = world.client.connect(there, connecting.clone()).expect("there is room");
    assert_eq!(world.client.established(&client), Err(NetError::WouldBlock));
    world.settle();
    assert_eq!(world.client.established(&client), Ok(()));
    assert!(connecting.writable_calls() > 0, "the connecting side is woken");
    assert!(listening.readable_calls() > 0, "the accepting side is woken");

    let accepted = world.server.accept(&listener).expect("the handshake is complete");
    assert_eq!((accepted.remote, accepted.local), (here, there));
    assert_eq!(world.server.accept(&listener).err(), Some(NetError::WouldBlock));

    let woken = accepted.signal.readable_calls();
    assert_eq!(world.client.send(&client, b"GET"), Ok(3));
    world.settle();
    assert!(accepted.signal.readable_calls() > woken, "a reader is woken by data");
    let mut buffer = [0; 16];
    assert_eq!(world.server.receive(&accepted.id, &mut buffer), Ok(3));
    assert_eq!(&buffer[..3], b"GET");
    assert_eq!(world.server.receive(&accepted.id, &mut buffer), Err(NetError::WouldBlock));
    assert_eq!(world.server.send(&accepted.id, b"200"), Ok(3));
    world.settle();
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(3));
    assert_eq!(&buffer[..3], b"200");
}

#[test]
fn data_that_arrives_before_accept_is_kept() {
    let mut world = World::new();
    let listener = world.listen(8);
    let client = world.connect();
    world.settle();
    world.client.send(&client, b"early").expect("it is connected");
    world.client.finish(&client).expect("it is connected");
    world.pass(Duration::from_secs(1));
    let accepted = world.server.accept(&listener).expect("the handshake is complete");
    let mut buffer = [0; 16];
    assert_eq!(world.server.receive(&accepted.id, &mut buffer), Ok(5));
    assert_eq!(&buffer[..5], b"early");
    assert_eq!(world.server.receive(&accepted.id, &mut buffer), Ok(0));
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (server_before, client_before) = (world.server.usage(), world.client.usage());
    let mut buffer = [0; 64];
    let mut memory = 0;
    for round in 0..1000_u32 {
        let client = world.connect();
        world.settle();
        if world.client.established(&client).is_err() {
            // The port is one that the server still remembers from a connection that it closed, and the sequence
            // number an earlier one: this takes a reset and another SYN.
            world.pass(Duration::from_secs(2));
        }
        let server = world.server.accept(&listener).expect("the handshake is complete").id;
        world.client.send(&client, &round.to_be_bytes()).expect("it is connected");
        world.settle();
        assert_eq!(world.server.receive(&server, &mut buffer), Ok(4));
        assert_eq!(buffer[..4], round.to_be_bytes());
        // In turn: the client closes first, the server does, and both at once.
        match round % 3 {
            0 => {
                world.client.close(client);
                world.settle();
                world.server.close(server);
            }
            1 => {
                world.server.close(server);
                world.settle();
                world.client.close(client);
            }
            _ => {
                world.server.close(server);
                world.client.close(client);
            }
        }
        world.pass(Duration::from_millis(20));
        assert_eq!(world.server.usage().pooled_in_use, 0, "round {round}");
        assert_eq!(world.client.usage().pooled_in_use, 0, "round {round}");
        if round == 0 {
            memory = world.server.usage().memory;
        }
    }
    assert_eq!(world.server.usage().memory, memory, "buffers were used again");
    assert!(world.server.usage().flows > 0, "some connections are in TIME-WAIT");
    world.pass(Duration::from_secs(11));
    assert_eq!(world.server.usage().flows, server_before.flows);
    assert_eq!(world.client.usage().flows, client_before.flows);
    assert_eq!(world.server.usage().sockets, 0);
    assert_eq!(world.server.next_deadline(), None, "an idle stack has no deadline");
    assert_eq!(world.server.arm(), Armed::Idle);
}

#[test]
fn many_connections_at_once_fit_into_a_small_budget() {
    let server = Config { memory: 4 << 20, ..fixed(SERVER) };
    let mut world = World::with(server, Config { memory: 64 << 20, ..fixed(CLIENT) });
    let listener = world.listen(100);
    let clients: Vec<_> = (0..100).map(|_| world.connect()).collect();
    world.pass(Duration::from_secs(2));
    let servers: Vec<_> = (0..100).map(|_| world.server.accept(&listener).expect("all are established").id).collect();
    assert!(world.server.usage().memory <= 4 << 20);
    let answer = pattern(10_000);
    for id in &servers {
        assert_eq!(world.server.send(id, &answer), Ok(10_000));
    }
    world.pass(Duration::from_secs(2));
    let mut buffer = alloc::vec![0; 10_001];
    for id in &clients {
        assert_eq!(world.client.receive(id, &mut buffer), Ok(10_000));
        assert_eq!(buffer[..10_000], answer);
    }
}

#[test]
fn connections_beyond_the_memory_are_an_error_here_and_silence_there() {
    let sizes = BufferSizes { receive: 4096, transmit: 4096 };
    let little = |address| Config { memory: 4 * 8192, large: sizes, small: sizes, ..fixed(address) };
    let mut world = World::with(little(SERVER), little(CLIENT));
    let _listener = world.listen(100);
    let there = SocketAddr::from((SERVER, PORT));
    let mut ids: Vec<_> = (0..4).map(|_| world.connect()).collect();
    assert_eq!(world.client.connect(there, Count::default()).err(), Some(NetError::Exhausted));
    assert_eq!(world.client.bind_udp(there, Count::default()).err(), Some(NetError::AddressNotAvailable));
    let any = SocketAddr::from((ANY, 0));
    assert_eq!(world.client.bind_udp(any, Count::default()).err(), Some(NetError::Exhausted));
    world.pass(Duration::from_secs(1));
    world.client.abort(ids.pop().expect("there are four"));
    world.settle();
    assert!(world.client.connect(there, Count::default()).is_ok());
}

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

#[test]
fn a_closed_port_refuses_and_an_aborted_connection_is_reset() {
    let mut world = World::new();
    let refused = world.connect();
    world.settle();
    assert_eq!(world.client.established(&refused), Err(NetError::ConnectionRefused));
    assert_eq!(world.client.send(&refused, b"x"), Err(NetError::ConnectionRefused));

    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.server.abort(server.id);
    world.settle();
    let mut buffer = [0; 4];
    assert_eq!(world.client.receive(&client, &mut buffer), Err(NetError::ConnectionReset));
    assert_eq!(world.client.send(&client, b"x"), Err(NetError::ConnectionReset));
    assert_eq!(world.server.usage().pooled_in_use, 0);
}

#[test]
fn each_half_closes_by_itself() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.client.send(&client, b"question").expect("it is open");
    world.client.finish(&client).expect("it is open");
    assert_eq!(world.client.send(&client, b"more"), Err(NetError::BrokenPipe));
    world.settle();
    let mut buffer = [0; 16];
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(8));
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(0));
    let answer = pattern(200_000);
    let received = transfer(
        &mut world,
        &answer,
        |world, bytes| world.server.send(&server.id, bytes),
        |world, buffer| world.client.receive(&client, buffer),
    );
    assert_eq!(received, answer);
    world.server.finish(&server.id).expect("it is open");
    world.settle();
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(0));
    // The client, which closed first, is in TIME-WAIT; what it holds is only an id.
    world.pass(Duration::from_secs(30));
    assert_eq!(world.client.usage().flows, 0);
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(0));
    world.client.close(client);
    world.server.close(server.id);
    assert_eq!(world.client.usage().pooled_in_use, 0);
    assert_eq!(world.server.usage().pooled_in_use, 0);
}

#[test]
fn what_was_received_can_be_read_long_after_the_end() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.server.finish(&server.id).expect("it is open");
    world.settle();
    world.client.send(&client, b"late").expect("it is half open");
    world.client.close(client);
    world.pass(Duration::from_secs(60));
    let mut buffer = [0; 16];
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(4));
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(0));
}

#[test]
fn a_closed_connection_still_sends_what_was_queued() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    let bytes = pattern(60_000);
    assert_eq!(world.server.send(&server.id, &bytes), Ok(60_000));
    world.server.close(server.id);
    let received =
        transfer(&mut world, &bytes, |_, rest| Ok(rest.len()), |world, buffer| world.client.receive(&client, buffer));
    assert_eq!(received, bytes);
    world.settle();
    let mut buffer = [0; 16];
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(0));
    world.client.close(client);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.server.usage().pooled_in_use, 0);
}

#[test]
fn what_a_client_sends_after_our_close_does_not_destroy_our_answer() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.server.send(&server.id, b"400 Bad Request").expect("it is open");
    world.server.close(server.id);
    world.client.send(&client, &pattern(50_000)).expect("it is open");
    world.pass(Duration::from_secs(1));
    let mut buffer = [0; 32];
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(15));
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(0));
}

#[test]
fn stopped_reading_finds_the_end_and_does_not_block_the_sender() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.client.send(&client, b"unread").expect("it is open");
    world.settle();
    world.server.stop_reading(&server.id).expect("it is open");
    let mut buffer = [0; 16];
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(0));
    let mut sent = 0;
    while sent < 500_000 {
        sent += world.client.send(&client, &[1; 10_000]).unwrap_or(0);
        world.pass(Duration::from_millis(1));
    }
    assert_eq!(world.server.receive(&server.id, &mut buffer), Ok(0));
}

#[test]
fn a_request_costs_the_same_with_one_connection_and_with_five_hundred() {
    let config = |address| Config { memory: 64 << 20, ..fixed(address) };
    let mut world = World::with(config(SERVER), config(CLIENT));
    let listener = world.listen(8);
    let cost_of_request = |world: &mut World, client: &ConnectionId, server: &ConnectionId| {
        let before = world.server.counters().socket_polls;
        world.client.send(client, b"GET / HTTP/1.1\r\n\r\n").expect("it is open");
        let _ = world.client.poll(world.now);
        let _ = world.server.poll(world.now);
        let mut buffer = [0; 100];
        world.server.receive(server, &mut buffer).expect("the request has arrived");
        world.server.send(server, &[b'x'; 4096]).expect("there is room");
        world.settle();
        while world.client.receive(client, &mut buffer).is_ok() {}
        world.pass(Duration::from_millis(50));
        world.server.counters().socket_polls - before
    };
    let (client, server) = world.pair(&listener);
    world.pass(Duration::from_secs(2));
    let alone = cost_of_request(&mut world, &client, &server.id);
    let others: Vec<_> = (0..500).map(|_| world.pair(&listener)).collect();
    // Timers of their handshakes are still to come up.
    world.pass(Duration::from_secs(2));
    let among_many = cost_of_request(&mut world, &client, &server.id);
    assert_eq!(others.len(), 500);
    assert_eq!(among_many, alone);
    assert!(alone <= 8, "{alone} looks at sockets for one request");
}

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

#[test]
fn a_writer_is_woken_when_half_of_its_buffer_is_free() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    let bytes = pattern(1 << 20);
    let queued = world.server.send(&server.id, &bytes).expect("the buffer is empty");
    assert_eq!(queued, Config::default().bulk.transmit);
    assert_eq!(world.server.send(&server.id, &bytes), Err(NetError::WouldBlock));
    world.pass(Duration::from_millis(50));
    let before = server.signal.writable_calls();
    let mut buffer = alloc::vec![0; 40_000];
    let mut taken = 0;
    while server.signal.writable_calls() == before {
        taken += world.client.receive(&client, &mut buffer).expect("there is more");
        world.pass(Duration::from_millis(50));
        assert!(taken < queued, "nobody woke the writer");
    }
    assert!(world.server.send(&server.id, &bytes).expect("it was woken") >= queued / 2);
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

/// A client that takes a port, so that it can use it twice.
fn connect_from(world: &mut World, port: &ListenerId) -> ConnectionId {
    let there = SocketAddr::from((SERVER, PORT));
    world.client.connect_from(port, there, Count::default()).expect("nobody is connected from there").0
}

#[test]
fn a_peer_that_resets_and_connects_again_from_the_same_port_gets_through() {
    let mut world = World::new();
    let listener = world.listen(8);
    let any = SocketAddr::from((ANY, 0));
    let (port, _) = world.client.reserve(any, Count::default()).expect("a port is free");
    let first = connect_from(&mut world, &port);
    world.settle();
    let old = world.server.accept(&listener).expect("the handshake is complete").id;
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
    let any = SocketAddr::from((ANY, 0));
    let (port, _) = world.client.reserve(any, Count::default()).expect("a port is free");
    let first = connect_from(&mut world, &port);
    world.settle();
    let old = world.server.accept(&listener).expect("the handshake is complete").id;
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
