//! The block of ports in BAR 0.

use crate::rig::*;

#[test]
fn pci_29_the_configuration_moves_when_msi_x_is_on() {
    for (vectors, messages, start) in [
        (Vectors::None, 0, 0x14),
        (Vectors::Some(4), 0, 0x14),
        (Vectors::Some(1), 1, 0x18),
        (Vectors::Some(4), 3, 0x18),
    ] {
        let function = Function::legacy(vectors);
        let transport = function.exchange(function.with_messages(messages));
        let accesses = function.traces[0].take();
        let configuration = accesses.iter().filter(|access| access.kind == Kind::Read && access.offset >= start);
        assert!(configuration.map(|access| access.offset - start).eq([0, 4, 0, 4]), "read twice: it has no generation");
        assert_eq!(
            accesses.iter().any(|access| access.is_write_to(0x16)),
            messages > 0,
            "vectors exist with MSI-X only"
        );
        // Switched off again by who comes next.
        drop(transport);
        function.works();
    }
}

#[test]
fn pci_30_a_queue_is_as_large_as_the_device_says_and_named_by_its_page() {
    let memory = SimMemory::leak();
    let function = Function::legacy(Vectors::None);
    let mut negotiated = function.negotiated(function.polled());
    assert_eq!(negotiated.queue_size(QueueIndex(1), 16), 16);
    let queue: Queue = negotiated.queue(QueueIndex(1), 16, memory).expect("it is there");
    assert_eq!(queue.capacity(), 16, "of which so many are used");
    let setup = function.device.queue(1);
    assert_eq!(setup.size, 64);
    let page = u32::try_from(setup.descriptors / 4096).expect("it was written");
    let accesses = function.traces[0].take();
    let placed: Vec<_> = accesses.iter().filter(|access| access.is_write_to(0x08)).map(|access| access.value).collect();
    assert_eq!(placed, [page]);
    assert!(!accesses.iter().any(|access| access.is_write_to(0x0c)), "the size is read-only");
    assert_eq!(setup.used % 4096, 0, "the used ring is at the next page");
    assert_eq!(memory.extent(setup.descriptors).min(0x2000), 0x2000, "and all of it is ours");

    // HD-QS-2, HD-QS-3: it cannot be changed, so one that no ring can have is refused.
    for size in [3, 100, 0xffff] {
        let device = Device::new(1, OWN.bits(), &[8, size], &[1, 2, 3, 4, 5, 6, 7, 8]);
        let function = Function::new(PciModel::legacy(device.clone(), Vectors::None), device);
        let error = function.refuses(function.polled(), 1);
        assert_eq!(error, TransportError::QueueRefused(QueueIndex(1)), "{size} descriptors");
    }
}

#[test]
fn pci_32_a_queue_in_use_is_refused_and_a_reset_stops_it() {
    let function = Function::legacy(Vectors::Some(4));
    function.device.lie(|lies| lies.already_ready = true);
    let error = function.refuses(function.with_messages(2), 2);
    assert_eq!(error, TransportError::QueueRefused(QueueIndex(2)));
    function.device.lie(|lies| lies.never_ready = true);
    let error = function.refuses(function.with_messages(2), 0);
    assert_eq!(error, TransportError::QueueRefused(QueueIndex(0)), "it did not take its page");
}

#[test]
fn ini_2_17_hd_st_1_a_legacy_reset_is_waited_for_too() {
    let function = Function::legacy(Vectors::None);
    function.device.lie(|lies| lies.slow_reset = 20);
    function.works();
    function.device.lie(|lies| lies.never_resets = true);
    let error = Reset::new(function.polled(), &HASTE).map(drop).expect_err("it does not reset");
    assert_eq!(error, InitError::Transport(TransportError::TimedOut));
    function.device.lie(|lies| *lies = Lies::default());
    function.works();
}

#[test]
fn pci_2_only_transitional_ids_have_a_legacy_form() {
    let function = Function::legacy(Vectors::None);
    let open = || LegacyPciTransport::new(&function.config, &function.bars, Interrupts::Polled).map(drop);
    assert_eq!(open(), Ok(()));
    function.config.set(2, &0x1041_u16.to_le_bytes());
    assert!(matches!(open(), Err(TransportError::NotVirtio(_))));
    let refused = function.open(Interrupts::Polled).map(drop);
    assert_eq!(refused, Err(TransportError::Missing("common configuration")), "a modern device without capabilities");
    function.config.set(2, &0x1000_u16.to_le_bytes());
    let none: Bars = Default::default();
    let missing = LegacyPciTransport::new(&function.config, &none, Interrupts::Polled).map(drop);
    assert_eq!(missing, Err(TransportError::Missing("legacy registers")));
}
