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
