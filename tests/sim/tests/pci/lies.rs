//! Functions that go away, and blocks that overlap.

use toro_core::driver::DeviceFault;

use crate::rig::*;

/// How often the registers of a function have been read since the last call.
fn reads(function: &Function) -> usize {
    let all = function.traces.iter().flat_map(Trace::take);
    all.filter(|access| access.kind == Kind::Read).count()
}

#[test]
fn hd_pci_14_hd_irq_6_a_function_that_is_gone_is_not_waited_for() {
    let functions = [
        Function::modern_with(FeatureBits::RING_RESET, Vectors::Some(4)),
        Function::legacy(Vectors::Some(4)),
        Function::legacy(Vectors::None),
    ];
    for function in functions {
        let gone = |is_gone| function.device.lie(|lies| lies.gone = is_gone);
        // Before anything.
        let transport = function.open(Interrupts::Line).expect("a sound function");
        gone(true);
        reads(&function);
        let error = Reset::new(transport, &HASTE).map(drop).expect_err("it is gone");
        assert_eq!(error, InitError::Transport(TransportError::Gone));
        assert_eq!(reads(&function), 1, "one look is enough");
        gone(false);
        // While it is set up.
        let memory = SimMemory::leak();
        let mut negotiated = function.negotiated(function.polled());
        gone(true);
        assert!(negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(0), 8, memory).is_err());
        assert_eq!(negotiated.abandon(&HASTE).map(drop), Err(TransportError::Gone));
        assert!(reads(&function) < 20);
        gone(false);
        // In service.
        let memory = SimMemory::leak();
        let transport = function.open(Interrupts::Line).expect("a sound function");
        let (mut running, queue) = function.serve(function.negotiated(transport), memory);
        gone(true);
        reads(&function);
        assert_eq!(running.check(), Err(DeviceFault::Gone));
        assert_eq!(running.acknowledge_interrupt(), Err(DeviceFault::Gone));
        assert_eq!(reads(&function), 2);
        let queue = match running.features().contains(FeatureBits::RING_RESET) {
            true => {
                let (queue, error) = running.reset_queue(queue, &HASTE, |_, _| {}).expect_err("it is gone");
                assert_eq!((error, reads(&function)), (TransportError::Gone, 2));
                queue
            }
            false => queue,
        };
        let (running, error) = running.quiesce(&HASTE).expect_err("it is gone");
        assert_eq!((error, reads(&function)), (TransportError::Gone, 1));
        assert_ne!(memory.blocks(), 0, "its memory stays where it is");
        // It comes back, and a reset mends everything.
        gone(false);
        let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        assert_eq!(memory.blocks(), 0);
        function.exchange(transport);
    }
}

#[test]
fn hd_pci_13_overlapping_blocks_do_no_harm() {
    // The configuration over the MSI-X table, over the common block, and over all of the BAR.
    for (offset, len) in [(0x4000, 0x40), (0x04, 0x10), (0, 0x5000)] {
        let function = Function::modern();
        function.config.set(0x60, &capability(0x70, 4, 4, offset, len));
        let negotiated = function.negotiated(function.with_messages(2));
        let read = negotiated.config(|config| config.read32(0));
        assert!(read.is_ok());
        let memory = SimMemory::leak();
        let (running, mut queue) = function.serve(negotiated, memory);
        let mut pool = DmaPool::new(memory, 2, 64).expect("memory");
        ask(&function.device, &running, &mut queue, &mut pool, memory);
    }
    // The interrupt status over the doorbells of other queues.
    let function = Function::modern();
    function.config.set(0x70, &[0x09, 0x90, 20, 2, 4]);
    function.config.set(0x50, &capability(0x60, 3, 4, 0x2000, 0x1000));
    function.works();
}
