//! Version 1.

use crate::rig::*;

#[test]
fn mio_17_the_page_size_comes_first_and_a_queue_is_one_block() {
    let block = Block::new(Version::Legacy);
    let transport = block.open();
    block.trace.take();
    let mut negotiated = block.negotiated(transport);
    let before: Vec<_> = block.accesses();
    assert_eq!(before.iter().filter(|access| **access == (0x028, Some(4096))).count(), 1);
    let queue: Queue = negotiated.queue(QueueIndex(1), 256, SimMemory::leak()).expect("it is there");
    assert_eq!(queue.capacity(), 64, "of 100 at most, and the driver chooses");
    let setup = block.device.queue(1);
    let page = Some((setup.descriptors / 4096) as u32);
    assert_eq!(
        block.accesses(),
        [
            (0x030, Some(1)),
            (0x034, None),
            (0x030, Some(1)),
            (0x040, None),
            (0x034, None),
            (0x038, Some(64)),
            (0x03c, Some(4096)),
            (0x040, page),
            (0x040, None),
        ]
    );
    // VQ: the rings follow each other, the used ring on a page of its own.
    assert_eq!(setup.available - setup.descriptors, 64 * 16);
    assert_eq!(setup.used - setup.descriptors, 4096);
    // INI-20: after the next reset all of it is said again.
    drop(negotiated);
    block.works();
    assert!(block.accesses().contains(&(0x028, Some(4096))));
}

#[test]
fn mio_18_registers_of_the_other_version_are_never_touched() {
    // The model fails the test if they are; whatever is offered, and with everything asked for.
    let block = Block::with(Version::Legacy, FeatureBits::from_bits(u64::MAX));
    let transport = block.open();
    assert_eq!(transport.config_generation(), None);
    assert_eq!(transport.shared_memory(0), None);
    let memory = SimMemory::leak();
    let (mut running, queue) = block.serve(memory);
    let (queue, error) = running.reset_queue(queue, &HASTE, |_, _| {}).expect_err("there is no such thing");
    assert_eq!(error, TransportError::NotNegotiated(FeatureBits::RING_RESET));
    let (mut transport, proof) = running.quiesce(&HASTE).expect("it resets");
    let error = transport.reset_queue(QueueIndex(0), toro_core::Deadline::after(&HASTE, std::time::Duration::ZERO));
    assert_eq!(error, Err(TransportError::NotNegotiated(FeatureBits::RING_RESET)));
    assert!(queue.retire(&proof, |_, _| {}).is_ok());
    block.works();
    let outside = |offset| offset == 0x044 || (0x080..0x100).contains(&offset);
    assert!(!block.accesses().iter().any(|(offset, _)| outside(*offset)));
}

#[test]
fn mio_19_version_1_is_never_accepted_from_registers_of_version_1() {
    let block = Block::with(Version::Legacy, FeatureBits::from_bits(u64::MAX));
    // Even if the second word of features could be read, as it can in some.
    let features = block.negotiated(block.open()).features();
    assert!((features & FeatureBits::from_bits(!0 << 32)).is_empty());
    assert_eq!(block.device.state().accepted >> 32, 0);
    assert!(!block.accesses().contains(&(0x014, Some(1))), "nor looked at");
}
