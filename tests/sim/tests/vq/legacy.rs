//! What is different with devices from before VIRTIO 1.0, as far as it is to be seen in a queue's memory.

use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::transport::{Interface, QueueSizing};
use virtio_queue_rt::{Chain, Direction, FeatureBits, Notify, QueueIndex, Reset, Running, Virtqueue};
use virtio_sim::clock::CLOCK;
use virtio_sim::queue::feature::VERSION_1;
use virtio_sim::{DeviceQueue, QueueSetup, SimMemory};

use crate::bare::Bare;
use crate::rig::{EVENT_IDX, Header, INDIRECT_DESC, RINGS, Trailer, buffer, chain, count};

/// Both sides of queue 3 of a device with that interface.
struct Rig<P: Payload, K, H: Cell, T: Cell> {
    memory: &'static SimMemory,
    bare: Bare,
    running: Running<Bare>,
    queue: Virtqueue<P, K, H, T>,
    other: DeviceQueue,
    pool: DmaPool,
}

fn rig<P: Payload, K, H: Cell, T: Cell>(interface: Interface, offered: u64, size: u16, wanted: u16) -> Rig<P, K, H, T> {
    let memory = SimMemory::leak();
    let bare = Bare::new(interface, offered, size);
    let reset = Reset::new(bare.clone(), &CLOCK).expect("it resets");
    let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("nothing missing");
    let queue = negotiated.queue(QueueIndex(3), wanted, memory).expect("the queue is there");
    let running = negotiated.run();
    let setup = bare.told().queue;
    let accepted = bare.told().accepted.bits();
    let other = DeviceQueue::negotiated(memory, setup, accepted);
    let pool = DmaPool::new(memory, 4 * usize::from(size), 64).expect("memory");
    Rig { memory, bare, running, queue, other, pool }
}

/// Over PCI: the device chooses the size, and pages are of 4,096 bytes.
const PCI: Interface = Interface::Legacy { queue_align: 4096, sizing: QueueSizing::Fixed };

fn one_block(setup: &QueueSetup, align: u64, memory: &SimMemory) {
    let n = u64::from(setup.size);
    let available = setup.descriptors + 16 * n;
    let used = (available + 2 * (3 + n)).next_multiple_of(align);
    assert_eq!(setup.descriptors % 4096, 0, "a page number tells where it is");
    assert_eq!((setup.available, setup.used), (available, used), "{n} descriptors, aligned to {align}");
    let total = (16 * n + 2 * (3 + n)).next_multiple_of(align) + (2 * 3 + 8 * n).next_multiple_of(align);
    memory.at(setup.descriptors, total as usize);
}

#[test]
fn vq_30_a_legacy_queue_is_one_block_of_the_size_that_the_device_says() {
    for align in [4096, 64, 4] {
        for sizing in [QueueSizing::Fixed, QueueSizing::Chosen] {
            for power in 3..=if cfg!(miri) { 4 } else { 15 } {
                let interface = Interface::Legacy { queue_align: align, sizing };
                let rig = rig::<DmaBuf, (), Header, Trailer>(interface, 0, 1 << power, 1 << power);
                let setup = rig.bare.told().queue;
                assert_eq!(setup.size, 1 << power);
                one_block(&setup, align.into(), rig.memory);
            }
        }
    }
    // The worked examples: used ring at, and length of the block.
    for (n, used) in [(128_u64, 4096), (256, 8192), (1024, 20_480)] {
        if cfg!(miri) && n > 128 {
            continue;
        }
        let setup = rig::<DmaBuf, (), (), ()>(PCI, 0, n as u16, n as u16).bare.told().queue;
        assert_eq!(setup.used - setup.descriptors, used);
    }
}

#[test]
fn vq_30_a_size_that_cannot_be_changed_is_not_changed() {
    // Fewer are wanted than the device has: the ring stays as large as it is, and the driver uses a part of it.
    let mut fixed = rig::<DmaBuf, u16, (), ()>(PCI, 0, 256, 16);
    assert_eq!((fixed.bare.told().queue.size, fixed.queue.capacity()), (256, 16));
    for cookie in 0..if cfg!(miri) { 40 } else { 1000_u16 } {
        let payload = buffer(&mut fixed.pool, &cookie.to_le_bytes());
        fixed.queue.submit((), payload, Direction::ToDevice, (), cookie).expect("there is room");
        let _ = fixed.queue.publish();
        let popped = fixed.other.pop().expect("it was published");
        assert_eq!(fixed.other.read(&popped), cookie.to_le_bytes());
        fixed.other.push(popped.head.into(), 0);
        let done = fixed.queue.poll().expect("obedient").expect("completed");
        assert_eq!(done.cookie, cookie);
        fixed.pool.recycle(done.payload);
    }
    let chosen = Interface::Legacy { queue_align: 4096, sizing: QueueSizing::Chosen };
    assert_eq!(rig::<DmaBuf, (), (), ()>(chosen, 0, 256, 16).bare.told().queue.size, 16);
}

/// Whether the 16-bit words of this queue's rings are in the guest's order, to be seen after one request.
fn vq_31_words(interface: Interface, offered: u64) {
    let mut rig = rig::<Chain, u8, Header, Trailer>(interface, offered, 16, 16);
    let is_guests = interface != Interface::Modern;
    let in_order16 = |word: u16| if is_guests { word.to_ne_bytes() } else { word.to_le_bytes() };
    let in_order32 = |word: u32| if is_guests { word.to_ne_bytes() } else { word.to_le_bytes() };
    let in_order64 = |word: u64| if is_guests { word.to_ne_bytes() } else { word.to_le_bytes() };
    for round in 1..=if cfg!(miri) { 18 } else { 40_u16 } {
        let parts = (round % 16) as u8;
        let payload = chain(&mut rig.pool, parts);
        rig.queue.submit([7, 8], payload, (), 0xff, parts).expect("there is room");
        let _ = rig.queue.publish();
        let setup = rig.bare.told().queue;
        assert_eq!(rig.other.peek(setup.available + 2, 2), in_order16(round), "the available index");
        // The device's model reads the same bytes with the same rule.
        let popped = rig.other.pop().expect("it was published");
        let at = 4 + 2 * u64::from((round - 1) % 16);
        assert_eq!(rig.other.peek(setup.available + at, 2), in_order16(popped.head), "the ring entry");
        let head = rig.other.descriptor(popped.head);
        let mut bytes = Vec::from(in_order64(head.address));
        bytes.extend(in_order32(head.len));
        bytes.extend(in_order16(head.flags));
        bytes.extend(in_order16(head.next));
        assert_eq!(rig.other.peek(setup.descriptors + 16 * u64::from(popped.head), 16), bytes, "the descriptor");
        let expected_len = popped.table.map_or(16, |(_, len)| len);
        assert_eq!(head.len, expected_len);
        assert_eq!(popped.len(), count(parts) + 2);
        rig.other.push(popped.head.into(), 1);
        assert_eq!(rig.other.peek(setup.used + 2, 2), in_order16(round), "the used index");
        let done = rig.queue.poll().expect("obedient").expect("completed");
        assert_eq!((done.cookie, done.written), (parts, 1));
        let _ = rig.queue.arm();
        if offered & EVENT_IDX != 0 {
            assert_eq!(rig.other.used_event(), round);
            assert_eq!(rig.other.peek(setup.available + 4 + 2 * 16, 2), in_order16(round), "used_event");
        } else {
            assert_eq!(rig.other.peek(setup.available, 2), in_order16(0), "armed");
            assert!(rig.queue.poll().expect("obedient").is_none());
            assert_eq!(rig.other.peek(setup.available, 2), in_order16(1), "polling");
        }
    }
}

#[test]
fn vq_31_legacy_rings_are_in_the_guests_order_and_modern_ones_little_endian() {
    for features in RINGS.iter().copied() {
        vq_31_words(PCI, features);
        vq_31_words(Interface::Modern, VERSION_1 | features);
    }
}

#[test]
fn vq_31_suppression_by_the_device_is_read_in_the_same_order() {
    for (interface, version) in [(PCI, 0), (Interface::Modern, VERSION_1)] {
        for features in [0, EVENT_IDX] {
            let mut rig = rig::<DmaBuf, (), (), ()>(interface, version | features, 8, 8);
            for _ in 0..if cfg!(miri) { 5 } else { 300 } {
                for expected in [Notify::Needed, Notify::Suppressed] {
                    match expected {
                        Notify::Needed => assert!(!rig.other.enable_kicks(), "nothing is there yet"),
                        Notify::Suppressed => rig.other.disable_kicks(),
                    }
                    let payload = buffer(&mut rig.pool, b"x");
                    rig.queue.submit((), payload, Direction::ToDevice, (), ()).expect("there is room");
                    assert_eq!(rig.queue.publish(), expected);
                    let popped = rig.other.pop().expect("it was published");
                    rig.other.push(popped.head.into(), 0);
                    rig.pool.recycle(rig.queue.poll().expect("obedient").expect("completed").payload);
                }
            }
        }
    }
}

#[test]
fn vq_32_without_any_layout_every_part_has_a_descriptor_of_its_own() {
    for features in [0, EVENT_IDX, INDIRECT_DESC] {
        let mut rig = rig::<Option<DmaBuf>, u8, Header, Trailer>(PCI, features, 16, 16);
        assert!(!rig.running.features().contains(FeatureBits::ANY_LAYOUT));
        for (round, direction) in [Direction::ToDevice, Direction::FromDevice].into_iter().cycle().take(20).enumerate()
        {
            let payload = (round % 3 > 0).then(|| buffer(&mut rig.pool, &[1; 48]));
            let data = payload.is_some().then_some(48);
            rig.queue.submit([3, 4], payload, direction, 0xff, 0).expect("there is room");
            let _ = rig.queue.publish();
            let popped = rig.other.pop().expect("it was published");
            let lens = |buffers: &[(u64, u32)]| buffers.iter().map(|&(_, len)| len).collect::<Vec<_>>();
            let (read, written) = if direction == Direction::ToDevice { (data, None) } else { (None, data) };
            // The header of 16 bytes first, the status byte last, the data between them.
            assert_eq!(lens(&popped.readable), [16].into_iter().chain(read).collect::<Vec<_>>());
            assert_eq!(lens(&popped.writable), written.into_iter().chain([1]).collect::<Vec<_>>());
            rig.other.push(popped.head.into(), 0);
            rig.queue.poll().expect("obedient").expect("completed");
        }
    }
}

#[test]
fn vq_26_the_length_that_a_legacy_device_reports_is_cut_to_what_it_could_write() {
    let mut rig = rig::<Option<DmaBuf>, (), Header, Trailer>(PCI, 0, 16, 16);
    // Some report the length of the whole chain, some none at all; the trailer tells what happened.
    for reported in [0, 1, 33, 16 + 32 + 1, u32::MAX] {
        let payload = Some(buffer(&mut rig.pool, &[0; 32]));
        rig.queue.submit([0; 2], payload, Direction::FromDevice, 0xff, ()).expect("there is room");
        let _ = rig.queue.publish();
        let popped = rig.other.pop().expect("it was published");
        let mut answer = vec![9; 32];
        answer.push(0);
        rig.other.write(&popped, &answer);
        rig.other.push(popped.head.into(), reported);
        let done = rig.queue.poll().expect("lengths are no fault").expect("completed");
        assert_eq!((done.written, done.trailer), (reported.min(33), 0));
        assert_eq!(done.payload.expect("as submitted")[..], [9; 32]);
    }
}
