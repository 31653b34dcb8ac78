//! [`Transmitter`]: the way of frames out.
//!
//! ```text
//!   pool, of plain frames      \
//!                               frame --stack fills it--> header in front --> queue --> device
//!   large, of long segments    /                                                |
//!       ^-----------------------------------------------------------------------+ looked at when slots run low
//! ```
//!
//! The header goes into the headroom that each frame has, and is written only where it changes: a buffer mostly comes
//! back with the header that it left with. A burst is published once. Completions say nothing worth knowing, and raise no
//! interrupt unless somebody waits for room.

use toro_core::driver::DeviceFault;
use toro_core::driver::net::{Burst, Frame};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::queue::Next;
use virtio_queue_rt::{Direction, Running, Transport, Virtqueue};
use zerocopy::IntoBytes;

use crate::framing::{Framing, Queue, with};
use crate::header::{Sending, is_frame};
use crate::wire::HEADER_LEN;

/// One transmit queue, and the buffers that go through it.
#[derive(Debug)]
pub(crate) struct Transmitter {
    pub queue: Queue,
    pub pool: DmaPool,
    /// For segments that the device is to cut.
    pub large: Option<DmaPool>,
    pub header_len: usize,
    pub rules: Sending,
}

impl Transmitter {
    /// Sends the frames of a burst as far as there is room, and returns how many could not be sent at all.
    pub fn transmit<T: Transport>(
        &mut self,
        frames: &mut Burst<Frame>,
        running: &Running<T>,
    ) -> Result<u64, DeviceFault> {
        if usize::from(self.queue.room()) < frames.len() {
            self.reclaim()?;
        }
        let (rules, header_len) = (self.rules, self.header_len);
        let refused = with!(&mut self.queue, queue => send(queue, frames, &rules, header_len));
        self.queue.publish(running);
        self.queue.fault().map_or(Ok(refused), Err)
    }

    /// Takes sent frames back.
    pub fn reclaim(&mut self) -> Result<u16, DeviceFault> {
        let pool = &mut self.pool;
        with!(&mut self.queue, queue => queue.drain(|done| pool.recycle(done.payload.unwrap())))
    }

    /// The longest frame that there is.
    pub fn longest(&self) -> usize {
        let Sending { max_frame, offloads, .. } = self.rules;
        max_frame.max(offloads.max_tcp4).max(offloads.max_tcp6)
    }

    /// An empty buffer with room for a header and a frame of `len` bytes, if one is free and there are so long ones.
    #[inline]
    pub fn buffer(&mut self, len: usize) -> Option<DmaBuf> {
        let mut buffer = match len <= self.rules.max_frame {
            true => self.pool.take()?,
            false => self.large_buffer(len)?,
        };
        buffer.reset(self.header_len).ok()?;
        Some(buffer)
    }

    fn large_buffer(&mut self, len: usize) -> Option<DmaBuf> {
        if len > self.longest() {
            return None;
        }
        self.large.as_mut()?.take()
    }
}

/// Moves frames into the queue while there is room; returns how many could not be sent at all.
#[inline]
fn send<P: Framing>(
    queue: &mut Virtqueue<P, ()>,
    frames: &mut Burst<Frame>,
    rules: &Sending,
    header_len: usize,
) -> u64 {
    let mut refused = 0;
    let max_frame = rules.max_frame;
    let next = || {
        let Some(frame) = frames.pop() else { return Next::End };
        match prepare(frame, rules, max_frame, header_len) {
            Some(buffer) => Next::Request(P::wrap(buffer, header_len), ()),
            None => {
                refused += 1;
                Next::Nothing
            }
        }
    };
    // What has a header and a frame is not empty. If it were, it would be lost: as what cannot be sent at all.
    match queue.submit_each(Direction::ToDevice, next) {
        Ok(()) => refused,
        Err(_) => refused + 1,
    }
}

/// Puts the header in front of a frame; `None` if it cannot be sent.
#[inline(always)]
fn prepare(frame: Frame, rules: &Sending, max_frame: usize, header_len: usize) -> Option<DmaBuf> {
    if !frame.is_plain() {
        return prepare_offloaded(frame, rules, header_len);
    }
    if !is_frame(frame.len(), max_frame) {
        return None;
    }
    let mut buffer = frame.into_buffer();
    buffer.push_front(header_len).ok()?;
    clear(&mut buffer, header_len);
    Some(buffer)
}

/// As `prepare`, for a frame about which there is something to do.
fn prepare_offloaded(frame: Frame, rules: &Sending, header_len: usize) -> Option<DmaBuf> {
    let header = rules.header(&frame, frame.notes())?;
    let mut buffer = frame.into_buffer();
    buffer.push_front(header_len).ok()?;
    buffer[..header_len].copy_from_slice(&header.as_bytes()[..header_len]);
    Some(buffer)
}

/// Makes the header at the front of a buffer zeros, unless it is zeros already.
#[inline(always)]
fn clear(buffer: &mut DmaBuf, header_len: usize) {
    if header_len != HEADER_LEN {
        buffer[..header_len].fill(0);
    } else if let Some(header) = buffer.first_chunk_mut::<HEADER_LEN>()
        && *header != [0; HEADER_LEN]
    {
        *header = [0; HEADER_LEN];
    }
}
