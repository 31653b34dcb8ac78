//! A queue whose device side the test plays itself.
#![allow(dead_code)]

pub mod transports;

use std::sync::atomic::{AtomicU64, Ordering};

use toro_core::{Clock, DmaBuf, DmaMemory, DmaPool, Instant};
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::{Direction, FeatureBits, MmioTransport, QueueIndex, Reset, Running, Virtqueue, Wanted};
use virtio_sim::clock::CLOCK;
use virtio_sim::memory::GuestMemory;
use virtio_sim::{Device, DeviceQueue, MmioModel, SimMemory};

/// A clock on which each look takes 10 ms, so that patience ends soon.
#[derive(Debug)]
pub struct HastyClock(AtomicU64);

pub static HASTE: HastyClock = HastyClock(AtomicU64::new(0));

impl Clock for HastyClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.fetch_add(10_000_000, Ordering::Relaxed))
    }
}

pub const VERSION_1: u64 = 1 << 32;
pub const EVENT_IDX: u64 = 1 << 29;

/// A running device with one queue, both sides of it, and buffers.
pub struct Bench<P: Payload, K, H: Cell = (), T: Cell = (), M: 'static = SimMemory> {
    pub memory: &'static M,
    pub device: Device,
    pub running: Running<MmioTransport<MmioModel>>,
    pub queue: Virtqueue<P, K, H, T>,
    pub other: DeviceQueue,
    pub pool: DmaPool,
}

pub fn bench<P: Payload, K, H: Cell, T: Cell>(size: u16, features: u64) -> Bench<P, K, H, T> {
    bench_in(SimMemory::leak(), size.into(), features, Buffers { count: 2 * usize::from(size), size: 64 })
}

/// The buffers of a bench.
pub struct Buffers {
    pub count: usize,
    pub size: usize,
}

/// As [`bench`], in any memory, for requests of any number of buffers.
pub fn bench_in<P: Payload, K, H: Cell, T: Cell, M: DmaMemory + GuestMemory>(
    memory: &'static M,
    wanted: Wanted,
    features: u64,
    buffers: Buffers,
) -> Bench<P, K, H, T, M> {
    let device = Device::new(4, VERSION_1 | features, &[wanted.descriptors], &[]);
    let transport = MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device");
    let reset = Reset::new(transport, &CLOCK).expect("it resets");
    let mut negotiated =
        reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("it is a modern device");
    assert_eq!(negotiated.features().bits(), VERSION_1 | features, "all of them are known");
    let queue = negotiated.queue(QueueIndex(0), wanted, memory).expect("the queue is there");
    let running = negotiated.run();
    let other = DeviceQueue::negotiated(memory, device.queue(0), VERSION_1 | features);
    let pool = DmaPool::new(memory, buffers.count, buffers.size).expect("memory");
    Bench { memory, device, running, queue, other, pool }
}

impl<P: Payload, K, H: Cell, T: Cell, M> Bench<P, K, H, T, M> {
    /// A buffer with these bytes.
    pub fn buffer(&mut self, bytes: &[u8]) -> DmaBuf {
        buffer(&mut self.pool, bytes)
    }
}

/// Takes a buffer with these bytes from a pool.
pub fn buffer(pool: &mut DmaPool, bytes: &[u8]) -> DmaBuf {
    let mut buffer = pool.take().expect("there are more buffers than the queue has descriptors");
    buffer.extend(bytes).expect("they are long enough");
    buffer
}

/// One request through the first queue of a device, just made, and its answer.
pub fn ask(
    device: &Device,
    running: &Running<BoxedTransport>,
    queue: &mut Virtqueue<DmaBuf, u32>,
    pool: &mut DmaPool,
    memory: &'static SimMemory,
) {
    let mut buffer = pool.take().expect("there are two");
    buffer.set_len(5).expect("buffers have 64 bytes");
    queue.submit((), buffer, Direction::FromDevice, (), 7).expect("there is room");
    let kicks = device.state().kicks.len();
    let wish = queue.publish();
    running.notify(queue, wish);
    assert_eq!(device.state().kicks[kicks..], [0]);
    let has_event_idx = running.features().contains(FeatureBits::EVENT_IDX);
    let mut other = DeviceQueue::new(memory, device.queue(0), has_event_idx);
    let chain = other.pop().expect("it was published");
    let written = other.write(&chain, b"hello");
    other.push(u32::from(chain.head), written);
    let done = queue.poll().expect("an obedient device").expect("it is done");
    assert_eq!((&done.payload[..], done.cookie), (&b"hello"[..], 7));
}
