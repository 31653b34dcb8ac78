//! [`ReceiveRing`]: empty buffers to the device, frames from it.
//!
//! ```text
//!   pool --take--> descriptor --device--> frame, to the caller --drop--> pool
//! ```
//!
//! A buffer is longer than any frame that the device lets through, so that a frame has one descriptor. Whatever comes in
//! more is nonsense, or damaged, and dropped up to its end.
//!
//! Buffers are given to the device many at a time, and the tail is written once for them. A ring that is not refilled
//! at once is never empty for that: at most [`REFILL`] of its buffers are missing while there
//! are any.
//!
//! # Hostile devices
//!
//! One descriptor is looked at, the next one that holds a buffer of ours; whatever the device writes elsewhere is not seen.
//! Lengths are believed between an Ethernet header and a plain frame (HD-E1K-1), and each call takes at most one
//! ring full (HD-E1K-2).

use alloc::boxed::Box;

use toro_core::driver::net::{Burst, Checksum, Frame, Notes};
use toro_core::{Dma, DmaBuf, DmaPool, OutOfDmaMemory, Registers};

use crate::descriptor::{self, ReceiveStatus, Received};
use crate::offload::{ETHERNET_HEADER_LEN, MAX_FRAME};
use crate::options::Options;
use crate::registers::RECEIVE_RING;
use crate::ring::Ring;

/// What RECEIVE_CONTROL says by default that a buffer has.
pub(crate) const BUFFER_LEN: usize = 2048;
/// At most so many buffers are missing from a ring before it is refilled.
const REFILL: usize = 32;

/// The receiving side.
pub(crate) struct ReceiveRing {
    ring: Ring,
    pool: DmaPool,
    buffers: Box<[Option<DmaBuf>]>,
    /// The descriptor that the device finishes next.
    next: u32,
    /// Behind the last one that has a buffer.
    tail: u32,
    refill: usize,
    /// The end of the frame that is being dropped has not come yet.
    is_dropping: bool,
}

/// What came of a look at the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Lengths and ends that cannot be.
    pub(crate) malformed: u64,
    /// Frames that the device says arrived damaged.
    pub(crate) damaged: u64,
}

impl ReceiveRing {
    pub(crate) fn new(memory: Dma, options: &Options) -> Result<Self, OutOfDmaMemory> {
        let ring = Ring::new(memory, options.receive_slots, RECEIVE_RING)?;
        let pool = DmaPool::new(memory, ring.size() + usize::from(options.receive_spare), BUFFER_LEN)?;
        let buffers = (0..ring.size()).map(|_| None).collect();
        let refill = REFILL.min(ring.size() / 4);
        Ok(Self { ring, pool, buffers, next: 0, tail: 0, refill, is_dropping: false })
    }

    /// Tells a device that was reset where the ring is. All buffers are the driver's.
    pub(crate) fn install<R: Registers>(&mut self, registers: &R) {
        for buffer in &mut self.buffers {
            if let Some(buffer) = buffer.take() {
                self.pool.recycle(buffer);
            }
        }
        (self.next, self.tail, self.is_dropping) = (0, 0, false);
        self.ring.install(registers);
    }

    /// Buffers that the device has.
    fn filled(&self) -> usize {
        self.tail.wrapping_sub(self.next) as usize
    }

    /// Gives the device buffers, if many are missing and there are any.
    #[inline]
    pub(crate) fn refill<R: Registers>(&mut self, registers: &R) {
        // One descriptor stays ours: see the ring.
        let missing = self.ring.size() - 1 - self.filled();
        if missing < self.refill {
            return;
        }
        let before = self.tail;
        for _ in 0..missing {
            let Some(mut buffer) = self.pool.take() else { break };
            let whole = buffer.total_capacity();
            buffer.set_len(whole).expect("a buffer can be as long as it is");
            self.ring.put(self.tail, descriptor::empty(buffer.bus_addr()));
            self.buffers[self.ring.slot(self.tail)] = Some(buffer);
            self.tail = self.tail.wrapping_add(1);
        }
        if self.tail != before {
            self.ring.publish(registers, self.tail);
        }
    }

    /// Whether something has been received.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.filled() > 0 && Received::parse(self.ring.status(self.next)).is_some()
    }

    /// Moves frames into `out` until it is full, or none is waiting.
    #[inline]
    pub(crate) fn receive(&mut self, out: &mut Burst<Frame>) -> Dropped {
        let mut dropped = Dropped::default();
        let mut left = self.filled();
        while left > 0 && out.room() > 0 {
            let Some(received) = Received::parse(self.ring.status(self.next)) else { break };
            left -= 1;
            let slot = self.ring.slot(self.next);
            self.next = self.next.wrapping_add(1);
            let Some(buffer) = self.buffers[slot].take() else { break };
            match self.judge(received) {
                Verdict::Frame => match frame(buffer, received) {
                    Some(frame) => out.push(frame).expect("there is room, as just checked"),
                    None => dropped.malformed += 1,
                },
                Verdict::Nothing => self.pool.recycle(buffer),
                Verdict::Malformed => {
                    dropped.malformed += 1;
                    self.pool.recycle(buffer);
                }
                Verdict::Damaged => {
                    dropped.damaged += 1;
                    self.pool.recycle(buffer);
                }
            }
        }
        dropped
    }

    /// Leaves everything to the device for ever.
    pub(crate) fn leak(&mut self) {
        self.ring.leak();
        self.buffers.iter_mut().filter_map(Option::take).for_each(core::mem::forget);
    }

    fn judge(&mut self, received: Received) -> Verdict {
        let is_end = received.status.contains(ReceiveStatus::END_OF_FRAME);
        let was_dropping = core::mem::replace(&mut self.is_dropping, !is_end);
        match (was_dropping, is_end) {
            // Counted when it began.
            (true, _) => Verdict::Nothing,
            (false, false) => Verdict::Malformed,
            (false, true) if received.is_damaged() => Verdict::Damaged,
            (false, true) => Verdict::Frame,
        }
    }
}

/// What a descriptor stands for.
enum Verdict {
    Frame,
    /// Part of what is being dropped.
    Nothing,
    Malformed,
    Damaged,
}

/// Cuts a buffer down to its frame, if the length can be that of one.
fn frame(mut buffer: DmaBuf, received: Received) -> Option<Frame> {
    let len = usize::from(received.len);
    if !(ETHERNET_HEADER_LEN..=MAX_FRAME).contains(&len) {
        return None;
    }
    buffer.set_len(len).ok()?;
    let mut frame = Frame::from_buffer(buffer);
    if received.is_verified() {
        frame.set_notes(Notes { checksum: Checksum::Verified, ..Notes::default() });
    }
    Some(frame)
}
