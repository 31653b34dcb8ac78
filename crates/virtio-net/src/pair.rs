//! [`Pair`]: one receive queue and one transmit queue, with the buffers that go through them.

use toro_core::driver::AttachError;
use toro_core::driver::DeviceFault;
use toro_core::{Dma, DmaBuf, DmaPool};
use virtio_queue_rt::{Direction, QueueIndex, Quiesced, Running, Transport, Virtqueue};

use crate::driver::Options;
use crate::wire::{ETHERNET_HEADER_LEN, HEADER_LEN};

/// The MTU of plain Ethernet, used unless the device names a smaller one.
pub(crate) const DEFAULT_MTU: u16 = 1500;

/// Header and longest frame: what a frame to transmit needs.
const TRANSMIT_BUFFER: usize = HEADER_LEN + ETHERNET_HEADER_LEN + DEFAULT_MTU as usize;
/// Longer by at least one byte, so that a length beyond the longest frame still is one after the queue has cut it
/// down to the buffer, and is not taken for a frame of just that length (HD-NET-3). Whole cache lines: a pool
/// spaces its buffers by those anyway.
const RECEIVE_BUFFER: usize = (TRANSMIT_BUFFER + 1).next_multiple_of(64);

/// A queue of frames.
pub(crate) type Queue = Virtqueue<DmaBuf, ()>;

/// One queue pair.
pub(crate) struct Pair {
    pub(crate) receive: Queue,
    pub(crate) transmit: Queue,
    pub(crate) receive_pool: DmaPool,
    pub(crate) transmit_pool: DmaPool,
}

impl Pair {
    /// The queues of pair number `pair`: receive, then transmit (§5.1.2).
    pub(crate) fn indices(pair: u16) -> [QueueIndex; 2] {
        [QueueIndex(2 * pair), QueueIndex(2 * pair + 1)]
    }

    /// Buffers for two queues: the pools of the receive and of the transmit queue.
    pub(crate) fn pools(
        receive: &Queue,
        transmit: &Queue,
        memory: Dma,
        options: &Options,
    ) -> Result<[DmaPool; 2], AttachError> {
        let buffers = |queue: &Queue| usize::from(queue.capacity()) + usize::from(options.receive_spare);
        Ok([
            DmaPool::new(memory, buffers(receive), RECEIVE_BUFFER)?,
            DmaPool::new(memory, buffers(transmit), TRANSMIT_BUFFER)?,
        ])
    }

    /// Gives the device empty buffers until the queue is full or the pool is empty, and publishes once.
    pub(crate) fn refill<T: Transport>(&mut self, running: &Running<T>) {
        while self.receive.room() > 0 {
            let Some(mut buffer) = self.receive_pool.take() else { break };
            let whole = buffer.total_capacity();
            buffer.set_len(whole).expect("a buffer can be as long as it is");
            if self.receive.submit((), buffer, Direction::FromDevice, (), ()).is_err() {
                break;
            }
        }
        let wish = self.receive.publish();
        running.notify(&self.receive, wish);
    }

    /// Takes sent frames back.
    pub(crate) fn reclaim(&mut self) -> Result<u16, DeviceFault> {
        let pool = &mut self.transmit_pool;
        self.transmit.drain(|done| pool.recycle(done.payload))
    }

    /// Frees everything, the device having been reset.
    pub(crate) fn retire(self, proof: &Quiesced) {
        for queue in [self.receive, self.transmit] {
            retire(queue, proof);
        }
    }
}

/// Frees a queue, its device having been reset.
pub(crate) fn retire(queue: Queue, proof: &Quiesced) {
    // It is this device's, so it is taken.
    let _ = queue.retire(proof, |_, ()| {});
}
