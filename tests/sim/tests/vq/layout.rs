//! Where the parts of a queue are, how large they are, and what they hold at first.

use std::ops::Range;
use std::sync::atomic::Ordering;

use toro_core::DmaBuf;
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::{Chain, FeatureBits, MmioTransport, QueueIndex, Reset, Virtqueue};
use virtio_sim::clock::CLOCK;
use virtio_sim::queue::feature::VERSION_1;
use virtio_sim::{Device, DeviceQueue, MmioModel, QueueSetup, SimMemory};

use crate::rig::{EVENT_IDX, Header, INDIRECT_DESC, RINGS, Trailer, rig};

const LARGEST: u32 = if cfg!(miri) { 4 } else { 15 };

/// What a queue of this shape tells the device, for every size.
fn setups<P: Payload, H: Cell, T: Cell>(smallest: u32, features: u64) -> Vec<(&'static SimMemory, QueueSetup)> {
    (smallest..=LARGEST)
        .map(|power| {
            let memory = SimMemory::leak();
            let device = Device::new(4, VERSION_1 | features, &[1 << power], &[]);
            let transport = MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device");
            let mut negotiated = Reset::new(transport, &CLOCK)
                .expect("it resets")
                .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits)
                .expect("it is a modern device");
            let queue: Virtqueue<P, (), H, T> = negotiated.queue(QueueIndex(0), 1 << power, memory).expect("it fits");
            drop((queue, negotiated.run()));
            (memory, device.queue(0))
        })
        .collect()
}

fn all_setups() -> Vec<(&'static SimMemory, QueueSetup)> {
    let mut all = Vec::new();
    for features in RINGS.iter().copied() {
        all.extend(setups::<DmaBuf, (), ()>(0, features));
        all.extend(setups::<Option<DmaBuf>, Header, Trailer>(2, features));
        all.extend(setups::<Chain, Trailer, Header>(3, features));
    }
    all
}

fn parts(setup: &QueueSetup) -> [Range<u64>; 3] {
    let n = u64::from(setup.size);
    let part = |start: u64, len: u64| start..start + len;
    [part(setup.descriptors, 16 * n), part(setup.available, 6 + 2 * n), part(setup.used, 6 + 8 * n)]
}

#[test]
fn vq_1_parts_are_aligned() {
    for (_, setup) in all_setups() {
        assert_eq!((setup.descriptors % 16, setup.available % 2, setup.used % 4), (0, 0, 0), "{setup:?}");
    }
}

#[test]
fn vq_2_parts_are_as_large_as_they_must_be_and_apart() {
    for (memory, setup) in all_setups() {
        assert!(setup.size.is_power_of_two() && setup.size <= 32_768);
        let parts = parts(&setup);
        for (number, part) in parts.iter().enumerate() {
            // In one live block: `at` panics otherwise.
            memory.at(part.start, (part.end - part.start) as usize);
            for other in &parts[number + 1..] {
                assert!(part.end <= other.start || other.end <= part.start, "{part:x?} and {other:x?}");
            }
        }
    }
}

#[test]
fn vq_3_the_size_is_a_power_of_two_and_not_above_the_maximum() {
    let memory = SimMemory::leak();
    for max in [1, 2, 3, 5, 64, 100, 255, 256, 1000, 32_767, 32_768, 40_000, 65_535] {
        for wanted in [1_u16, 2, 3, 16, 100, u16::MAX] {
            if cfg!(miri) && max.min(wanted) > 64 {
                continue;
            }
            let device = Device::new(4, VERSION_1, &[max], &[]);
            let transport = MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device");
            let mut negotiated = Reset::new(transport, &CLOCK)
                .expect("it resets")
                .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits)
                .expect("it is a modern device");
            let queue: Virtqueue<DmaBuf, ()> = negotiated.queue(QueueIndex(0), wanted, memory).expect("one fits");
            let expected = 1 << max.min(wanted).min(32_768).ilog2();
            assert_eq!((device.queue(0).size, queue.capacity()), (expected, expected), "{wanted} of {max}");
        }
    }
}

#[test]
fn vq_4_16_rings_are_zero_when_the_device_hears_of_them() {
    for features in RINGS.iter().copied() {
        let rig = rig::<Chain, (), Header, Trailer>(16, features);
        let other = &rig.other;
        assert_eq!((other.available_index(Ordering::Relaxed), other.used_event()), (0, 0));
        assert!((0..16).all(|position| other.available_entry(position) == 0));
        assert_eq!(other.kick_wish(), (0, 0), "VQ-16: the flags of the used ring, and avail_event");
        // Without EVENT_IDX the driver has said that it polls.
        assert_eq!(other.available_flags(), u16::from(features & EVENT_IDX == 0));
        let used = rig.device.queue(0).used;
        assert_eq!(other.peek(used, 6 + 8 * 16), [0; 6 + 8 * 16]);
    }
}

#[test]
fn vq_4_16_memory_of_an_earlier_queue_is_zero_again() {
    let mut rig = rig::<DmaBuf, u32, (), ()>(4, EVENT_IDX);
    for cookie in 0..4 {
        let buffer = crate::rig::buffer(&mut rig.pool, b"x");
        rig.queue.submit((), buffer, virtio_queue_rt::Direction::ToDevice, (), cookie).expect("there is room");
    }
    for chain in rig.pop_all() {
        rig.other.push(chain.head.into(), 0);
    }
    rig.other.scribble_kick_wish(0xffff);
    let (transport, proof) = rig.running.quiesce(&CLOCK).expect("it resets");
    assert!(rig.queue.retire(&proof, |_, _| {}).is_ok());
    let mut negotiated = Reset::new(transport, &CLOCK)
        .expect("it resets")
        .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits)
        .expect("as before");
    let queue: Virtqueue<DmaBuf, u32> = negotiated.queue(QueueIndex(0), 4, rig.memory).expect("as before");
    let other = DeviceQueue::negotiated(rig.memory, rig.device.queue(0), rig.device.state().accepted);
    assert_eq!((other.available_index(Ordering::Relaxed), other.kick_wish()), (0, (0, 0)));
    drop((queue, negotiated));
}

#[test]
fn vq_34_capacity_is_counted_in_descriptors() {
    assert_eq!(rig::<DmaBuf, (), (), ()>(16, 0).queue.capacity(), 16);
    assert_eq!(rig::<Chain, (), (), ()>(16, 0).queue.capacity(), 4);
    assert_eq!(rig::<Chain, (), Header, Trailer>(16, 0).queue.capacity(), 2);
    // Each in a table of its own.
    assert_eq!(rig::<Chain, (), Header, Trailer>(16, INDIRECT_DESC).queue.capacity(), 16);
    assert_eq!(rig::<DmaBuf, (), (), ()>(16, INDIRECT_DESC).queue.capacity(), 16);
}
