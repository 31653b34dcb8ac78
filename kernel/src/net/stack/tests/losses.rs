//! What losses cost, in the time of the test's own clock.

extern crate std;

use alloc::sync::Arc;
use std::sync::Mutex;

use super::*;
use crate::net::config::Congestion;
use crate::net::flow::mix;
use crate::net::testing::{Loss, Sending};

/// As much as goes over.
const BYTES: usize = 1 << 20;
/// An interface that cuts nor merges nothing of what it is given.
const AS_IS: Gear = Gear { sending: Sending::AsIs, ..Gear::FULL };

/// Loses one frame of so many, at random. A period could meet that of retransmissions.
fn one_of(many: u64, mut state: u64) -> Loss {
    Box::new(move |_| {
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        state.is_multiple_of(many)
    })
}

/// How long it takes, and how many frames, to send all over a cable that loses one of `many` to the receiver.
fn cost(gear: Gear, congestion: Congestion, many: u64, seed: u64) -> (Duration, u64) {
    let config = |address| Config { congestion, ..fixed(address) };
    let mut world = World::between((config(SERVER), gear), (config(CLIENT), gear));
    let listener = world.listen(4);
    let (client, server) = world.pair(&listener);
    world.cable.from(1).lose_if = Some(one_of(many, seed));
    let (began, before) = (world.now, world.cable.from(1).count);
    let bytes = pattern(BYTES);
    let received = transfer(
        &mut world,
        &bytes,
        |world, bytes| world.server.send(&server.id, bytes),
        |world, buffer| world.client.receive(&client, buffer),
    );
    assert!(received == bytes, "other bytes arrived");
    let frames = world.cable.from(1).count - before;
    (world.now.saturating_since(began), frames)
}

/// The longest of a few times, and how many frames it takes on average.
fn costs(gear: Gear, congestion: Congestion, many: u64) -> (Duration, u64) {
    let costs: Vec<_> = (0..3).map(|seed| cost(gear, congestion, many, seed * 7919)).collect();
    let longest = costs.iter().map(|cost| cost.0).max().expect("there are some");
    (longest, costs.iter().map(|cost| cost.1).sum::<u64>() / costs.len() as u64)
}

#[test]
fn rfc_6582_a_lost_segment_costs_no_timeout() {
    for gear in [Gear::PLAIN, Gear::FULL] {
        let (time, frames) = costs(gear, Congestion::None, 100);
        assert!(time < Duration::from_millis(900), "{time:?} for seven losses");
        assert!(frames < 760, "{frames} frames, where 725 would do");
    }
}

#[test]
fn rfc_8985_what_is_lost_again_costs_one_short_timeout() {
    for gear in [Gear::PLAIN, Gear::FULL] {
        let (time, frames) = costs(gear, Congestion::None, 10);
        assert!(time < Duration::from_secs(10), "{time:?} for seventy losses");
        assert!(frames < 900, "{frames} frames, where 725 would do");
    }
    let (time, _) = costs(AS_IS, Congestion::None, 10);
    assert!(time < Duration::from_secs(20), "{time:?}, and what is lost is 64 KiB");
}

#[test]
fn a_sender_that_slows_down_gets_through_as_well() {
    let (time, frames) = costs(Gear::FULL, Congestion::Reno, 30);
    assert!(time < Duration::from_secs(20), "{time:?} for 25 losses");
    assert!(frames < 900, "{frames} frames, where 725 would do");
}

#[test]
fn the_last_segment_of_all_is_sent_again_before_a_second_has_passed() {
    let mut world = World::new();
    let listener = world.listen(4);
    let (client, server) = world.pair(&listener);
    world.server.send(&server.id, b"first").expect("it is open");
    world.pass(Duration::from_millis(100));
    let mut first = true;
    world.cable.from(1).lose_if = Some(Box::new(move |_| core::mem::take(&mut first)));
    world.server.send(&server.id, b"last").expect("it is open");
    world.pass(Duration::from_millis(990));
    let mut buffer = [0; 16];
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(9));
}

#[test]
fn a_fin_that_is_lost_is_sent_again() {
    let mut world = World::new();
    let listener = world.listen(4);
    let (client, server) = world.pair(&listener);
    world.server.send(&server.id, b"all").expect("it is open");
    world.pass(Duration::from_millis(100));
    let mut left = 3;
    world.cable.from(1).lose_if = Some(Box::new(move |_| {
        left -= i32::from(left > 0);
        left > 0
    }));
    world.server.finish(&server.id).expect("it is open");
    world.pass(Duration::from_secs(8));
    let mut buffer = [0; 16];
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(3));
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(0));
}

#[test]
fn duplicates_do_not_stop_a_fin_from_being_sent_again() {
    let mut world = World::new();
    let listener = world.listen(4);
    let (client, server) = world.pair(&listener);
    let last = Arc::new(Mutex::new(Vec::new()));
    let heard = last.clone();
    world.cable.from(0).lose_if = Some(Box::new(move |frame| {
        *heard.lock().expect("unpoisoned") = frame.to_vec();
        false
    }));
    world.server.send(&server.id, b"all").expect("it is open");
    world.pass(Duration::from_millis(100));
    world.cable.from(0).lose_if = None;
    let acknowledgement = last.lock().expect("unpoisoned").clone();
    // The FIN is lost, and what the client has said before comes again.
    world.cable.from(1).lose_if = Some(Box::new(|_| true));
    world.server.finish(&server.id).expect("it is open");
    world.settle();
    world.cable.from(1).lose_if = None;
    for _ in 0..5 {
        world.cable.inject(0, &acknowledgement);
        world.settle();
    }
    world.pass(Duration::from_secs(8));
    let mut buffer = [0; 16];
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(3));
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(0));
}

#[test]
fn a_window_that_is_closed_is_not_mistaken_for_a_loss() {
    let mut world = World::new();
    let listener = world.listen(4);
    let (client, server) = world.pair(&listener);
    // More than the other side's buffer holds, of which nothing is read for a while.
    let bytes = pattern(400_000);
    let mut sent = 0;
    while let Ok(count) = world.server.send(&server.id, &bytes[sent..]) {
        sent += count;
        world.pass(Duration::from_millis(10));
    }
    let before = world.cable.from(1).count;
    world.pass(Duration::from_secs(20));
    let more = world.cable.from(1).count - before;
    assert!(more < 12, "{more} frames to a window that is closed");
    let bytes = &bytes[..sent];
    let received =
        transfer(&mut world, bytes, |_, rest| Ok(rest.len()), |world, buffer| world.client.receive(&client, buffer));
    assert!(received == bytes);
}
