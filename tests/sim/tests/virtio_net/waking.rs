//! Waking.

use crate::card::*;

#[test]
fn after_idle_the_next_frame_interrupts() {
    for bus in BUSES {
        for features in [0, EVENT_IDX] {
            let mut nic = Setup { bus, features, ..Setup::default() }.nic();
            for round in 0..300 {
                assert_eq!(nic.net.arm(), Ok(Armed::Idle));
                nic.deliver(&numbered(round));
                assert!(nic.receive.wants_interrupt(), "round {round}");
                assert_eq!(nic.net.arm(), Ok(Armed::WorkPending));
                assert_eq!(nic.received().len(), 1);
            }
        }
    }
}

#[test]
fn arming_acknowledges_the_interrupt() {
    let mut nic = Setup::default().nic();
    nic.device.state().interrupt = 3;
    assert_eq!(nic.net.arm(), Ok(Armed::Idle));
    let state = nic.device.state();
    assert_eq!((state.interrupt, &state.acknowledged[..]), (0, &[3][..]));
}

#[test]
fn a_transmit_completion_wakes_nobody_who_does_not_wait_for_it() {
    for features in [0, EVENT_IDX] {
        let mut nic = Setup { features, ..Setup::small(16) }.nic();
        // With EVENT_IDX the first completion ever passes used_event = 0, where the ring starts.
        for round in 0..8 {
            assert!(nic.fill(round, 1).is_empty());
            assert_eq!(nic.net.arm(), Ok(Armed::Idle));
            nic.on_the_wire();
            nic.complete(1);
            assert_eq!(nic.transmit.wants_interrupt(), features == EVENT_IDX && round == 0);
            assert_eq!(nic.net.arm(), Ok(Armed::Idle));
        }
    }
}

#[test]
fn a_transmit_completion_wakes_who_was_left_with_frames() {
    for features in [0, EVENT_IDX] {
        let mut nic = Setup { features, ..Setup::small(8) }.nic();
        for _ in 0..20 {
            let mut burst = nic.fill(0, 10);
            assert_eq!(burst.len(), 2);
            nic.on_the_wire();
            assert_eq!(nic.net.arm(), Ok(Armed::Idle));
            nic.complete(1);
            assert!(nic.transmit.wants_interrupt());
            nic.complete(2);
            assert_eq!(nic.net.arm(), Ok(Armed::WorkPending), "there is room now");
            nic.net.transmit(&mut burst).expect("an obedient card");
            assert!(burst.is_empty());
            nic.on_the_wire();
            let rest = nic.sent.len();
            nic.complete(rest);
            // Nobody waits any more, which the driver notices when it is armed.
            let _ = nic.net.arm();
            assert_eq!(nic.net.arm(), Ok(Armed::Idle));
        }
    }
}

#[test]
fn a_transmit_completion_wakes_who_was_left_without_a_frame() {
    for features in [0, EVENT_IDX] {
        let options = Options { receive_spare: 4, ..Options::default() };
        let mut nic = Setup { features, options, ..Setup::small(8) }.nic();
        assert!(nic.fill(0, 8).is_empty());
        nic.on_the_wire();
        let held: Vec<_> = std::iter::from_fn(|| nic.net.frame(60)).collect();
        assert_eq!(held.len(), 4, "the ring has the others, and the card is not done with them");
        assert_eq!(nic.net.arm(), Ok(Armed::Idle));
        nic.complete(1);
        assert!(nic.transmit.wants_interrupt(), "somebody waits for this");
        assert_eq!(nic.net.arm(), Ok(Armed::WorkPending));
        assert!(nic.net.frame(60).is_some());
        // Nobody waits any more.
        assert_eq!(nic.net.arm(), Ok(Armed::Idle));
        nic.complete(1);
        assert!(!nic.transmit.wants_interrupt());
    }
}

#[test]
fn frames_that_the_card_is_done_with_are_found_when_they_are_needed() {
    let options = Options { receive_spare: 0, ..Options::default() };
    let mut nic = Setup { options, ..Setup::small(8) }.nic();
    for round in 0..20 {
        assert!(nic.fill(round, 8).is_empty());
        nic.on_the_wire();
        assert!(nic.net.frame(60).is_none());
        nic.complete(8);
        assert!(nic.net.frame(60).is_some());
    }
}

#[test]
fn whoever_holds_all_frames_himself_does_not_wait_for_the_card() {
    let mut nic = Setup { features: 0, ..Setup::small(8) }.nic();
    let held: Vec<_> = std::iter::from_fn(|| nic.net.frame(60)).collect();
    assert!(nic.net.frame(60).is_none());
    assert_eq!(nic.net.arm(), Ok(Armed::Idle));
    drop(held);
    assert!(nic.fill(0, 1).is_empty());
    assert_eq!(nic.net.arm(), Ok(Armed::Idle));
    nic.on_the_wire();
    nic.complete(1);
    assert!(!nic.transmit.wants_interrupt());
}
