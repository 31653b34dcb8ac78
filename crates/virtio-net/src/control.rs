//! [`Control`]: the control queue (VIRTIO 1.3 §5.1.6.5), which nobody waits for.
//!
//! ```text
//!   | class, command | data .. | data .. | ack |     the two bytes, each piece of data and the answer have descriptors
//!     device-readable                      written    of their own: legacy devices want it so, the others do not mind
//!                                                     (§5.1.6.6)
//! ```
//!
//! What is wanted is kept in [`Wishes`]; as many commands as there is room for are given to the device at once, which
//! takes them one after the other, and its answers are looked at when the interface is used the next time. The queue
//! interrupts nobody.
//!
//! Only the number of queue pairs is waited for, once, before there is an interface: nobody knows before the answer which
//! queues the device uses.
//!
//! # Failure
//!
//! A device that does not answer for [`PATIENCE`] gets no more commands: the frames go on as it was last told. It may
//! still answer, into memory of the queue's, which stays. An answer is what the byte holds; it starts as one that no
//! device writes, so that a command that was completed without an answer is no success. All of these are counted.

use core::sync::atomic::AtomicU8;
use core::time::Duration;

use toro_core::driver::{AttachError, DeviceFault};
use toro_core::{Clock, Deadline, Dma, DmaPool, Instant};
use virtio_queue_rt::{Chain, Negotiated, QueueIndex, Quiesced, Running, Transport, Virtqueue};

use crate::filter::{Command, LONGEST_DATA, Wishes};
use crate::wire::control;

/// How long a device may take to answer a command.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// What the answer is before there is one.
const UNANSWERED: u8 = 0xff;
/// The most descriptors to use: enough for one command of each kind.
const DESCRIPTORS: u16 = 64;
/// Buffers for data: as many as one command of each kind has.
const BUFFERS: usize = 8;

/// What a device says to the command that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did as it was told.
    Done,
    /// It did not, and is as it was.
    Refused,
}

/// The queue for commands, and what is to be commanded.
pub(crate) struct Control {
    queue: Virtqueue<Chain, Command, [AtomicU8; 2], AtomicU8>,
    pool: DmaPool,
    pub wishes: Wishes,
    clock: &'static dyn Clock,
    /// When the device is given up as far as commands go.
    deadline: Instant,
    is_given_up: bool,
    /// Commands that were refused or not answered.
    pub failed: u64,
}

impl Control {
    /// Makes the queue with this number.
    pub fn new<T: Transport>(
        device: &mut Negotiated<T>,
        index: QueueIndex,
        memory: Dma,
        clock: &'static dyn Clock,
        wishes: Wishes,
    ) -> Result<Self, AttachError> {
        let pool = DmaPool::new(memory, BUFFERS, LONGEST_DATA)?;
        let queue = device.queue(index, DESCRIPTORS, memory)?;
        let deadline = Instant::from_nanos(0);
        Ok(Self { queue, pool, wishes, clock, deadline, is_given_up: false, failed: 0 })
    }

    /// Whether answers are awaited.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty() && !self.is_given_up
    }

    /// Takes answers and gives the device what there is to command. It never waits.
    pub fn advance<T: Transport>(&mut self, running: &Running<T>) -> Result<(), DeviceFault> {
        if self.is_given_up {
            return Ok(());
        }
        let mut has_moved = self.queue.is_empty();
        while let Some(done) = self.queue.poll()? {
            has_moved = true;
            // Some devices say too little about how much they wrote; what the byte was before is known.
            let is_done = done.trailer == control::OK;
            self.failed += u64::from(!is_done);
            self.wishes.settle(done.cookie, is_done);
            for buffer in done.payload.readable.into_iter().flatten() {
                self.pool.recycle(buffer);
            }
        }
        if has_moved {
            self.deadline = self.clock.now().saturating_add(PATIENCE);
        } else if self.clock.now() >= self.deadline {
            self.is_given_up = true;
            self.failed += u64::from(self.queue.len());
            return Ok(());
        }
        while self.queue.room() > 0
            && let Some(command) = self.wishes.next(self.pool.available())
        {
            self.submit(command);
        }
        let wish = self.queue.publish();
        running.notify(&self.queue, wish);
        Ok(())
    }

    /// Puts a command into the queue. There is room, and there are buffers.
    fn submit(&mut self, command: Command) {
        let mut chain = Chain::default();
        for buffer in chain.readable.iter_mut().take(command.buffers()) {
            *buffer = self.pool.take();
        }
        self.wishes.write(command, &mut chain.readable);
        if self.queue.submit(command.code(), chain, (), UNANSWERED, command).is_err() {
            // Cannot be, as just said; a command that was not sent is one that failed.
            self.failed += 1;
            self.wishes.settle(command, false);
        }
    }

    /// Tells the device how many queue pairs to use, and waits for its answer.
    pub fn set_queue_pairs<T: Transport>(&mut self, running: &Running<T>, pairs: u16) -> Result<Answer, AttachError> {
        self.submit(Command::QueuePairs(pairs));
        let wish = self.queue.publish();
        running.notify(&self.queue, wish);
        let mut last = Ok(None);
        let waited = Deadline::after(self.clock, PATIENCE).wait_until(|| {
            last = self.queue.poll();
            !matches!(last, Ok(None))
        });
        waited?;
        match last?.map(|done| done.trailer) {
            Some(control::OK) => Ok(Answer::Done),
            Some(control::ERR) => Ok(Answer::Refused),
            _ => Err(AttachError::Configuration("answer to a command")),
        }
    }

    /// Frees everything, the device having been reset.
    pub fn retire(self, proof: &Quiesced) {
        // It is this device's, so it is taken.
        let _ = self.queue.retire(proof, |_, _| {});
    }
}
