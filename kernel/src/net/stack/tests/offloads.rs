//! Devices that do a part of the work: checksums, cutting, merging, and all of it at once.

use toro_core::driver::net::Offloads;

use super::*;
use crate::net::testing::{Buffers, Receiving, Sending};

/// Interfaces that differ in one thing each, and those that do everything.
const GEARS: [Gear; 10] = [
    Gear::PLAIN,
    Gear { offloads: Offloads { checksum: true, ..Offloads::NONE }, ..Gear::PLAIN },
    Gear { receiving: Receiving::Verified, ..Gear::PLAIN },
    Gear::FULL,
    Gear { long_frames: 1, ..Gear::FULL },
    Gear { sending: Sending::AsIs, ..Gear::FULL },
    Gear { buffers: Buffers::Several { size: 1000, headroom: 80 }, ..Gear::PLAIN },
    Gear { buffers: Buffers::Several { size: 1000, headroom: 0 }, ..Gear::PLAIN },
    Gear { sending: Sending::AsIs, buffers: Buffers::Several { size: 1951, headroom: 80 }, ..Gear::FULL },
    Gear { sending: Sending::AsIs, buffers: Buffers::Several { size: 1951, headroom: 0 }, ..Gear::FULL },
];

fn roomy(address: IpAddr) -> Config {
    Config { large: BufferSizes { receive: 128 << 10, transmit: 128 << 10 }, ..fixed(address) }
}

fn world(server: Gear, client: Gear) -> World {
    World::between((roomy(SERVER), server), (roomy(CLIENT), client))
}

fn answer(world: &mut World, bytes: &[u8]) {
    let listener = world.listen(4);
    let (client, server) = world.pair(&listener);
    let received = transfer(
        world,
        bytes,
        |world, bytes| world.server.send(&server.id, bytes),
        |world, buffer| world.client.receive(&client, buffer),
    );
    assert!(received == bytes, "other bytes arrived");
    let received = transfer(
        world,
        &bytes[..bytes.len() / 3],
        |world, bytes| world.client.send(&client, bytes),
        |world, buffer| world.server.receive(&server.id, buffer),
    );
    assert!(received == bytes[..bytes.len() / 3], "other bytes arrived");
    world.client.close(client);
    world.server.close(server.id);
    world.pass(Duration::from_secs(30));
    assert_eq!(world.server.usage().pooled_in_use, 0);
    assert_eq!((world.server.counters().bad_checksums, world.client.counters().bad_checksums), (0, 0));
    assert_eq!((world.server.counters().answers_lost, world.client.counters().answers_lost), (0, 0));
}

#[test]
fn net_22_every_byte_arrives_between_any_two_kinds_of_device() {
    for server in GEARS {
        for client in GEARS {
            // The longest packet has to fit into the buffers of one burst.
            let long = [server, client].iter().any(|gear| gear.sending == Sending::AsIs);
            let small = |gear: Gear| matches!(gear.buffers, Buffers::Several { size: 1000, .. });
            if long && (small(server) || small(client)) {
                continue;
            }
            answer(&mut world(server, client), &pattern(300_000));
        }
    }
}

#[test]
fn net_22_every_byte_arrives_over_a_cable_that_loses_frames() {
    for gear in GEARS {
        for lost in [7, 12] {
            let mut world = world(gear, gear);
            let listener = world.listen(4);
            let (client, server) = world.pair(&listener);
            world.cable.from(0).lose_every = Some(lost + 4);
            world.cable.from(1).lose_every = Some(lost);
            let bytes = pattern(200_000);
            let received = transfer(
                &mut world,
                &bytes,
                |world, bytes| world.server.send(&server.id, bytes),
                |world, buffer| world.client.receive(&client, buffer),
            );
            assert!(received == bytes, "other bytes arrived: {gear:?}");
        }
    }
}

#[test]
fn long_segments_are_left_to_the_device_and_fit_the_link_afterwards() {
    let mut world = world(Gear::FULL, Gear::PLAIN);
    answer(&mut world, &pattern(300_000));
    assert!(world.cable.from(1).cut >= 5, "{}", world.cable.from(1).cut);
    assert_eq!(world.cable.from(1).longest, 1514);
    let written = world.server.counters().transmitted;
    assert!(written < 60, "{written} frames for 300 kB");
}

#[test]
fn a_connection_that_waits_for_a_long_frame_does_not_hold_up_the_others() {
    let mut world = world(Gear { long_frames: 1, ..Gear::FULL }, Gear::PLAIN);
    let listener = world.listen(4);
    let (first_client, first) = world.pair(&listener);
    let (second_client, second) = world.pair(&listener);
    // Somebody has the one long frame that there is.
    let taken = world.cable.take_long(1);
    let long = pattern(100_000);
    assert_eq!(world.server.send(&first.id, &long), Ok(long.len()));
    let _ = world.server.poll(world.now);
    assert_eq!(world.server.send(&second.id, b"short"), Ok(5));
    world.pass(Duration::from_millis(5));
    let mut buffer = [0; 16];
    assert_eq!(world.client.receive(&second_client, &mut buffer), Ok(5));
    assert_eq!(world.client.receive(&first_client, &mut buffer), Err(NetError::WouldBlock));
    // It comes back, and nothing was lost.
    drop(taken);
    let mut received = Vec::new();
    while received.len() < long.len() {
        let mut buffer = [0; 5000];
        match world.client.receive(&first_client, &mut buffer) {
            Ok(len) => received.extend_from_slice(&buffer[..len]),
            Err(NetError::WouldBlock) => world.pass(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(received == long);
    assert_eq!(world.server.counters().answers_lost, 0);
}

#[test]
fn a_merged_segment_is_acknowledged_at_once() {
    let as_is = Gear { sending: Sending::AsIs, ..Gear::FULL };
    for buffers in [Buffers::One, Buffers::Several { size: 1951, headroom: 80 }] {
        let mut world = world(as_is, Gear { buffers, ..as_is });
        let listener = world.listen(4);
        let (_client, server) = world.pair(&listener);
        // Too little for a second look of the delayed acknowledgement, and more than two segments.
        assert_eq!(world.server.send(&server.id, &pattern(4_000)), Ok(4_000));
        let before = world.client.counters().transmitted;
        world.settle();
        assert!(
            world.client.counters().transmitted > before,
            "no time has passed, and it is acknowledged: {buffers:?}"
        );
        assert_eq!(world.server.drained(&server.id), Ok(()));
        // A short one still waits for an answer to ride on.
        assert_eq!(world.server.send(&server.id, &pattern(100)), Ok(100));
        world.settle();
        assert_eq!(world.server.drained(&server.id), Err(NetError::WouldBlock));
    }
}

#[test]
fn net_22_a_wrong_checksum_is_noticed_by_us_where_the_device_has_not_looked() {
    for offloads in [Offloads::NONE, Gear::FULL.offloads] {
        let mut world = world(Gear { receiving: Receiving::Unseen, offloads, ..Gear::FULL }, Gear::PLAIN);
        let listener = world.listen(4);
        let (client, server) = world.pair(&listener);
        world.settle();
        assert_eq!(world.client.send(&client, b"hello"), Ok(5));
        let _ = world.client.poll(world.now);
        let mut frame = world.cable.take_from(0).expect("it was sent");
        let last = frame.len() - 1;
        frame[last] ^= 1;
        world.cable.inject(0, &frame);
        world.settle();
        assert_eq!(world.server.counters().bad_checksums, 1);
        assert_eq!(world.server.receive(&server.id, &mut [0; 8]), Err(NetError::WouldBlock));
        // It comes again.
        world.pass(Duration::from_secs(2));
        assert_eq!(world.server.receive(&server.id, &mut [0; 8]), Ok(5));
    }
}

#[test]
fn a_datagram_longer_than_a_buffer_arrives_in_one_piece() {
    for headroom in [0, 80] {
        let buffers = Buffers::Several { size: 500, headroom };
        let mut world = world(Gear { buffers, ..Gear::PLAIN }, Gear::PLAIN);
        let any = |port| SocketAddr::from((ANY, port));
        let (server, _) = world.server.bind_udp(any(53), Count::default()).expect("the port is free");
        let (client, _) = world.client.bind_udp(any(54), Count::default()).expect("the port is free");
        let bytes = pattern(1_400);
        world.client.send_to(&client, &bytes, SocketAddr::from((SERVER, 53))).expect("there is room");
        world.pass(Duration::from_millis(20));
        let mut buffer = [0; 2000];
        let (len, _) = world.server.receive_from(&server, &mut buffer).expect("it has arrived");
        assert!(buffer[..len] == bytes);
        assert_eq!((world.server.counters().merged, world.server.counters().merged_lost), (1, 0));
    }
}
