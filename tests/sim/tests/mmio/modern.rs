//! Version 2, and what both versions have in common.

use std::sync::{Arc, Mutex};

use virtio_queue_rt::DeviceType;

use crate::rig::*;

#[test]
fn mio_1_4_an_empty_slot_is_left_alone_after_its_device_id() {
    for version in VERSIONS {
        let block = Block::new(version);
        block.device.state().device_type = 0;
        let refused = block.try_open().map(drop);
        assert_eq!(refused, Err(TransportError::NotVirtio("the slot is empty")));
        assert_eq!(block.accesses(), [(0, None), (4, None), (8, None)]);
    }
}

#[test]
fn mio_2_3_other_magic_and_versions_are_left_alone() {
    for (magic, version, expected) in [
        (0x7472_6976, 0, Probe::Unknown),
        (0x7472_6976, 1, Probe::Legacy(DeviceType(1))),
        (0x7472_6976, 2, Probe::Modern(DeviceType(1))),
        (0x7472_6976, 3, Probe::Unknown),
        (0x7472_6976, u32::MAX, Probe::Unknown),
        (0x7669_7274, 2, Probe::Unknown),
        (u32::MAX, u32::MAX, Probe::Unknown),
        (0, 0, Probe::Unknown),
    ] {
        let block = Block::new(Version::Modern);
        let registers = MmioModel { magic, version, ..MmioModel::new(block.device.clone()) };
        assert_eq!(MmioTransport::probe(&registers), expected);
        let traced = || Traced { registers: registers.clone(), trace: block.trace.clone() };
        let modern = MmioTransport::new(traced()).is_ok();
        let legacy = LegacyMmioTransport::new(traced()).is_ok();
        let either = TransitionalMmio::new(traced()).map(|transport| transport.interface() == Interface::Modern);
        assert_eq!((modern, legacy), (matches!(expected, Probe::Modern(_)), matches!(expected, Probe::Legacy(_))));
        assert_eq!(either.ok(), if modern || legacy { Some(modern) } else { None });
        assert!(block.accesses().iter().all(|(offset, write)| *offset <= 8 && write.is_none()));
    }
}

#[test]
fn mio_5_6_control_registers_are_words_and_features_are_selected() {
    for version in VERSIONS {
        let block = Block::new(version);
        block.works();
        let accesses = block.trace.take();
        // The models fail the test on a register that is not there, or in the wrong direction.
        assert!(accesses.iter().all(|access| access.offset >= 0x100 || access.width == 4));
        let before = |offset, kind| {
            let at = accesses.iter().position(|access| access.offset == offset && access.kind == kind);
            accesses[at.expect("it is accessed") - 1]
        };
        assert!(before(0x010, Kind::Read).is_write_to(0x014));
        assert!(before(0x020, Kind::Write).is_write_to(0x024));
        let selected: Vec<_> = accesses.iter().filter(|access| access.is_write_to(0x024)).map(|a| a.value).collect();
        assert_eq!(selected, if version == Version::Modern { vec![0, 1] } else { vec![0] }, "FTR-14");
    }
}

#[test]
fn mio_7_8_15_a_queue_is_set_up_in_order() {
    let block = Block::new(Version::Modern);
    let mut negotiated = block.negotiated(block.open());
    block.trace.take();
    let queue: Queue = negotiated.queue(QueueIndex(1), 256, SimMemory::leak()).expect("it is there");
    assert_eq!(queue.capacity(), 64, "of 100 at most");
    let setup = block.device.queue(1);
    let halves = |address: u64| (Some(address as u32), Some((address >> 32) as u32));
    let [descriptors, available, used] = [setup.descriptors, setup.available, setup.used].map(halves);
    // Its size is asked for once more before.
    assert_eq!(
        block.accesses(),
        [
            (0x030, Some(1)),
            (0x034, None),
            (0x030, Some(1)),
            (0x044, None),
            (0x034, None),
            (0x038, Some(64)),
            (0x080, descriptors.0),
            (0x084, descriptors.1),
            (0x090, available.0),
            (0x094, available.1),
            (0x0a0, used.0),
            (0x0a4, used.1),
            (0x044, Some(1)),
            (0x044, None),
        ]
    );
    // MIO-7: a maximum of more than 16 bits is one of 32,768, which is more than is wanted here.
    let block = Block::new(Version::Modern);
    block.trace.lie(|access| if access.is_read_of(0x034) { u32::MAX } else { access.value });
    let size = block.negotiated(block.open()).queue_size(QueueIndex(1), 32);
    assert_eq!(size, 32);
    block.trace.be_honest();
}

#[test]
fn mio_9_queues_are_stopped_by_resets_alone() {
    // Which need no word from QueueReady; the model fails the test if anything but 1 is written there.
    let block = Block::with(Version::Modern, FeatureBits::RING_RESET);
    let memory = SimMemory::leak();
    let (mut running, queue) = block.serve(memory);
    running.reset_queue(queue, &HASTE, |_, _| {}).expect("it confirms");
    let queue: Queue = running.queue(QueueIndex(0), 8, memory).expect("it is free again");
    let (_, proof) = running.quiesce(&HASTE).expect("it resets");
    assert!(queue.retire(&proof, |_, _| {}).is_ok());
    let ready: Vec<_> = block.accesses().into_iter().filter(|access| access.0 == 0x044).collect();
    assert!(ready.iter().all(|(_, write)| write.is_none_or(|value| value == 1)));
    assert_eq!(ready.last(), Some(&(0x044, None)), "and read back");
}

#[test]
fn mio_10_11_what_is_pending_is_acknowledged_and_nothing_else() {
    for version in VERSIONS {
        let block = Block::new(version);
        let (running, _queue) = block.serve(SimMemory::leak());
        block.trace.take();
        for bits in [0, 1, 2, 3, 0xfc, 0xff, 0x7fff_fffe] {
            block.device.state().interrupt = bits;
            let expected = InterruptStatus { queues: bits & 1 != 0, configuration: bits & 2 != 0 };
            assert_eq!(running.acknowledge_interrupt(), Ok(expected));
            let mut accesses = vec![(0x060, None)];
            if bits & 3 != 0 {
                accesses.push((0x064, Some(bits & 3)));
            }
            assert_eq!(block.accesses(), accesses);
        }
    }
}

#[test]
fn mio_12_the_bit_for_used_buffers_stands_for_every_queue() {
    for version in VERSIONS {
        let block = Block::new(version);
        let memory = SimMemory::leak();
        let mut negotiated = block.negotiated(block.open());
        let size = negotiated.queue_size(QueueIndex(1), 64).min(8);
        let mut queues: Vec<Queue> = [(0, 8), (1, size)]
            .map(|(index, size)| negotiated.queue(QueueIndex(index), size, memory).expect("it is there"))
            .into();
        let running = negotiated.run();
        let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
        for (index, queue) in queues.iter_mut().enumerate() {
            let mut buffer = pool.take().expect("four");
            buffer.extend(b"ping").expect("it fits");
            queue.submit((), buffer, Direction::ToDevice, (), index as u32).expect("there is room");
            let wish = queue.publish();
            running.notify(queue, wish);
            let mut other = DeviceQueue::new(memory, block.device.queue(index), true);
            let chain = other.pop().expect("it was published");
            other.push(u32::from(chain.head), 0);
        }
        // One bit for both.
        block.device.state().interrupt = 1;
        assert!(running.acknowledge_interrupt().expect("it is there").queues);
        for (index, queue) in queues.iter_mut().enumerate() {
            assert_eq!(queue.poll().expect("obedient").expect("done").cookie, index as u32);
        }
        assert_eq!(running.acknowledge_interrupt(), Ok(InterruptStatus::NONE));
    }
}

#[test]
fn mio_13_ini_14_15_a_queue_reset_is_waited_for_and_the_queue_is_made_anew() {
    let memory = SimMemory::leak();
    let block = Block::with(Version::Modern, FeatureBits::RING_RESET);
    let (mut running, mut queue) = block.serve(memory);
    let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
    for round in 0..3 {
        ask(&block.device, &running, &mut queue, &mut pool, memory);
        block.device.lie(|lies| lies.slow_queue_reset = 5 * round);
        block.trace.take();
        running.reset_queue(queue, &HASTE, |_, _| {}).expect("it confirms");
        let mut expected = vec![(0x030, Some(0)), (0x0c0, Some(1))];
        expected.extend([(0x0c0, None), (0x044, None)].repeat(5 * round as usize + 1));
        assert_eq!(block.accesses(), expected);
        queue = running.queue(QueueIndex(0), 8, memory).expect("it is free again");
    }
    let lies: [fn(&mut Lies); 2] = [|lies| lies.never_resets_queue = true, |lies| lies.stays_enabled = true];
    for lie in lies {
        block.device.lie(lie);
        let error;
        (queue, error) = running.reset_queue(queue, &HASTE, |_, _| {}).expect_err("HD-QS-7: it does not confirm");
        assert_eq!(error, TransportError::TimedOut);
        block.device.lie(|lies| *lies = Lies::default());
    }
    let (_, proof) = running.quiesce(&HASTE).expect("it resets");
    assert!(queue.retire(&proof, |_, _| {}).is_ok());
    drop(pool);
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn mio_14_shared_memory_is_left_alone_unless_asked_for() {
    let block = Block::with(Version::Modern, FeatureBits::RING);
    block.device.state().shared_memory = vec![(0, 0x1000, 0x8_0000_0000), (200, 0xf_0000_0000, 0x1000)];
    block.works();
    assert!(!block.accesses().iter().any(|(offset, _)| (0x0ac..0x0c0).contains(offset)));
    let negotiated = block.negotiated(block.open());
    block.trace.take();
    let region = |address, len| Some(SharedMemory { address, len });
    assert_eq!(negotiated.shared_memory(0), region(0x8_0000_0000, 0x1000));
    let [select, reads @ ..] = &block.accesses()[..] else { panic!("nothing was asked") };
    assert_eq!(select, &(0x0ac, Some(0)));
    assert!(reads.iter().all(|(offset, write)| (0x0b0..0x0c0).contains(offset) && write.is_none()));
    assert_eq!(negotiated.shared_memory(200), region(0x1000, 0xf_0000_0000));
    assert_eq!(negotiated.shared_memory(1), None);
}

/// Registers that call somebody when an interrupt is acknowledged.
#[derive(Clone)]
struct Told {
    registers: MmioModel,
    at_acknowledgement: Arc<Mutex<Option<Tell>>>,
}

type Tell = Box<dyn FnOnce() + Send>;

macro_rules! forward {
    ($($read:ident, $write:ident, $width:ty;)*) => {$(
        fn $read(&self, offset: usize) -> $width { self.registers.$read(offset) }
        fn $write(&self, offset: usize, value: $width) {
            self.registers.$write(offset, value);
            if offset == 0x064 && let Some(tell) = self.at_acknowledgement.lock().expect("nobody panics").take() {
                tell();
            }
        }
    )*};
}

impl Registers for Told {
    fn len(&self) -> usize {
        self.registers.len()
    }
    forward! {
        read8, write8, u8;
        read16, write16, u16;
        read32, write32, u32;
    }
}

#[test]
fn mio_16_what_arrives_right_after_the_acknowledgement_is_seen() {
    use toro_core::driver::Armed;
    use toro_core::driver::net::{Burst, NetDevice};
    use virtio_net::{Options, VirtioNet};
    for features in [0, EVENT_IDX.bits()] {
        let memory = SimMemory::leak();
        let device = Device::new(1, FeatureBits::VERSION_1.bits() | features, &[16, 16], &[]);
        let registers = MmioModel::new(device.clone());
        let at_acknowledgement = Arc::new(Mutex::new(None));
        let told = Told { registers, at_acknowledgement: at_acknowledgement.clone() };
        let transport: BoxedTransport = Box::new(MmioTransport::new(told).expect("a sound device"));
        let mut net = VirtioNet::new(transport, memory, &HASTE, &Options::default()).expect("a sound card");
        let mut receive = DeviceQueue::new(memory, device.queue(0), features != 0);
        assert_eq!(net.arm(), Ok(Armed::Idle));
        // Another interrupt; and a frame that comes between its acknowledgement and whatever follows that.
        device.state().interrupt = 1;
        *at_acknowledgement.lock().expect("nobody panics") = Some(Box::new(move || {
            let chain = receive.pop().expect("the driver keeps the queue filled");
            let written = receive.write(&chain, &[0; 12 + 60]);
            receive.push(u32::from(chain.head), written);
        }));
        assert_eq!(net.arm(), Ok(Armed::WorkPending));
        let mut burst = Burst::new();
        net.receive(&mut burst).expect("an obedient card");
        assert_eq!(burst.len(), 1);
    }
}

#[test]
fn pci_23_notifications_over_registers_tell_the_index_too_and_never_the_devices_own_word() {
    let offered = FeatureBits::NOTIFICATION_DATA | FeatureBits::NOTIF_CONFIG_DATA;
    for (offered, expected) in [(FeatureBits::EMPTY, [0, 0]), (offered, [0x1_0000, 0x2_0000])] {
        let memory = SimMemory::leak();
        let block = Block::with(Version::Modern, offered);
        let reset = Reset::new(block.open(), &HASTE).expect("it resets");
        let mut negotiated = reset.negotiate(OWN, OWN, |accepted| accepted & !EVENT_IDX).expect("it agrees");
        let mut queue: Queue = negotiated.queue(QueueIndex(0), 8, memory).expect("it is there");
        let running = negotiated.run();
        assert!(!running.features().contains(FeatureBits::NOTIF_CONFIG_DATA), "only PCI has a register for it");
        let mut pool = DmaPool::new(memory, 2, 64).expect("memory");
        for _ in 0..2 {
            let mut buffer = pool.take().expect("two");
            buffer.extend(b"ping").expect("it fits");
            queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
            let wish = queue.publish();
            running.notify(&queue, wish);
        }
        assert_eq!(block.device.state().doorbells, expected);
    }
}

#[test]
fn mio_19_20_modern_registers_without_version_1_are_refused() {
    for offered in [FeatureBits::EMPTY, FeatureBits::bit(41), !FeatureBits::VERSION_1] {
        let device = Device::new(1, offered.bits(), &[8], &[]);
        let transport = MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device");
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        let error = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect_err("it contradicts itself");
        assert_eq!(error, InitError::FeaturesMissing(FeatureBits::VERSION_1));
        assert_eq!(device.state().accepted, 0);
    }
    let block = Block::with(Version::Modern, FeatureBits::bit(41));
    assert!(!block.negotiated(block.open()).features().contains(FeatureBits::bit(41)), "no administration queues");
}
