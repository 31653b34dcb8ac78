//! How a device may answer while its queues are set up, over every kind of registers.

use toro_core::{DmaBuf, DmaPool, Registers};
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::transport::TransportError;
use virtio_queue_rt::{Direction, FeatureBits, InitError, MmioTransport, Negotiated, QueueIndex, Reset};
use virtio_sim::{Device, DeviceQueue, MmioModel, SimMemory};

use crate::common::VERSION_1;
use crate::common::transports::{ALL_BUSES, BUSES, Bus, LEGACY_BUSES, transport};
use crate::rig::{HASTE, Header, INDIRECT_DESC, Queue, Trailer, works, works_again};

const FIRST: QueueIndex = QueueIndex(0);
const RING_RESET: u64 = 1 << 40;

/// A network device with queues of these sizes.
fn device(bus: Bus, features: u64, sizes: &[u16]) -> Device {
    let version = if bus.is_legacy() { 0 } else { VERSION_1 };
    Device::new(1, version | features, sizes, &[0; 16])
}

fn negotiated(device: &Device, bus: Bus) -> Negotiated<BoxedTransport> {
    let reset = Reset::new(transport(device, bus), &HASTE).expect("it resets");
    reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("nothing is missing")
}

/// The driver gives the device up, after which nothing is allocated and an honest one works.
fn is_given_up(negotiated: Negotiated<BoxedTransport>, device: &Device, memory: &'static SimMemory) {
    let (transport, _) = negotiated.abandon(&HASTE).expect("it resets");
    assert_eq!(memory.blocks(), 0, "the rings that the device did not take");
    device.lie(|lies| *lies = virtio_sim::device::Lies::default());
    device.state().queue_max = vec![16; 2];
    works_again(transport, device, memory, FIRST);
}

/// The first queue of that device is refused with that error.
fn is_refused(device: &Device, bus: Bus, expected: InitError) {
    let memory = SimMemory::leak();
    let mut negotiated = negotiated(device, bus);
    let error = negotiated.queue::<DmaBuf, u32, (), ()>(FIRST, u16::MAX, memory).expect_err("a lie");
    assert_eq!(error, expected, "{bus:?}");
    is_given_up(negotiated, device, memory);
}

#[test]
fn hd_qs_1_a_queue_of_size_0_does_not_exist() {
    for bus in ALL_BUSES {
        is_refused(&device(bus, 0, &[0, 8]), bus, InitError::Transport(TransportError::NoSuchQueue(FIRST)));
    }
}

/// A queue of a device that says `max` has `expected` descriptors, and works.
fn is_cut(max: u16, expected: u16, buses: &[Bus]) {
    for &bus in buses {
        let device = device(bus, 0, &[max, 8]);
        let memory = SimMemory::leak();
        let mut negotiated = negotiated(&device, bus);
        let mut queue: Queue = negotiated.queue(FIRST, u16::MAX, memory).expect("cut to what can be");
        let running = negotiated.run();
        assert_eq!((queue.capacity(), device.queue(0).size), (expected, expected), "{max} over {bus:?}");
        let mut other = DeviceQueue::negotiated(memory, device.queue(0), device.state().accepted);
        let mut pool = DmaPool::new(memory, 1, 64).expect("memory");
        (0..5).for_each(|_| works(&mut queue, &mut other, &mut pool));
        let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        works_again(transport, &device, memory, FIRST);
    }
}

#[test]
fn hd_qs_2_a_size_that_is_no_power_of_two_is_rounded_down_or_refused() {
    for (max, expected) in [(100, 64), (3, 2), (255, 128)] {
        is_cut(max, expected, &[Bus::Mmio, Bus::Pci, Bus::LegacyMmio]);
        // Its size cannot be changed.
        let refused = InitError::Transport(TransportError::QueueRefused(FIRST));
        is_refused(&device(Bus::LegacyPci, 0, &[max, 8]), Bus::LegacyPci, refused);
    }
}

#[test]
fn hd_qs_3_a_size_above_32768_is_cut_or_refused() {
    if !cfg!(miri) {
        is_cut(0xffff, 0x8000, &[Bus::Mmio, Bus::Pci, Bus::LegacyMmio]);
    }
    let refused = InitError::Transport(TransportError::QueueRefused(FIRST));
    is_refused(&device(Bus::LegacyPci, 0, &[0xffff, 8]), Bus::LegacyPci, refused);
}

/// Registers whose QueueSizeMax reads as a test says.
#[derive(Clone)]
struct SizeMax(MmioModel, u32);

impl Registers for SizeMax {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn read8(&self, offset: usize) -> u8 {
        self.0.read8(offset)
    }
    fn read16(&self, offset: usize) -> u16 {
        self.0.read16(offset)
    }
    fn read32(&self, offset: usize) -> u32 {
        if offset == 0x034 { self.1 } else { self.0.read32(offset) }
    }
    fn write8(&self, offset: usize, value: u8) {
        self.0.write8(offset, value);
    }
    fn write16(&self, offset: usize, value: u16) {
        self.0.write16(offset, value);
    }
    fn write32(&self, offset: usize, value: u32) {
        self.0.write32(offset, value);
    }
}

#[test]
fn hd_qs_3_a_size_beyond_16_bits_is_not_cut_to_one_that_fits() {
    for max in [0x1_0000, 0x1_0008, 0x8000_0008, u32::MAX] {
        let device = device(Bus::Mmio, 0, &[64]);
        let registers = SizeMax(MmioModel::new(device.clone()), max);
        let transport: BoxedTransport = Box::new(MmioTransport::new(registers).expect("a sound device"));
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("modern");
        assert_eq!(negotiated.queue_size(FIRST, 64), 64, "{max:#x}");
        is_given_up(negotiated, &device, SimMemory::leak());
    }
}

#[test]
fn hd_qs_4_a_queue_smaller_than_one_request_is_refused_with_and_without_tables() {
    for bus in ALL_BUSES {
        for features in [0, INDIRECT_DESC] {
            for size in [1, 2] {
                let device = device(bus, features, &[size, 8]);
                let memory = SimMemory::leak();
                let mut negotiated = negotiated(&device, bus);
                let queue = negotiated.queue::<Option<DmaBuf>, u32, Header, Trailer>(FIRST, 64, memory);
                assert_eq!(queue.expect_err("three descriptors"), InitError::QueueTooSmall(FIRST), "{bus:?}");
                is_given_up(negotiated, &device, memory);
                is_cut(size, size, &[bus]);
            }
        }
    }
}

#[test]
fn hd_qs_5_a_size_that_does_not_read_back_is_refused() {
    // Only there can it be read back.
    let device = device(Bus::Pci, 0, &[16, 8]);
    device.lie(|lies| lies.wrong_size = true);
    is_refused(&device, Bus::Pci, InitError::Transport(TransportError::QueueRefused(FIRST)));
}

#[test]
fn hd_qs_6_a_queue_in_use_before_or_not_after_is_refused() {
    for bus in ALL_BUSES {
        for lie in
            [(|lies| lies.already_ready = true) as fn(&mut virtio_sim::device::Lies), |lies| lies.never_ready = true]
        {
            let device = device(bus, 0, &[16, 8]);
            device.lie(lie);
            is_refused(&device, bus, InitError::Transport(TransportError::QueueRefused(FIRST)));
        }
    }
}

#[test]
fn hd_qs_7_a_queue_reset_that_never_completes_ends_in_an_error_and_a_reset() {
    for bus in BUSES {
        for lie in [(|lies| lies.never_resets_queue = true) as fn(&mut virtio_sim::device::Lies), |lies| {
            lies.stays_enabled = true
        }] {
            let device = device(bus, RING_RESET, &[8, 8]);
            let memory = SimMemory::leak();
            let mut negotiated = negotiated(&device, bus);
            let mut queue: Queue = negotiated.queue(FIRST, 8, memory).expect("it is there");
            let mut running = negotiated.run();
            let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
            for cookie in 0..3 {
                let mut buffer = pool.take().expect("one of four");
                buffer.extend(b"lost").expect("64 bytes");
                queue.submit((), buffer, Direction::ToDevice, (), cookie).expect("there is room");
            }
            let _ = queue.publish();
            let blocks = memory.blocks();
            device.lie(lie);
            let (queue, error) = running
                .reset_queue(queue, &HASTE, |_, _| panic!("nothing comes back"))
                .expect_err("it does not confirm");
            assert_eq!(error, TransportError::TimedOut, "{bus:?}");
            assert_eq!((memory.blocks(), queue.len(), pool.available()), (blocks, 3, 1), "the device owns it still");
            // The whole device is reset instead.
            let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
            let mut cookies = Vec::new();
            assert!(queue.retire(&proof, |_, cookie| cookies.push(cookie)).is_ok());
            assert_eq!((cookies, pool.available()), (vec![0, 1, 2], 4));
            device.lie(|lies| *lies = virtio_sim::device::Lies::default());
            works_again(transport, &device, memory, FIRST);
        }
    }
}

#[test]
fn hd_qs_7_a_slow_queue_reset_is_waited_for_and_the_other_queue_goes_on() {
    for bus in BUSES {
        let device = device(bus, RING_RESET, &[8, 8]);
        device.lie(|lies| lies.slow_queue_reset = 20);
        let memory = SimMemory::leak();
        let mut negotiated = negotiated(&device, bus);
        let mut first: Queue = negotiated.queue(FIRST, 8, memory).expect("it is there");
        let mut second: Queue = negotiated.queue(QueueIndex(1), 8, memory).expect("it is there");
        let mut running = negotiated.run();
        let accepted = device.state().accepted;
        let mut other = DeviceQueue::negotiated(memory, device.queue(1), accepted);
        let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
        for cookie in 0..4 {
            let mut buffer = pool.take().expect("one of four");
            buffer.extend(b"half way").expect("64 bytes");
            first.submit((), buffer, Direction::ToDevice, (), cookie).expect("there is room");
            if cookie == 1 {
                let _ = first.publish();
            }
        }
        let mut cookies = Vec::new();
        running.reset_queue(first, &HASTE, |_, cookie| cookies.push(cookie)).expect("it confirms in time");
        assert_eq!((cookies, pool.available()), (vec![0, 1, 2, 3], 4));
        works(&mut second, &mut other, &mut pool);
        let mut first: Queue = running.queue(FIRST, 4, memory).expect("it can be set up again");
        let mut others = DeviceQueue::negotiated(memory, device.queue(0), accepted);
        assert_eq!(first.capacity(), 4);
        for _ in 0..9 {
            works(&mut first, &mut others, &mut pool);
            works(&mut second, &mut other, &mut pool);
        }
    }
}

#[test]
fn hd_qs_7_legacy_queues_are_not_reset_one_by_one() {
    for bus in LEGACY_BUSES {
        let device = device(bus, RING_RESET, &[8, 8]);
        let memory = SimMemory::leak();
        let mut negotiated = negotiated(&device, bus);
        let queue: Queue = negotiated.queue(FIRST, 8, memory).expect("it is there");
        let mut running = negotiated.run();
        let (_, error) = running.reset_queue(queue, &HASTE, |_, _| {}).expect_err("there is no such thing");
        assert_eq!(error, TransportError::NotNegotiated(FeatureBits::RING_RESET));
    }
}
