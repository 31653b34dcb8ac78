//! Who may sleep, and what wakes him.

use toro_core::driver::Armed;
use toro_core::driver::net::{Burst, LinkState, NetDevice};
use virtio_sim::e1000::Pace;

use crate::rig::{Rig, ordinary};

const ICR: usize = 0xc0;

#[test]
fn e1_22_causes_are_read_once_for_a_wake_and_take_the_line_down() {
    let mut rig = Rig::new();
    for _ in 0..5 {
        rig.deliver(4);
        assert!(rig.nic.line());
        assert_eq!(rig.receive().len(), 4);
        assert_eq!(rig.net.arm(), Ok(Armed::Idle));
        assert_eq!(rig.nic.take_accesses(ICR), (1, 0));
        assert!(!rig.nic.line());
        assert_eq!(rig.net.arm(), Ok(Armed::Idle), "an interrupt of somebody else");
        rig.nic.take_accesses(ICR);
    }
}

#[test]
fn e1_22_what_comes_before_one_sleeps_is_seen_and_what_comes_then_interrupts() {
    let mut rig = Rig::new();
    rig.deliver(1);
    assert_eq!(rig.net.arm(), Ok(Armed::WorkPending));
    assert_eq!(rig.nic.take_all_accesses(), 0, "and is seen without an access");
    assert_eq!(rig.receive().len(), 1);
    assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    rig.deliver(1);
    assert!(rig.nic.line());
    assert_eq!(rig.receive().len(), 1);
}

#[test]
fn e1_22_who_waits_for_room_is_woken_by_a_completion_and_nobody_else_is() {
    let mut rig = Rig::with(|nic| nic.chip().pace = Pace::Slow);
    let frame = rig.frame(&ordinary(0, 60));
    rig.transmit([frame]);
    assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    assert!(!rig.nic.run(), "nobody waits");
    let mut burst = Burst::new();
    for number in 0..14 {
        let frame = rig.frame(&ordinary(number, 60));
        burst.push(frame).expect("there is room");
    }
    rig.net.transmit(&mut burst).expect("no fault");
    assert!(!burst.is_empty());
    assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    assert!(rig.nic.run(), "there is room");
    assert_eq!(rig.net.arm(), Ok(Armed::WorkPending));
    rig.net.transmit(&mut burst).expect("no fault");
    assert!(burst.is_empty());
    assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    assert!(!rig.nic.run(), "nobody waits any more");
}

#[test]
fn e1_22_who_holds_all_frames_himself_waits_for_nothing() {
    let mut rig = Rig::new();
    let held: Vec<_> = std::iter::from_fn(|| rig.net.frame(60)).collect();
    assert!(!held.is_empty());
    assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    assert_eq!(rig.nic.take_all_accesses(), 1, "the causes");
}

#[test]
fn e1_23_gap_between_interrupts_is_what_the_platform_chose() {
    for (gap, expected) in [(0, 0), (255, 0), (51_200, 200), (1_000_000_000, 0xffff)] {
        let (nic, memory, clock) = crate::rig::device();
        let interrupt_gap = std::time::Duration::from_nanos(gap);
        let options = e1000::Options { interrupt_gap, ..crate::rig::options() };
        let net = e1000::E1000::new(e1000::Model::I82540Em, nic.clone(), nic.config(), memory, clock, &options);
        assert!(net.is_ok());
        assert_eq!(nic.chip().peek(0xc4), expected);
        drop(net);
    }
}

#[test]
fn e1_6_changes_of_the_link_are_told_once_and_cost_nothing_while_there_are_none() {
    let mut rig = Rig::new();
    assert_eq!(rig.net.changes().map(|changes| changes.link), Ok(None));
    assert_eq!(rig.nic.take_all_accesses(), 0);
    for link in [LinkState::Down, LinkState::Up, LinkState::Down] {
        rig.nic.set_link(link);
        assert!(rig.nic.line());
        assert_eq!(rig.net.arm(), Ok(Armed::WorkPending));
        assert_eq!(rig.net.changes().map(|changes| changes.link), Ok(Some(link)));
        assert_eq!(rig.net.changes().map(|changes| changes.link), Ok(None));
        assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    }
    // There and back before anybody looked.
    rig.nic.set_link(LinkState::Up);
    rig.nic.set_link(LinkState::Down);
    assert_eq!(rig.net.arm(), Ok(Armed::WorkPending));
    assert_eq!(rig.net.changes().map(|changes| changes.link), Ok(None));
    assert_eq!(rig.net.arm(), Ok(Armed::Idle));
}

#[test]
fn e1_22_what_comes_while_the_causes_are_taken_is_seen_as_it_does_not_interrupt_again() {
    let mut rig = Rig::new();
    rig.nic.chip().early = Some(ordinary(1, 60));
    assert_eq!(rig.net.arm(), Ok(Armed::WorkPending));
    assert!(!rig.nic.line());
    assert_eq!(rig.receive().len(), 1);
}
