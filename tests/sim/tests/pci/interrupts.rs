//! Vectors and lines.

use toro_core::driver::DeviceFault;
use toro_core::pci::{self, Command, ConfigSpace};

use crate::rig::*;

const ISR: usize = 0x1000;

/// Which vectors the first three queues and the configuration got, with so many messages.
fn vectors(function: &Function, messages: usize) -> ([u16; 3], u16) {
    let memory = SimMemory::leak();
    let mut negotiated = function.negotiated(function.with_messages(messages));
    let queues = [0, 1, 2].map(|i| negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(i), 8, memory));
    assert!(queues.iter().all(|queue| queue.is_ok()));
    let configuration = function.device.state().config_vector;
    ([0, 1, 2].map(|i| function.device.queue(i).vector), configuration)
}

#[test]
fn pci_17_tables_of_any_size_work() {
    for size in [1, 2, 3, 4, 16, 2047, 2048] {
        let function = Function::modern_with(FeatureBits::EMPTY, Vectors::Some(size));
        function.exchange(function.with_messages(3));
        let (queues, configuration) = vectors(&function, 3);
        let last = size.min(3) - 1;
        assert_eq!((queues, configuration), ([1, 2, 3].map(|vector: u16| vector.min(last)), 0));
        let bar = function.bars[4].as_ref().expect("it is there");
        let table = bar.registers.table.lock().expect("no test panics with it");
        for vector in 0..usize::from(size) {
            let entry = &table[4 * vector..4 * vector + 4];
            let expected = if vector < 3 { [0xfee0_0000, 0, 0x40 + vector as u32, 0] } else { [0, 0, 0, 1] };
            assert_eq!(entry, expected, "entry {vector} of {size}");
        }
    }
    for size in [1, 2, 4] {
        let function = Function::legacy(Vectors::Some(size));
        function.exchange(function.with_messages(3));
    }
}

#[test]
fn pci_18_no_event_has_a_vector_outside_the_table() {
    // More messages than vectors, and the other way round; the model refuses what is not in the table.
    for (size, messages) in [(1, 5), (2, 5), (4, 1), (4, 2), (16, 16)] {
        for function in
            [Function::modern_with(FeatureBits::EMPTY, Vectors::Some(size)), Function::legacy(Vectors::Some(size))]
        {
            let (queues, configuration) = vectors(&function, messages);
            let most = size.min(messages as u16);
            assert!(queues.iter().all(|&vector| vector < most) && configuration == 0);
        }
    }
}

#[test]
fn pci_19_without_vectors_enough_queues_share_one() {
    for function in [Function::modern(), Function::legacy(Vectors::Some(4))] {
        function.device.lie(|lies| lies.one_vector = true);
        assert_eq!(vectors(&function, 3), ([0, 0, 0], 0));
        function.exchange(function.with_messages(3));
    }
}

/// As `vectors`, with so many messages, of which the first queue has the last and the others none.
fn assigned(function: &Function, messages: usize) -> Result<([u16; 3], u16), InitError> {
    let messages = crate::rig::messages(messages);
    let of_queue = |queue: QueueIndex| if queue.0 == 0 { 2 } else { 7 + queue.0 };
    let transport = function.open(Interrupts::Assigned { messages: &messages, of_queue }).expect("a sound function");
    let memory = SimMemory::leak();
    let mut negotiated = function.negotiated(transport);
    for index in [0, 1, 2] {
        negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(index), 8, memory)?;
    }
    let configuration = function.device.state().config_vector;
    Ok(([0, 1, 2].map(|i| function.device.queue(i).vector), configuration))
}

#[test]
fn pci_18_a_queue_that_is_assigned_a_message_has_its_vector_and_one_that_is_not_has_none() {
    for function in [Function::modern(), Function::legacy(Vectors::Some(4))] {
        assert_eq!(assigned(&function, 3), Ok(([2, 0xffff, 0xffff], 0)));
        // The message is not there: the queue has none, instead of another's.
        assert_eq!(assigned(&function, 2), Ok(([0xffff; 3], 0)));
        for (interrupts, expected) in [
            (Interrupts::Polled, Signalling::Polled),
            (Interrupts::Line, Signalling::Line),
            (Interrupts::Messages(&[]), Signalling::Polled),
            (Interrupts::Messages(&messages(3)), Signalling::Messages(3)),
            (Interrupts::Assigned { messages: &[], of_queue: |_| 0 }, Signalling::Polled),
            (Interrupts::Assigned { messages: &messages(7), of_queue: |_| 0 }, Signalling::Messages(4)),
        ] {
            let transport = function.open(interrupts).expect("a sound function");
            assert_eq!(transport.signalling(), expected, "{interrupts:?}");
        }
    }
}

#[test]
fn pci_19_an_assigned_vector_that_the_device_does_not_have_is_not_replaced_by_another() {
    for function in [Function::modern(), Function::legacy(Vectors::Some(4))] {
        function.device.lie(|lies| lies.one_vector = true);
        assert_eq!(assigned(&function, 3), Err(TransportError::NoVector(QueueIndex(0)).into()));
    }
}

#[test]
fn hd_pci_15_a_vector_that_reads_back_as_another_is_refused() {
    let lies: [fn(&mut Lies); 2] = [|lies| lies.no_vector = true, |lies| lies.other_vector = true];
    for lie in lies {
        for function in [Function::modern(), Function::legacy(Vectors::Some(4))] {
            function.device.lie(lie);
            let error = function.refuses(function.with_messages(3), 1);
            assert_eq!(error, TransportError::NoVector(QueueIndex(1)));
        }
    }
}

#[test]
fn pci_20_with_messages_the_interrupt_status_is_left_alone() {
    let function = Function::modern();
    let memory = SimMemory::leak();
    let (running, _queue) = function.serve(function.negotiated(function.with_messages(2)), memory);
    function.device.state().interrupt = 3;
    let both = InterruptStatus { queues: true, configuration: true };
    assert_eq!(running.acknowledge_interrupt(), Ok(both));
    assert!(!function.traces[4].take().iter().any(|access| access.offset == ISR));
    let state = function.device.state();
    assert_eq!((state.interrupt_reads, state.interrupt), (0, 3));
}

#[test]
fn pci_21_22_hd_irq_5_a_line_is_acknowledged_by_reading_its_status_exactly_once() {
    for function in [Function::modern(), Function::legacy(Vectors::Some(4)), Function::legacy(Vectors::None)] {
        let transport = function.open(Interrupts::Line).expect("a sound function");
        let (running, _queue) = function.serve(function.negotiated(transport), SimMemory::leak());
        assert_eq!(function.device.state().interrupt_reads, 0);
        let status = |queues, configuration| Ok(InterruptStatus { queues, configuration });
        let cases = [(1, status(true, false)), (2, status(false, true)), (3, status(true, true))];
        // Nothing: another function on the same line. And bits without a meaning.
        for (bits, expected) in cases.into_iter().chain([(0, Ok(InterruptStatus::NONE)), (0xfc, status(false, false))])
        {
            function.device.state().interrupt = bits;
            assert_eq!(running.acknowledge_interrupt(), expected);
            let mut state = function.device.state();
            assert_eq!((std::mem::take(&mut state.interrupt_reads), state.interrupt), (1, 0));
        }
        // HD-IRQ-6: a function that is gone.
        function.device.state().interrupt = 0xff;
        assert_eq!(running.acknowledge_interrupt(), Err(DeviceFault::Gone));
        assert_eq!(function.device.state().interrupt_reads, 1);
    }
}

#[test]
fn a_line_is_open_for_those_who_interrupt_by_it_alone() {
    for function in [Function::modern(), Function::legacy(Vectors::Some(4))] {
        // Somebody left it as nobody needs it now.
        for (left, interrupts, is_open) in [
            (0x400, Interrupts::Line, true),
            (0, Interrupts::Polled, false),
            (0, Interrupts::Messages(&messages(1)), false),
            (0, Interrupts::Messages(&[]), false),
        ] {
            function.config.set(4, &[0, (left >> 8) as u8]);
            let _transport = function.open(interrupts).expect("a sound function");
            let command = pci::command(&function.config);
            assert!(command.contains(Command::IO_SPACE | Command::MEMORY_SPACE | Command::BUS_MASTER), "INI-19");
            assert_eq!(!command.contains(Command::INTERRUPT_DISABLE), is_open, "{interrupts:?}");
            let has_messages = matches!(interrupts, Interrupts::Messages([_]));
            assert_eq!(function.config.has_msix(), has_messages, "MSI-X is switched off behind who had it");
        }
    }
    // A function that has none cannot be asked for it.
    let function = Function::modern_with(FeatureBits::EMPTY, Vectors::None);
    let refused = function.open(Interrupts::Messages(&messages(1))).map(drop);
    assert_eq!(refused, Err(TransportError::Missing("MSI-X table")));
    assert_eq!(function.config.read16(4) & 0x400, 0x400);
}

#[test]
fn pci_33_changes_of_the_configuration_have_a_vector_and_can_do_without() {
    for function in [Function::modern(), Function::legacy(Vectors::Some(4))] {
        // With one message everything shares its vector.
        assert_eq!(vectors(&function, 1), ([0, 0, 0], 0));
        assert_eq!(vectors(&function, 2), ([1, 1, 1], 0));
        // INI-20: a reset forgets it, so it is written after each.
        function.exchange(function.with_messages(2));
        assert_eq!(function.device.state().config_vector, 0);
        // A device without a vector for it is told that there is none, whatever it claims to have.
        for lie in [|lies: &mut Lies| lies.no_vector = true, |lies: &mut Lies| lies.other_vector = true] {
            function.device.lie(lie);
            let reset = Reset::new(function.with_messages(2), &HASTE).expect("it resets");
            assert_eq!(function.device.state().config_vector, 0xffff);
            function.device.lie(|lies| *lies = Lies::default());
            let mut negotiated = reset.negotiate(OWN, OWN, |accepted| accepted).expect("it agrees");
            let queue: Result<Queue, _> = negotiated.queue(QueueIndex(0), 8, SimMemory::leak());
            assert!(queue.is_ok(), "still usable");
        }
    }
}
