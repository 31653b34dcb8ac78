//! A device that reaches memory through the platform only: `ACCESS_PLATFORM`, and what a window is good for.
//!
//! The window's addresses are no CPU addresses, and nothing else can be reached through it. So whatever the device finds
//! by an address of the driver's went through `BusAddr`, and whatever it does besides is on record.

mod common;

use std::sync::atomic::{AtomicU8, AtomicU64};

use common::{Buffers, EVENT_IDX, VERSION_1};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::{Chain, Direction};
use virtio_sim::bounce::{PAGE, WINDOW};
use virtio_sim::clock::CLOCK;
use virtio_sim::queue::feature::{IN_ORDER, INDIRECT_DESC};
use virtio_sim::{BounceMemory, DeviceQueue, PoppedChain, QueueSetup};

const ACCESS_PLATFORM: u64 = 1 << 33;
/// Pages in each window.
const PAGES: usize = 64;
/// What is offered beside `VERSION_1`, by different devices: chains in columns, and in tables of their own.
const OFFERS: [u64; 4] = [
    ACCESS_PLATFORM,
    ACCESS_PLATFORM | EVENT_IDX,
    ACCESS_PLATFORM | INDIRECT_DESC,
    ACCESS_PLATFORM | INDIRECT_DESC | IN_ORDER | EVENT_IDX,
];

/// A running device behind a window, both sides of its one queue, and buffers.
type Bench<P, H, T> = common::Bench<P, u32, H, T, BounceMemory>;

fn bench<P: Payload, H: Cell, T: Cell>(size: u16, features: u64, buffer_size: usize) -> Bench<P, H, T> {
    let buffers = Buffers { count: 2 * usize::from(size), size: buffer_size };
    common::bench_in(BounceMemory::leak(PAGES), size.into(), features, buffers)
}

impl<P: Payload, H: Cell, T: Cell> Bench<P, H, T> {
    /// All addresses that the device was told: the rings, and the table and the buffers of a chain.
    fn told(&self, chain: &PoppedChain) -> Vec<(u64, usize)> {
        let QueueSetup { size, descriptors, available, used, .. } = self.device.queue(0);
        let size = usize::from(size);
        let rings = [(descriptors, 16 * size), (available, 6 + 2 * size), (used, 6 + 8 * size)];
        let buffers = chain
            .table
            .iter()
            .chain(&chain.readable)
            .chain(&chain.writable)
            .map(|&(address, len)| (address, len as usize));
        rings.into_iter().chain(buffers).collect()
    }

    fn check_window(&self, chain: &PoppedChain) {
        for (address, len) in self.told(chain) {
            let end = address + len as u64;
            assert!(address >= WINDOW && end <= WINDOW + (PAGES * PAGE) as u64, "{address:#x} + {len}");
            assert!(self.memory.is_mapped(address, len), "{address:#x} + {len}");
        }
    }

    /// Takes the device out of service and everything back.
    fn end(self) -> (&'static BounceMemory, u32) {
        let Self { memory, running, queue, pool, .. } = self;
        let (_, proof) = running.quiesce(&CLOCK).expect("it resets");
        let mut unfinished = 0;
        queue.retire(&proof, |_, _| unfinished += 1).expect("it is its proof");
        drop(pool);
        (memory, unfinished)
    }
}

#[test]
fn ftr_8_every_address_the_device_sees_lies_in_the_window_and_data_arrives() {
    for features in OFFERS {
        let mut bench = bench::<Option<DmaBuf>, [AtomicU64; 2], AtomicU8>(16, features, 64);
        assert_ne!(bench.device.state().accepted & ACCESS_PLATFORM, 0, "offered, so accepted");
        for round in 0..50_u32 {
            let payload = (round % 3 != 0).then(|| bench.buffer(&round.to_le_bytes()));
            let (direction, expected) = match (round % 2, &payload) {
                (_, None) => (Direction::ToDevice, vec![]),
                (0, Some(_)) => (Direction::ToDevice, round.to_le_bytes().to_vec()),
                (_, Some(_)) => (Direction::FromDevice, vec![]),
            };
            let header = [u64::from(round), !u64::from(round)];
            bench.queue.submit(header, payload, direction, 0xff, round).expect("there is room");
            let _ = bench.queue.publish();
            let chain = bench.other.pop().expect("it was published");
            bench.check_window(&chain);
            let read = bench.other.read(&chain);
            assert_eq!(read[..8], u64::from(round).to_le_bytes());
            assert_eq!(read[16..], expected);
            let mut answer = vec![round as u8; chain.writable_len() as usize - 1];
            answer.push(7);
            let written = bench.other.write(&chain, &answer);
            bench.other.push(u32::from(chain.head), written);
            let done = bench.queue.poll().expect("obedient").expect("it completed");
            assert_eq!((done.cookie, done.trailer, done.written), (round, 7, answer.len() as u32));
            if let (Direction::FromDevice, Some(buffer)) = (direction, &done.payload) {
                assert_eq!(buffer[..], [round as u8; 4]);
            }
        }
        assert_eq!(bench.memory.stopped(), [], "{features:#x}");
    }
}

#[test]
fn ftr_8_every_buffer_of_a_long_chain_lies_in_the_window() {
    for features in OFFERS {
        let mut bench = bench::<Chain, (), ()>(16, features, 1024);
        for round in 0..40 {
            let chain = Chain {
                readable: [Some(bench.buffer(b"head")), Some(bench.buffer(&[1; 1000]))],
                writable: [Some(bench.buffer(&[0; 8])), Some(bench.buffer(&[0; 1024]))],
            };
            bench.queue.submit((), chain, (), (), round).expect("there is room");
            let _ = bench.queue.publish();
            let popped = bench.other.pop().expect("it was published");
            assert_eq!((popped.readable.len(), popped.writable.len()), (2, 2));
            assert_eq!(popped.table.is_some(), features & INDIRECT_DESC != 0);
            bench.check_window(&popped);
            assert_eq!(bench.other.read(&popped).len(), 1004);
            let written = bench.other.write(&popped, &[9; 1032]);
            bench.other.push(u32::from(popped.head), written);
            let done = bench.queue.poll().expect("obedient").expect("it completed");
            let [Some(first), Some(second)] = &done.payload.writable else { panic!("both come back") };
            assert!(first.iter().chain(second.iter()).all(|&byte| byte == 9));
        }
        assert_eq!(bench.memory.stopped(), [], "{features:#x}");
    }
}

#[test]
fn ftr_8_after_retire_nothing_is_mapped() {
    for features in OFFERS {
        let mut bench = bench::<Chain, [AtomicU64; 2], AtomicU8>(16, features, 64);
        for number in 0..2 {
            let chain = Chain { readable: [Some(bench.buffer(b"read")), None], writable: [None, None] };
            bench.queue.submit([0, 0], chain, (), 0, number).expect("there is room");
        }
        let _ = bench.queue.publish();
        let chain = bench.other.pop().expect("it was published");
        let told = bench.told(&chain);
        let other = DeviceQueue::negotiated(bench.memory, bench.device.queue(0), VERSION_1 | features);
        let (memory, unfinished) = bench.end();
        assert_eq!((unfinished, memory.mappings()), (2, 0));
        // The device forgets nothing: it still knows where everything was.
        for &(address, len) in &told {
            assert!(!memory.is_mapped(address, 1) && !memory.is_mapped(address + len as u64 - 1, 1));
            memory.write(address, &vec![0xee; len]);
        }
        assert_eq!(other.write(&chain, b"x"), 1, "it believes so");
        assert_eq!(memory.stopped().len(), told.len() + chain.writable.len());
    }
}

#[test]
fn ftr_8_a_queue_dropped_alive_stays_mapped() {
    let mut bench = bench::<DmaBuf, (), ()>(8, ACCESS_PLATFORM, 64);
    let buffer = bench.buffer(b"in flight");
    bench.queue.submit((), buffer, Direction::ToDevice, (), 0).expect("there is room");
    let _ = bench.queue.publish();
    // Queue, pool and all end here.
    let (memory, mut other) = {
        let Bench { memory, other, .. } = { bench };
        (memory, other)
    };
    let chain = other.pop().expect("the device still sees it");
    assert_eq!(other.read(&chain), b"in flight");
    assert_eq!(memory.stopped(), []);
}

#[test]
fn hd_vq_16_a_write_past_the_end_of_what_is_mapped_is_stopped_before_anybody_elses_memory() {
    let mut bench = bench::<DmaBuf, (), ()>(8, ACCESS_PLATFORM, 256);
    // Another driver's memory, in the same window, mapped right behind.
    let mut neighbour = DmaPool::new(bench.memory, 4, PAGE).expect("there are pages left");
    let mut theirs: Vec<_> = std::iter::from_fn(|| neighbour.take()).collect();
    for buffer in &mut theirs {
        buffer.extend(&[0x55; PAGE]).expect("as long as a page");
    }
    // Every buffer of our pool, so that the one at the end of the block is among them.
    let mut held: Vec<_> = std::iter::from_fn(|| bench.pool.take()).collect();
    for buffer in &mut held {
        buffer.set_len(256).expect("as long as that");
    }
    held.sort_by_key(|buffer| buffer.bus_addr());
    let last = held.pop().expect("there are some");
    let after = last.bus_addr().get() + 256;
    bench.queue.submit((), last, Direction::FromDevice, (), 1).expect("there is room");
    let _ = bench.queue.publish();
    let chain = bench.other.pop().expect("it was published");
    let (address, _) = chain.writable[0];
    bench.memory.write(address, &[0xee; 3 * PAGE]);
    bench.other.push(u32::from(chain.head), u32::MAX);
    let done = bench.queue.poll().expect("lengths are no fault").expect("it completed");
    assert_eq!((done.written, done.payload.len()), (256, 256), "cut to what it could write");
    assert!(done.payload.iter().all(|&byte| byte == 0xee));
    assert!(!bench.memory.is_mapped(after, 1), "a page to catch it");
    assert_eq!(bench.memory.stopped().len(), 1);
    assert!(theirs.iter().all(|buffer| buffer.iter().all(|&byte| byte == 0x55)));
    // Rings are somebody else, too: they go on working.
    let mut again = done.payload;
    again.set_len(1).expect("shorter");
    bench.queue.submit((), again, Direction::FromDevice, (), 2).expect("there is room");
    let _ = bench.queue.publish();
    let chain = bench.other.pop().expect("it was published");
    bench.other.push(u32::from(chain.head), 1);
    assert_eq!(bench.queue.poll().expect("obedient").expect("it completed").cookie, 2);
}

#[test]
fn hd_vq_16_writes_to_what_is_readable_change_bytes_and_nothing_that_is_decided_by() {
    let mut bench = bench::<Chain, [AtomicU64; 2], AtomicU8>(32, ACCESS_PLATFORM, 64);
    for round in 0..20_u32 {
        // Two requests at a time; the device answers the second, and tramples on all it can reach of both.
        for number in [2 * round, 2 * round + 1] {
            let chain = Chain {
                readable: [Some(bench.buffer(&number.to_le_bytes())), None],
                writable: [Some(bench.buffer(&[0; 8])), None],
            };
            bench.queue.submit([u64::from(number), 1], chain, (), 0xff, number).expect("there is room");
        }
        let _ = bench.queue.publish();
        let chains = [0, 1].map(|_| bench.other.pop().expect("it was published"));
        for (chain, number) in chains.iter().zip([2 * round, 2 * round + 1]) {
            let mut expected = Vec::from(u64::from(number).to_le_bytes());
            expected.extend(1_u64.to_le_bytes());
            expected.extend(number.to_le_bytes());
            assert_eq!(bench.other.read(chain), expected, "what was trampled on was written anew");
        }
        for (address, len) in chains.iter().flat_map(|chain| &chain.readable) {
            bench.memory.write(*address, &vec![0xee; *len as usize]);
        }
        // The whole 64 bytes of the buffer, of which the device was given 8.
        bench.memory.write(chains[1].writable[0].0, &[0xdd; 64]);
        bench.memory.write(chains[1].writable[1].0, &[0]);
        for chain in [&chains[1], &chains[0]] {
            bench.other.push(u32::from(chain.head), 9);
        }
        for number in [2 * round + 1, 2 * round] {
            let done = bench.queue.poll().expect("no fault").expect("it completed");
            assert_eq!((done.cookie, done.written), (number, 9), "to its owner");
            let [Some(read), None] = &done.payload.readable else { panic!("as it was submitted") };
            let [Some(written), None] = &done.payload.writable else { panic!("as it was submitted") };
            assert_eq!((read.len(), written.len()), (4, 8), "lengths are the driver's own");
            assert_eq!(done.trailer, if number % 2 == 1 { 0 } else { 0xff });
        }
    }
    assert_eq!(bench.memory.stopped(), [], "all of it was mapped: pages are protected, not buffers");
    assert_eq!(bench.pool.available(), 64);
}
