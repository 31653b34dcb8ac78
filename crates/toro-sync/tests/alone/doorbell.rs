use toro_sync::{Doorbell, Ring};

#[test]
fn an_owner_that_is_awake_is_left_alone() {
    let bell = Doorbell::new();
    assert!(!bell.is_asleep());
    assert_eq!(bell.ring(), Ring::Suppressed);
    assert_eq!(bell.ring_after_push(), Ring::Suppressed);
    bell.lie_down();
    bell.get_up();
    assert!(!bell.is_asleep());
    assert_eq!(bell.ring(), Ring::Suppressed);
    assert_eq!(bell.ring_after_push(), Ring::Suppressed);
}

#[test]
fn only_the_first_who_rings_interrupts() {
    let bell = Doorbell::default();
    for rings in [[Doorbell::ring, Doorbell::ring_after_push], [Doorbell::ring_after_push, Doorbell::ring]] {
        bell.lie_down();
        assert!(bell.is_asleep());
        assert_eq!(rings[0](&bell), Ring::Needed);
        assert!(!bell.is_asleep());
        assert_eq!(rings[1](&bell), Ring::Suppressed);
        bell.get_up();
        assert_eq!(rings[0](&bell), Ring::Suppressed);
    }
}
