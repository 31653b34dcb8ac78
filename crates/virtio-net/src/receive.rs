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
use virtio_queue_rt::queue::Next;
use virtio_queue_rt::{Direction, Done, Running, Transport, Virtqueue};
use zerocopy::FromBytes;

use crate::framing::{Framing, Queue, with};
use crate::header::{LONGEST_PACKET, Receiving, is_frame, is_one_buffer, says_nothing};
use crate::wire::{ETHERNET_HEADER_LEN, HEADER_LEN, Header};

/// Whether packets may take several buffers: it is not negotiated without the feature `merging`.
pub(crate) const IS_MERGING_THERE: bool = cfg!(feature = "merging");

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
        // HD-NET-7, 8.
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
    #[inline]
    pub fn receive<T: Transport>(&mut self, out: &mut Burst<Frame>, running: &Running<T>) -> Result<u64, DeviceFault> {
        // Whoever is woken looks until nothing comes: as often in vain as not.
        let is_idle = !self.queue.has_news()
            && self.queue.len() >= self.few
            && !self.assembly.is_waiting()
            && self.fault.is_none();
        if is_idle { Ok(0) } else { self.look(out, running) }
    }

    /// As `receive`, where there is something to do.
    fn look<T: Transport>(&mut self, out: &mut Burst<Frame>, running: &Running<T>) -> Result<u64, DeviceFault> {
        let before = self.queue.len();
        let (rules, header_len) = (self.rules, self.header_len);
        let malformed = match (self.reading, &mut self.queue) {
            (Reading::Plain, queue) => {
                with!(queue, queue => whole::<_, false>(queue, out, &rules, header_len))
            }
            (Reading::Checked, queue) => {
                with!(queue, queue => whole::<_, true>(queue, out, &rules, header_len))
            }
            (Reading::Merged, _) => self.merged(out),
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
        // Where headers have a descriptor of their own, merging is not negotiated.
        let Some(queue) = self.queue.whole() else { return Ok(0) };
        if !IS_MERGING_THERE {
            return Ok(0);
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let max_frame = self.rules.max_frame;
        let capacity = queue.capacity();
        let (assembly, rules) = (&mut self.assembly, &self.rules);
        let mut merging = Merging { assembly, rules, out, capacity, malformed: 0, too_many: None };
        loop {
            if merging.assembly.is_waiting() && !merging.hand_over() {
                break;
            }
            let room = merging.out.room();
            if room == 0 {
                break;
            }
            // What is taken now is a frame at most, each, so that whatever is completed by it has room. A packet that has
            // none is completed part by part, and then waits.
            let most = room.saturating_sub(merging.assembly.parts.len()).max(1);
            let taken = queue.drain_up_to(most as u16, |done| {
                // As most are; `take` would say the same of it.
                if merging.assembly.missing == 0
                    && let Some(len) = plain(&done, max_frame)
                {
                    let mut buffer = done.payload;
                    if buffer.narrow(HEADER_LEN..HEADER_LEN + len).is_ok() {
                        give(merging.out, Frame::from_buffer(buffer));
                    }
                } else {
                    merging.take(done);
                }
            })?;
            if let Some(buffers) = merging.too_many {
                // HD-NET-5.
                return Err(DeviceFault::PacketTooLong { buffers });
            }
            if usize::from(taken) < most && !merging.assembly.is_waiting() {
                break;
            }
        }
        Ok(merging.malformed)
    }
}

/// What is done with buffers that are not simply a packet each.
struct Merging<'a> {
    assembly: &'a mut Assembly,
    rules: &'a Receiving,
    out: &'a mut Burst<Frame>,
    /// How many buffers the queue has.
    capacity: u16,
    malformed: u64,
    /// A packet said to have more than those. Then some are missing for ever, and nothing that follows makes sense.
    too_many: Option<u16>,
}

impl Merging<'_> {
    /// Takes any buffer.
    #[inline(never)]
    fn take(&mut self, done: Done<DmaBuf, (), ()>) {
        if self.too_many.is_some() {
            return;
        }
        if self.assembly.missing > 0 {
            return self.next(done);
        }
        let Some((buffers, header, frame)) = first(done) else {
            self.malformed += 1;
            return;
        };
        match buffers {
            1 => {
                let said = frame.and_then(|frame| {
                    let notes = self.rules.notes(&header, frame.len(), frame.len())?;
                    Some(Frame::with_notes(frame, notes))
                });
                match said {
                    Some(frame) => give(self.out, frame),
                    None => self.malformed += 1,
                }
            }
            // HD-NET-4: no buffers at all is a lie about one.
            0 => self.malformed += 1,
            _ => {
                self.assembly.begin(header, buffers - 1);
                if buffers > self.capacity {
                    self.too_many = Some(buffers);
                    return;
                }
                match frame {
                    Some(frame) => self.assembly.add(frame),
                    None => self.assembly.is_spoilt = true,
                }
            }
        }
    }

    /// Takes the next buffer of a packet, and hands the packet over if it was the last and there is room.
    fn next(&mut self, done: Done<DmaBuf, (), ()>) {
        let assembly = &mut *self.assembly;
        assembly.missing -= 1;
        // HD-NET-8.
        assembly.is_spoilt |= done.is_overlong;
        let mut part = done.payload;
        let _ = part.set_len(done.written as usize);
        assembly.add(part);
        if assembly.missing > 0 {
            return;
        }
        if assembly.is_spoilt {
            self.malformed += 1;
            assembly.clear();
        } else {
            // Without room it waits.
            let _ = self.hand_over();
        }
    }

    /// Moves the packet that is complete into the burst, or counts it; says whether there was room.
    fn hand_over(&mut self) -> bool {
        let Assembly { parts, header, len, .. } = &mut *self.assembly;
        if self.out.room() < parts.len() {
            return false;
        }
        let Some(first) = parts.pop() else { return true };
        let Some(notes) = self.rules.notes(header, first.len(), *len) else {
            self.malformed += 1;
            self.assembly.clear();
            return true;
        };
        give(self.out, Frame::with_notes(first, Notes { continues: true, ..notes }));
        while let Some(part) = parts.pop() {
            let notes = Notes { continues: !parts.is_empty(), ..Notes::default() };
            give(self.out, Frame::with_notes(part, notes));
        }
        self.assembly.clear();
        true
    }
}

#[inline(always)]
fn give(out: &mut Burst<Frame>, frame: Frame) {
    // The callers have looked whether there is room.
    let _ = out.push(frame);
}

/// The length of the frame in a buffer that holds a packet of its own about which nothing is said.
#[inline(always)]
fn plain(done: &Done<DmaBuf, (), ()>, max_frame: usize) -> Option<usize> {
    let len = (done.written as usize).checked_sub(HEADER_LEN)?;
    // As in `one`, a device that claims more than the buffer holds claims more than a frame.
    let is_plain = is_frame(len, max_frame) && done.payload.first_chunk().is_some_and(is_one_buffer);
    is_plain.then_some(len)
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
    let (header, _) = Header::read_from_prefix(&buffer).ok()?;
    buffer.narrow(HEADER_LEN..written).ok()?;
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
    // Where some were dropped there is room for more. The device has no new buffers meanwhile, so this ends.
    loop {
        let room = out.room();
        if room == 0 {
            break;
        }
        let taken = queue.drain_up_to(room as u16, |done| {
            match one::<CHECKED>(done.payload.unwrap(), done.written as usize, rules, header_len) {
                Some(frame) => give(out, frame),
                _ => malformed += 1,
            }
        })?;
        if usize::from(taken) < room {
            break;
        }
    }
    Ok(malformed)
}

/// The frame in a buffer of which so much was written, if it is one.
#[inline(always)]
fn one<const CHECKED: bool>(mut buffer: DmaBuf, written: usize, rules: &Receiving, header_len: usize) -> Option<Frame> {
    // HD-NET-1, 2, 3: no header, no frame behind it, or more than a frame can be. That is also what the device says if it
    // claims more than the buffer holds: buffers are longer than a frame by at least a byte, and then all was written.
    let len = written.checked_sub(header_len)?;
    if !is_frame(len, rules.max_frame) {
        return None;
    }
    // The first bytes are the same in both lengths, and there is more than the longer one.
    if CHECKED && !says_nothing(buffer.first_chunk()?) {
        return noted(buffer, len, rules, header_len);
    }
    buffer.narrow(header_len..written).ok()?;
    Some(Frame::from_buffer(buffer))
}

/// As `one`, of a frame of `len` bytes about which something is said.
#[inline(never)]
fn noted(mut buffer: DmaBuf, len: usize, rules: &Receiving, header_len: usize) -> Option<Frame> {
    let (header, _) = Header::read_from_prefix(&buffer).ok()?;
    let notes = rules.notes(&header, len, len)?;
    buffer.narrow(header_len..header_len + len).ok()?;
    Some(Frame::with_notes(buffer, notes))
}

#[inline]
fn fill<P: Framing>(queue: &mut Virtqueue<P, ()>, pool: &mut DmaPool, headroom: usize, header_len: usize) {
    // The headroom is shorter than the buffers, which were made for it.
    let Ok(mut buffers) = pool.whole(headroom) else { return };
    let next = || match buffers.next() {
        Some(buffer) => Next::Request(P::wrap(buffer, header_len), ()),
        None => Next::End,
    };
    // Buffers are never empty; one that was goes back to its pool.
    let _ = queue.submit_each(Direction::FromDevice, next);
}
