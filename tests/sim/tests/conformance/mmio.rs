//! MIO and HD-MIO: registers in memory.

use toro_core::DmaPool;
use toro_core::driver::{Armed, DeviceFault};
use virtio_queue_rt::transport::{InterruptStatus, SharedMemory, Transport, TransportError};
use virtio_queue_rt::{FeatureBits, InitError, MmioTransport, QueueIndex};
use virtio_sim::{DeviceQueue, MmioModel};

use crate::common::transports::Bus;
use crate::rig::{HASTE, OWN, Queue, Rig};
use crate::trace::{Access, Kind};

const QUEUE_SELECT: usize = 0x030;
const QUEUE_SIZE_MAX: usize = 0x034;
const QUEUE_SIZE: usize = 0x038;
const QUEUE_READY: usize = 0x044;
const INTERRUPT_STATUS: usize = 0x060;
const INTERRUPT_ACK: usize = 0x064;
const QUEUE_RESET: usize = 0x0c0;

/// A device with everything that its registers know.
fn rich(bus: Bus) -> Rig {
    Rig::with(bus, FeatureBits::from_bits(u64::MAX), &[0; 8])
}

/// All accesses of a life in which everything is used that the registers offer.
fn life(bus: Bus) -> Vec<Access> {
    let rig = rich(bus);
    let mut service = rig.service().works();
    rig.device.state().interrupt = 3;
    service.running.acknowledge_interrupt().expect("it is there");
    service.running.config(|config| config.read32(0)).expect("it is stable");
    if bus == Bus::Mmio {
        let queue = service.queue;
        service.running.reset_queue(queue, &HASTE, |_, _| {}).map_err(|(_, error)| error).expect("it confirms");
        service.queue = service.running.queue(QueueIndex(0), 8, rig.memory).expect("it comes back");
        let features = service.running.features().bits();
        service.other = DeviceQueue::negotiated(rig.memory, rig.device.queue(0), features);
        service = service.works();
    }
    service.end();
    rig.trace.take()
}

#[test]
fn mio_5_control_registers_are_accessed_by_aligned_words_in_their_direction() {
    const READ: [usize; 13] = [0x00, 0x04, 0x08, 0x0c, 0x10, 0x34, 0x44, 0x60, 0x70, 0xc0, 0xfc, 0x100, 0x104];
    const WRITTEN: [usize; 16] =
        [0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x70, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4, 0xc0];
    let accesses = life(Bus::Mmio);
    assert!(accesses.iter().any(|access| access.is_write_to(QUEUE_RESET)), "a life with everything in it");
    for access in accesses.iter().filter(|access| access.offset < 0x100) {
        let known = if access.kind == Kind::Read { &READ[..] } else { &WRITTEN[..] };
        assert!(access.width == 4 && known.contains(&access.offset), "{access:x?}");
    }
}

#[test]
fn mio_6_the_select_register_is_written_before_each_word_of_features() {
    let accesses = life(Bus::Mmio);
    let mut seen = 0;
    for pair in accesses.windows(2) {
        if pair[1].is_read_of(0x10) {
            assert!(pair[0].is_write_to(0x14), "{pair:x?}");
            seen += 1;
        }
        if pair[1].is_write_to(0x20) {
            assert!(pair[0].is_write_to(0x24), "{pair:x?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 4, "two words, each way");
}

#[test]
fn mio_7_a_queue_is_never_larger_than_its_maximum() {
    for (max, size) in [(8, 8), (12, 8), (1, 1), (32_768, 64), (u16::MAX, 64)] {
        let rig = Rig::new(Bus::Mmio);
        rig.device.state().queue_max = vec![max, 16];
        let queue: Result<Queue, _> = rig.negotiated().queue(QueueIndex(0), 64, rig.memory);
        assert!(queue.is_ok());
        assert_eq!(rig.device.queue(0).size, size);
    }
}

#[test]
fn mio_8_a_ready_queue_is_left_as_it_is() {
    let mut is_ready = false;
    for access in life(Bus::Mmio) {
        if access.is_write_to(QUEUE_READY) {
            is_ready = true;
        } else if access.is_write_to(QUEUE_RESET) || access.is_write_to(0x70) && access.value == 0 {
            is_ready = false;
        }
        let is_setup = access.is_write_to(QUEUE_SIZE) || access.is_write_in(&(0x80..0xa8));
        assert!(!(is_ready && is_setup), "{access:x?}");
    }
}

#[test]
fn mio_9_a_queue_is_stopped_by_reset_alone() {
    let accesses = life(Bus::Mmio);
    let written: Vec<u32> =
        accesses.iter().filter(|access| access.is_write_to(QUEUE_READY)).map(|access| access.value).collect();
    assert_eq!(written, [1, 1], "started, and started again after its reset");
}

#[test]
fn mio_11_what_an_interrupt_says_is_read_once_and_acknowledged() {
    for bus in [Bus::Mmio, Bus::LegacyMmio] {
        let rig = Rig::new(bus);
        let service = rig.service();
        for bits in [0, 1, 2, 3] {
            rig.device.state().interrupt = bits;
            rig.trace.take();
            let cause = service.running.acknowledge_interrupt().expect("it is there");
            assert_eq!(cause, InterruptStatus { queues: bits & 1 != 0, configuration: bits & 2 != 0 });
            let accesses = rig.trace.take();
            assert!(accesses[0].is_read_of(INTERRUPT_STATUS), "{accesses:x?}");
            match bits {
                0 => assert_eq!(accesses.len(), 1, "not this device's"),
                _ => assert!(accesses.len() == 2 && accesses[1].is_write_to(INTERRUPT_ACK), "{accesses:x?}"),
            }
            assert_eq!(rig.device.state().interrupt, 0);
        }
        service.end();
    }
}

#[test]
fn mio_12_one_bit_stands_for_all_queues() {
    let rig = Rig::new(Bus::Mmio);
    let mut negotiated = rig.negotiated();
    let mut queues: Vec<Queue> =
        (0..2).map(|index| negotiated.queue(QueueIndex(index), 8, rig.memory).expect("there are two")).collect();
    let running = negotiated.run();
    let mut pool = DmaPool::new(rig.memory, 4, 16).expect("memory");
    for (index, queue) in queues.iter_mut().enumerate() {
        let mut buffer = pool.take().expect("four");
        buffer.set_len(4).expect("it fits");
        queue.submit((), buffer, virtio_queue_rt::Direction::FromDevice, (), 0).expect("there is room");
        let wish = queue.publish();
        running.notify(queue, wish);
        let mut other = DeviceQueue::negotiated(rig.memory, rig.device.queue(index), running.features().bits());
        let chain = other.pop().expect("it was published");
        other.push(chain.head.into(), 4);
    }
    rig.device.state().interrupt = 1;
    assert!(running.acknowledge_interrupt().expect("it is there").queues);
    for queue in &mut queues {
        assert!(queue.poll().expect("an obedient device").is_some(), "whichever it was");
    }
    let (_, proof) = running.quiesce(&HASTE).expect("it resets");
    for queue in queues {
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
    }
}

#[test]
fn mio_13_a_queue_reset_is_done_when_it_reads_0_and_everything_is_set_up_again() {
    let rig = rich(Bus::Mmio);
    let mut service = rig.service().works();
    service.ask(8, 11);
    let _ = service.queue.publish();
    rig.device.lie(|lies| lies.slow_queue_reset = 3);
    rig.trace.take();
    let mut unfinished = Vec::new();
    let outcome = service.running.reset_queue(service.queue, &HASTE, |_, cookie| unfinished.push(cookie));
    assert!(outcome.is_ok());
    assert_eq!(unfinished, [11]);
    let accesses = rig.trace.take();
    assert!(accesses.iter().any(|access| access.is_write_to(QUEUE_RESET) && access.value == 1));
    let read: Vec<u32> =
        accesses.iter().filter(|access| access.is_read_of(QUEUE_RESET)).map(|access| access.value).collect();
    assert_eq!(read, [1, 1, 1, 0]);
    service.queue = service.running.queue(QueueIndex(0), 4, rig.memory).expect("it comes back");
    let accesses = rig.trace.take();
    for register in [QUEUE_SIZE, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4, QUEUE_READY] {
        assert!(accesses.iter().any(|access| access.is_write_to(register)), "{register:#x}");
    }
    assert_eq!(rig.device.queue(0).size, 4, "it may have another size");
    let features = service.running.features().bits();
    service.other = DeviceQueue::negotiated(rig.memory, rig.device.queue(0), features);
    service.works().end();
    assert_eq!(rig.memory.blocks(), 0);
}

#[test]
fn mio_14_shared_memory_registers_are_touched_on_demand_only() {
    let shared = 0x0ac..0x0c0;
    let touches = |accesses: &[Access]| accesses.iter().any(|a| a.is_read_in(&shared) || a.is_write_in(&shared));
    assert!(!touches(&life(Bus::Mmio)));
    let rig = Rig::new(Bus::Mmio);
    let transport = rig.transport();
    rig.trace.take();
    assert_eq!(transport.shared_memory(0), None);
    assert!(touches(&rig.trace.take()));
}

#[test]
fn mio_15_a_queue_is_set_up_in_order() {
    let rig = Rig::new(Bus::Mmio);
    let mut negotiated = rig.negotiated();
    rig.trace.take();
    let queue: Queue = negotiated.queue(QueueIndex(1), 8, rig.memory).expect("there are two");
    let accesses = rig.trace.take();
    let first = |wanted: &dyn Fn(&Access) -> bool| accesses.iter().position(wanted).expect("it is there");
    let steps = [
        first(&|access| access.is_write_to(QUEUE_SELECT) && access.value == 1),
        first(&|access| access.is_read_of(QUEUE_READY)),
        first(&|access| access.is_write_to(QUEUE_SIZE)),
        first(&|access| access.is_write_to(0x80)),
        first(&|access| access.is_write_to(0x84)),
        first(&|access| access.is_write_to(0x90)),
        first(&|access| access.is_write_to(0x94)),
        first(&|access| access.is_write_to(0xa0)),
        first(&|access| access.is_write_to(0xa4)),
        first(&|access| access.is_write_to(QUEUE_READY)),
    ];
    assert!(steps.is_sorted(), "{accesses:x?}");
    assert!(first(&|access| access.is_read_of(QUEUE_SIZE_MAX)) < steps[2]);
    assert_eq!(queue.capacity(), 8);
    drop(negotiated);

    // A maximum of 0: there is no such queue, and nothing is written about it.
    rig.device.state().queue_max[1] = 0;
    let mut negotiated = rig.negotiated();
    rig.trace.take();
    let error = negotiated.queue::<toro_core::DmaBuf, u32, (), ()>(QueueIndex(1), 8, rig.memory).expect_err("absent");
    assert_eq!(error, InitError::Transport(TransportError::NoSuchQueue(QueueIndex(1))));
    assert!(rig.trace.take().iter().all(|access| access.kind == Kind::Read || access.offset == QUEUE_SELECT));
}

#[test]
fn mio_16_what_comes_between_acknowledgement_and_look_is_found() {
    let rig = Rig::new(Bus::Mmio);
    let mut service = rig.service();
    service.ask(4, 1);
    let wish = service.queue.publish();
    service.running.notify(&service.queue, wish);
    let chain = service.other.pop().expect("it was published");
    rig.device.state().interrupt = 1;
    rig.trace.take();
    assert!(service.running.acknowledge_interrupt().expect("it is there").queues);
    // The line is down again. What comes now raises it anew, and the look that follows finds it, too.
    assert_eq!(rig.device.state().interrupt, 0);
    service.other.push(chain.head.into(), 4);
    assert_eq!(service.queue.arm(), Armed::WorkPending);
    assert_eq!(service.queue.poll().expect("an obedient device").expect("done").cookie, 1);
    assert_eq!(service.queue.arm(), Armed::Idle);
    service.end();
}

#[test]
fn mio_18_registers_of_version_2_are_never_touched_in_version_1() {
    let accesses = life(Bus::LegacyMmio);
    assert!(accesses.iter().any(|access| access.is_write_to(0x40)), "queues were set up");
    for access in accesses {
        assert!(access.offset != QUEUE_READY && !(0x80..0x100).contains(&access.offset), "{access:x?}");
        assert!(!access.is_write_to(0x70) || access.value & 8 == 0, "no FEATURES_OK");
    }
}

#[test]
fn mio_20_administration_queues_are_never_accepted() {
    for bus in [Bus::Mmio, Bus::LegacyMmio] {
        let rig = rich(bus);
        let negotiated = rig.negotiated();
        assert!((negotiated.features() & FeatureBits::bit(41)).is_empty());
        assert_eq!(rig.device.state().accepted & 1 << 41, 0);
    }
}

#[test]
fn hd_mio_1_identification_that_changes_later_changes_nothing() {
    let rig = Rig::new(Bus::Mmio);
    let service = rig.service();
    rig.device.state().device_type = 99;
    let service = service.works();
    let (transport, _) = service.end();
    assert_eq!(transport.device_type().0, 4, "as it was when it was found");
    // Whoever looks anew sees what is there now, and refuses it.
    let model = MmioModel { magic: 0x1234, ..MmioModel::new(rig.device.clone()) };
    assert!(matches!(MmioTransport::new(model), Err(TransportError::NotVirtio(_))));
    rig.device.state().device_type = 0;
    assert!(matches!(rig.try_transport(), Err(TransportError::NotVirtio(_))));
    rig.device.state().device_type = 4;
    rig.works();
}

#[test]
fn hd_mio_2_shared_memory_that_makes_no_sense_is_not_there() {
    let rig = Rig::new(Bus::Mmio);
    let transport = rig.transport();
    let page = 0x1_0000_0000;
    for (len, address) in [
        (u64::MAX, page),
        (4096, u64::MAX),
        (u64::MAX, u64::MAX),
        (0, page),
        (8192, u64::MAX - 4095),
        (u64::MAX - 4095, page),
        (4096, page + 8),
    ] {
        rig.device.state().shared_memory = vec![(3, len, address)];
        assert_eq!(transport.shared_memory(3), None, "{len:#x} at {address:#x}");
    }
    rig.device.state().shared_memory = vec![(3, 0x20_0000, page)];
    assert_eq!(transport.shared_memory(3), Some(SharedMemory { address: page, len: 0x20_0000 }));
    assert_eq!(transport.shared_memory(4), None, "another id");
    rig.works();
}

#[test]
fn hd_mio_3_stuck_and_undefined_interrupt_bits_cost_one_look_each() {
    for bus in [Bus::Mmio, Bus::LegacyMmio] {
        let rig = Rig::new(bus);
        let service = rig.service();
        rig.device.lie(|lies| lies.stuck_interrupt = true);
        rig.device.state().interrupt = 0xf1;
        rig.trace.take();
        for _ in 0..100 {
            let cause = service.running.acknowledge_interrupt().expect("it is there");
            assert_eq!(cause, InterruptStatus { queues: true, configuration: false });
        }
        assert_eq!(rig.trace.take().len(), 200, "a read and a write");
        assert!(rig.device.state().acknowledged.iter().all(|bits| *bits == 1), "no undefined bit");
        rig.device.state().interrupt = u32::MAX;
        assert_eq!(service.running.acknowledge_interrupt(), Err(DeviceFault::Gone));
        rig.device.lie(|lies| lies.stuck_interrupt = false);
        rig.device.state().interrupt = 0;
        service.works().end();
        rig.works();
    }
}

#[test]
fn hd_mio_4_a_queue_that_is_in_use_already_is_reset_once_more_and_then_refused() {
    for bus in [Bus::Mmio, Bus::LegacyMmio] {
        let rig = Rig::new(bus);
        rig.device.lie(|lies| lies.stale_queues = 1);
        rig.works();
        let resets = rig.device.state().status_writes.iter().take_while(|status| **status == 0).count();
        assert_eq!(resets, 2, "{bus:?}: the second one helped");

        rig.device.lie(|lies| lies.already_ready = true);
        let mut negotiated = rig.reset().negotiate(OWN, OWN, |accepted| accepted).expect("it agrees");
        let error = negotiated.queue::<toro_core::DmaBuf, u32, (), ()>(QueueIndex(0), 8, rig.memory);
        assert_eq!(error.err(), Some(InitError::Transport(TransportError::QueueRefused(QueueIndex(0)))));
        let (_, _) = negotiated.abandon(&HASTE).expect("it resets");
        assert_eq!(rig.memory.blocks(), 0, "{bus:?}: nothing is kept");
        rig.device.lie(|lies| lies.already_ready = false);
        rig.works();
    }
}
