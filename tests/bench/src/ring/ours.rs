//! `virtio-queue-rt`, set up through its own front door against a register model.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, AtomicU64};

use anyhow::{Context, Result, anyhow};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::queue::Cell;
use virtio_queue_rt::{Direction, FeatureBits, MmioTransport, Notify, QueueIndex, Reset, Virtqueue};
use virtio_sim::clock::CLOCK;
use virtio_sim::{Device, MmioModel};

use super::contender::{BUFFER, Contender, Events, HEADER, Reaped, Shape, UNTOUCHED};
use super::device::{RingPointers, SIZE};
use crate::heap::HEAP;

/// Buffers at hand: as many as the queue can hold, on a stack that has room for all of them.
struct Stack {
    buffers: [MaybeUninit<DmaBuf>; SIZE as usize],
    len: u8,
}

impl Stack {
    #[inline]
    fn pop(&mut self) -> DmaBuf {
        self.len = self.len.wrapping_sub(1);
        // SAFETY: at most as many are popped as were pushed: the queue refuses more than its 255 slots.
        unsafe { self.buffers[usize::from(self.len)].assume_init_read() }
    }

    #[inline]
    fn push(&mut self, buffer: DmaBuf) {
        self.buffers[usize::from(self.len)].write(buffer);
        self.len = self.len.wrapping_add(1);
    }
}

/// A queue and its buffers.
pub struct Ours<H: Cell, T: Cell> {
    queue: Virtqueue<DmaBuf, (), H, T>,
    stack: Stack,
    rings: RingPointers,
}

/// One buffer per operation.
pub type Buffers = Ours<(), ()>;
/// Header, buffer, status.
pub type Requests = Ours<[AtomicU64; 2], AtomicU8>;

impl<H: Cell, T: Cell> Ours<H, T> {
    /// Sets a queue up.
    ///
    /// # Errors
    ///
    /// Initialisation fails.
    pub fn new(shape: Shape, events: Events) -> Result<Self> {
        let mut offered = FeatureBits::VERSION_1;
        if events == Events::On {
            offered |= FeatureBits::EVENT_IDX;
        }
        if shape == Shape::Table {
            offered |= FeatureBits::INDIRECT_DESC;
        }
        let device = Device::new(2, offered.bits(), &[SIZE], &[]);
        let transport = MmioTransport::new(MmioModel::new(device.clone())).map_err(|error| anyhow!("{error}"))?;
        let reset = Reset::new(transport, &CLOCK).map_err(|error| anyhow!("{error}"))?;
        let negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits);
        let mut negotiated = negotiated.map_err(|error| anyhow!("{error}"))?;
        let queue = negotiated.queue(QueueIndex(0), SIZE, &HEAP).map_err(|error| anyhow!("{error}"))?;
        negotiated.run();
        let mut pool = DmaPool::new(&HEAP, usize::from(SIZE), BUFFER).map_err(|error| anyhow!("{error}"))?;
        let mut stack = Stack { buffers: [const { MaybeUninit::uninit() }; SIZE as usize], len: 0 };
        for _ in 0..SIZE - 1 {
            let mut buffer = pool.take().context("a pool of as many buffers")?;
            buffer.set_len(BUFFER).map_err(|error| anyhow!("{error}"))?;
            stack.push(buffer);
        }
        let setup = device.queue(0);
        let rings = RingPointers { descriptors: setup.descriptors, available: setup.available, used: setup.used };
        Ok(Self { queue, stack, rings })
    }

    #[inline(always)]
    fn send(&mut self, batch: u32, header: H::Value, trailer: T::Value) -> u32 {
        for _ in 0..batch {
            let buffer = self.stack.pop();
            if let Err(refused) = self.queue.submit(header, buffer, Direction::FromDevice, trailer, ()) {
                self.stack.push(refused.request.0);
            }
        }
        u32::from(self.queue.publish() == Notify::Needed)
    }

    #[inline(always)]
    fn reap(&mut self, status: impl Fn(T::Value) -> u32) -> Reaped {
        let (stack, mut reaped) = (&mut self.stack, Reaped::default());
        let count = self.queue.drain(|done| {
            stack.push(done.payload);
            reaped.status += status(done.trailer);
            reaped.bytes = reaped.bytes.wrapping_add(done.written);
        });
        Reaped { count: count.map_or(0, u32::from), ..reaped }
    }
}

impl Contender for Buffers {
    fn rings(&self) -> RingPointers {
        self.rings
    }

    #[inline(always)]
    fn send(&mut self, batch: u32) -> u32 {
        Ours::send(self, batch, (), ())
    }

    #[inline(always)]
    fn reap(&mut self) -> Reaped {
        Ours::reap(self, |()| 0)
    }
}

impl Contender for Requests {
    fn rings(&self) -> RingPointers {
        self.rings
    }

    #[inline(always)]
    fn send(&mut self, batch: u32) -> u32 {
        Ours::send(self, batch, HEADER, UNTOUCHED)
    }

    #[inline(always)]
    fn reap(&mut self) -> Reaped {
        Ours::reap(self, u32::from)
    }
}
