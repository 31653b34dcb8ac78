//! Devices that lie about features and configuration, and what holds against any lie.

use toro_core::DmaBuf;
use toro_core::driver::{AttachError, DeviceFault};
use virtio_queue_rt::transport::Transport;
use virtio_queue_rt::{FeatureBits, InitError, Interrupts, PciTransport, QueueIndex, Reset};
use virtio_sim::pci::capability;
use virtio_sim::{Device, PciModel};

use crate::common::transports::{BUSES, Bus};
use crate::rig::*;

#[test]
fn hd_ft_3_an_offer_that_changes_with_a_reset_is_negotiated_anew() {
    for rig in BUSES.map(Rig::new) {
        let service = rig.service().works();
        assert!(service.running.features().contains(OWN | FeatureBits::EVENT_IDX));
        let (transport, _) = service.end();
        // Without the driver's feature and with smaller queues.
        rig.device.state().offered = FeatureBits::VERSION_1.bits();
        rig.device.state().queue_max = vec![2, 1];
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        let negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
        assert_eq!(negotiated.features(), FeatureBits::VERSION_1);
        let service = rig.serve(negotiated).works();
        assert_eq!(service.queue.capacity(), 2);
        service.end();
    }
}

#[test]
fn hd_ft_4_a_device_that_is_no_modern_one_any_more_is_refused() {
    for rig in BUSES.map(Rig::new) {
        let (transport, _) = rig.service().works().end();
        rig.device.state().offered = OWN.bits();
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        let error = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect_err("VERSION_1 is gone");
        assert_eq!(error, InitError::FeaturesMissing(FeatureBits::VERSION_1));
        assert_eq!(rig.device.state().status, 3 | FAILED);
        rig.device.state().offered |= FeatureBits::VERSION_1.bits();
        rig.works();
    }
}

#[test]
fn hd_ft_5_ftr_10_packed_rings_are_never_accepted() {
    const RING_PACKED: FeatureBits = FeatureBits::bit(34);
    for rig in BUSES.map(Rig::new) {
        rig.device.state().offered |= RING_PACKED.bits();
        let negotiated = rig.reset().negotiate(OWN | RING_PACKED, OWN, |accepted| accepted).expect("it agrees");
        assert!((negotiated.features() & RING_PACKED).is_empty());
        drop(negotiated);
        rig.works();
    }
}

#[test]
fn hd_ft_6_what_the_accepted_features_read_back_as_is_not_looked_at() {
    for rig in BUSES.map(Rig::new) {
        let word = rig.layout().driver_features;
        rig.works();
        // The register can be read over PCI; this model does not even have it to read.
        assert!(!rig.trace.take().iter().any(|access| access.is_read_of(word)), "{:?}", rig.bus);
    }
}

#[test]
fn hd_cfg_3_what_lies_beyond_a_short_configuration_is_absent() {
    // Over PCI the device says how long its configuration is: 6 bytes, within registers that go on.
    let device = Device::new(4, FeatureBits::VERSION_1.bits(), &[8, 16], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let (config, bars) = PciModel::new(device.clone());
    config.set(0x60, &capability(0x70, 4, 4, 0x2000, 6));
    let transport = PciTransport::new(&config, &bars, Interrupts::Polled).expect("a sound device");
    let read = |transport: &PciTransport<_>| {
        let config = transport.config();
        (config.len(), config.read32(0), config.read16(4), config.read8(6), config.read32(4), config.read16(5))
    };
    let expected = (6, 0x0403_0201, 0x0605, u8::MAX, u32::MAX, u16::MAX);
    assert_eq!(read(&transport), expected, "all ones, and nothing reaches the device");
    assert_eq!(transport.config().read32(usize::MAX - 1), u32::MAX);

    // And without any configuration at all, on either transport.
    config.set(0x60, &capability(0x70, 9, 4, 0x2000, 6));
    let transport = PciTransport::new(&config, &bars, Interrupts::Polled).expect("not every device has one");
    assert_eq!((transport.config().len(), transport.config().read8(0)), (0, u8::MAX));
    let rig = Rig::with(Bus::Mmio, FeatureBits::VERSION_1, &[]);
    let len = rig.transport().config().len();
    assert_eq!(rig.transport().config().read32(len), u32::MAX);
    rig.works();
}

/// Plays a driver's part from start to end, whatever the device says.
fn attempt(rig: &Rig) -> Result<(), AttachError> {
    let reset = Reset::new(rig.try_transport()?, &HASTE)?;
    let _ = reset.config(|config| config.read32(0));
    let mut negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted)?;
    let _ = negotiated.config(|config| config.read16(2));
    let mut queue: Queue = negotiated.queue(QueueIndex(0), 8, rig.memory)?;
    let running = negotiated.run();
    let _ = running.check();
    let _ = running.acknowledge_interrupt();
    let _ = running.config(|config| config.read8(1));
    let polled = queue.poll().map(drop);
    let (_, proof) = running.quiesce(&HASTE).map_err(|(_, error)| error)?;
    assert!(queue.retire(&proof, |_, _| {}).is_ok());
    polled.map_err(AttachError::Fault)
}

#[test]
fn hd_g_1_each_register_is_believed_as_it_was_read_first() {
    for rig in BUSES.map(Rig::new) {
        // Sizes shrink and grow from read to read: what the driver lays out is what it wrote to the device.
        let layout = rig.layout();
        let size = if rig.bus == Bus::Mmio { 0x34 } else { layout.queue_size };
        let mut reads = 0;
        rig.trace.lie(move |access| {
            if !access.is_read_of(size) {
                return access.value;
            }
            reads += 1;
            [8, 16, 4, 0x8000][reads % 4]
        });
        for _ in 0..8 {
            let mut negotiated = rig.negotiated();
            rig.trace.take();
            let queue = negotiated.queue::<DmaBuf, u32, (), ()>(QueueIndex(0), 8, rig.memory);
            let written = rig.trace.take().into_iter().find(|access| access.is_write_to(layout.queue_size));
            if let Ok(queue) = &queue {
                assert_eq!(written.map(|access| access.value), Some(u32::from(queue.capacity())));
            }
            // Told of a queue or not, the device is given up and gives everything back.
            let (_, proof) = negotiated.abandon(&HASTE).expect("it resets");
            if let Ok(queue) = queue {
                assert!(queue.retire(&proof, |_, _| {}).is_ok());
            }
            assert_eq!(rig.memory.blocks(), 0);
        }
        rig.trace.be_honest();
        rig.works();
    }
}

#[test]
fn hd_g_2_hd_g_4_registers_of_noise_end_in_an_error_and_never_in_a_panic() {
    for rig in BUSES.map(Rig::new) {
        let mut random = Random(0xdead_10cc);
        let rounds = if cfg!(miri) { 10 } else { 500 };
        let features = rig.layout().device_features;
        let (status, max) = (rig.layout().status, if rig.bus == Bus::Mmio { 0x34 } else { rig.layout().queue_size });
        let mut came_through = 0;
        for round in 0..rounds {
            let mut noise = Random(random.next() | 1);
            // Some of what is read is noise; the rest is true, so that all depths are reached. The offer is noise that
            // the device knows of, since it checks the answer; rings are small, since there are to be many.
            rig.device.state().offered = random.bits() | (random.next() & 1) << 32;
            let density = random.next() % 100;
            let is_status_true = random.next().is_multiple_of(2);
            rig.trace.lie(move |access| match access.offset {
                offset if offset == status && is_status_true => access.value,
                offset if offset == max || offset == features => access.value,
                _ if noise.next() % 100 < density => match noise.next() % 4 {
                    0 => 0,
                    1 => u32::MAX,
                    _ => noise.next() as u32,
                },
                _ => access.value,
            });
            came_through += usize::from(attempt(&rig).is_ok());
            let accesses = rig.trace.take().len();
            assert!(accesses < 5000, "round {round}: {accesses} accesses");
        }
        assert!(came_through > 0, "some noise is thin enough to come to the end");
        rig.trace.be_honest();
        rig.works();
    }
}

#[test]
fn hd_g_2_used_rings_of_noise_end_in_a_fault_and_never_in_a_panic() {
    let mut random = Random(0xabad_cafe);
    let rounds = if cfg!(miri) { 10 } else { 500 };
    let rig = Rig::new(Bus::Mmio);
    for _ in 0..rounds {
        let mut service = rig.service();
        let mut asked = 0_u32;
        let mut answered = 0_u32;
        for _ in 0..40 {
            while service.queue.room() > 0 && !random.next().is_multiple_of(3) {
                service.ask(16, asked);
                asked += 1;
            }
            let _ = service.queue.publish();
            let capacity = u64::from(service.queue.capacity());
            for _ in 0..random.next() % 4 {
                let id = random.next() % (capacity + capacity / 4);
                service.other.push(id as u32, random.next() as u32);
            }
            if random.next().is_multiple_of(16) {
                service.other.show_used_index(random.next() as u16);
            }
            match service.queue.drain(|done| assert!(done.written <= 16)) {
                Ok(count) => answered += u32::from(count),
                Err(_) => break,
            }
            let in_flight = service.queue.len();
            assert_eq!(in_flight + service.queue.room(), service.queue.capacity());
            assert_eq!(asked - answered, u32::from(in_flight));
        }
        // HD-G-3: whatever the ring said, each request comes back exactly once.
        let (_, unfinished) = service.end();
        assert!(unfinished.len() as u32 <= asked - answered);
    }
    rig.works();
}

#[test]
fn hd_g_3_owner_and_length_of_a_buffer_are_not_in_the_ring() {
    for rig in BUSES.map(Rig::new) {
        let mut service = rig.service();
        for cookie in 0..4 {
            service.ask(10 + cookie as usize, cookie);
        }
        let _ = service.queue.publish();
        let chains: Vec<_> = std::iter::from_fn(|| service.other.pop()).collect();
        // Every descriptor and every entry of the available ring is overwritten.
        service.other.scribble();
        for chain in chains.iter().rev() {
            service.other.push(u32::from(chain.head), u32::MAX);
        }
        for cookie in (0..4).rev() {
            let done = service.queue.poll().expect("no fault").expect("it is done");
            assert_eq!((done.cookie, done.written, done.payload.len()), (cookie, 10 + cookie, 10 + cookie as usize));
        }
        service.works().end();
    }
}

#[test]
fn hd_g_5_whatever_fails_during_set_up_leaves_nothing_and_the_next_attempt_works() {
    type Change = fn(&mut virtio_sim::device::Lies);
    let lies: [(Change, &[Bus]); 6] = [
        (|lies| lies.rejects_features = true, &BUSES),
        (|lies| lies.never_ready = true, &BUSES),
        (|lies| lies.already_ready = true, &BUSES),
        (|lies| lies.wrong_size = true, &[Bus::Pci]),
        (|lies| lies.no_vector = true, &[Bus::Pci]),
        (|lies| lies.far_doorbell = true, &[Bus::Pci]),
    ];
    for (lie, buses) in lies {
        for rig in buses.iter().copied().map(Rig::new) {
            rig.device.lie(lie);
            let reset = rig.reset();
            if let Ok(mut negotiated) = reset.negotiate(OWN, OWN, |accepted| accepted) {
                let queue = negotiated.queue::<DmaBuf, u32, (), ()>(QueueIndex(0), 8, rig.memory);
                assert!(queue.is_err());
                assert!(negotiated.abandon(&HASTE).is_ok());
            }
            assert_eq!(rig.memory.blocks(), 0);
            assert!(rig.device.state().status_writes.iter().any(|status| status & FAILED != 0));
            rig.device.lie(|lies| *lies = Default::default());
            rig.works();
        }
    }
}

#[test]
fn hd_g_5_memory_that_runs_out_during_set_up_is_an_error_and_comes_back() {
    for rig in BUSES.map(Rig::new) {
        rig.memory.limit(0);
        let mut negotiated = rig.negotiated();
        let queue = negotiated.queue::<DmaBuf, u32, (), ()>(QueueIndex(0), 8, rig.memory);
        assert_eq!(queue.map(drop).expect_err("there is no memory"), InitError::OutOfDmaMemory);
        drop(negotiated);
        assert_eq!(rig.device.state().status, 11 | FAILED);
        rig.memory.limit(100);
        rig.works();
    }
}

#[test]
fn hd_g_6_no_more_of_a_buffer_is_valid_than_the_device_can_have_written() {
    for rig in BUSES.map(Rig::new) {
        for (claimed, valid) in [(0, 0), (4, 4), (16, 16), (17, 16), (64, 16), (u32::MAX, 16)] {
            let mut service = rig.service();
            service.ask(16, 3);
            let _ = service.queue.publish();
            let chain = service.other.pop().expect("it was published");
            service.other.push(u32::from(chain.head), claimed);
            let done = service.queue.poll().expect("lengths are no fault").expect("it is done");
            assert_eq!(done.written, valid, "claimed {claimed}");
            // The memory itself was zero before it was ever given to a device.
            assert!(done.payload.iter().all(|&byte| byte == 0));
            drop(done);
            service.works().end();
        }
    }
}

#[test]
fn hd_g_7_a_fault_is_one_fault_however_often_it_is_asked_for() {
    for rig in BUSES.map(Rig::new) {
        let mut service = rig.service();
        service.ask(16, 1);
        let wish = service.queue.publish();
        service.running.notify(&service.queue, wish);
        service.other.push(5, 0);
        let fault = DeviceFault::UsedIdNotInFlight { id: 5 };
        assert_eq!(service.queue.poll().map(drop), Err(fault));
        rig.trace.take();
        let rounds = if cfg!(miri) { 10 } else { 10_000 };
        for lie in 0..rounds {
            service.other.push(lie, lie);
            assert_eq!(service.queue.drain(|_| panic!("nothing is done")), Err(fault), "the first one stays");
            let wish = service.queue.publish();
            service.running.notify(&service.queue, wish);
        }
        assert_eq!(rig.trace.take(), [], "the device is left alone");
        assert_eq!(service.end().1, [1]);
        rig.works();
    }
}

#[test]
fn hd_g_8_a_device_writes_to_buffers_in_flight_and_no_reference_notices() {
    // Miri sees to it: a reference that the driver kept would make each of these writes undefined.
    for rig in BUSES.map(Rig::new) {
        let mut service = rig.service();
        service.ask(16, 0);
        service.ask(16, 1);
        let _ = service.queue.publish();
        let chains: Vec<_> = std::iter::from_fn(|| service.other.pop()).collect();
        for round in 0..4 {
            service.other.write(&chains[0], &[round; 16]);
            assert!(service.queue.poll().expect("no fault").is_none());
            service.other.write(&chains[1], &[round; 16]);
            let _ = service.queue.arm();
            assert!(format!("{:?}", service.queue).contains("2 of"));
        }
        service.other.push(u32::from(chains[1].head), 16);
        let done = service.queue.poll().expect("no fault").expect("it is done");
        assert_eq!((done.cookie, &done.payload[..]), (1, &[3; 16][..]));
        // The other is still the device's.
        service.other.write(&chains[0], &[9; 16]);
        assert_eq!(&done.payload[..], [3; 16]);
        drop(done);
        service.other.push(u32::from(chains[0].head), 16);
        assert_eq!(&service.queue.poll().expect("no fault").expect("it is done").payload[..], [9; 16]);
        service.works().end();
    }
}
