//! The notification queue: buffers for messages that nobody asked for (VIRTIO 1.3 §5.11.6.3).
//!
//! ```text
//!   pool, twice as many --fill--> queue: [empty][empty][empty]..   always some, if the client returns what it has read
//!        ^                           |
//!        |                           v  the device fills one
//!        +------- recycle <------- client
//! ```
//!
//! There are twice as many buffers as the queue holds. So the queue is full again as soon as a message has been taken out
//! of it, and stays so while the client holds no more than as many as the queue has.
//!
//! # Hostile devices
//!
//! The size of the buffers is the device's to say, within bounds ([`NOTIFICATION_SIZES`]). The length of a message is cut to
//! its buffer, and buffers are filled with zeros before the device gets them: what it claims to have written and has not
//! is nobody else's data.
//!
//! [`NOTIFICATION_SIZES`]: crate::features::NOTIFICATION_SIZES

use toro_core::driver::{Armed, AttachError, DeviceFault};
use toro_core::{Dma, DmaBuf, DmaPool};
use virtio_queue_rt::queue::Direction;
use virtio_queue_rt::{Negotiated, QueueIndex, Quiesced, Running, Transport, Virtqueue};

type Queue = Virtqueue<DmaBuf, ()>;

/// See the module.
pub(crate) struct Notifications {
    queue: Queue,
    pool: DmaPool,
    /// Bytes in a buffer.
    size: usize,
}

impl Notifications {
    /// Whether there can be one.
    pub const EXIST: bool = true;

    /// Makes the queue, with at most `most` buffers of `size` bytes in it.
    ///
    /// # Errors
    ///
    /// There is no such queue, or memory is short. The device may know the queue all the same.
    pub fn new<T: Transport>(
        device: &mut Negotiated<T>,
        index: QueueIndex,
        most: u16,
        size: u32,
        memory: Dma,
    ) -> Result<Self, AttachError> {
        let count = device.queue_size(index, most);
        let size = size as usize;
        // First what can be given back; a queue that the device has been told of cannot.
        let pool = DmaPool::new(memory, 2 * usize::from(count), size)?;
        let queue = device.queue(index, most, memory)?;
        Ok(Self { queue, pool, size })
    }

    /// Gives the device all buffers that there is room for.
    pub fn fill<T: Transport>(&mut self, running: &Running<T>) {
        while self.queue.room() > 0 {
            let Some(mut buffer) = self.pool.take() else { break };
            // The pool's buffers are that long.
            if buffer.set_len(self.size).is_err() {
                break;
            }
            buffer.fill(0);
            if self.queue.submit((), buffer, Direction::FromDevice, (), ()).is_err() {
                break;
            }
        }
        let wish = self.queue.publish();
        running.notify(&self.queue, wish);
    }

    /// The next message, as long as the device says; another buffer takes its place.
    pub fn next<T: Transport>(&mut self, running: &Running<T>) -> Result<Option<DmaBuf>, DeviceFault> {
        let message = match self.queue.poll()? {
            Some(done) => {
                let mut buffer = done.payload;
                // It is never longer than the buffer: the queue has seen to that.
                let _ = buffer.set_len(done.written as usize);
                Some(buffer)
            }
            None => None,
        };
        if self.queue.room() > 0 {
            self.fill(running);
        }
        Ok(message)
    }

    /// Asks for an interrupt at the next message; first what came back is put in.
    pub fn arm<T: Transport>(&mut self, running: &Running<T>) -> Armed {
        if self.queue.room() > 0 {
            self.fill(running);
        }
        self.queue.arm()
    }

    /// The fault that the queue has found.
    pub fn fault(&self) -> Option<DeviceFault> {
        self.queue.fault()
    }

    /// Frees everything, the device having been reset.
    pub fn retire(self, proof: &Quiesced) {
        // It is this device's, so it is taken.
        let _ = self.queue.retire(proof, |_, ()| {});
    }
}
