//! Device configuration (VIRTIO 1.3 §2.5).

use std::sync::atomic::{AtomicU32, Ordering};

use toro_core::Registers;
use virtio_queue_rt::FeatureBits;
use virtio_queue_rt::transport::TransportError;

use crate::common::transports::BUSES;
use crate::rig::*;
use crate::trace::Access;

/// A 64-bit field, as drivers read it: two aligned halves.
fn read64(config: &dyn Registers, offset: usize) -> u64 {
    u64::from(config.read32(offset)) | u64::from(config.read32(offset + 4)) << 32
}

/// What was accessed in the device's configuration: offset and width.
fn config_accesses(rig: &Rig) -> Vec<(usize, usize)> {
    let config = rig.layout().config;
    let accesses = rig.trace.take().into_iter().filter(|access| config.contains(&access.offset));
    accesses.map(|access: Access| (access.offset - config.start, access.width)).collect()
}

#[test]
fn cfg_1_2_a_wide_field_that_changes_while_it_is_read_is_read_again() {
    for rig in BUSES.map(Rig::new) {
        let negotiated = rig.negotiated();
        // When the driver has read the low half, both change.
        let (device, config) = (rig.device.clone(), rig.layout().config);
        let mut is_first = true;
        rig.trace.lie(move |access| {
            if access.is_read_of(config.start) && std::mem::take(&mut is_first) {
                let mut state = device.state();
                state.config = vec![0xaa; 8];
                state.generation += 1;
            }
            access.value
        });
        assert_eq!(negotiated.config(|config| read64(config, 0)), Ok(0xaaaa_aaaa_aaaa_aaaa), "{:?}", rig.bus);
        rig.trace.be_honest();
    }
}

#[test]
fn cfg_2_a_read_stands_between_two_looks_at_the_generation() {
    for rig in BUSES.map(Rig::new) {
        let negotiated = rig.negotiated();
        rig.trace.take();
        assert_eq!(negotiated.config(|config| read64(config, 0)), Ok(0x0807_0605_0403_0201));
        let offsets: Vec<_> = rig.trace.take().iter().map(|access| access.offset).collect();
        let config = rig.layout().config.start;
        let [before, low, high, after] = offsets[..] else { panic!("{:?}: {offsets:x?}", rig.bus) };
        assert_eq!((low, high), (config, config + 4));
        assert!(before == after && before < config, "the generation: {offsets:x?}");
    }
}

#[test]
fn cfg_4_a_configuration_longer_than_known_is_as_good_as_an_exact_one() {
    for bus in BUSES {
        let mut bytes = vec![7, 0, 0, 0];
        bytes.resize(68, 0xee);
        let rig = Rig::with(bus, FeatureBits::VERSION_1, &bytes);
        assert_eq!(rig.negotiated().config(|config| config.read32(0)), Ok(7));
        rig.works();
    }
}

#[test]
fn cfg_5_each_field_is_read_with_its_own_width() {
    for rig in BUSES.map(Rig::new) {
        let negotiated = rig.negotiated();
        rig.trace.take();
        let fields = negotiated
            .config(|config| (config.read8(1), config.read16(2), config.read32(4), read64(config, 0)))
            .expect("it holds still");
        assert_eq!(fields, (2, 0x0403, 0x0807_0605, 0x0807_0605_0403_0201));
        assert_eq!(config_accesses(&rig), [(1, 1), (2, 2), (4, 4), (0, 4), (4, 4)], "{:?}", rig.bus);
    }
}

#[test]
fn cfg_9_ini_18_hd_cfg_1_a_configuration_that_always_changes_is_given_up() {
    for rig in BUSES.map(Rig::new) {
        let negotiated = rig.negotiated();
        rig.device.lie(|lies| lies.unstable_generation = true);
        let attempts = AtomicU32::new(0);
        let result = negotiated.config(|config| {
            attempts.fetch_add(1, Ordering::Relaxed);
            config.read8(0)
        });
        assert_eq!(result, Err(TransportError::UnstableConfiguration));
        assert_eq!(attempts.into_inner(), 64);
        rig.device.lie(|lies| lies.unstable_generation = false);
        assert_eq!(negotiated.config(|config| config.read8(0)), Ok(1), "it is not given up for ever");
        drop(negotiated);
        rig.works();
    }
}

#[test]
fn hd_cfg_2_a_torn_value_is_read_once_and_stays_what_it_was() {
    for rig in BUSES.map(Rig::new) {
        let negotiated = rig.negotiated();
        let (device, config) = (rig.device.clone(), rig.layout().config);
        rig.trace.lie(move |access| {
            if access.is_read_of(config.start) {
                // The generation stays as it is.
                device.state().config = vec![0xaa; 8];
            }
            access.value
        });
        rig.trace.take();
        let value = negotiated.config(|config| read64(config, 0)).expect("nothing says that it changed");
        assert_eq!(value, 0xaaaa_aaaa_0403_0201, "torn, and only a number");
        assert_eq!(config_accesses(&rig), [(0, 4), (4, 4)], "{:?}", rig.bus);
        rig.trace.be_honest();
        drop(negotiated);
        rig.works();
    }
}
