//! Setting queues up, and resetting them.

use crate::rig::*;

const SIZE: usize = 0x18;
const ENABLE: usize = 0x1c;
const RESET: usize = 0x3a;

/// The writes of making the second queue, which the device wants to have 100 descriptors.
fn making() -> Vec<Access> {
    let function = Function::modern();
    let mut negotiated = function.negotiated(function.with_messages(3));
    function.traces[4].take();
    let queue = negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(1), 256, SimMemory::leak());
    assert_eq!(queue.expect("it is there").capacity(), 64);
    function.writes()
}

#[test]
fn pci_11_read_only_registers_are_not_written() {
    let ring = FeatureBits::RING;
    for count in [0, 3] {
        let function = Function::modern_with(ring, Vectors::Some(4));
        function.exchange(function.with_messages(count));
        let writes = function.writes();
        for read_only in [0x04, 0x12, 0x15, 0x1e, 0x38, 0x1000] {
            assert!(!writes.iter().any(|access| access.is_write_to(read_only)), "{read_only:#x}");
        }
        // And in the width of each register.
        let width = |offset| match offset {
            0x14 => 1,
            0x10..=0x1f | 0x3a => 2,
            _ => 4,
        };
        assert!(writes.iter().all(|access| access.offset >= 0x40 || access.width == width(access.offset)));
    }
}

#[test]
fn pci_12_a_queue_size_is_a_power_of_two() {
    let sizes: Vec<_> = making().iter().filter(|access| access.is_write_to(SIZE)).map(|access| access.value).collect();
    assert_eq!(sizes, [64]);
}

#[test]
fn pci_13_14_16_a_queue_is_enabled_last_and_its_addresses_are_halves_the_low_one_first() {
    let offsets: Vec<_> = making().iter().map(|access| (access.offset, access.width)).collect();
    let select = 0x16;
    let expected =
        [(SIZE, 2), (0x20, 4), (0x24, 4), (0x28, 4), (0x2c, 4), (0x30, 4), (0x34, 4), (0x1a, 2), (ENABLE, 2)];
    let set_up: Vec<_> = offsets.into_iter().filter(|(offset, _)| *offset != select).collect();
    assert_eq!(set_up, expected);

    // PCI-14: over a whole life, with resets, only 1 is ever written.
    let function = Function::modern();
    let transport = function.exchange(function.polled());
    function.exchange(transport);
    let enables = function.writes().into_iter().filter(|access| access.is_write_to(ENABLE));
    assert!(enables.map(|access| access.value).eq([1, 1]));
}

#[test]
fn pci_15_ini_14_15_a_queue_reset_is_waited_for_and_the_queue_is_made_anew() {
    let memory = SimMemory::leak();
    let function = Function::modern_with(FeatureBits::RING_RESET, Vectors::Some(4));
    let (mut running, mut queue) = function.serve(function.negotiated(function.with_messages(2)), memory);
    assert!(running.features().contains(FeatureBits::RING_RESET));
    let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
    for round in 0..3 {
        ask(&function.device, &running, &mut queue, &mut pool, memory);
        // One more is in flight and comes back.
        let mut buffer = pool.take().expect("four");
        buffer.extend(b"late").expect("it fits");
        queue.submit((), buffer, Direction::ToDevice, (), 9).expect("there is room");
        function.device.lie(|lies| lies.slow_queue_reset = 10 * round);
        function.traces[4].take();
        let mut unfinished = Vec::new();
        running.reset_queue(queue, &HASTE, |_, cookie| unfinished.push(cookie)).expect("it confirms");
        assert_eq!(unfinished, [9]);
        let accesses = function.traces[4].take();
        assert!(accesses.iter().any(|access| access.is_write_to(RESET) && access.value == 1));
        let reads: Vec<_> = accesses.iter().filter(|access| access.is_read_of(RESET)).map(|a| a.value).collect();
        assert_eq!((reads.len(), reads.last()), (10 * round as usize + 1, Some(&0)));
        assert!(!function.device.queue(0).is_ready);
        queue = running.queue(QueueIndex(0), 8, memory).expect("it is free again");
        let setup = function.device.queue(0);
        assert_eq!((setup.size, setup.vector), (8, 1), "configured as a whole");
    }
    assert_eq!(function.device.state().queue_resets, [0, 0, 0]);
    let (_, proof) = running.quiesce(&HASTE).expect("it resets");
    assert!(queue.retire(&proof, |_, _| {}).is_ok());
    drop(pool);
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn hd_qs_7_a_queue_that_does_not_reset_keeps_its_memory_until_the_device_does() {
    let lies: [fn(&mut Lies); 2] = [|lies| lies.never_resets_queue = true, |lies| lies.stays_enabled = true];
    for lie in lies {
        let memory = SimMemory::leak();
        let function = Function::modern_with(FeatureBits::RING_RESET, Vectors::None);
        let (mut running, queue) = function.serve(function.negotiated(function.polled()), memory);
        let blocks = memory.blocks();
        function.device.lie(lie);
        let (queue, error) = running.reset_queue(queue, &HASTE, |_, _| {}).expect_err("it does not confirm");
        assert_eq!((error, memory.blocks()), (TransportError::TimedOut, blocks));
        let again = running.queue::<DmaBuf, u32, (), ()>(QueueIndex(0), 8, memory);
        let refused = InitError::Transport(TransportError::QueueRefused(QueueIndex(0)));
        assert_eq!(again.expect_err("it is in use still"), refused);
        function.device.lie(|lies| *lies = Lies::default());
        let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        function.exchange(transport);
    }
}

#[test]
fn pci_28_hd_pci_16_queues_that_do_not_exist_are_refused_and_never_selected() {
    let device = Device::new(1, (OWN | EVENT_IDX | FeatureBits::VERSION_1).bits(), &[8, 0], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let function = Function::new(PciModel::new(device.clone()), device);
    for (index, is_selected) in [(1, true), (2, false), (0x7fff, false), (0xffff, false)] {
        function.traces[4].take();
        let mut negotiated = function.negotiated(function.polled());
        assert_eq!(negotiated.queue_size(QueueIndex(index), 8), 0);
        drop(negotiated);
        let selected = function.writes().iter().any(|access| access.is_write_to(0x16) && access.value == index.into());
        assert_eq!(selected, is_selected, "queue {index}");
        assert_eq!(function.refuses(function.polled(), index), TransportError::NoSuchQueue(QueueIndex(index)));
    }
}

#[test]
fn hd_qs_6_hd_mio_4_a_queue_in_use_after_a_reset_is_reset_once_more_and_then_refused() {
    for function in [Function::modern(), Function::legacy(Vectors::Some(4)), Function::legacy(Vectors::None)] {
        function.device.lie(|lies| lies.stale_queues = 1);
        function.works();
        assert_eq!(function.device.state().status_writes[..3], [0, 0, 1]);
        function.device.lie(|lies| lies.stale_queues = 2);
        let error = function.refuses(function.polled(), 0);
        assert_eq!(error, TransportError::QueueRefused(QueueIndex(0)));
    }
}
