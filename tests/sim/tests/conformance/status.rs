//! Devices that lie about their status.

use toro_core::driver::DeviceFault;
use virtio_queue_rt::transport::TransportError;
use virtio_queue_rt::{FeatureBits, InitError, Reset};

use crate::common::transports::{ALL_BUSES, BUSES};
use crate::rig::*;

#[test]
fn hd_st_1_ini_10_a_device_that_does_not_reset_at_all_is_marked_failed() {
    for rig in ALL_BUSES.map(Rig::new) {
        rig.device.lie(|lies| lies.never_resets = true);
        let error = Reset::new(rig.transport(), &HASTE).expect_err("it does not confirm");
        assert_eq!(error, InitError::Transport(TransportError::TimedOut));
        assert_eq!(rig.device.state().status_writes, [0, FAILED]);
        rig.device.lie(|lies| lies.never_resets = false);
        rig.works();
    }
}

#[test]
fn hd_st_1_a_reset_that_never_completes_frees_nothing() {
    for rig in BUSES.map(Rig::new) {
        let mut service = rig.service();
        service.ask(8, 1);
        let _ = service.queue.publish();
        let chain = service.other.pop().expect("it was published");
        let blocks = rig.memory.blocks();
        rig.device.lie(|lies| lies.never_resets = true);
        let Service { running, queue, other, mut pool } = service;
        let (running, error) = running.quiesce(&HASTE).expect_err("it does not confirm");
        assert_eq!(error, TransportError::TimedOut);
        assert_eq!(rig.device.state().status_writes.last(), Some(&(15 | FAILED)));
        // Nothing was given up, and the device can still write where it was told to.
        assert_eq!((rig.memory.blocks(), pool.available()), (blocks, 15));
        assert_eq!(other.write(&chain, &[1; 8]), 8);

        rig.device.lie(|lies| lies.never_resets = false);
        Service { running, queue, other, pool }.end();
        rig.works();
    }
}

#[test]
fn hd_st_2_ini_6_ini_10_features_that_are_not_kept_end_it() {
    for rig in BUSES.map(Rig::new) {
        rig.device.lie(|lies| lies.rejects_features = true);
        let error = rig.reset().negotiate(OWN, OWN, |accepted| accepted).expect_err("they are rejected");
        assert_eq!(error, InitError::FeaturesRejected);
        assert_eq!(rig.device.state().status_writes, [0, 1, 3, 11, 11 | FAILED]);
        let after = rig.trace.take();
        let written = after.iter().rposition(|access| access.is_write_to(rig.layout().status));
        assert_eq!(written, Some(after.len() - 1), "and the device is left alone");
        rig.device.lie(|lies| lies.rejects_features = false);
        rig.works();
    }
}

#[test]
fn hd_st_3_random_bits_in_the_status_confuse_nobody() {
    for rig in BUSES.map(Rig::new) {
        let status = rig.layout().status;
        let mut random = Random(0x5eed);
        let rounds = if cfg!(miri) { 5 } else { 200 };
        for _ in 0..rounds {
            // DRIVER_OK before it was set, FAILED, reserved bits; but 0 after a reset, and what was agreed is kept.
            let noise = random.next() as u32 & 0xb4;
            rig.trace.lie(move |access| match access.is_read_of(status) && access.value != 0 {
                true => access.value | noise,
                false => access.value,
            });
            rig.device.state().status_writes.clear();
            let service = rig.service().works();
            assert_eq!(rig.device.state().status_writes, [0, 1, 3, 11, 15], "noise {noise:#x}");
            assert_eq!(service.running.check(), Ok(()), "noise {noise:#x}");
            service.end();
            rig.trace.be_honest();
        }
        rig.works();
    }
}

#[test]
fn hd_st_4_a_device_that_needs_a_reset_says_so_and_gets_it() {
    for rig in BUSES.map(Rig::new) {
        // In service.
        let service = rig.service().works();
        rig.device.state().status |= NEEDS_RESET;
        assert_eq!(service.running.check(), Err(DeviceFault::NeedsReset));
        let (transport, _) = service.end();
        let reset = Reset::new(transport, &HASTE).expect("it resets");

        // From the very start: negotiation looks at other bits, and whoever asks is told.
        let status = rig.layout().status;
        rig.trace.lie(move |access| match access.is_read_of(status) && access.value != 0 {
            true => access.value | u32::from(NEEDS_RESET),
            false => access.value,
        });
        let negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
        let service = rig.serve(negotiated);
        assert_eq!(service.running.check(), Err(DeviceFault::NeedsReset));
        service.end();
        rig.trace.be_honest();
        rig.works();
    }
}

#[test]
fn hd_st_5_a_device_that_always_needs_a_reset_gets_one_for_each_attempt() {
    const ATTEMPTS: usize = 5;
    for rig in BUSES.map(Rig::new) {
        let status = rig.layout().status;
        rig.trace.lie(move |access| match access.is_read_of(status) && access.value & 4 != 0 {
            true => access.value | u32::from(NEEDS_RESET),
            false => access.value,
        });
        let mut transport = rig.transport();
        for _ in 0..ATTEMPTS {
            let reset = Reset::new(transport, &HASTE).expect("it resets");
            let negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
            let service = rig.serve(negotiated);
            assert_eq!(service.running.check(), Err(DeviceFault::NeedsReset));
            transport = service.end().0;
        }
        // One at the start of each attempt and one at its end: nothing here tries again by itself.
        let resets = rig.device.state().status_writes.iter().filter(|&&status| status == 0).count();
        assert_eq!(resets, 2 * ATTEMPTS);
        rig.trace.be_honest();
        rig.works();
    }
}
