//! Links that come and go, and guests that move.

use toro_core::driver::net::{Changes, LinkState};

use super::*;

/// What has left the server since the last call and tells others of its address.
fn announcements(world: &mut World) -> usize {
    while world.server.poll(world.now) == Activity::Some {}
    let frames = core::iter::from_fn(|| world.cable.take_from(1));
    // To everybody, and about ourselves.
    let octets: Vec<u8> = match SERVER {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let is_ours = |frame: &Vec<u8>| match SERVER {
        IpAddr::V4(_) => frame[12..14] == [8, 6] && frame[28..32] == octets && frame[38..42] == octets,
        IpAddr::V6(_) => frame[20] == 58 && frame[54] == 136 && frame[62..78] == octets && frame[58] == 0x20,
    };
    frames.filter(|frame| frame[0] & 1 == 1 && is_ours(frame)).count()
}

fn say(world: &World, changes: Changes) {
    world.cable.from(1).changes = changes;
}

#[test]
fn net_25_a_guest_that_has_moved_tells_its_neighbours_at_most_once_a_second() {
    let mut world = World::new();
    world.pass(Duration::from_secs(3));
    announcements(&mut world);
    let announce = Changes { link: None, announce: true };
    say(&world, announce);
    assert_eq!(world.server.arm(), Armed::WorkPending, "before it sleeps it looks");
    assert_eq!(announcements(&mut world), 1);
    for _ in 0..20 {
        say(&world, announce);
        let _ = world.server.arm();
        assert_eq!(announcements(&mut world), 0);
    }
    assert_eq!(world.server.arm(), Armed::Idle, "what has to wait for its time is no work");
    let next = world.server.next_deadline().expect("it has not forgotten");
    assert!(next <= world.now.saturating_add(Duration::from_secs(1)));
    world.now = next;
    assert_eq!(announcements(&mut world), 1);
    world.now = world.now.saturating_add(Duration::from_secs(5));
    assert_eq!(announcements(&mut world), 0);
}

#[test]
fn a_busy_stack_looks_once_a_second() {
    let mut world = World::new();
    world.pass(Duration::from_secs(3));
    announcements(&mut world);
    say(&world, Changes { link: None, announce: true });
    world.now = world.now.saturating_add(Duration::from_millis(500));
    assert_eq!(announcements(&mut world), 0);
    world.now = world.now.saturating_add(Duration::from_millis(500));
    assert_eq!(announcements(&mut world), 1);
}

#[test]
fn a_link_that_was_down_costs_a_connection_no_more_than_loss() {
    let mut world = World::new();
    let listener = world.listen(8);
    let (client, server) = world.pair(&listener);
    world.pass(Duration::from_secs(3));
    announcements(&mut world);
    let link = |state| Changes { link: Some(state), announce: false };
    say(&world, link(LinkState::Down));
    world.cable.from(0).lose_if = Some(Box::new(|_| true));
    world.cable.from(1).lose_if = Some(Box::new(|_| true));
    world.server.send(&server.id, b"into the void").expect("there is room");
    world.pass(Duration::from_secs(10));
    assert_eq!(world.server.fault(), None);
    assert_eq!(world.server.configuration().addresses().filter(|&address| address == SERVER).count(), 1);
    world.cable.from(0).lose_if = None;
    world.cable.from(1).lose_if = None;
    say(&world, link(LinkState::Up));
    let _ = world.server.arm();
    assert_eq!(announcements(&mut world), 1, "here we are again");
    world.pass(Duration::from_secs(20));
    let mut buffer = [0; 20];
    assert_eq!(world.client.receive(&client, &mut buffer), Ok(13));
}

#[test]
fn a_device_that_breaks_down_while_it_is_asked_is_told_to_everybody() {
    let mut world = World::new();
    world.cable.from(1).fault = Some(DeviceFault::NeedsReset);
    world.now = world.now.saturating_add(Duration::from_secs(5));
    let _ = world.server.poll(world.now);
    assert_eq!(world.server.fault(), Some(DeviceFault::NeedsReset));
    assert_eq!(world.server.arm(), Armed::Idle);
}
