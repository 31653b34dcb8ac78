//! Devices that change what they are, keep queues, or go away.

use toro_core::driver::DeviceFault;

use crate::rig::*;

#[test]
fn hd_mio_1_what_a_device_is_was_read_once() {
    for version in VERSIONS {
        let block = Block::new(version);
        let transport = block.open();
        // Everything about it changes now.
        block.trace.lie(|access| if access.offset < 0x010 { access.value ^ 3 } else { access.value });
        let negotiated = block.negotiated(transport);
        assert_eq!(negotiated.device_type(), virtio_queue_rt::DeviceType::NETWORK);
        drop(negotiated);
        assert!(block.try_open().is_err(), "seen by who comes next");
        block.trace.be_honest();
        block.works();
    }
}

#[test]
fn hd_mio_2_shared_memory_that_cannot_be_is_not_there() {
    let page = 0x1000;
    for (len, address) in [
        (u64::MAX, u64::MAX),
        (u64::MAX, page),
        (u64::MAX, 0),
        (page, u64::MAX),
        (0, page),
        (page, u64::MAX - 0xfff),
        (u64::MAX - 1, page),
        (page, page + 1),
    ] {
        let block = Block::new(Version::Modern);
        block.device.state().shared_memory = vec![(0, len, address)];
        assert_eq!(block.open().shared_memory(0), None, "{len:#x} at {address:#x}");
        block.works();
    }
}

#[test]
fn hd_mio_3_bits_that_stay_or_mean_nothing_cause_no_loop() {
    for version in VERSIONS {
        let block = Block::new(version);
        let (running, _queue) = block.serve(SimMemory::leak());
        block.device.lie(|lies| lies.stuck_interrupt = true);
        block.device.state().interrupt = 0xffff_ff01;
        block.trace.take();
        for _ in 0..10 {
            let queues = InterruptStatus { queues: true, configuration: false };
            assert_eq!(running.acknowledge_interrupt(), Ok(queues));
            assert_eq!(block.accesses(), [(0x060, None), (0x064, Some(1))], "each time the same two");
        }
    }
}

#[test]
fn hd_mio_4_hd_qs_6_a_queue_in_use_after_a_reset_is_reset_once_more_and_then_refused() {
    for version in VERSIONS {
        let block = Block::new(version);
        block.device.lie(|lies| lies.stale_queues = 1);
        block.works();
        assert_eq!(block.device.state().status_writes[..3], [0, 0, 1]);
        let refused = TransportError::QueueRefused(QueueIndex(0));
        block.device.lie(|lies| lies.stale_queues = 2);
        assert_eq!(block.refuses(), refused);
        block.device.lie(|lies| lies.already_ready = true);
        assert_eq!(block.refuses(), refused);
        block.device.lie(|lies| lies.never_ready = true);
        assert_eq!(block.refuses(), refused);
    }
}

#[test]
fn hd_irq_6_hd_st_1_registers_that_read_all_ones_are_not_waited_for() {
    for version in VERSIONS {
        let block = Block::with(version, FeatureBits::RING_RESET);
        let memory = SimMemory::leak();
        let transport = block.open();
        block.device.lie(|lies| lies.gone = true);
        block.trace.take();
        let error = Reset::new(transport, &HASTE).map(drop).expect_err("it is gone");
        assert_eq!(error, InitError::Transport(TransportError::Gone));
        let looks = block.accesses().into_iter().filter(|access| *access == (0x070, None)).count();
        assert_eq!(looks, 1, "one look is enough");
        assert!(block.try_open().is_err());

        block.device.lie(|lies| lies.gone = false);
        let (mut running, mut queue) = block.serve(memory);
        block.device.lie(|lies| lies.gone = true);
        assert_eq!(running.acknowledge_interrupt(), Err(DeviceFault::Gone));
        assert_eq!(running.check(), Err(DeviceFault::Gone));
        if version == Version::Modern {
            let error;
            (queue, error) = running.reset_queue(queue, &HASTE, |_, _| {}).expect_err("it is gone");
            assert_eq!(error, TransportError::Gone);
        }
        let (running, error) = running.quiesce(&HASTE).expect_err("it is gone");
        assert_eq!(error, TransportError::Gone);
        assert_ne!(memory.blocks(), 0, "its memory stays where it is");

        block.device.lie(|lies| lies.gone = false);
        let (_, proof) = running.quiesce(&HASTE).expect("it resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        block.works();
    }
}
