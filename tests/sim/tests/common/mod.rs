//! A queue whose device side the test plays itself.
#![allow(dead_code)]

pub mod transports;

use std::sync::atomic::{AtomicU64, Ordering};

use toro_core::{Clock, DmaPool, Instant};
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::{FeatureBits, MmioTransport, QueueIndex, Reset, Running, Virtqueue};
use virtio_sim::clock::CLOCK;
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
pub struct Bench<P: Payload, K, H: Cell = (), T: Cell = ()> {
    pub memory: &'static SimMemory,
    pub device: Device,
    pub running: Running<MmioTransport<MmioModel>>,
    pub queue: Virtqueue<P, K, H, T>,
    pub other: DeviceQueue,
    pub pool: DmaPool,
}

pub fn bench<P: Payload, K, H: Cell, T: Cell>(size: u16, features: u64) -> Bench<P, K, H, T> {
    let memory = SimMemory::leak();
    let device = Device::new(4, VERSION_1 | features, &[size], &[]);
    let transport = MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device");
    let reset = Reset::new(transport, &CLOCK).expect("it resets");
    let mut negotiated =
        reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("it is a modern device");
    let queue = negotiated.queue(QueueIndex(0), size, memory).expect("the queue is there");
    let running = negotiated.run();
    let other = DeviceQueue::negotiated(memory, device.queue(0), VERSION_1 | features);
    let pool = DmaPool::new(memory, 2 * usize::from(size), 64).expect("memory");
    Bench { memory, device, running, queue, other, pool }
}

impl<P: Payload, K, H: Cell, T: Cell> Bench<P, K, H, T> {
    /// A buffer with these bytes.
    pub fn buffer(&mut self, bytes: &[u8]) -> toro_core::DmaBuf {
        let mut buffer = self.pool.take().expect("the pool has twice as many as the queue");
        buffer.extend(bytes).expect("64 bytes are enough");
        buffer
    }
}
