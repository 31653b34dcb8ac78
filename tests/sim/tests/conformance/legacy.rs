//! What is different for legacy devices (VIRTIO 1.3 §2.2.3, §2.5.3, §2.5.4, §3.1.2).

use std::sync::atomic::{AtomicU32, Ordering};

use virtio_queue_rt::transport::{Interface, TransitionalMmio, TransitionalPci, Transport, TransportError};
use virtio_queue_rt::{FeatureBits, InitError, Interrupts, Reset};
use virtio_sim::pci::Vectors;
use virtio_sim::{LegacyMmioModel, MmioModel, PciModel, StrictMmio};

use crate::common::transports::{ALL_BUSES, BUSES, Bus, LEGACY_BUSES};
use crate::rig::*;
use crate::trace::Traced;

#[test]
fn ini_17_a_legacy_device_gets_no_features_ok() {
    for rig in LEGACY_BUSES.map(Rig::new) {
        rig.works();
        assert_eq!(rig.device.state().status_writes, [0, 1, 3, 7, 0], "{:?}", rig.bus);
        // Whatever else goes wrong is as with other devices.
        drop(rig.negotiated());
        assert_eq!(rig.device.state().status, 3 | FAILED);
        rig.works();
    }
}

/// What a driver for both generations finds there.
fn transitional(rig: &Rig) -> Box<dyn Transport> {
    let (device, trace) = (rig.device.clone(), rig.trace.clone());
    let (config, bars) = match rig.bus {
        Bus::Mmio => {
            let registers = Traced { registers: MmioModel::new(device), trace };
            return Box::new(TransitionalMmio::new(registers).expect("a sound device"));
        }
        Bus::Strict => {
            let registers = Traced { registers: StrictMmio::new(device), trace };
            return Box::new(TransitionalMmio::new(registers).expect("a sound device"));
        }
        Bus::LegacyMmio => {
            let registers = Traced { registers: LegacyMmioModel::new(device), trace };
            return Box::new(TransitionalMmio::new(registers).expect("a sound device"));
        }
        Bus::Pci => PciModel::transitional(device),
        Bus::LegacyPci => PciModel::legacy(device, Vectors::None),
    };
    Box::new(TransitionalPci::new(&config, &traced(bars, &trace), Interrupts::Polled).expect("a sound device"))
}

#[test]
fn ftr_7_a_driver_for_both_follows_the_rules_of_what_it_finds() {
    for (rig, modern) in LEGACY_BUSES.map(Rig::new).into_iter().zip(BUSES.map(Rig::new)) {
        let transport = transitional(&rig);
        assert!(matches!(transport.interface(), Interface::Legacy { .. }));
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        assert!((reset.offered() & FeatureBits::VERSION_1).is_empty());
        let negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
        assert_eq!(negotiated.features(), OWN | FeatureBits::EVENT_IDX);
        drop(negotiated.run());
        assert_eq!(rig.device.state().status_writes, [0, 1, 3, 7]);

        let rig = modern;
        let transport = transitional(&rig);
        assert_eq!(transport.interface(), Interface::Modern);
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        let negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
        assert!(negotiated.features().contains(FeatureBits::VERSION_1));
        drop(negotiated.run());
        assert_eq!(rig.device.state().status_writes, [0, 1, 3, 11, 15]);
    }
}

#[test]
fn ftr_7_a_driver_for_modern_devices_only_refuses_a_legacy_one() {
    for rig in LEGACY_BUSES.map(Rig::new) {
        // Even if it claims the bit, which its registers have no room for.
        rig.device.state().offered |= FeatureBits::VERSION_1.bits();
        let error = rig.reset().negotiate(OWN, FeatureBits::VERSION_1, |accepted| accepted).expect_err("it is legacy");
        assert_eq!(error, InitError::FeaturesMissing(FeatureBits::VERSION_1));
        assert_eq!(rig.device.state().status, 3 | FAILED);
        rig.works();
    }
}

#[test]
fn ftr_12_any_layout_is_accepted_from_legacy_devices_only() {
    const ANY_LAYOUT: FeatureBits = FeatureBits::ANY_LAYOUT;
    for rig in ALL_BUSES.map(Rig::new) {
        let expected = if rig.bus.is_legacy() { ANY_LAYOUT } else { FeatureBits::EMPTY };
        rig.device.state().offered |= ANY_LAYOUT.bits();
        let negotiated = rig.negotiated();
        assert_eq!(negotiated.features() & ANY_LAYOUT, expected, "{:?}", rig.bus);
        assert_eq!(rig.device.state().accepted & ANY_LAYOUT.bits(), expected.bits());
        rig.serve(negotiated).works().end();
    }
}

#[test]
fn ftr_13_ftr_3_legacy_devices_get_nothing_beyond_the_allow_list_either() {
    for rig in LEGACY_BUSES.map(Rig::new) {
        rig.device.state().offered = u64::MAX;
        let negotiated = rig.reset().negotiate(!FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits);
        let features = negotiated.expect("it agrees").features();
        let device = FeatureBits::from_bits(0x00ff_ffff);
        assert_eq!(features, device | FeatureBits::RING_LEGACY, "{:?}", rig.bus);
        assert!((features & FeatureBits::bit(30)).is_empty());
    }
}

#[test]
fn cfg_6_a_legacy_configuration_is_read_until_it_is_twice_the_same() {
    for rig in LEGACY_BUSES.map(Rig::new) {
        let negotiated = rig.negotiated();
        let (device, config) = (rig.device.clone(), rig.layout().config);
        // After each of the first three looks it is another.
        let mut looks = 0;
        rig.trace.lie(move |access| {
            if access.is_read_of(config.start) {
                looks += 1;
                if looks <= 3 {
                    device.state().config = vec![0x10 + looks; 8];
                }
            }
            access.value
        });
        rig.trace.take();
        let value = negotiated.config(|config| (config.read8(0), config.read8(4))).expect("it settles");
        assert_eq!(value, (0x13, 0x13), "{:?}", rig.bus);
        rig.trace.be_honest();
        let config = rig.layout().config;
        let reads = rig.trace.take().iter().filter(|access| access.is_read_of(config.start)).count();
        assert_eq!(reads, 5, "three that differ, and two that agree");
    }
}

#[test]
fn cfg_6_cfg_9_a_legacy_configuration_that_never_settles_is_given_up() {
    for rig in LEGACY_BUSES.map(Rig::new) {
        let negotiated = rig.negotiated();
        let looks = AtomicU32::new(0);
        let result = negotiated.config(|_| looks.fetch_add(1, Ordering::Relaxed));
        assert_eq!(result, Err(TransportError::UnstableConfiguration));
        assert_eq!(looks.into_inner(), 64);
        drop(negotiated);
        rig.works();
    }
}

#[test]
fn cfg_7_a_legacy_configuration_is_in_the_guests_byte_order() {
    for rig in LEGACY_BUSES.map(Rig::new) {
        let mut bytes = vec![0x11, 0x22];
        bytes.extend(0x3344_u16.to_ne_bytes());
        bytes.extend(0x5566_7788_u32.to_ne_bytes());
        rig.device.state().config = bytes;
        let fields = |config: &dyn toro_core::Registers| (config.read8(1), config.read16(2), config.read32(4));
        assert_eq!(rig.negotiated().config(fields), Ok((0x22, 0x3344, 0x5566_7788)), "{:?}", rig.bus);
    }
    // A modern one is not.
    for rig in BUSES.map(Rig::new) {
        rig.device.state().config = vec![0x11, 0x22, 0x44, 0x33, 0x88, 0x77, 0x66, 0x55];
        let fields = |config: &dyn toro_core::Registers| (config.read8(1), config.read16(2), config.read32(4));
        assert_eq!(rig.negotiated().config(fields), Ok((0x22, 0x3344, 0x5566_7788)), "{:?}", rig.bus);
    }
}

#[test]
fn cfg_8_a_legacy_configuration_may_be_read_in_pieces_of_any_width() {
    let rig = Rig::new(Bus::LegacyPci);
    let negotiated = rig.negotiated();
    let bytes = negotiated.config(|config| std::array::from_fn(|at| config.read8(at)));
    assert_eq!(bytes, Ok([1, 2, 3, 4, 5, 6, 7, 8]));
    let halves = negotiated.config(|config| std::array::from_fn(|at| config.read16(2 * at)));
    assert_eq!(halves, Ok([[1, 2], [3, 4], [5, 6], [7, 8]].map(u16::from_ne_bytes)));
    let words = negotiated.config(|config| std::array::from_fn(|at| config.read32(4 * at)));
    assert_eq!(words, Ok([[1, 2, 3, 4], [5, 6, 7, 8]].map(u32::from_ne_bytes)));
    let config = rig.layout().config;
    let is_other =
        |width| rig.trace.take().iter().any(|access| config.contains(&access.offset) && access.width != width);
    assert!(is_other(4), "the driver's pieces are the device's");
}

#[test]
fn hd_ft_4_ini_11_a_legacy_device_is_never_taken_for_a_modern_one_and_back() {
    // What it offers after a reset does not change what its registers are.
    for rig in LEGACY_BUSES.map(Rig::new) {
        let (transport, _) = rig.service().works().end();
        rig.device.state().offered |= FeatureBits::VERSION_1.bits();
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        let negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
        assert_eq!(negotiated.features(), OWN | FeatureBits::EVENT_IDX);
        rig.trace.take();
        rig.serve(negotiated).works().end();
        let status = rig.layout().status;
        let writes = rig.trace.take().into_iter().filter(|access| access.is_write_to(status));
        assert!(writes.map(|access| access.value).all(|value| value & 8 == 0));
    }
}
