//! [`Receiver`]: the way of frames in.
//!
//! ```text
//!   pool --refill--> queue --> device --> queue --look at the header--> frame --caller drops it--> pool
//!
//!   one buffer      | header | frame                  |            Reading::Plain, Reading::Checked
//!
//!   several         | headroom | header | start of packet |        Reading::Merged: num_buffers of the first header
//!                   | headroom | more of it               |        says how many; they follow each other in the ring
//!                   | headroom | rest |
//! ```
//!
//! How much is read of a header is decided once: nothing where no offload was negotiated, else what it says about the
//! checksum, and where packets may take several buffers, how many it is.
//!
//! # Merged buffers
//!
//! The parts of a packet leave as frames of one call, without a copy. A device may show them in several steps, so parts
//! wait in an [`Assembly`] until all are there. Each part keeps headroom, in which the stack can write headers of its own.
//! A frame that the link can carry uncut never takes several: buffers are large enough for those.
//!
//! # Hostile devices
//!
//! A length is believed from "header and Ethernet header" to what the buffer holds. A packet of no buffers, of more than
//! a burst holds, of more bytes than a packet can have or with an empty part is dropped with all its buffers; one of more
//! buffers than the queue has is a fault, because nothing that follows would make sense.

use toro_core::driver::DeviceFault;
use toro_core::driver::net::{BURST, Burst, Frame, Notes};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::{Direction, Done, Running, Transport, Virtqueue};
use zerocopy::FromBytes;

use crate::framing::{Framing, Queue, with};
use crate::header::{LONGEST_PACKET, Receiving};
use crate::wire::{ETHERNET_HEADER_LEN, HEADER_LEN, Header};

/// What is read of a received header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing.
    Plain,
    /// What it says about the checksum.
    Checked,
    /// That, about segmentation, and how many buffers the packet takes.
    Merged,
}

/// One receive queue, and the buffers that go through it.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub queue: Queue,
    pub pool: DmaPool,
    pub reading: Reading,
    /// Bytes of each buffer in front of what the device writes.
    pub headroom: usize,
    pub header_len: usize,
    pub rules: Receiving,
    pub assembly: Assembly,
    /// How few buffers the device may have before some are looked for although none has come.
    pub few: u16,
    pub fault: Option<DeviceFault>,
}

/// A packet that is coming in.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// Its buffers, the first without its header.
    parts: Burst<DmaBuf>,
    header: Header,
    /// How many more there will be.
    missing: u16,
    /// Bytes so far.
    len: usize,
    is_spoilt: bool,
}

impl Assembly {
    /// Whether a packet waits for room in the caller's burst.
    pub fn is_waiting(&self) -> bool {
        self.missing == 0 && !self.parts.is_empty()
    }

    fn begin(&mut self, header: Header, missing: u16) {
        self.clear();
        (self.header, self.missing) = (header, missing);
        self.is_spoilt = usize::from(missing) >= BURST;
    }

    fn add(&mut self, part: DmaBuf) {
        self.len += part.len();
        self.is_spoilt |= part.is_empty() || self.len > LONGEST_PACKET;
        if !self.is_spoilt {
            // There are at most so many parts as a burst holds.
            let _ = self.parts.push(part);
        }
    }

    fn clear(&mut self) {
        while self.parts.pop().is_some() {}
        (self.missing, self.len, self.is_spoilt) = (0, 0, false);
    }
}

impl Receiver {
    /// Moves received frames into `out`; returns how many packets were dropped as malformed.
    pub fn receive<T: Transport>(&mut self, out: &mut Burst<Frame>, running: &Running<T>) -> Result<u64, DeviceFault> {
        let before = self.queue.len();
        let (rules, header_len) = (self.rules, self.header_len);
        let malformed = match (self.reading, &mut self.queue) {
            (Reading::Plain, queue) => {
                with!(queue, queue => whole::<_, false>(queue, out, &rules, header_len))
            }
            (Reading::Checked, queue) => {
                with!(queue, queue => whole::<_, true>(queue, out, &rules, header_len))
            }
            (Reading::Merged, Queue::Whole(_)) => self.merged(out),
            // Where headers have a descriptor of their own, merging is not negotiated.
            (Reading::Merged, Queue::Divided(_)) => Ok(0),
        };
        let malformed = match malformed {
            Ok(malformed) => malformed,
            Err(fault) => {
                self.fault = Some(fault);
                return Err(fault);
            }
        };
        // Also when nothing came: frames that were held before may have come home.
        if self.queue.len() != before || self.queue.len() < self.few {
            self.refill(running);
        }
        Ok(malformed)
    }

    /// Gives the device empty buffers until the queue is full or the pool is empty, and publishes once.
    pub fn refill<T: Transport>(&mut self, running: &Running<T>) {
        let (pool, headroom, header_len) = (&mut self.pool, self.headroom, self.header_len);
        with!(&mut self.queue, queue => fill(queue, pool, headroom, header_len));
        self.queue.publish(running);
    }

    /// As [`whole`], where a packet may take several buffers.
    fn merged(&mut self, out: &mut Burst<Frame>) -> Result<u64, DeviceFault> {
        let Queue::Whole(queue) = &mut self.queue else { return Ok(0) };
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let assembly = &mut self.assembly;
        let mut malformed = 0;
        loop {
            if assembly.is_waiting() && !hand_over(assembly, &self.rules, out, &mut malformed) {
                break;
            }
            if out.room() == 0 {
                break;
            }
            let Some(done) = queue.poll()? else { break };
            if assembly.missing > 0 {
                assembly.missing -= 1;
                // HD-NET-8: one that was not written, or written beyond its end.
                assembly.is_spoilt |= done.written == 0 || done.is_overlong;
                let mut part = done.payload;
                let _ = part.set_len(done.written as usize);
                assembly.add(part);
                if assembly.missing == 0 && assembly.is_spoilt {
                    malformed += 1;
                    assembly.clear();
                }
                continue;
            }
            let Some((buffers, header, frame)) = first(done) else {
                malformed += 1;
                continue;
            };
            if buffers == 1 {
                match frame.and_then(|frame| self.rules.notes(&header, frame.len(), frame.len()).map(|n| (frame, n))) {
                    Some((buffer, notes)) => give(out, buffer, notes),
                    None => malformed += 1,
                }
                continue;
            }
            if buffers > queue.capacity() {
                // HD-NET-5: nothing that follows would make sense.
                return Err(DeviceFault::PacketTooLong { buffers });
            }
            // HD-NET-4: no buffers at all is a lie about one.
            let Some(missing) = buffers.checked_sub(1) else {
                malformed += 1;
                continue;
            };
            assembly.begin(header, missing);
            match frame {
                Some(frame) => assembly.add(frame),
                None => assembly.is_spoilt = true,
            }
        }
        Ok(malformed)
    }
}

/// Moves the packet that is complete into the burst, or counts it; says whether there was room.
fn hand_over(assembly: &mut Assembly, rules: &Receiving, out: &mut Burst<Frame>, malformed: &mut u64) -> bool {
    let Assembly { parts, header, len, .. } = assembly;
    if out.room() < parts.len() {
        return false;
    }
    let Some(first) = parts.pop() else { return true };
    let Some(notes) = rules.notes(header, first.len(), *len) else {
        *malformed += 1;
        assembly.clear();
        return true;
    };
    give(out, first, Notes { continues: true, ..notes });
    while let Some(part) = parts.pop() {
        give(out, part, Notes { continues: !parts.is_empty(), ..Notes::default() });
    }
    assembly.clear();
    true
}

#[inline(always)]
fn give(out: &mut Burst<Frame>, buffer: DmaBuf, notes: Notes) {
    let mut frame = Frame::from_buffer(buffer);
    frame.set_notes(notes);
    // The callers have looked whether there is room.
    let _ = out.push(frame);
}

/// Reads the header of a packet's first buffer: in how many buffers it is, and what is behind the header, if that can be
/// the start of a frame. `None`: there is no header.
#[inline(always)]
fn first(done: Done<DmaBuf, (), ()>) -> Option<(u16, Header, Option<DmaBuf>)> {
    let (mut buffer, written) = (done.payload, done.written as usize);
    // HD-NET-1, 2, 3.
    if written < HEADER_LEN {
        return None;
    }
    buffer.set_len(written).ok()?;
    let (header, _) = Header::read_from_prefix(&buffer).ok()?;
    buffer.pull_front(HEADER_LEN).ok()?;
    let is_start = written >= HEADER_LEN + ETHERNET_HEADER_LEN && !done.is_overlong;
    Some((header.num_buffers.get(), header, is_start.then_some(buffer)))
}

/// Moves received frames into `out`, each of which is one buffer, and returns how many were dropped. Of headers only what
/// is about checksums is read, if that.
#[inline]
fn whole<P: Framing, const CHECKED: bool>(
    queue: &mut Virtqueue<P, ()>,
    out: &mut Burst<Frame>,
    rules: &Receiving,
    header_len: usize,
) -> Result<u64, DeviceFault> {
    let mut malformed = 0;
    let mut room = out.room();
    while room > 0 {
        let Some(done) = queue.poll()? else { break };
        let (mut buffer, written) = (done.payload.unwrap(), done.written as usize);
        // HD-NET-1, 2, 3: no header, no frame behind it, or more than a frame can be.
        if written < header_len + ETHERNET_HEADER_LEN || written > header_len + rules.max_frame || done.is_overlong {
            malformed += 1;
            continue;
        }
        let mut notes = Notes::default();
        if CHECKED {
            let len = written - header_len;
            // The first bytes are the same in both lengths, and there is more than the longer one.
            match Header::read_from_prefix(&buffer).ok().and_then(|(header, _)| rules.notes(&header, len, len)) {
                Some(said) => notes = said,
                None => {
                    malformed += 1;
                    continue;
                }
            }
        }
        if buffer.set_len(written).is_err() || buffer.pull_front(header_len).is_err() {
            malformed += 1;
            continue;
        }
        give(out, buffer, notes);
        room -= 1;
    }
    Ok(malformed)
}

#[inline]
fn fill<P: Framing>(queue: &mut Virtqueue<P, ()>, pool: &mut DmaPool, headroom: usize, header_len: usize) {
    let mut room = queue.room();
    while room > 0 {
        let Some(mut buffer) = pool.take() else { break };
        let whole = buffer.total_capacity() - headroom;
        if buffer.reset(headroom).is_err() || buffer.set_len(whole).is_err() {
            break;
        }
        let payload = P::wrap(buffer, header_len);
        if queue.submit_or((), payload, Direction::FromDevice, (), (), |_, payload, ()| drop(payload)).is_err() {
            break;
        }
        room -= 1;
    }
}
