//! Initialisation, status and reset (VIRTIO 1.3 §2.1, §3.1).

use toro_core::DmaPool;
use toro_core::driver::DeviceFault;
use toro_core::pci::ConfigSpace;
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::transport::TransportError;
use virtio_queue_rt::{
    Direction, FeatureBits, InitError, Interrupts, LegacyPciTransport, Notify, PciTransport, QueueIndex, Reset,
};
use virtio_sim::pci::{PciConfig, Vectors};
use virtio_sim::{Device, DeviceQueue, PciModel};

use crate::common::transports::BUSES;
use crate::rig::*;
use crate::trace::{Access, Kind};

/// Everything that a driver does to a device in a whole life.
fn whole_life(rig: &Rig) -> Vec<Access> {
    rig.trace.take();
    let reset = rig.reset();
    let negotiated = reset.negotiate(OWN, OWN, |accepted| accepted).expect("it agrees");
    rig.serve(negotiated).works().end();
    rig.trace.take()
}

#[test]
fn ini_1_the_first_thing_written_is_a_reset() {
    for rig in BUSES.map(Rig::new) {
        let life = whole_life(&rig);
        let status = rig.layout().status;
        let first = life.iter().find(|access| access.kind == Kind::Write && access.offset < 0x1000);
        assert!(first.is_some_and(|first| first.is_write_to(status) && first.value == 0), "{:?}: {first:?}", rig.bus);
    }
}

#[test]
fn ini_3_ini_2_nothing_is_written_until_status_has_read_0() {
    for rig in BUSES.map(Rig::new) {
        rig.device.lie(|lies| lies.slow_reset = 20);
        rig.negotiated();
        let status = rig.layout().status;
        let life = rig.trace.take();
        let reset = life.iter().position(|access| access.is_write_to(status)).expect("it is reset");
        let waiting: Vec<_> = life[reset + 1..].iter().take_while(|access| access.kind == Kind::Read).collect();
        assert_eq!(waiting.len(), 21, "{:?}", rig.bus);
        let (last, before) = waiting.split_last().expect("21");
        assert!(before.iter().all(|access| access.is_read_of(status) && access.value != 0));
        assert_eq!((last.offset, last.value), (status, 0));
    }
}

#[test]
fn ini_4_features_are_looked_at_again_before_queues_and_queues_come_before_driver_ok() {
    for rig in BUSES.map(Rig::new) {
        let life = whole_life(&rig);
        let layout = rig.layout();
        let at = |what: &dyn Fn(&Access) -> bool| life.iter().position(what).expect("it happens");
        let last = |what: &dyn Fn(&Access) -> bool| life.iter().rposition(what).expect("it happens");
        let status = |value| at(&|access| access.is_write_to(layout.status) && access.value == value);
        let order = [
            status(0),
            status(1),
            status(3),
            at(&|access| access.is_read_of(layout.device_features)),
            last(&|access| access.is_write_to(layout.driver_features)),
            status(11),
            status(11) + 1,
            at(&|access| access.is_write_to(layout.queue_size)),
            at(&|access| access.is_write_to(layout.queue_ready) && access.value == 1),
            status(15),
            at(&|access| access.is_write_in(&layout.notify)),
        ];
        assert!(order.is_sorted(), "{:?}: {order:?}", rig.bus);
        assert!(life[status(11) + 1].is_read_of(layout.status), "FEATURES_OK is read back at once");
    }
}

#[test]
fn ini_5_status_bits_are_only_added() {
    for rig in BUSES.map(Rig::new) {
        whole_life(&rig);
        rig.device.lie(|lies| lies.rejects_features = true);
        assert!(rig.reset().negotiate(OWN, OWN, |accepted| accepted).is_err());
        let mut before = 0;
        for &status in &rig.device.state().status_writes {
            assert!(status == 0 || status & before == before && status != before, "{before} and then {status}");
            before = status;
        }
    }
}

#[test]
fn ini_7_no_feature_is_written_after_features_ok() {
    for rig in BUSES.map(Rig::new) {
        let life = whole_life(&rig);
        let layout = rig.layout();
        let agreed = life.iter().position(|access| access.is_write_to(layout.status) && access.value & 8 != 0);
        let last = life.iter().rposition(|access| access.is_write_to(layout.driver_features));
        assert!(last.is_some() && last < agreed, "{:?}", rig.bus);
    }
}

#[test]
fn ini_8_configuration_is_read_during_negotiation_and_never_written() {
    for rig in BUSES.map(Rig::new) {
        let reset = rig.reset();
        assert_eq!(reset.config(|config| config.read32(4)), Ok(0x0807_0605));
        let negotiated = reset.negotiate(OWN, OWN, |accepted| accepted).expect("it agrees");
        assert_eq!(negotiated.config(|config| config.read32(0)), Ok(0x0403_0201));
        rig.serve(negotiated).works().end();
        let life = rig.trace.take();
        let config = rig.layout().config;
        assert_eq!(life.iter().filter(|access| access.is_read_in(&config)).count(), 2);
        assert!(!life.iter().any(|access| access.is_write_in(&config)));
    }
}

#[test]
fn ini_9_what_is_queued_before_driver_ok_is_notified_after_it() {
    for rig in BUSES.map(Rig::new) {
        let mut negotiated = rig.negotiated();
        let mut queue: Queue = negotiated.queue(QueueIndex(0), 8, rig.memory).expect("it is there");
        let mut pool = DmaPool::new(rig.memory, 1, 64).expect("memory");
        let mut buffer = pool.take().expect("one");
        buffer.extend(b"early").expect("it fits");
        queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
        let wish = queue.publish();
        assert_eq!(wish, Notify::Needed);
        let notify = rig.layout().notify;
        assert!(!rig.trace.take().iter().any(|access| access.is_write_in(&notify)));
        let running = negotiated.run();
        running.notify(&queue, wish);
        let life = rig.trace.take();
        let ok = life.iter().position(|access| access.is_write_to(rig.layout().status) && access.value == 15);
        let notified = life.iter().position(|access| access.is_write_in(&notify));
        assert!(ok.is_some() && ok < notified, "{:?}: {life:?}", rig.bus);
        let (_, proof) = running.quiesce(&HASTE).expect("it resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
    }
}

#[test]
fn ini_10_a_device_that_is_given_up_half_way_is_marked_failed() {
    for rig in BUSES.map(Rig::new) {
        drop(rig.reset());
        assert_eq!(rig.device.state().status, 3 | FAILED);
        drop(rig.negotiated());
        assert_eq!(rig.device.state().status, 11 | FAILED);
        drop(rig.negotiated().run());
        assert_eq!(rig.device.state().status, 15, "a device in service is not touched");
    }
}

#[test]
fn ini_11_a_device_marked_failed_is_reset_before_anything_else() {
    for rig in BUSES.map(Rig::new) {
        drop(rig.negotiated());
        assert_eq!(rig.device.state().status, 11 | FAILED);
        rig.trace.take();
        rig.works();
        let status = rig.layout().status;
        let life = rig.trace.take();
        let write = life.iter().find(|access| access.kind == Kind::Write && access.offset < 0x1000).expect("it does");
        assert!(write.is_write_to(status) && write.value == 0);
    }
}

#[test]
fn ini_12_requests_in_flight_at_a_device_error_come_back_as_unfinished() {
    for rig in BUSES.map(Rig::new) {
        let mut service = rig.service();
        for cookie in 0..4 {
            service.ask(8, cookie);
        }
        let _ = service.queue.publish();
        let chains: Vec<_> = std::iter::from_fn(|| service.other.pop()).collect();
        // One is finished as far as the ring says, another as far as its buffer does.
        service.other.push(u32::from(chains[0].head), 8);
        service.other.write(&chains[1], b"written!");
        rig.device.state().status |= NEEDS_RESET;
        assert_eq!(service.running.check(), Err(DeviceFault::NeedsReset));
        let done = service.queue.poll().expect("the ring is as it should be").expect("it says so");
        assert_eq!(done.cookie, 0);
        drop(done);
        let (_, mut unfinished) = service.end();
        unfinished.sort_unstable();
        assert_eq!(unfinished, [1, 2, 3]);
        rig.works();
    }
}

#[test]
fn ini_16_a_device_is_never_suspended() {
    const SUSPEND: FeatureBits = FeatureBits::bit(43);
    for bus in BUSES {
        let rig = Rig::with(bus, FeatureBits::VERSION_1 | SUSPEND | OWN, &[]);
        let negotiated =
            rig.reset().negotiate(OWN | SUSPEND, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
        assert!((negotiated.features() & SUSPEND).is_empty());
        rig.serve(negotiated).works().end();
        assert!(rig.device.state().status_writes.iter().all(|status| status & 16 == 0));
        // Whoever insists on it cannot have it.
        let error = rig.reset().negotiate(OWN, SUSPEND, |accepted| accepted).expect_err("it is not implemented");
        assert_eq!(error, InitError::FeaturesMissing(SUSPEND));
    }
}

#[test]
fn ini_18_waiting_for_a_reset_ends_by_the_clock() {
    for rig in BUSES.map(Rig::new) {
        rig.device.lie(|lies| lies.never_resets = true);
        let error = Reset::new(rig.transport(), &HASTE).expect_err("it never answers");
        assert_eq!(error, InitError::Transport(TransportError::TimedOut));
        let reads = rig.trace.take().iter().filter(|access| access.is_read_of(rig.layout().status)).count();
        assert!((10..2000).contains(&reads), "it is asked again and again for 5 seconds: {reads} times");
        rig.device.lie(|lies| lies.never_resets = false);
        rig.works();
    }
}

#[test]
fn ini_19_decoding_and_bus_mastering_stay_on_as_long_as_there_is_a_driver() {
    let is_on = |config: &PciConfig| config.read16(4) & 7 == 7;
    for is_legacy in [false, true] {
        let offered = OWN | if is_legacy { FeatureBits::EMPTY } else { FeatureBits::VERSION_1 };
        let device = Device::new(1, offered.bits(), &[8], &[]);
        let (config, mut transport): (_, BoxedTransport) = if is_legacy {
            let (config, bars) = PciModel::legacy(device, Vectors::None);
            let transport = LegacyPciTransport::new(&config, &bars, Interrupts::Polled).expect("a sound device");
            (config, Box::new(transport))
        } else {
            let (config, bars) = PciModel::new(device);
            let transport = PciTransport::new(&config, &bars, Interrupts::Polled).expect("a sound device");
            (config, Box::new(transport))
        };
        assert!(is_on(&config), "before anything else");
        for _ in 0..2 {
            let reset = Reset::new(transport, &HASTE).expect("it resets");
            assert!(is_on(&config));
            let negotiated = reset.negotiate(OWN, OWN, |accepted| accepted).expect("it agrees");
            assert!(is_on(&config));
            let running = negotiated.run();
            assert!(is_on(&config), "in service");
            (transport, _) = running.quiesce(&HASTE).expect("it resets");
            assert!(is_on(&config), "and after it");
        }
    }
}

#[test]
fn ini_20_after_a_reset_everything_is_programmed_again() {
    for rig in BUSES.map(Rig::new) {
        let writes = |life: Vec<Access>| -> Vec<_> {
            let rings = rig.layout().rings;
            let writes = life.into_iter().filter(|access| access.kind == Kind::Write && access.offset < 0x3000);
            // Memory may be elsewhere the second time.
            let value = |access: &Access| if rings.contains(&access.offset) { None } else { Some(access.value) };
            writes.map(|access| (access.offset, access.width, value(&access))).collect()
        };
        rig.trace.take();
        let service = rig.service().works();
        let first = writes(rig.trace.take());
        let (transport, _) = service.end();
        rig.trace.take();
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        let negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
        let service = rig.serve(negotiated).works();
        let second = writes(rig.trace.take());
        assert_eq!(first, second, "{:?}", rig.bus);
        let layout = rig.layout();
        for register in [layout.driver_features, layout.queue_size, layout.rings.start, layout.queue_ready] {
            assert!(second.iter().any(|write| write.0 == register), "{:?}: {register:#x}", rig.bus);
        }
        service.end();
    }
}

/// A device whose queues can be reset by themselves, in service.
fn resettable(rig: &Rig) -> Service {
    rig.device.state().offered |= FeatureBits::RING_RESET.bits();
    let service = rig.service();
    assert!(service.running.features().contains(FeatureBits::RING_RESET));
    service
}

#[test]
fn ini_14_memory_of_a_queue_is_freed_when_its_reset_is_confirmed() {
    for rig in BUSES.map(Rig::new) {
        let mut service = resettable(&rig);
        service.ask(8, 4);
        let _ = service.queue.publish();
        let chain = service.other.pop().expect("it was published");
        let blocks = rig.memory.blocks();
        rig.device.lie(|lies| lies.never_resets_queue = true);
        let Service { mut running, queue, other, mut pool } = service;
        let result = running.reset_queue(queue, &HASTE, |_, _| panic!("nothing is handed out"));
        let (queue, error) = result.expect_err("it is never confirmed");
        assert_eq!(error, TransportError::TimedOut);
        assert_eq!((rig.memory.blocks(), pool.available()), (blocks, 15));
        assert_eq!(other.write(&chain, &[1; 8]), 8, "the device can still reach it");

        rig.device.lie(|lies| (lies.never_resets_queue, lies.slow_queue_reset) = (false, 20));
        let mut unfinished = Vec::new();
        let result = running.reset_queue(queue, &HASTE, |_, cookie| unfinished.push(cookie));
        assert!(result.is_ok());
        assert_eq!((unfinished, pool.available()), (vec![4], 16));
        assert!(rig.memory.blocks() < blocks);
        assert!(running.quiesce(&HASTE).is_ok());
        drop(pool);
        rig.device.lie(|lies| *lies = Default::default());
        rig.works();
    }
}

#[test]
fn ini_15_a_queue_that_was_reset_is_configured_completely() {
    for rig in BUSES.map(Rig::new) {
        let Service { mut running, queue, other: _, pool } = resettable(&rig).works();
        let first = rig.device.queue(0);
        let ring_writes = |rig: &Rig| -> Vec<_> {
            let layout = rig.layout();
            let registers = layout.rings.start.min(layout.queue_size)..layout.rings.end;
            let writes = rig.trace.take().into_iter().filter(move |access| access.is_write_in(&registers));
            writes.map(|access| (access.offset, access.width)).collect()
        };
        let set_up = ring_writes(&rig);
        assert!(running.reset_queue(queue, &HASTE, |_, _| panic!("nothing is in flight")).is_ok());
        assert!(!rig.device.queue(0).is_ready);
        rig.trace.take();
        // Smaller this time.
        let queue: Queue = running.queue(QueueIndex(0), 4, rig.memory).expect("it is free");
        let second = rig.device.queue(0);
        assert_eq!((first.size, second.size, queue.capacity()), (8, 4, 4));
        assert!(second.is_ready && first.vector == second.vector);
        let again = ring_writes(&rig);
        let missing: Vec<_> = again.iter().filter(|write| !set_up.contains(write)).collect();
        assert!(again.len() >= 8 && missing.is_empty(), "{:?}: {set_up:x?} and {again:x?}", rig.bus);

        let other = DeviceQueue::negotiated(rig.memory, second, running.features().bits());
        Service { running, queue, other, pool }.works().end();
        rig.works();
    }
}
