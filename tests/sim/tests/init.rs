//! Initialisation over both transports: the order of the specification, and devices that do not play along.

use toro_core::driver::AttachError;
use toro_core::pci::msix::MsiMessage;
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::transport::{Probe, Transport, TransportError};
use virtio_queue_rt::{
    DeviceType, Direction, FeatureBits, InitError, Interrupts, MmioTransport, PciTransport, QueueIndex, Reset,
    Virtqueue,
};
use virtio_sim::clock::CLOCK;
use virtio_sim::pci::{PciConfig, capability};
use virtio_sim::{Device, DeviceQueue, MmioModel, PciModel, SimMemory};

const VERSION_1: u64 = 1 << 32;
const MAC: FeatureBits = FeatureBits::bit(5);

type Queue = Virtqueue<DmaBuf, u8>;

fn device() -> Device {
    Device::new(1, VERSION_1 | 1 << 29 | MAC.bits() | 1 << 41 | 1 << 7, &[64, 16], &[1, 2, 3, 4, 5, 6, 7, 8])
}

fn mmio(device: &Device) -> Box<dyn Transport> {
    Box::new(MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device"))
}

#[allow(unsafe_code)]
fn message() -> MsiMessage {
    // SAFETY: nothing writes it anywhere.
    unsafe { MsiMessage::new(0xfee0_0000, 0x41) }
}

fn pci(device: &Device) -> Box<dyn Transport> {
    let (config, bars) = PciModel::new(device.clone());
    Box::new(PciTransport::new(&config, &bars, Interrupts::Messages(&[message()])).expect("a sound device"))
}

fn both(device: &Device) -> [Box<dyn Transport>; 2] {
    [mmio(device), pci(device)]
}

#[test]
fn ini_1_4_5_the_steps_come_in_order_and_a_request_goes_through() {
    for (device, make) in [(device(), mmio as fn(&Device) -> _), (device(), pci)] {
        let memory = SimMemory::leak();
        let mut negotiated =
            Reset::new(make(&device), &CLOCK).expect("resets").negotiate(MAC, MAC, |f| f).expect("agrees");
        assert_eq!(negotiated.features(), MAC | FeatureBits::VERSION_1 | FeatureBits::EVENT_IDX);
        assert_eq!(device.state().accepted, negotiated.features().bits(), "FTR-14: both words");
        let mut queue: Queue = negotiated.queue(QueueIndex(1), 256, memory).expect("there are two");
        assert_eq!(queue.capacity(), 16, "VQ-3: not larger than the device allows");
        let setup = device.queue(1);
        assert!(setup.is_ready && setup.size == 16);
        let running = negotiated.run();
        assert_eq!(device.state().status_writes, [0, 1, 3, 11, 15]);

        let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
        let mut buffer = pool.take().expect("four");
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

        let (_, proof) = running.quiesce(&CLOCK).expect("resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        drop(pool);
        assert_eq!(memory.blocks(), 0);
    }
}

#[test]
fn ftr_2_a_driver_may_drop_features_but_not_add_any() {
    let device = device();
    let known = MAC | FeatureBits::bit(7);
    let reset = Reset::new(mmio(&device), &CLOCK).expect("resets");
    let negotiated = reset
        .negotiate(known, FeatureBits::EMPTY, |accepted| {
            assert!(accepted.contains(known));
            FeatureBits::from_bits(u64::MAX) & !FeatureBits::bit(7)
        })
        .expect("agrees");
    assert_eq!(negotiated.features(), MAC | FeatureBits::VERSION_1 | FeatureBits::EVENT_IDX);
}

#[test]
fn ini_10_11_a_device_that_is_given_up_half_way_is_marked_failed() {
    let device = device();
    for transport in both(&device) {
        let reset = Reset::new(transport, &CLOCK).expect("resets");
        assert_eq!(device.state().status, 3);
        drop(reset);
        assert_eq!(device.state().status, 3 | 128);
    }
    for transport in both(&device) {
        let negotiated = Reset::new(transport, &CLOCK).expect("resets").negotiate(MAC, MAC, |f| f).expect("agrees");
        drop(negotiated);
        assert_eq!(device.state().status, 11 | 128);
    }
    for transport in both(&device) {
        let negotiated = Reset::new(transport, &CLOCK).expect("resets").negotiate(MAC, MAC, |f| f).expect("agrees");
        drop(negotiated.run());
        assert_eq!(device.state().status, 15, "a device in service is not touched");
    }
}

#[test]
fn ftr_15_cfg_3_offers_and_configuration_can_be_looked_at_before_deciding() {
    let device = device();
    for transport in both(&device) {
        let reset = Reset::new(transport, &CLOCK).expect("resets");
        assert!(reset.offered().contains(MAC | FeatureBits::bit(41)));
        assert_eq!(reset.config(|config| config.read8(1)), Ok(2));
        // HD-FT-3: what is offered is read once; what comes later is not accepted.
        const LATE: FeatureBits = FeatureBits::bit(9);
        device.state().offered |= LATE.bits();
        let features = reset.negotiate(MAC | LATE, MAC, |f| f).expect("agrees").features();
        device.state().offered &= !LATE.bits();
        assert!(features.contains(MAC) && !features.contains(LATE));
    }
}

#[test]
fn hd_qs_queues_that_do_not_come_up_end_it() {
    let memory = SimMemory::leak();
    type Change = fn(&mut virtio_sim::device::Lies);
    let cases: [(Change, bool); 5] = [
        (|lies| lies.never_ready = true, true),
        (|lies| lies.already_ready = true, true),
        (|lies| lies.wrong_size = true, false),
        (|lies| lies.no_vector = true, false),
        (|lies| lies.far_doorbell = true, false),
    ];
    for (lie, is_for_mmio) in cases {
        let device = device();
        device.lie(lie);
        for (transport, applies) in both(&device).into_iter().zip([is_for_mmio, true]) {
            if !applies {
                continue;
            }
            let mut negotiated =
                Reset::new(transport, &CLOCK).expect("resets").negotiate(MAC, MAC, |f| f).expect("agrees");
            let error = negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(0), 16, memory).expect_err("a lie");
            assert!(matches!(
                error,
                InitError::Transport(
                    TransportError::QueueRefused(_) | TransportError::NoVector(_) | TransportError::BadDoorbell(_)
                )
            ));
            assert_eq!(AttachError::from(error), AttachError::Queue { index: 0 });
        }
    }
}

#[test]
fn hd_qs_1_2_4_odd_queue_sizes() {
    let memory = SimMemory::leak();
    let device = Device::new(1, VERSION_1, &[0, 100, 3, 1], &[]);
    for transport in both(&device) {
        let mut negotiated = Reset::new(transport, &CLOCK)
            .expect("resets")
            .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |f| f)
            .expect("agrees");
        let mut make = |index| negotiated.queue::<virtio_queue_rt::Chain, (), (), ()>(QueueIndex(index), 256, memory);
        let none = InitError::Transport(TransportError::NoSuchQueue(QueueIndex(0)));
        assert_eq!(make(0).expect_err("there is none"), none);
        assert_eq!(make(1).expect("rounded down").capacity(), 16, "64 descriptors, four each");
        assert_eq!(make(2).expect_err("no chain fits"), InitError::QueueTooSmall(QueueIndex(2)));
        assert_eq!(make(3).expect_err("no chain fits"), InitError::QueueTooSmall(QueueIndex(3)));
        let none = InitError::Transport(TransportError::NoSuchQueue(QueueIndex(4)));
        assert_eq!(make(4).expect_err("there are four"), none);
    }
}

#[test]
fn mio_1_2_3_4_only_modern_devices_are_taken() {
    let cases = [
        (0x7472_6976, 2, 1, Probe::Modern(DeviceType(1))),
        (0x7472_6976, 1, 1, Probe::Legacy(DeviceType(1))),
        (0x7472_6976, 2, 0, Probe::Empty),
        (0x7472_6976, 3, 1, Probe::Unknown),
        (0x7472_6977, 2, 1, Probe::Unknown),
    ];
    for (magic, version, id, expected) in cases {
        let model = MmioModel { magic, version, device: Device::new(id, VERSION_1, &[], &[]) };
        assert_eq!(MmioTransport::probe(&model), expected);
        assert_eq!(MmioTransport::new(model).is_ok(), matches!(expected, Probe::Modern(_)));
    }
}

#[test]
fn mio_10_only_defined_interrupt_bits_are_acknowledged() {
    let device = device();
    device.state().interrupt = 0xff;
    let cause = mmio(&device).acknowledge_interrupt().expect("the device is there");
    assert!(cause.queues && cause.configuration);
    assert_eq!(device.state().acknowledged, [3]);
}

/// A function whose capabilities a test has changed must not come up, and must not panic.
fn pci_with(change: impl FnOnce(&PciConfig)) -> Result<(), TransportError> {
    let (config, bars) = PciModel::new(device());
    change(&config);
    PciTransport::new(&config, &bars, Interrupts::Messages(&[message()])).map(drop)
}

#[test]
fn hd_pci_3_5_6_7_9_unusable_capabilities_are_passed_over() {
    assert_eq!(pci_with(|_| {}), Ok(()));
    let missing = Err(TransportError::Missing("common configuration"));
    assert_eq!(pci_with(|config| config.set(0x42, &[15])), missing, "too short");
    assert_eq!(pci_with(|config| config.set(0x44, &[3])), missing, "a BAR that is not there");
    assert_eq!(pci_with(|config| config.set(0x44, &[6])), missing, "a BAR that cannot be");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 1, 4, 0, 0x37))), missing, "registers missing");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 1, 4, 0x5000, 0x38))), missing, "beyond the BAR");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 1, 4, u32::MAX, u32::MAX))), missing, "overflow");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 1, 4, 2, 0x38))), missing, "misaligned");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 7, 4, 0, 0x38))), missing, "PCI-5: another kind");
}

#[test]
fn hd_pci_10_missing_blocks_end_it() {
    let isr = Err(TransportError::Missing("interrupt status register"));
    assert_eq!(pci_with(|config| config.set(0x53, &[7])), isr);
    let notify = Err(TransportError::Missing("notification registers"));
    assert_eq!(pci_with(|config| config.set(0x72, &[16])), notify, "HD-PCI-3: without its multiplier");
    assert_eq!(pci_with(|config| config.set(0x80, &3_u32.to_le_bytes())), notify, "an odd multiplier");
    assert_eq!(pci_with(|config| config.set(0x34, &[0])), Err(TransportError::Missing("common configuration")));
}

#[test]
fn pci_7_the_first_usable_capability_counts() {
    // A second common configuration behind the first, pointing to registers that panic when touched.
    let (config, bars) = PciModel::new(device());
    config.set(0x90, &capability(0xa0, 1, 4, 0x3800, 0x38));
    config.set(0xa0, &[0x11, 0, 3, 0]);
    config.set(0xa4, &(0x4000_u32 | 4).to_le_bytes());
    let transport = PciTransport::new(&config, &bars, Interrupts::Messages(&[message()])).expect("usable");
    assert!(Reset::new(transport, &CLOCK).is_ok());
}

#[test]
fn pci_1_other_functions_are_refused() {
    assert!(matches!(pci_with(|config| config.set(0, &[0x86, 0x80])), Err(TransportError::NotVirtio(_))));
    assert!(matches!(pci_with(|config| config.set(2, &[0, 0x20])), Err(TransportError::NotVirtio(_))));
}

#[test]
fn ini_19_decoding_and_bus_mastering_are_on() {
    use toro_core::pci::ConfigSpace;
    let (config, bars) = PciModel::new(device());
    let _transport = PciTransport::new(&config, &bars, Interrupts::Polled).expect("polled only");
    assert_eq!(config.read16(4) & 7, 7);
    assert_eq!(config.read16(0x92) & 0x8000, 0, "MSI-X stays off without messages");
}
