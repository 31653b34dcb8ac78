//! A queue with requests that the device has seen, and what has to hold after a lie.

use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::driver::{DeviceFault, Refusal};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::transport::Transport;
use virtio_queue_rt::{Direction, FeatureBits, QueueIndex, Reset, Virtqueue};
use virtio_sim::{Device, DeviceQueue, PoppedChain, SimMemory};

pub use crate::common::HASTE;
use crate::common::{Bench, EVENT_IDX, bench};

pub use virtio_sim::queue::feature::{IN_ORDER, INDIRECT_DESC};

/// What rings may be like, but for the order of completions. Miri is slow, and looks at the two ends.
pub const UNORDERED: &[u64] = if cfg!(miri) { &[0] } else { &[0, EVENT_IDX, INDIRECT_DESC] };

/// What rings may be like.
pub const KINDS: &[u64] = match cfg!(miri) {
    true => &[0, INDIRECT_DESC | EVENT_IDX | IN_ORDER],
    false => &[0, EVENT_IDX, INDIRECT_DESC, INDIRECT_DESC | EVENT_IDX | IN_ORDER],
};

pub type TestBench = Bench<DmaBuf, u32>;
pub type Queue = Virtqueue<DmaBuf, u32>;

/// Requests with everything around them: three parts, in a table where there are tables.
pub type Cells = Bench<Option<DmaBuf>, u32, Header, Trailer>;
pub type Header = [AtomicU64; 2];
pub type Trailer = AtomicU8;

/// A queue of 8 with `count` requests that the device has seen.
pub fn with_requests(count: u32, features: u64) -> (TestBench, Vec<PoppedChain>) {
    let mut bench = bench::<DmaBuf, u32, (), ()>(8, features);
    for cookie in 0..count {
        let buffer = bench.buffer(&[0xaa; 16]);
        bench.queue.submit((), buffer, Direction::FromDevice, (), cookie).expect("there is room");
    }
    let _ = bench.queue.publish();
    let chains = std::iter::from_fn(|| bench.other.pop()).collect();
    (bench, chains)
}

/// A queue of 16 with `count` requests with header and trailer that the device has seen.
pub fn with_cells(count: u32, features: u64) -> (Cells, Vec<PoppedChain>) {
    let mut bench = bench::<Option<DmaBuf>, u32, Header, Trailer>(16, features);
    for cookie in 0..count {
        let buffer = bench.buffer(&[0xaa; 16]);
        bench.queue.submit([1, 2], Some(buffer), Direction::FromDevice, 0xff, cookie).expect("there is room");
    }
    let _ = bench.queue.publish();
    let chains = std::iter::from_fn(|| bench.other.pop()).collect();
    (bench, chains)
}

/// The queue refuses to go on, and a reset brings everything back.
pub fn is_poisoned_and_recovers(mut bench: TestBench, fault: DeviceFault, in_flight: u32) {
    assert_eq!(bench.queue.poll().expect_err("poisoned"), fault);
    assert_eq!(bench.queue.drain(|_| panic!("nothing completes")), Err(fault));
    assert_eq!((bench.queue.fault(), bench.queue.room()), (Some(fault), 0));
    let buffer = bench.buffer(b"new");
    let refused = bench.queue.submit((), buffer, Direction::ToDevice, (), 99).expect_err("poisoned");
    assert_eq!(refused.reason, Refusal::Faulted(fault));
    drop(refused);
    recovers(bench, in_flight);
}

/// A reset brings every request back that is in flight, each once, and every buffer home; then the device works again.
pub fn recovers<P: Payload, H: Cell, T: Cell>(bench: Bench<P, u32, H, T>, in_flight: u32) {
    let Bench { memory, device, running, queue, mut pool, .. } = bench;
    let blocks = memory.blocks();
    let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
    assert_eq!(memory.blocks(), blocks, "nothing is freed before its owner shows the proof");
    let mut cookies = Vec::new();
    assert!(queue.retire(&proof, |_, cookie| cookies.push(cookie)).is_ok());
    assert_eq!(memory.blocks(), blocks - 1, "the rings are free");
    assert_eq!(cookies.len() as u32, in_flight, "{cookies:?}");
    cookies.sort_unstable();
    cookies.dedup();
    assert_eq!(cookies.len() as u32, in_flight, "no cookie twice");
    assert_eq!(pool.available(), pool.count(), "every buffer came home");
    works_again(transport, &device, memory, QueueIndex(0));
}

/// The device can be taken into service through that transport, a request goes through, and nothing stays behind.
pub fn works_again<R: Transport + std::fmt::Debug>(
    transport: R,
    device: &Device,
    memory: &'static SimMemory,
    index: QueueIndex,
) {
    let blocks = memory.blocks();
    let mut pool = DmaPool::new(memory, 4, 64).expect("memory");
    let reset = Reset::new(transport, &HASTE).expect("it resets");
    let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("as before");
    let mut queue: Queue = negotiated.queue(index, 8, memory).expect("as before");
    let running = negotiated.run();
    let setup = device.queue(index.0.into());
    let mut other = DeviceQueue::negotiated(memory, setup, device.state().accepted);
    for _ in 0..if cfg!(miri) { 1 } else { 3 } {
        works(&mut queue, &mut other, &mut pool);
    }
    let (_, proof) = running.quiesce(&HASTE).expect("it resets");
    assert!(queue.retire(&proof, |_, _| panic!("nothing is in flight")).is_ok());
    drop(pool);
    assert_eq!(memory.blocks(), blocks);
}

/// One request goes through.
pub fn works(queue: &mut Queue, other: &mut DeviceQueue, pool: &mut DmaPool) {
    let mut buffer = pool.take().expect("free buffers");
    buffer.set_len(5).expect("5 of 64");
    queue.submit((), buffer, Direction::FromDevice, (), 7).expect("there is room");
    let _ = queue.publish();
    let chain = other.pop().expect("it was published");
    let written = other.write(&chain, b"hello");
    other.push(u32::from(chain.head), written);
    let done = queue.poll().expect("obedient").expect("it completed");
    assert_eq!((&done.payload[..], done.cookie, done.written), (&b"hello"[..], 7, 5));
    pool.recycle(done.payload);
}
