//! Notifications: where, how wide, with what.

use crate::rig::*;

const NOTIFY: usize = 0x3000;
const DATA: FeatureBits = FeatureBits::NOTIFICATION_DATA;
const CONFIG_DATA: FeatureBits = FeatureBits::NOTIF_CONFIG_DATA;

/// What is written where, in order, when the second queue is notified three times.
fn notifications(function: &Function) -> Vec<(usize, usize, u32)> {
    let memory = SimMemory::leak();
    // Without event indices every publication is notified.
    let reset = Reset::new(function.polled(), &HASTE).expect("it resets");
    let mut negotiated = reset.negotiate(OWN, OWN, |accepted| accepted & !EVENT_IDX).expect("it agrees");
    let mut queue: Queue = negotiated.queue(QueueIndex(1), 16, memory).expect("it is there");
    let running = negotiated.run();
    let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
    let mut other = DeviceQueue::new(memory, function.device.queue(1), false);
    function.traces[4].take();
    for _ in 0..3 {
        let mut buffer = pool.take().expect("four");
        buffer.extend(b"ping").expect("it fits");
        queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
        let wish = queue.publish();
        running.notify(&queue, wish);
        let chain = other.pop().expect("it was published");
        other.push(u32::from(chain.head), 0);
        assert!(queue.poll().expect("an obedient device").is_some());
    }
    assert_eq!(function.device.state().kicks, [1, 1, 1]);
    function.writes().into_iter().map(|access| (access.offset - NOTIFY, access.width, access.value)).collect()
}

#[test]
fn pci_23_a_notification_is_the_queue_and_with_notification_data_how_far_it_has_come() {
    let with = |offered| notifications(&Function::modern_with(offered, Vectors::None));
    assert_eq!(with(FeatureBits::EMPTY), [(4, 2, 1); 3]);
    assert_eq!(with(DATA), [(4, 4, 1 << 16 | 1), (4, 4, 2 << 16 | 1), (4, 4, 3 << 16 | 1)]);
    assert_eq!(with(CONFIG_DATA), [(4, 2, 0x4008); 3]);
    assert_eq!(with(DATA | CONFIG_DATA), [(4, 4, 0x1_4008), (4, 4, 0x2_4008), (4, 4, 0x3_4008)]);
}

#[test]
fn pci_24_the_place_is_the_offset_times_the_multiplier() {
    // The model has queue_notify_off = queue; 0 is one place for all.
    for (multiplier, offered, place) in [
        (0, FeatureBits::EMPTY, 0),
        (2, FeatureBits::EMPTY, 2),
        (4, FeatureBits::EMPTY, 4),
        (0, DATA, 0),
        (4, DATA, 4),
        (0x800, DATA, 0x800),
    ] {
        let device = device(FeatureBits::VERSION_1 | offered);
        device.state().multiplier = multiplier;
        let function = Function::new(PciModel::new(device.clone()), device);
        assert!(notifications(&function).iter().all(|(offset, ..)| *offset == place), "multiplier {multiplier}");
    }
}

#[test]
fn pci_24_a_block_may_lie_at_any_even_offset() {
    let function = Function::modern();
    // The model's doorbells begin at 0x3000; the block begins two bytes before, and each offset is two further.
    function.config.set(0x78, &0x2ffe_u32.to_le_bytes());
    function.config.set(0x80, &2_u32.to_le_bytes());
    let memory = SimMemory::leak();
    let mut negotiated = function.negotiated(function.polled());
    let mut queue: Queue = negotiated.queue(QueueIndex(1), 16, memory).expect("it is there");
    let running = negotiated.run();
    let mut buffer = DmaPool::new(memory, 1, 64).expect("memory").take().expect("one");
    buffer.extend(b"ping").expect("it fits");
    queue.submit((), buffer, Direction::ToDevice, (), 1).expect("there is room");
    function.device.state().multiplier = 0;
    function.traces[4].take();
    let wish = queue.publish();
    running.notify(&queue, wish);
    assert_eq!(function.writes()[0].offset, NOTIFY);
}

#[test]
fn pci_27_mio_20_administration_queues_are_never_accepted() {
    let function = Function::modern_with(FeatureBits::bit(41), Vectors::None);
    let reset = Reset::new(function.polled(), &HASTE).expect("it resets");
    let everything = FeatureBits::from_bits(u64::MAX);
    let negotiated = reset.negotiate(everything, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
    assert!(!negotiated.features().contains(FeatureBits::bit(41)));
    assert_eq!(function.device.state().accepted & 1 << 41, 0);
}

#[test]
fn hd_ft_5_features_without_their_registers_are_not_accepted() {
    let offered = DATA | CONFIG_DATA | FeatureBits::RING_RESET;
    let accepted = |change: fn(&PciConfig)| {
        let function = Function::modern_with(offered, Vectors::None);
        change(&function.config);
        let features = function.negotiated(function.polled()).features();
        function.works();
        features & offered
    };
    assert_eq!(accepted(|_| {}), offered);
    // The common configuration as it was in VIRTIO 1.0, and in between.
    assert_eq!(accepted(|config| config.set(0x4c, &[0x38])), DATA);
    assert_eq!(accepted(|config| config.set(0x4c, &[0x3a])), DATA | CONFIG_DATA);
    assert_eq!(accepted(|config| config.set(0x4c, &[0x3c])), offered);
    // A block that has no room for 32 bits.
    let narrow = accepted(|config| {
        config.set(0x7c, &2_u32.to_le_bytes());
        config.set(0x80, &0_u32.to_le_bytes());
    });
    assert_eq!(narrow, CONFIG_DATA | FeatureBits::RING_RESET);
}

#[test]
fn hd_pci_11_a_place_outside_the_block_refuses_the_queue_at_each_set_up() {
    let bad = TransportError::BadDoorbell(QueueIndex(1));
    for offered in [FeatureBits::EMPTY, DATA] {
        let function = Function::modern_with(offered, Vectors::None);
        function.device.lie(|lies| lies.far_doorbell = true);
        assert_eq!(function.refuses(function.polled(), 1), bad);
        // A product that does not fit.
        let function = Function::modern_with(offered, Vectors::None);
        function.config.set(0x80, &0xffff_fffc_u32.to_le_bytes());
        let mut negotiated = function.negotiated(function.polled());
        function.device.lie(|lies| lies.far_doorbell = true);
        let error = negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(1), 8, SimMemory::leak());
        assert_eq!(error.expect_err("it overflows"), InitError::Transport(bad));
    }
    // The block holds two bytes for the second queue, and four are asked for.
    let function = Function::modern_with(DATA, Vectors::None);
    function.config.set(0x7c, &6_u32.to_le_bytes());
    let mut negotiated = function.negotiated(function.polled());
    let error = negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(1), 8, SimMemory::leak());
    assert_eq!(error.expect_err("four do not fit"), InitError::Transport(bad));
    // Sound at first, elsewhere when it is set up again.
    let memory = SimMemory::leak();
    let function = Function::modern_with(FeatureBits::RING_RESET, Vectors::None);
    let (mut running, queue) = function.serve(function.negotiated(function.polled()), memory);
    running.reset_queue(queue, &HASTE, |_, _| {}).expect("it confirms");
    function.device.lie(|lies| lies.far_doorbell = true);
    let again = running.queue::<DmaBuf, u32, (), ()>(QueueIndex(0), 8, memory);
    assert_eq!(again.expect_err("a lie"), InitError::Transport(TransportError::BadDoorbell(QueueIndex(0))));
}
