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
use virtio_queue_rt::{Direction, Running, Transport, Virtqueue};
use zerocopy::{FromBytes, IntoBytes};

use crate::framing::{Framing, Queue, with};
use crate::header::Sending;
use crate::wire::{HEADER_LEN, Header};

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

    /// An empty buffer with room for a header and a frame of `len` bytes. The outer `None`: there is none of that length
    /// at all; the inner one: all are in use.
    pub fn buffer(&mut self, len: usize) -> Option<Option<DmaBuf>> {
        let longest = self.rules.offloads.max_tcp4.max(self.rules.offloads.max_tcp6);
        let pool = match &mut self.large {
            _ if len <= self.rules.max_frame => &mut self.pool,
            Some(large) if len <= longest => large,
            _ => return None,
        };
        let buffer = pool.take().and_then(|mut buffer| buffer.reset(self.header_len).ok().map(|()| buffer));
        Some(buffer)
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
    let mut room = queue.room();
    while room > 0 {
        let Some(frame) = frames.pop() else { break };
        let Some(header) = rules.header(&frame, frame.notes()) else {
            refused += 1;
            continue;
        };
        let notes = frame.notes();
        let mut buffer = frame.into_buffer();
        if buffer.push_front(header_len).is_err() {
            refused += 1;
            continue;
        }
        put(&mut buffer, &header, header_len);
        let payload = P::wrap(buffer, header_len);
        // Not before it is there: a device may not be shown less than what was taken.
        let submitted = queue.submit_or((), payload, Direction::ToDevice, (), (), |_, payload, ()| payload);
        if let Err(payload) = submitted {
            // Cannot be: there is room and the buffer is not empty. The frame stays the caller's all the same.
            let mut buffer = payload.unwrap();
            let _ = buffer.pull_front(header_len);
            let mut frame = Frame::from_buffer(buffer);
            frame.set_notes(notes);
            let _ = frames.unpop(frame);
            break;
        }
        room -= 1;
    }
    refused
}

/// Writes a header to the front of a buffer, unless it is there already.
#[inline(always)]
fn put(buffer: &mut DmaBuf, header: &Header, header_len: usize) {
    if header_len == HEADER_LEN
        && let Ok((present, _)) = Header::mut_from_prefix(buffer)
    {
        if present != header {
            *present = *header;
        }
    } else {
        buffer[..header_len].copy_from_slice(&header.as_bytes()[..header_len]);
    }
}
