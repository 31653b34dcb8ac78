//! The control queue (VIRTIO 1.3 §5.1.6.5), as far as it takes to have several queue pairs: one command, once.
//!
//! ```text
//!   | class 4, command 0, pairs | ack |
//!     device-readable            device-writable; 0xff until the device has written it
//! ```
//!
//! # Failure
//!
//! The answer is waited for at most [`PATIENCE`] long. A device that has not answered by then may do so later, into
//! memory of the queue's: so the command is abandoned together with its device, whose reset alone frees the memory. An
//! answer of neither of the two known kinds, which is also what a device leaves that completes the command without
//! writing, is a failure like silence: nobody knows then which queues the device uses.

use core::sync::atomic::AtomicU8;
use core::time::Duration;

use toro_core::driver::AttachError;
use toro_core::{Clock, Deadline, Dma, DmaBuf, DmaPool};
use virtio_queue_rt::{Direction, Negotiated, QueueIndex, Quiesced, Running, Transport, Virtqueue};
use zerocopy::IntoBytes;

use crate::wire::{SetQueuePairs, control};

/// How long a device may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the answer is before there is one.
const UNANSWERED: u8 = 0xff;
/// The descriptors of one command.
const SLOTS: u16 = 2;

/// The queue for commands, and a buffer for one.
pub(crate) struct Control {
    queue: Virtqueue<DmaBuf, (), (), AtomicU8>,
    pool: DmaPool,
}

/// What a device says to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did as it was told.
    Done,
    /// It did not, and is as it was.
    Refused,
}

impl Control {
    /// Makes the queue with this number.
    pub(crate) fn new<T: Transport>(
        device: &mut Negotiated<T>,
        index: QueueIndex,
        memory: Dma,
    ) -> Result<Self, AttachError> {
        let pool = DmaPool::new(memory, 1, size_of::<SetQueuePairs>())?;
        Ok(Self { queue: device.queue(index, SLOTS, memory)?, pool })
    }

    /// Tells the device how many queue pairs to use, and waits for its answer.
    pub(crate) fn set_queue_pairs<T: Transport>(
        &mut self,
        running: &Running<T>,
        clock: &'static dyn Clock,
        pairs: u16,
    ) -> Result<Answer, AttachError> {
        let malformed = AttachError::Configuration("answer to a command");
        let mut command = self.pool.take().expect("one was made, and this is its only use");
        command.extend(SetQueuePairs::new(pairs).as_bytes()).expect("it was made for this");
        // A new queue has room for one, and the buffer is not empty.
        let submitted = self.queue.submit((), command, Direction::ToDevice, UNANSWERED, ());
        submitted.map_err(|_| AttachError::Resources("a control queue"))?;
        let wish = self.queue.publish();
        running.notify(&self.queue, wish);
        let mut last = Ok(None);
        let waited = Deadline::after(clock, PATIENCE).wait_until(|| {
            last = self.queue.poll();
            !matches!(last, Ok(None))
        });
        waited?;
        // Some devices say too little about how much they wrote; what the byte was before is known.
        match last?.map(|done| done.trailer) {
            Some(control::OK) => Ok(Answer::Done),
            Some(control::ERR) => Ok(Answer::Refused),
            _ => Err(malformed),
        }
    }

    /// Frees everything, the device having been reset.
    pub(crate) fn retire(self, proof: &Quiesced) {
        // It is this device's, so it is taken.
        let _ = self.queue.retire(proof, |_, ()| {});
    }
}
