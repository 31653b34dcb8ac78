//! How connections end, and what is still sent and read then.

use super::*;

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
