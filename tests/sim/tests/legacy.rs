//! Legacy devices over both of their transports: other registers, other steps, other places for the rings, and a
//! request that goes through all the same.

mod common;

use common::transports::{ALL_BUSES, Bus, LEGACY_BUSES, transport};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::transport::{Interface, Transport, TransportError};
use virtio_queue_rt::{Direction, FeatureBits, InitError, QueueIndex, Reset, Virtqueue};
use virtio_sim::clock::CLOCK;
use virtio_sim::{Device, DeviceQueue, SimMemory};

type Queue = Virtqueue<DmaBuf, u8>;

const OWN: FeatureBits = FeatureBits::bit(5);
const EVENT_IDX: u64 = 1 << 29;

/// A device that offers everything that both interfaces have.
fn device(bus: Bus) -> Device {
    let offered = OWN.bits() | EVENT_IDX | 1 << 28 | if bus.is_legacy() { 1 << 27 | 1 << 24 } else { 1 << 32 };
    Device::new(1, offered, &[64, 16], &[1, 2, 3, 4, 5, 6, 7, 8])
}

/// Takes a device into service, sends a request through its second queue, and takes it out of service.
fn exchange(device: &Device, bus: Bus) {
    let memory = SimMemory::leak();
    let reset = Reset::new(transport(device, bus), &CLOCK).expect("it resets");
    let mut negotiated = reset.negotiate(OWN, OWN, |accepted| accepted).expect("it agrees");
    // CFG-7: little-endian in a modern device, in the guest's order in a legacy one.
    let (short, long) = match bus.is_legacy() {
        true => (u16::from_ne_bytes([3, 4]), u32::from_ne_bytes([5, 6, 7, 8])),
        false => (0x403, 0x807_0605),
    };
    assert_eq!(negotiated.config(|config| (config.read8(0), config.read16(2), config.read32(4))), Ok((1, short, long)));
    let mut queue: Queue = negotiated.queue(QueueIndex(1), 256, memory).expect("there are two");
    let setup = device.queue(1);
    assert!(setup.is_ready && setup.size == 16);
    let running = negotiated.run();

    let mut pool = DmaPool::new(memory, 2, 64).expect("memory");
    let mut buffer = pool.take().expect("two");
    buffer.extend(b"ping").expect("it fits");
    queue.submit((), buffer, Direction::ToDevice, (), 9).expect("there is room");
    let wish = queue.publish();
    running.notify(&queue, wish);
    assert_eq!(device.state().kicks, [1]);
    let mut other = DeviceQueue::new(memory, setup, true);
    let chain = other.pop().expect("it was published");
    assert_eq!(other.read(&chain), b"ping");
    other.push(u32::from(chain.head), 0);
    assert_eq!(queue.poll().expect("obedient").expect("done").cookie, 9);

    let (_, proof) = running.quiesce(&CLOCK).expect("it resets");
    assert!(queue.retire(&proof, |_, _| {}).is_ok());
    drop(pool);
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn ini_17_mio_17_pci_29_30_a_request_goes_through_in_the_order_of_each_interface() {
    for bus in ALL_BUSES {
        let device = device(bus);
        exchange(&device, bus);
        let expected: &[u8] = if bus.is_legacy() { &[0, 1, 3, 7, 0] } else { &[0, 1, 3, 11, 15, 0] };
        assert_eq!(device.state().status_writes, expected, "{bus:?}");
        // And again: nothing is left over.
        exchange(&device, bus);
    }
}

#[test]
fn pci_31_mio_19_a_legacy_device_has_32_features() {
    for bus in LEGACY_BUSES {
        let device = Device::new(1, u64::MAX, &[8], &[]);
        let transport = transport(&device, bus);
        assert!(matches!(transport.interface(), Interface::Legacy { queue_align: 4096, .. }));
        let reset = Reset::new(transport, &CLOCK).expect("it resets");
        assert_eq!(reset.offered().bits(), u64::from(u32::MAX));
        let everything = FeatureBits::from_bits(u64::MAX);
        let negotiated = reset.negotiate(everything, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
        // FTR-12, FTR-13: any layout, tables, event indices; not the one for early mistakes.
        assert_eq!(negotiated.features().bits(), 0x00ff_ffff | 1 << 27 | 1 << 28 | 1 << 29);
        assert_eq!(device.state().accepted, negotiated.features().bits());
        drop(negotiated);
        let reset = Reset::new(common::transports::transport(&device, bus), &CLOCK).expect("it resets");
        let error =
            reset.negotiate(OWN, FeatureBits::VERSION_1, |accepted| accepted).expect_err("it is a legacy device");
        assert_eq!(error, InitError::FeaturesMissing(FeatureBits::VERSION_1));
    }
}

#[test]
fn mio_17_pci_32_pages_beyond_32_bits_are_refused() {
    use toro_core::BusAddr;
    use virtio_queue_rt::transport::RingAddresses;
    for bus in LEGACY_BUSES {
        let device = device(bus);
        let mut transport = transport(&device, bus);
        transport.reset(toro_core::Deadline::after(&CLOCK, std::time::Duration::from_secs(1))).expect("it resets");
        #[allow(unsafe_code)]
        let rings = |address| {
            // SAFETY: the model is told the address and does not follow it.
            let address = unsafe { BusAddr::new(address) };
            RingAddresses { size: 64, descriptors: address, available: address, used: address }
        };
        let too_high = Err(TransportError::AddressTooHigh(QueueIndex(0)));
        assert_eq!(transport.enable_queue(QueueIndex(0), &rings(1 << 44)), too_high);
        assert!(!device.queue(0).is_ready);
        let refused = Err(TransportError::QueueRefused(QueueIndex(0)));
        assert_eq!(transport.enable_queue(QueueIndex(0), &rings(0x1800)), refused, "not a page");
        assert_eq!(transport.enable_queue(QueueIndex(0), &rings(0)), refused, "page 0 stops a queue");
        assert!(transport.enable_queue(QueueIndex(0), &rings((1 << 44) - 4096)).is_ok());
        assert_eq!(device.queue(0).descriptors, (1 << 44) - 4096);
        // HD-QS-6: in use already.
        assert_eq!(transport.enable_queue(QueueIndex(0), &rings(0x10000)), refused);
    }
}
