//! Registers as particular as Firecracker's: the life of a device, devices that nobody drives, and drivers that would fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use toro_core::driver::DeviceId;
use virtio_queue_rt::transport::DeviceType;
use virtio_sim::StrictMmio;

use crate::rig::*;

const VERSION_1: u64 = 1 << 32;
/// Offered by vsock devices.
const IN_ORDER: u64 = 1 << 35;

/// Takes a device into service with all its queues, sends a request through each, and resets it.
fn live(device: &Device, memory: &'static SimMemory) {
    let transport = MmioTransport::new(StrictMmio::new(device.clone())).expect("a sound device");
    let reset = Reset::new(transport, &HASTE).expect("it resets");
    let mut negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
    let count = device.state().queues.len() as u16;
    let mut queues: Vec<Queue> =
        (0..count).map(|index| negotiated.queue(QueueIndex(index), 256, memory).expect("it is there")).collect();
    let running = negotiated.run();
    let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
    for (index, queue) in queues.iter_mut().enumerate() {
        let mut other = DeviceQueue::negotiated(memory, device.queue(index), device.state().accepted);
        for _ in 0..if cfg!(miri) { 10 } else { 300 } {
            let mut buffer = pool.take().expect("there are four");
            buffer.extend(b"ping").expect("it fits");
            queue.submit((), buffer, Direction::ToDevice, (), 9).expect("there is room");
            let wish = queue.publish();
            running.notify(queue, wish);
            let chain = other.pop().expect("it was published");
            other.push(u32::from(chain.head), 0);
            // Firecracker interrupts without EVENT_IDX, whatever the driver says.
            device.state().interrupt |= 1;
            assert!(running.acknowledge_interrupt().expect("it is there").queues);
            assert_eq!(queue.poll().expect("obedient").expect("done").cookie, 9);
        }
    }
    assert!(device.state().kicks.len() >= usize::from(count));
    let (_, proof) = running.quiesce(&HASTE).expect("it resets");
    for queue in queues {
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
    }
}

#[test]
fn ini_1_mio_5_a_device_in_firecracker_lives_and_lives_again() {
    for features in [0, EVENT_IDX.bits(), EVENT_IDX.bits() | IN_ORDER] {
        let memory = SimMemory::leak();
        let device = Device::new(1, VERSION_1 | features, &[256, 256, 8], &[1, 2, 3, 4, 5, 6]);
        for _ in 0..3 {
            live(&device, memory);
            assert_eq!(memory.blocks(), 0);
        }
        let life = [0, 1, 3, 11, 15];
        assert_eq!(device.state().status_writes, [life, life, life].map(|life| [&life[..], &[0]].concat()).concat());
    }
}

#[test]
fn a_device_that_cannot_be_reset_is_a_fault_and_keeps_its_memory() {
    let memory = SimMemory::leak();
    let device = Device::new(1, VERSION_1, &[8], &[]);
    let transport = MmioTransport::new(StrictMmio::new(device.clone())).expect("a sound device");
    let reset = Reset::new(transport, &HASTE).expect("it resets");
    let mut negotiated = reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees");
    let queue: Queue = negotiated.queue(QueueIndex(0), 8, memory).expect("it is there");
    let running = negotiated.run();
    device.lie(|lies| lies.never_resets = true);
    let error = running.quiesce(&HASTE).map(drop).map_err(|(_, error)| error);
    assert!(matches!(error, Err(TransportError::TimedOut)), "{error:?}");
    let _ = queue;
    assert_eq!(memory.blocks(), 1, "the device may still use its rings");
}

#[test]
fn devices_that_toro_has_no_driver_for_are_not_touched() {
    // Entropy, balloon, vsock, memory and persistent memory.
    for kind in [4, 5, 19, 24, 27] {
        let device = Device::new(kind, VERSION_1, &[256, 256, 256], &[]);
        let registers = StrictMmio::new(device.clone());
        assert_eq!(MmioTransport::probe(&registers), Probe::Modern(DeviceType(kind)));
        let id = DeviceId::VirtioMmio { device_type: kind };
        for driver in [virtio_net::DRIVER, virtio_blk::DRIVER, virtio_fs::DRIVER, e1000::DRIVER, ata::DRIVER] {
            assert!(!driver.matches(&id), "{} takes a device of type {kind}", driver.name());
        }
        let state = device.state();
        assert!(state.status_writes.is_empty() && state.config_reads.is_empty() && state.kicks.is_empty());
    }
}

/// Whether the registers refuse these accesses.
fn is_refused(accesses: &[(usize, u32)]) -> bool {
    let registers = StrictMmio::new(Device::new(1, VERSION_1, &[8, 8], &[0; 8]));
    let all = AssertUnwindSafe(|| accesses.iter().for_each(|&(offset, value)| registers.write32(offset, value)));
    catch_unwind(all).is_err()
}

#[test]
fn what_firecracker_passes_over_fails_a_test() {
    const STATUS: usize = 0x70;
    const LIFE: [(usize, u32); 9] =
        [(STATUS, 0), (STATUS, 1), (STATUS, 3), (0x24, 1), (0x20, 1), (STATUS, 11), (0x30, 0), (0x38, 8), (0x44, 1)];
    let second = [(0x30, 1), (0x38, 8), (0x44, 1)];
    let whole = [&LIFE[..], &second, &[(STATUS, 15), (0x50, 1)]].concat();
    assert!(!is_refused(&whole));
    let wrong: [&[(usize, u32)]; 12] = [
        &[(STATUS, 3)],
        &[(STATUS, 1), (STATUS, 11)],
        &[(STATUS, 1), (0x20, 1)],
        &[(STATUS, 1), (STATUS, 3), (0x38, 8)],
        &[(STATUS, 1), (STATUS, 3), (0x44, 1)],
        &[(STATUS, 1), (STATUS, 3), (0x24, 0), (0x20, 3), (0x20, 1)],
        &[(STATUS, 1), (STATUS, 3), (STATUS, 15)],
        &[(0x50, 0)],
        &[(0x64, 1)],
        &[(0xac, 0)],
        &[(0xc0, 1)],
        // One of two queues.
        &[&LIFE[..], &[(STATUS, 15)]].concat(),
    ];
    for accesses in wrong {
        assert!(is_refused(accesses), "{accesses:x?}");
    }
    assert!(is_refused(&[&whole[..], &[(0x50, 2)]].concat()), "a third queue");
    assert!(is_refused(&[&whole[..], &[(0x80, 0)]].concat()), "a queue in use");
    let registers = StrictMmio::new(Device::new(1, VERSION_1, &[8], &[0; 8]));
    let narrow: [fn(&StrictMmio) -> u32; 3] =
        [|block| block.read8(0x70).into(), |block| block.read16(0x70).into(), |block| block.read32(0xb0)];
    for access in narrow {
        assert!(catch_unwind(AssertUnwindSafe(|| access(&registers))).is_err());
    }
    assert_eq!((registers.read8(0x101), registers.read16(0x102), registers.read32(0x104)), (0, 0, 0));
}
