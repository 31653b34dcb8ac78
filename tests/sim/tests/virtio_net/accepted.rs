//! What is accepted of what a card offers.

use virtio_net::Duplex;

use crate::card::*;

/// What the driver has accepted of a card.
fn accepted(setup: Setup) -> u64 {
    let nic = setup.nic();
    let state = nic.device.state();
    state.accepted & !FeatureBits::RING.bits() & !ANY_LAYOUT
}

#[test]
fn net_2_4_5_7_27_33_34_of_a_card_that_offers_everything_this_is_accepted() {
    let known = [0, 1, 2, 3, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18, 21, 59, 62, 63];
    let expected = known.iter().fold(0, |bits, bit| bits | 1 << bit);
    for bus in BUSES {
        // But for ring features that this card does not play.
        let offered = FeatureBits::DEVICE.bits() | EVENT_IDX;
        assert_eq!(accepted(Setup { bus, features: offered, ..Setup::default() }), expected, "{bus:?}");
    }
    for bus in LEGACY_BUSES {
        let features = FeatureBits::DEVICE.bits() & 0xffff_ffff;
        assert_eq!(accepted(Setup { bus, features, ..Setup::default() }), expected & 0xffff_ffff, "{bus:?}");
    }
}

#[test]
fn net_7_ftr_2_a_feature_is_accepted_only_with_those_that_it_depends_on() {
    let has = |setup: Setup, feature: FeatureBits| accepted(setup) & feature.bits() != 0;
    // What is missing, and what goes with it.
    for (missing, gone) in [
        (features::CSUM, features::HOST_TSO4),
        (features::CSUM, features::HOST_TSO6),
        (features::CSUM, features::HOST_ECN),
        (features::HOST_TSO4 | features::HOST_TSO6, features::HOST_ECN),
        (features::GUEST_CSUM, features::GUEST_TSO4),
        (features::GUEST_CSUM, features::GUEST_TSO6),
        (features::GUEST_CSUM, features::MRG_RXBUF),
        (features::MRG_RXBUF, features::GUEST_TSO4),
        (features::MRG_RXBUF, features::GUEST_ECN),
        (features::GUEST_TSO4 | features::GUEST_TSO6, features::MRG_RXBUF),
        (features::GUEST_TSO4 | features::GUEST_TSO6, features::GUEST_ECN),
    ] {
        assert!(has(Setup::offloading(), gone), "{gone:?}");
        assert!(!has(Setup::offloading().without(missing), gone), "{gone:?} without {missing:?}");
    }
    for gone in [features::CTRL_RX, features::GUEST_ANNOUNCE, features::CTRL_GUEST_OFFLOADS] {
        assert!(has(Setup::commanded(), gone), "{gone:?}");
        assert!(!has(Setup::commanded().without(features::CTRL_VQ), gone), "{gone:?}");
    }
    assert!(!has(Setup::commanded().without(features::STATUS), features::GUEST_ANNOUNCE));
    // Nothing to command, no queue for it.
    let nothing = features::CTRL_RX | features::GUEST_ANNOUNCE | features::CTRL_GUEST_OFFLOADS;
    assert!(!has(Setup::commanded().without(nothing), features::CTRL_VQ));
}

#[test]
fn what_the_platform_does_not_want_is_not_accepted() {
    let with = |options| accepted(Setup { options, ..Setup::offloading() });
    let without_cutting = with(Options { large_frames: 0, ..Options::default() });
    assert_eq!(without_cutting & (1 << 11 | 1 << 12 | 1 << 13), 0);
    assert_ne!(without_cutting & features::CSUM.bits(), 0);
    let without_merging = with(Options { large_receive: Switch::Off, ..Options::default() });
    assert_eq!(without_merging & (1 << 7 | 1 << 8 | 1 << 9 | 1 << 15), 0);
    assert_ne!(without_merging & features::GUEST_CSUM.bits(), 0);
    // A card that chooses VLANs passes none that it was not told of.
    let vlan = |vlan_filter| {
        let options = Options { vlan_filter, ..Options::default() };
        accepted(Setup { options, ..Setup::commanded() }) & features::CTRL_VLAN.bits()
    };
    assert_eq!((vlan(Switch::Off), vlan(Switch::On)), (0, features::CTRL_VLAN.bits()));
}

#[test]
fn a_card_whose_control_queue_is_missing_is_used_without_it() {
    for bus in ALL_BUSES {
        let mut setup = Setup { bus, sizes: [16, 16, 0], ..Setup::commanded() };
        setup.features &= 0xffff_ffff;
        let mut nic = setup.nic();
        assert_eq!(nic.device.state().accepted & COMMANDS, 0, "{bus:?}");
        nic.net.set_filter(&ReceiveFilter { promiscuous: true, ..ReceiveFilter::default() }).expect("a sound card");
        nic.deliver_raw(&[vec![0; if bus.is_legacy() { 10 } else { 12 }], numbered(1)].concat(), None);
        assert_eq!(nic.received().len(), 1);
    }
}

#[test]
fn net_6_the_speed_is_what_the_card_says_now_where_that_can_be() {
    let full = |speed: u32, duplex: u8| {
        let mut bytes = config(MAC, 1, 1500);
        bytes.extend(speed.to_le_bytes());
        bytes.push(duplex);
        bytes
    };
    for bus in BUSES {
        let features = features::SPEED_DUPLEX.bits() | features::KNOWN.bits();
        let nic = Setup { bus, features, config: full(10_000, 1), ..Setup::default() }.nic();
        let speed = nic.net.speed();
        assert_eq!((speed.megabits, speed.duplex), (Some(10_000), Some(Duplex::Full)));
        for (megabits, duplex, expected) in [
            (0, 0, (Some(0), Some(Duplex::Half))),
            (0x7fff_ffff, 1, (Some(0x7fff_ffff), Some(Duplex::Full))),
            (0x8000_0000, 2, (None, None)),
            (u32::MAX, 0xff, (None, None)),
        ] {
            nic.device.state().config = full(megabits, duplex);
            let speed = nic.net.speed();
            assert_eq!((speed.megabits, speed.duplex), expected, "it is read again");
        }
        let nic = Setup { bus, config: full(10_000, 1), ..Setup::default() }.nic();
        assert_eq!((nic.net.speed().megabits, nic.net.speed().duplex), (None, None), "without the feature");
    }
}
