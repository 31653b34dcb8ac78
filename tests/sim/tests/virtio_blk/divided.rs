//! A disk with several queues, each for another owner; and the entry for a kernel's list of drivers.

use std::num::NonZeroU16;

use crate::common::transports::message;
use crate::rig::*;
use toro_core::driver::DeviceId;
use virtio_blk::{DRIVER, DiskQueue};
use virtio_queue_rt::{Interrupts, PciTransport};
use virtio_sim::PciModel;
use virtio_sim::pci::Vectors;

const FEATURES: u64 = VERSION_1 | EVENT_IDX | EVERYTHING | MQ;

struct Several {
    memory: &'static SimMemory,
    model: BlockModel,
    queues: Result<Vec<DiskQueue<BoxedTransport>>, AttachError>,
}

/// A disk that says it has `claimed` queues and has some of these sizes, for so many owners who have messages.
fn divide(claimed: u16, sizes: &[u16], owners: u16, messages: usize) -> Several {
    let memory = SimMemory::leak();
    let config = BlockConfig { queues: claimed, ..BlockConfig::default() };
    let model = BlockModel::new(memory, FEATURES, sizes, config);
    let (space, bars) = PciModel::modern(model.device().clone(), Vectors::Some(8));
    let messages = vec![message(); messages];
    let interrupts = Interrupts::Assigned { messages: &messages, of_queue: |queue| queue.0 };
    let transport: BoxedTransport = Box::new(PciTransport::new(&space, &bars, interrupts).expect("a sound device"));
    let owners = NonZeroU16::new(owners).expect("somebody owns it");
    let queues = DiskQueue::divide(transport, memory, &CLOCK, &Options::default(), owners);
    Several { memory, model, queues }
}

#[test]
fn hd_cfg_7_there_are_as_many_queues_as_owners_messages_and_the_disk_allow() {
    for (claimed, owners, messages, expected) in [
        (4, 4, 4, 4),
        (4, 2, 4, 2),
        (2, 4, 4, 2),
        (4, 4, 3, 3),
        (4, 1, 4, 1),
        (4, 3, 0, 3),
        (0, 4, 4, 1),
        (1, 4, 4, 1),
        (u16::MAX, 4, 4, 4),
    ] {
        let several = divide(claimed, &[32; 4], owners, messages);
        let queues = several.queues.expect("a sound disk");
        assert_eq!(queues.len(), expected, "{claimed} claimed, {owners} owners, {messages} messages");
        let state = several.model.device().state();
        assert_eq!(state.accepted & MQ != 0, owners.min(if messages == 0 { 8 } else { messages as u16 }) > 1);
        let vectors: Vec<_> = state.queues.iter().take(expected).map(|queue| queue.vector).collect();
        let numbers: Vec<u16> = (0..expected as u16).collect();
        assert!(messages == 0 || vectors == numbers, "{vectors:?}");
    }
}

#[test]
fn where_all_queues_share_one_line_there_is_one_queue() {
    for bus in ALL_BUSES {
        let memory = SimMemory::leak();
        let config = BlockConfig { queues: 4, ..BlockConfig::default() };
        let features = if bus.is_legacy() { FEATURES & !VERSION_1 } else { FEATURES };
        let model = BlockModel::new(memory, features, &[32; 4], config);
        let owners = NonZeroU16::new(4).expect("four");
        let transport = transport(model.device(), bus);
        let queues = DiskQueue::divide(transport, memory, &CLOCK, &Options::default(), owners);
        assert_eq!(queues.expect("a sound disk").len(), 1, "{bus:?}: a line, or one message");
        assert_eq!(model.device().state().accepted & MQ, 0, "{bus:?}");
    }
}

#[test]
fn a_queue_that_cannot_be_made_leaves_those_before_it() {
    let of_two = divide(2, &[32, 32], 2, 2);
    assert_eq!(of_two.queues.as_ref().map(Vec::len), Ok(2));
    // More claimed than there are, or one of no use.
    for sizes in [&[32, 32][..], &[32, 32, 0, 32], &[32, 32, 2, 32]] {
        let several = divide(4, sizes, 4, 4);
        let mut queues = several.queues.expect("two are there");
        assert_eq!(queues.len(), 2);
        assert!(queues.iter_mut().all(|queue| queue.arm().is_ok()));
        assert_eq!(several.memory.blocks(), of_two.memory.blocks(), "the first attempt has left nothing");
    }
    let several = divide(4, &[0, 32], 4, 4);
    assert_eq!(several.queues.map(|_| ()).expect_err("the first is missing"), AttachError::Queue { index: 0 });
    assert_eq!(several.memory.blocks(), 0);
}

#[test]
fn blk_20_queues_are_of_one_disk_and_interrupt_each_their_own() {
    let Several { memory, mut model, queues } = divide(4, &[32; 4], 4, 4);
    let mut queues = queues.expect("a sound disk");
    let mut pool = DmaPool::new(memory, 8, 512).expect("memory");
    for (number, queue) in queues.iter_mut().enumerate() {
        let mut buffer = pool.take().expect("there are enough");
        buffer.extend(&[number as u8 + 1; 512]).expect("as long as it is");
        let operation = BlockOperation::Write { sector: number as u64 };
        queue.submit(BlockRequest { unit: 0, operation, data: buffer.into() }).expect("there is room");
        queue.publish();
        assert_eq!(queue.arm(), Ok(Armed::Idle));
    }
    assert_eq!(model.serve(), 4);
    assert_eq!(model.interrupts, [1; 4]);
    assert_eq!([0, 1, 2, 3].map(|sector| model.image[sector * 512]), [1, 2, 3, 4]);
    for (number, queue) in queues.iter_mut().enumerate() {
        let done = queue.complete().expect("sound rings").expect("its own");
        assert_eq!((done.result, done.request.operation), (Ok(()), BlockOperation::Write { sector: number as u64 }));
        assert!(queue.complete().expect("sound rings").is_none());
    }
}

#[test]
fn nobody_resets_a_shared_disk_alone() {
    let Several { memory, mut model, queues } = divide(2, &[32; 2], 2, 2);
    let mut queues = queues.expect("a sound disk");
    let error = queues[0].reset(&mut |_| panic!("nothing is handed back")).expect_err("it is shared");
    assert_eq!(error, AttachError::Resources("one of several queues of a disk"));
    let mut pool = DmaPool::new(memory, 1, 512).expect("memory");
    let mut buffer = pool.take().expect("there is one");
    buffer.set_len(512).expect("as long as it is");
    let request = BlockRequest { unit: 0, operation: BlockOperation::Read { sector: 0 }, data: buffer.into() };
    queues[0].submit(request).expect("it goes on");
    queues[0].publish();
    model.serve();
    assert_eq!(queues[0].complete().expect("sound rings").expect("it completed").result, Ok(()));
    // Nor who is left: the device may still use what the other one dropped.
    queues.truncate(1);
    assert_eq!(queues[0].reset(&mut |_| panic!("nothing was in flight")), Err(error));
}

#[test]
fn the_entry_knows_disks_and_no_other_device() {
    let pci = |device| DeviceId::Pci { vendor: 0x1af4, device, class: 0 };
    assert_eq!(DRIVER.name(), "virtio-blk");
    assert!(DRIVER.matches(&pci(0x1042)) && DRIVER.matches(&pci(0x1001)));
    assert!(!DRIVER.matches(&pci(0x1041)) && !DRIVER.matches(&pci(0x1000)));
    assert!(DRIVER.matches(&DeviceId::VirtioMmio { device_type: 2 }));
    assert!(!DRIVER.matches(&DeviceId::VirtioMmio { device_type: 1 }));
}
