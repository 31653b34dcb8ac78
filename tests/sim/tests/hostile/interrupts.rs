//! When a device interrupts, and what it says about that.

use toro_core::driver::{Armed, DeviceFault};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::storm::{StormGuard, Verdict};
use virtio_queue_rt::transport::{InterruptStatus, Transport, TransportError};
use virtio_queue_rt::{
    Direction, FeatureBits, Interrupts, LegacyPciTransport, PciTransport, QueueIndex, Reset, Running,
};
use virtio_sim::pci::Vectors;
use virtio_sim::{Device, DeviceQueue, PciModel, SimMemory};

use crate::common::transports::{ALL_BUSES, Bus, transport};
use crate::common::{EVENT_IDX, VERSION_1};
use crate::rig::{HASTE, Queue, recovers, with_requests, works, works_again};

const FIRST: QueueIndex = QueueIndex(0);

/// A network device with two queues.
fn device(bus: Bus, features: u64) -> Device {
    let version = if bus.is_legacy() { 0 } else { VERSION_1 };
    Device::new(1, version | features, &[8, 8], &[1; 16])
}

/// Registers that tell why the device interrupted: no messages.
fn by_line(device: &Device, bus: Bus) -> BoxedTransport {
    match bus {
        Bus::Pci => {
            let (config, bars) = PciModel::modern(device.clone(), Vectors::None);
            Box::new(PciTransport::new(&config, &bars, Interrupts::Line).expect("a sound device"))
        }
        Bus::LegacyPci => {
            let (config, bars) = PciModel::legacy(device.clone(), Vectors::None);
            Box::new(LegacyPciTransport::new(&config, &bars, Interrupts::Line).expect("a sound device"))
        }
        _ => transport(device, bus),
    }
}

/// A device in service with its first queue.
struct Service {
    device: Device,
    memory: &'static SimMemory,
    running: Running<BoxedTransport>,
    queue: Queue,
    other: DeviceQueue,
    pool: DmaPool,
}

fn service(device: Device, transport: BoxedTransport) -> Service {
    let memory = SimMemory::leak();
    let reset = Reset::new(transport, &HASTE).expect("it resets");
    let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("it agrees");
    let queue = negotiated.queue(FIRST, 8, memory).expect("it is there");
    let running = negotiated.run();
    let other = DeviceQueue::negotiated(memory, device.queue(0), device.state().accepted);
    let pool = DmaPool::new(memory, 8, 64).expect("memory");
    Service { device, memory, running, queue, other, pool }
}

impl Service {
    fn buffer(&mut self) -> DmaBuf {
        let mut buffer = self.pool.take().expect("one of eight");
        buffer.extend(b"x").expect("64 bytes");
        buffer
    }

    /// Resets the device, which then works again.
    fn recovers(self) {
        let Self { device, memory, running, queue, pool, .. } = self;
        let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        drop(pool);
        device.lie(|lies| *lies = virtio_sim::device::Lies::default());
        device.state().interrupt = 0;
        works_again(transport, &device, memory, FIRST);
    }
}

#[test]
fn hd_irq_1_a_storm_is_survived_by_polling() {
    const LIMIT: u16 = if cfg!(miri) { 5 } else { 50 };
    for bus in ALL_BUSES {
        let device = device(bus, EVENT_IDX);
        let mut service = service(device.clone(), by_line(&device, bus));
        // The line is stuck: it fires again as soon as it is not masked.
        device.lie(|lies| lies.stuck_interrupt = true);
        device.state().interrupt = 1;
        let mut guard = StormGuard::new(LIMIT);
        let (mut is_masked, mut handled, mut finished) = (false, 0, 0);
        for period in 0..10 {
            let buffer = service.buffer();
            service.queue.submit((), buffer, Direction::ToDevice, (), period).expect("there is room");
            let _ = service.queue.publish();
            let mut in_period = 0;
            for _ in 0..1000 {
                if is_masked {
                    break;
                }
                in_period += 1;
                let cause = service.running.acknowledge_interrupt().expect("it is there");
                assert!(cause.queues);
                match guard.interrupt(service.queue.drain(drop).expect("no fault")) {
                    Verdict::Arm => assert_eq!(service.queue.arm(), Armed::Idle),
                    Verdict::Poll => is_masked = true,
                }
            }
            assert!(is_masked && in_period <= LIMIT + 1, "{in_period} in one period");
            handled += in_period;
            // Meanwhile a request finishes; the timer finds it, and gives the device another chance.
            let chain = service.other.pop().expect("it was published");
            service.other.push(chain.head.into(), 0);
            finished += service.queue.drain(drop).expect("no fault");
            guard.rest();
            is_masked = false;
        }
        assert_eq!((handled, finished), (10 * LIMIT, 10));
        service.recovers();
    }
}

#[test]
fn hd_irq_2_interrupts_before_the_start_and_after_the_end_do_no_harm() {
    for bus in ALL_BUSES {
        let device = device(bus, 0);
        device.state().interrupt = 3;
        let transport = by_line(&device, bus);
        // Before anybody has reset the device.
        assert!(transport.acknowledge_interrupt().is_ok());
        let memory = SimMemory::leak();
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("it agrees");
        let mut queue: Queue = negotiated.queue(FIRST, 8, memory).expect("it is there");
        device.state().interrupt = 1;
        assert!(queue.poll().expect("nothing is in flight").is_none(), "before DRIVER_OK");
        assert_eq!(queue.arm(), Armed::Idle);
        let running = negotiated.run();
        assert!(running.acknowledge_interrupt().is_ok());
        assert!(queue.poll().expect("nothing is in flight").is_none());
        let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
        device.state().interrupt = 1;
        assert!(transport.acknowledge_interrupt().is_ok(), "after the end");
        assert!(queue.poll().expect("nothing is in flight").is_none(), "and before its queue is gone");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        works_again(transport, &device, memory, FIRST);
    }
}

#[test]
fn hd_irq_3_a_device_that_never_interrupts_is_served_by_looking() {
    for features in [0, EVENT_IDX] {
        let (mut bench, chains) = with_requests(6, features);
        let mut finished = 0;
        for chain in &chains {
            // The driver sleeps, and no interrupt comes; when its patience ends it looks.
            assert_eq!(bench.queue.arm(), Armed::Idle);
            bench.other.push(chain.head.into(), 16);
            finished += bench.queue.drain(drop).expect("no fault");
        }
        assert_eq!((finished, bench.queue.len()), (6, 0));
        for _ in 0..20 {
            works(&mut bench.queue, &mut bench.other, &mut bench.pool);
        }
        recovers(bench, 0);
    }
}

#[test]
fn hd_irq_4_a_flood_of_configuration_changes_is_one_bit_each_and_read_when_asked_for() {
    for bus in ALL_BUSES {
        let device = device(bus, 0);
        let mut service = service(device.clone(), by_line(&device, bus));
        for change in 0..if cfg!(miri) { 40 } else { 2_000_u32 } {
            let mut state = device.state();
            state.generation = state.generation.wrapping_add(1);
            state.config.fill(change as u8);
            state.interrupt |= 2;
            // Several changes, one interrupt.
            if change % 4 != 3 {
                continue;
            }
            drop(state);
            let expected = InterruptStatus { queues: false, configuration: true };
            assert_eq!(service.running.acknowledge_interrupt(), Ok(expected), "{bus:?}");
            assert_eq!(service.running.acknowledge_interrupt(), Ok(InterruptStatus::NONE), "coalesced");
            assert_eq!(service.running.config(|config| config.read8(0)), Ok(change as u8));
            assert!(service.queue.poll().expect("no fault").is_none());
        }
        // Where it changes with every look, looking ends.
        if !bus.is_legacy() {
            device.lie(|lies| lies.unstable_generation = true);
            let error = service.running.config(|config| config.read8(0));
            assert_eq!(error, Err(TransportError::UnstableConfiguration));
        }
        service.recovers();
    }
}

#[test]
fn hd_irq_5_a_status_of_0_on_a_shared_line_belongs_to_another_device() {
    for bus in ALL_BUSES {
        let device = device(bus, 0);
        let service = service(device.clone(), by_line(&device, bus));
        for _ in 0..10 {
            assert_eq!(service.running.acknowledge_interrupt(), Ok(InterruptStatus::NONE), "{bus:?}");
        }
        assert!(device.state().acknowledged.is_empty(), "nothing to acknowledge");
        device.state().interrupt = 1;
        let own = InterruptStatus { queues: true, configuration: false };
        assert_eq!(service.running.acknowledge_interrupt(), Ok(own));
        assert_eq!(service.running.acknowledge_interrupt(), Ok(InterruptStatus::NONE), "acknowledged");
        service.recovers();
    }
}

#[test]
fn hd_irq_6_a_status_of_all_ones_is_a_device_that_is_gone() {
    for bus in ALL_BUSES {
        let device = device(bus, 0);
        let mut service = service(device.clone(), by_line(&device, bus));
        let buffer = service.buffer();
        service.queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
        let _ = service.queue.publish();
        device.state().interrupt = u32::MAX;
        assert_eq!(service.running.acknowledge_interrupt(), Err(DeviceFault::Gone), "{bus:?}");
        // All registers are.
        device.state().interrupt = 0;
        device.lie(|lies| lies.gone = true);
        assert_eq!(service.running.acknowledge_interrupt(), Err(DeviceFault::Gone), "{bus:?}");
        assert_eq!(service.running.check(), Err(DeviceFault::Gone));
        // It cannot be reset, and so keeps what it was told of.
        let blocks = service.memory.blocks();
        let (running, _) = service.running.quiesce(&HASTE).expect_err("nobody confirms");
        assert_eq!((service.memory.blocks(), service.queue.len()), (blocks, 1));
        // If it was only a bus that was asleep, it can still be had.
        device.lie(|lies| lies.gone = false);
        Service { running, ..service }.recovers();
    }
}

#[test]
fn hd_irq_7_an_interrupt_for_the_wrong_queue_is_one_without_work() {
    for bus in ALL_BUSES {
        for features in [0, EVENT_IDX] {
            let device = device(bus, features);
            let memory = SimMemory::leak();
            let reset = Reset::new(transport(&device, bus), &HASTE).expect("it resets");
            let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("agrees");
            let mut queues: [Queue; 2] =
                [0, 1].map(|index| negotiated.queue(QueueIndex(index), 8, memory).expect("it is there"));
            let running = negotiated.run();
            let accepted = device.state().accepted;
            let mut others = [0, 1].map(|index| DeviceQueue::negotiated(memory, device.queue(index), accepted));
            let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
            for (work, idle) in [(0, 1), (1, 0), (1, 0), (0, 1)] {
                let mut buffer = pool.take().expect("one of four");
                buffer.extend(b"x").expect("64 bytes");
                queues[work].submit((), buffer, Direction::ToDevice, (), 5).expect("there is room");
                let _ = queues[work].publish();
                assert_eq!(queues.each_mut().map(|queue| queue.arm()), [Armed::Idle; 2]);
                let chain = others[work].pop().expect("it was published");
                others[work].push(chain.head.into(), 0);
                // The interrupt names the other one.
                assert!(queues[idle].poll().expect("no fault").is_none());
                assert_eq!(queues[idle].arm(), Armed::Idle);
                // Its own is found with the next look, whatever brought it about.
                assert_eq!(queues[work].arm(), Armed::WorkPending);
                let done = queues[work].poll().expect("no fault").expect("it completed");
                assert_eq!(done.cookie, 5);
            }
            let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
            for queue in queues {
                assert!(queue.retire(&proof, |_, _| {}).is_ok());
            }
            works_again(transport, &device, memory, FIRST);
        }
    }
}
