//! Requests as futures: in every stage of their life, over devices that obey, lie and are silent, and many at a time.
//!
//! What runs on one thread polls futures by hand and plays the device step by step; `crowd` has executors, and the
//! device and the interrupt as threads of their own.

#[path = "../common/mod.rs"]
mod common;

mod crowd;
mod failure;
mod life;
mod locking;
mod storage;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

use common::Bench;
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::asynchronous::{AsyncQueue, Exchange, ExchangeError, TicketNumber};
use virtio_queue_rt::{Direction, Done, MmioTransport, Running, Slot};
use virtio_sim::{Device, DeviceQueue, MmioModel, SimMemory};

type Slots = Box<[Slot<DmaBuf, TicketNumber>]>;
type Notifier = Running<MmioTransport<MmioModel>>;
type Queue = AsyncQueue<DmaBuf, Notifier>;
type Future<'q> =
    Exchange<'q, DmaBuf, Notifier, (), (), Slots, Vec<virtio_queue_rt::asynchronous::Ticket<DmaBuf, (), ()>>>;
type Answer = Result<Done<DmaBuf, (), ()>, ExchangeError<DmaBuf>>;

/// A task that counts how often it was woken.
#[derive(Default)]
struct Task {
    wakes: AtomicUsize,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }

    fn poll<F: std::future::Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(&self.clone().into()))
    }
}

/// Both sides of an asynchronous queue.
struct Scene {
    memory: &'static SimMemory,
    device: Device,
    queue: Queue,
    other: DeviceQueue,
    pool: DmaPool,
}

fn scene(size: u16, features: u64) -> Scene {
    let Bench { memory, device, running, queue, other, pool } = common::bench(size, features);
    Scene { memory, device, queue: AsyncQueue::new(queue, running), other, pool }
}

impl Scene {
    /// A buffer with one byte in it.
    fn buffer(&mut self, byte: u8) -> DmaBuf {
        buffer(&mut self.pool, byte)
    }
}

fn buffer(pool: &mut DmaPool, byte: u8) -> DmaBuf {
    let mut buffer = pool.take().expect("the pool has twice as many as the queue");
    buffer.extend(&[byte]).expect("64 bytes are enough");
    buffer
}

/// An exchange of one byte, which the device may read and write.
fn ask(queue: &Queue, buffer: DmaBuf) -> Future<'_> {
    queue.exchange((), buffer, Direction::FromDevice, ())
}

/// Answers the next request: its byte plus one. Says what the byte was.
fn answer(other: &mut DeviceQueue) -> Option<u8> {
    let chain = other.pop()?;
    let byte = other.peek(chain.writable[0].0, 1)[0];
    let written = other.write(&chain, &[byte + 1]);
    other.push(u32::from(chain.head), written);
    Some(byte)
}

fn byte(answer: Poll<Answer>) -> u8 {
    match answer {
        Poll::Ready(Ok(done)) => {
            assert_eq!(done.written, 1);
            done.payload[0]
        }
        other => panic!("no answer: {other:?}"),
    }
}
