//! Feature negotiation (VIRTIO 1.3 §2.2, §6).

use virtio_queue_rt::{FeatureBits, InitError, Interrupts, PciTransport, Reset};
use virtio_sim::pci::capability;
use virtio_sim::{Device, PciModel};

use crate::common::transports::{BUSES, Bus};
use crate::rig::*;
use crate::trace::Kind;

/// Accepted of this offer by a driver that knows and requires these features.
fn accepted(rig: &Rig, offered: FeatureBits, known: FeatureBits) -> Result<FeatureBits, InitError> {
    rig.device.state().offered = offered.bits();
    let negotiated = rig.reset().negotiate(known, FeatureBits::EMPTY, |accepted| accepted)?;
    let features = negotiated.features();
    assert_eq!(rig.device.state().accepted, features.bits(), "what the driver believes is what the device knows");
    Ok(features)
}

#[test]
fn ftr_2_a_driver_may_drop_features_but_not_add_any() {
    for rig in BUSES.map(Rig::new) {
        let other = FeatureBits::bit(7);
        rig.device.state().offered |= other.bits();
        let negotiated = rig.reset().negotiate(OWN | other, FeatureBits::EMPTY, |accepted| {
            assert!(accepted.contains(OWN | other));
            !other
        });
        let expected = OWN | FeatureBits::VERSION_1 | FeatureBits::EVENT_IDX;
        assert_eq!(negotiated.expect("it agrees").features(), expected);
    }
}

#[test]
fn ftr_1_only_what_is_offered_is_accepted() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    for rig in BUSES.map(Rig::new) {
        for _ in 0..rounds {
            let offered = FeatureBits::from_bits(random.bits());
            let known = FeatureBits::from_bits(random.bits());
            let greedy = FeatureBits::from_bits(random.bits());
            rig.device.state().offered = offered.bits();
            let result = rig.reset().negotiate(known, FeatureBits::EMPTY, |_| greedy);
            let Ok(negotiated) = result else {
                assert!(!(offered & greedy).contains(FeatureBits::VERSION_1), "{offered:?} {greedy:?}");
                continue;
            };
            let features = negotiated.features();
            assert_eq!(rig.device.state().accepted, features.bits());
            assert!(offered.contains(features), "{features:?} of {offered:?}");
            assert!(((known & FeatureBits::DEVICE) | FeatureBits::RING).contains(features), "{features:?}, {known:?}");
            rig.trace.take();
        }
    }
}

#[test]
fn ftr_2_hd_ft_2_no_feature_is_accepted_without_what_it_depends_on() {
    // Device features here: 7 needs 1, 8 needs 7, 12 needs either of 8 and 9. Of the ring's, all but VERSION_1 need it,
    // and order needs tables.
    let has = |bits: FeatureBits, number| bits.contains(FeatureBits::bit(number));
    let refine = |mut bits: FeatureBits| {
        for (feature, needs) in [(7, &[1][..]), (8, &[7]), (12, &[8, 9])] {
            if !needs.iter().any(|&number| has(bits, number)) {
                bits = bits & !FeatureBits::bit(feature);
            }
        }
        bits
    };
    let known = FeatureBits::from_bits(1 << 1 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 12);
    let mut random = Random(0xfeed_beef_0bad_cafe);
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    for rig in BUSES.map(Rig::new) {
        for _ in 0..rounds {
            rig.device.state().offered = random.bits() | 1 << 32;
            // Some drivers do without tables, or another ring feature.
            let unwanted = FeatureBits::from_bits(1 << (24 + random.next() % 17)) & !FeatureBits::VERSION_1;
            let negotiated = rig
                .reset()
                .negotiate(known, FeatureBits::EMPTY, |bits| refine(bits) & !unwanted)
                .expect("a modern device agrees");
            let features = negotiated.features();
            assert!(!has(features, 7) || has(features, 1), "{features:?}");
            assert!(!has(features, 8) || has(features, 7), "{features:?}");
            assert!(!has(features, 12) || has(features, 8) || has(features, 9), "{features:?}");
            assert!(!has(features, 35) || has(features, 28), "{features:?}");
            rig.trace.take();
        }
    }
}

#[test]
fn ftr_3_4_hd_ft_1_an_offer_of_everything_is_met_with_the_allow_list() {
    for rig in BUSES.map(Rig::new) {
        let features = accepted(&rig, !FeatureBits::EMPTY, OWN).expect("unknown bits are no reason to fail");
        assert!(features.contains(OWN | FeatureBits::VERSION_1 | FeatureBits::EVENT_IDX));
        assert!((OWN | FeatureBits::RING).contains(features));
        // Reserved bits, those of legacy devices, and those that nobody implements here.
        for number in [24, 25, 26, 27, 30, 31, 34, 37, 41, 42, 43, 44, 45, 46, 47, 48, 49] {
            assert!((features & FeatureBits::bit(number)).is_empty(), "bit {number} over {:?}", rig.bus);
        }
        // Device features that this driver does not know.
        assert!((features & FeatureBits::DEVICE & !OWN).is_empty());
    }
}

#[test]
fn ftr_5_6_a_missing_feature_is_done_without_or_ends_it() {
    for rig in BUSES.map(Rig::new) {
        assert_eq!(accepted(&rig, FeatureBits::VERSION_1, OWN), Ok(FeatureBits::VERSION_1));
        for (offered, required, missing) in [
            (FeatureBits::VERSION_1, OWN, OWN),
            (OWN, OWN, FeatureBits::VERSION_1),
            (FeatureBits::EMPTY, FeatureBits::EMPTY, FeatureBits::VERSION_1),
        ] {
            rig.device.state().offered = offered.bits();
            let error = rig.reset().negotiate(OWN, required, |accepted| accepted).expect_err("something is missing");
            assert_eq!(error, InitError::FeaturesMissing(missing));
            assert_eq!(rig.device.state().status, 3 | FAILED);
        }
        rig.device.state().offered = FeatureBits::VERSION_1.bits();
        rig.works();
    }
}

#[test]
fn ftr_6_version_1_is_accepted_whatever_the_driver_knows() {
    for rig in BUSES.map(Rig::new) {
        for known in [FeatureBits::EMPTY, OWN, !FeatureBits::VERSION_1] {
            assert_eq!(accepted(&rig, FeatureBits::VERSION_1, known), Ok(FeatureBits::VERSION_1));
        }
    }
}

#[test]
fn ftr_8_addresses_are_the_platforms_with_access_platform_and_without() {
    for bus in BUSES {
        for platform in [FeatureBits::EMPTY, FeatureBits::ACCESS_PLATFORM] {
            let rig = Rig::with(bus, FeatureBits::VERSION_1 | platform, &[]);
            let mut service = rig.service();
            assert_eq!(service.running.features() & FeatureBits::ACCESS_PLATFORM, platform);
            service.ask(16, 0);
            let _ = service.queue.publish();
            let chain = service.other.pop().expect("it was published");
            let setup = rig.device.queue(0);
            // Bus addresses in this memory are far from any pointer; `at` panics at anything else.
            for (address, len) in
                [(setup.descriptors, 128), (setup.available, 22), (setup.used, 70), (chain.writable[0].0, 16)]
            {
                let pointer = rig.memory.at(address, len).as_ptr() as u64;
                assert_ne!(pointer, address);
            }
            service.end();
        }
    }
}

#[test]
fn ftr_9_order_platform_is_accepted_where_the_rings_are_ordered_for_devices() {
    // On x86 every atomic access of the rings is in the order that devices see. Elsewhere it is not, and not accepted.
    let is_x86 = cfg!(any(target_arch = "x86", target_arch = "x86_64"));
    assert_eq!(FeatureBits::RING.contains(FeatureBits::ORDER_PLATFORM), is_x86);
    for rig in BUSES.map(Rig::new) {
        let features = accepted(&rig, FeatureBits::VERSION_1 | FeatureBits::ORDER_PLATFORM, OWN).expect("it agrees");
        assert_eq!(features.contains(FeatureBits::ORDER_PLATFORM), is_x86);
    }
}

#[test]
fn ftr_10_notification_data_of_the_devices_choice_is_accepted_where_there_is_a_register_for_it() {
    const CHOICE: FeatureBits = FeatureBits::NOTIF_CONFIG_DATA;
    for (bus, expected) in [(Bus::Pci, CHOICE), (Bus::Mmio, FeatureBits::EMPTY)] {
        let rig = Rig::with(bus, FeatureBits::VERSION_1 | CHOICE, &[]);
        let service = rig.service().works();
        assert_eq!(service.running.features() & CHOICE, expected, "{bus:?}");
        service.end();
    }
    // A function whose registers end before it, which is where they ended in VIRTIO 1.1.
    let device = Device::new(4, (FeatureBits::VERSION_1 | CHOICE | FeatureBits::RING_RESET).bits(), &[8], &[]);
    let (config, bars) = PciModel::new(device);
    config.set(0x40, &capability(0x50, 1, 4, 0, 0x38));
    let transport = PciTransport::new(&config, &bars, Interrupts::Polled).expect("a sound device");
    let reset = Reset::new(transport, &HASTE).expect("it resets");
    let negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
    assert_eq!(negotiated.features(), FeatureBits::VERSION_1);
}

#[test]
fn ftr_11_functions_are_never_virtualised() {
    const SR_IOV: FeatureBits = FeatureBits::bit(37);
    for rig in BUSES.map(Rig::new) {
        let features = accepted(&rig, FeatureBits::VERSION_1 | SR_IOV, OWN | SR_IOV).expect("it agrees");
        assert_eq!(features, FeatureBits::VERSION_1);
    }
}

#[test]
fn ftr_13_bit_30_is_never_accepted() {
    const BROKEN: FeatureBits = FeatureBits::bit(30);
    for rig in BUSES.map(Rig::new) {
        let features = accepted(&rig, FeatureBits::VERSION_1 | BROKEN, OWN | BROKEN).expect("it agrees");
        assert_eq!(features, FeatureBits::VERSION_1);
    }
}

#[test]
fn ftr_14_both_words_are_written_each_behind_its_select_register() {
    for rig in BUSES.map(Rig::new) {
        let layout = rig.layout();
        for (offered, low, high) in [
            (FeatureBits::VERSION_1, 0, 1),
            (FeatureBits::VERSION_1 | OWN, OWN.bits() as u32, 1),
            (FeatureBits::VERSION_1 | FeatureBits::bit(63), 0, 1 << 31 | 1),
        ] {
            rig.trace.take();
            accepted(&rig, offered, OWN | FeatureBits::bit(63)).expect("it agrees");
            let life = rig.trace.take();
            let words = |select, word, kind| {
                let accesses = life
                    .iter()
                    .filter(move |access| access.is_write_to(select) || access.offset == word && access.kind == kind);
                accesses.map(|access| (access.offset, access.width, access.value)).collect::<Vec<_>>()
            };
            let (select, word) = (layout.driver_features_select, layout.driver_features);
            let expected = [(select, 4, 0), (word, 4, low), (select, 4, 1), (word, 4, high)];
            assert_eq!(words(select, word, Kind::Write), expected, "{:?}", rig.bus);
            let (select, word) = (layout.device_features_select, layout.device_features);
            let (low, high) = (offered.bits() as u32, (offered.bits() >> 32) as u32);
            let expected = [(select, 4, 0), (word, 4, low), (select, 4, 1), (word, 4, high)];
            assert_eq!(words(select, word, Kind::Read), expected, "{:?}", rig.bus);
        }
    }
}

#[test]
fn ftr_15_hd_ft_3_the_offer_is_read_once_whatever_it_becomes() {
    for rig in BUSES.map(Rig::new) {
        let layout = rig.layout();
        let word = layout.device_features;
        // Each read gives one more feature, of those that the driver would like.
        let mut reads = 0;
        rig.trace.lie(move |access| {
            if !access.is_read_of(word) {
                return access.value;
            }
            reads += 1;
            if reads <= 2 { access.value } else { u32::MAX }
        });
        let liked = OWN | FeatureBits::from_bits(0x1f00);
        let reset = rig.reset();
        let offered = reset.offered();
        let negotiated = reset.negotiate(liked, OWN, |accepted| accepted).expect("it agrees");
        let features = negotiated.features();
        assert!(offered.contains(features) && (features & liked) == OWN, "{features:?}");
        let service = rig.serve(negotiated).works();
        assert_eq!(service.running.features(), features);
        service.end();
        let reads = rig.trace.take().iter().filter(|access| access.is_read_of(word)).count();
        assert_eq!(reads, 2, "once for each word");
        rig.trace.be_honest();
        rig.works();
    }
}
