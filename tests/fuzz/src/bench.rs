//! [`Bench`]: a queue under test, its device's side, and what must be true of the two after every step.
//!
//! ```text
//!   a target's steps --> Bench --> Virtqueue   (the driver's side, under test)
//!                          |   --> Peer        (the device's side: obeys, or lies)
//!                          +-----> ledger      (what is in flight: buffers, their bytes, who has seen them)
//! ```
//!
//! # What is held, whatever the device does
//!
//! - What is in flight and what is free make up the capacity.
//! - Each request comes back at most once while the queue lives, and exactly once all told, with the very buffers,
//!   lengths and token that it went with.
//! - At most as many requests come back as were published.
//! - What comes back is what the device's used element names, all 32 bits of it, and the device is said to have written
//!   what the element says, at most what it could write. In order, an element may stand for others before it, as far as
//!   the used index reaches.
//! - A used index that moves by more than what is in flight is noticed when it is read.
//! - A kick is wished for exactly where the device's suppression, as it stands at that moment, asks for one.
//! - After a fault the queue refuses everything with that fault, and room is zero.
//!
//! # What is held as long as the device has not lied
//!
//! - There is no fault, and everything that the device has given back is found at once.
//! - Each chain that the device finds is the request that was submitted, part by part.
//! - What the device wrote is what is found, as far as it said; nothing behind it, and nothing that it only reads, has
//!   changed.

use std::collections::BTreeMap;

use toro_core::driver::{Armed, DeviceFault, Refusal};
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::queue::{Done, Token};
use virtio_queue_rt::{FeatureBits, Notify, QueueIndex, Reset, Running, Virtqueue};
use virtio_sim::SimMemory;

use crate::clock::CLOCK;
use crate::kinds::{Buffers, Load, Mark};
use crate::peer::{Chain, Part, Peer, fill};
use crate::wires::Wires;

/// The largest buffer in bytes.
const BUFFER: usize = 64;
/// What buffers hold that nobody has written to.
const BLANK: u8 = 0xee;

/// What a request carries, chosen by the input.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Lengths of buffers that the device reads; 0 is none.
    pub readable: [u8; 2],
    /// Lengths of buffers that the device writes; 0 is none.
    pub writable: [u8; 2],
    /// Unused bytes in front of each.
    pub headroom: u8,
}

/// What is known of a request in flight.
struct Entry<D> {
    direction: D,
    token: Token,
    /// The buffers, without header and trailer.
    parts: Vec<Part>,
    trailer: Vec<u8>,
    writable: u32,
    /// How many bytes the device wrote, and how many it said; `None` while it has not used it.
    used: Option<(u32, u32)>,
    /// Whether somebody wrote into its buffers in another way.
    is_dirty: bool,
}

/// See the [module](self).
pub struct Bench<P: Load, H: Mark, T: Mark> {
    memory: &'static SimMemory,
    wires: Wires,
    running: Running<Wires>,
    queue: Virtqueue<P, u32, H, T>,
    peer: Peer,
    pool: DmaPool,
    entries: BTreeMap<u32, Entry<P::Direction>>,
    next_cookie: u32,
    submitted: u64,
    published: u64,
    completed: u64,
    /// The used index as the queue read it last.
    seen: u16,
    /// In order: how much of the element that stands for several is left, and its length.
    batch: (u16, u32),
    publishes: u32,
    lied: bool,
}

/// The device's side of the queue that the driver has just set up.
fn peer(wires: &Wires, memory: &'static SimMemory, features: FeatureBits) -> Peer {
    let rings = wires.board().rings.expect("the queue was set up");
    let parts = [rings.descriptors, rings.available, rings.used].map(|address| address.get());
    Peer::new(memory, rings.size, parts, features)
}

/// What became of a bench that was ended.
pub type Fresh = (Wires, DmaPool);

impl<P: Load, H: Mark, T: Mark> Bench<P, H, T> {
    /// Initialises the device at the other end and its queue; `None`, with everything given back, where that is refused.
    pub fn new(memory: &'static SimMemory, wires: Wires, most: u16, drop: FeatureBits) -> Option<Self> {
        let reset = Reset::new(wires.clone(), &CLOCK).expect("it confirms");
        let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits & !drop).ok()?;
        let features = negotiated.features();
        assert!((features & drop).is_empty() && wires.board().offered.contains(features));
        let queue = negotiated.queue::<P, u32, H, T>(QueueIndex(0), most, memory).ok()?;
        let running = negotiated.run();
        let peer = peer(&wires, memory, features);
        let pool = DmaPool::new(memory, 4 * usize::from(queue.capacity()).min(64) + 4, BUFFER).expect("memory");
        let bench = Self {
            memory,
            wires,
            running,
            queue,
            peer,
            pool,
            entries: BTreeMap::new(),
            next_cookie: 0,
            submitted: 0,
            published: 0,
            completed: 0,
            seen: 0,
            batch: (0, 0),
            publishes: 0,
            lied: false,
        };
        bench.check();
        Some(bench)
    }

    /// The device's side, to lie.
    pub fn lie(&mut self) -> &mut Peer {
        self.lied = true;
        self.peer.is_lenient = true;
        &mut self.peer
    }

    /// The device's side, to do what every device may.
    pub fn peer(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// The fault that the queue found.
    pub fn fault(&self) -> Option<DeviceFault> {
        self.queue.fault()
    }

    fn is_in_order(&self) -> bool {
        self.running.features().contains(FeatureBits::IN_ORDER)
    }

    /// What holds at all times.
    pub fn check(&self) {
        let (len, capacity) = (self.queue.len(), self.queue.capacity());
        assert_eq!(usize::from(len), self.entries.len(), "requests in the queue");
        assert!(len <= capacity);
        let room = if self.queue.fault().is_some() { 0 } else { capacity - len };
        assert_eq!(self.queue.room(), room, "in flight and free are not the capacity");
        assert!(self.completed <= self.published && self.published <= self.submitted);
        assert!(self.wires.board().kicks <= self.publishes, "more kicks than publications");
        assert!(self.lied || self.queue.fault().is_none(), "{:?} without a lie", self.queue.fault());
    }

    fn buffer(&mut self, len: u8, headroom: u8) -> Option<DmaBuf> {
        let len = usize::from(len).min(BUFFER);
        let mut buffer = self.pool.take()?;
        buffer.reset(usize::from(headroom).min(BUFFER - len)).expect("it fits, as just computed");
        buffer.set_len(len).expect("it fits, as just computed");
        buffer.fill(BLANK);
        Some(buffer)
    }

    /// Submits a request.
    pub fn submit(&mut self, wish: Wish) {
        let mut buffers = Buffers::default();
        let wished = |lens: [u8; 2]| lens.into_iter().filter(|len| *len > 0).take(P::ROOM);
        for len in wished(wish.readable) {
            buffers.readable.extend(self.buffer(len, wish.headroom));
        }
        if P::IS_MIXED || buffers.readable.is_empty() {
            for len in wished(wish.writable) {
                buffers.writable.extend(self.buffer(len, wish.headroom));
            }
        }
        let is_nothing = buffers.all().next().is_none();
        if is_nothing && !P::IS_MIXED {
            // A payload of one buffer that is empty, which the queue has to refuse; or of none, which needs a header.
            let Some(empty) = self.buffer(0, wish.headroom) else { return };
            buffers.readable.push(empty);
        }
        let parts: Vec<_> = buffers.parts().collect();
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        let (header, trailer) = (H::value(cookie.into()), T::value(!u64::from(cookie)));
        let (payload, direction) = P::pack(buffers);
        let writable = parts.iter().filter(|part| part.is_writable).map(|part| part.len).sum::<u32>() + T::LEN;
        let is_sound = parts.iter().all(|part| part.len > 0) && (!parts.is_empty() || H::LEN > 0);
        let room = self.queue.room();
        match self.queue.submit(header, payload, direction, trailer, cookie) {
            Ok(token) => {
                assert!(room > 0 && is_sound, "a request was accepted that should not have been");
                assert!(self.entries.values().all(|entry| entry.token != token), "two requests in one slot");
                let trailer = T::bytes(trailer);
                let entry = Entry { direction, token, parts, trailer, writable, used: None, is_dirty: false };
                self.entries.insert(cookie, entry);
                self.submitted += 1;
            }
            Err(refused) => {
                let reason = match self.queue.fault() {
                    Some(fault) => Refusal::Faulted(fault),
                    None if room == 0 => Refusal::Full,
                    None => Refusal::Invalid,
                };
                assert!(room == 0 || !is_sound, "a request was refused that should not have been");
                assert_eq!((refused.reason, refused.request.1), (reason, cookie));
                let returned: Vec<_> = refused.request.0.unpack(direction).parts().collect();
                assert_eq!(returned, parts, "other buffers came back");
            }
        }
        self.check();
    }

    /// Publishes, and notifies where that is wished for.
    pub fn publish(&mut self) {
        let (old, new) = (self.published as u16, self.submitted as u16);
        let is_new = self.published != self.submitted;
        let expected = if is_new && self.peer.wants_kick(old, new) { Notify::Needed } else { Notify::Suppressed };
        let wish = self.queue.publish();
        assert_eq!(wish, expected, "from {old} to {new}");
        self.published = self.submitted;
        self.publishes += u32::from(is_new);
        let kicks = self.wires.board().kicks;
        self.running.notify(&self.queue, wish);
        let kicked = self.wires.board().kicks - kicks;
        assert_eq!(kicked, u32::from(wish == Notify::Needed), "a kick that is needed is one store");
        assert!(kicked == 0 || self.wires.board().told == new, "VQ-35: a kick tells the available index");
        self.check();
    }

    /// Lets the device look what is there, and compares it with what was submitted.
    pub fn take_all(&mut self) {
        let known = self.peer.chains.len();
        self.peer.take_all();
        if self.lied {
            return;
        }
        for chain in self.peer.chains.iter().skip(known) {
            let entry = self.entries.values().find(|entry| entry.token.0 == chain.head);
            let entry = entry.expect("the chain is one that was submitted");
            let header = (H::LEN > 0).then_some((H::LEN, false));
            let trailer = (T::LEN > 0).then_some((T::LEN, true));
            let buffers = entry.parts.iter().map(|part| (part.len, part.is_writable));
            let expected: Vec<_> = header.into_iter().chain(buffers).chain(trailer).collect();
            let found: Vec<_> = chain.parts.iter().map(|part| (part.len, part.is_writable)).collect();
            assert_eq!(found, expected, "another chain than was submitted");
            let payload = chain.parts.iter().skip(usize::from(H::LEN > 0)).take(entry.parts.len());
            assert!(payload.eq(&entry.parts), "another buffer than was submitted");
        }
    }

    /// Lets the device use the chain number `which` of those that it has taken, writing `written` bytes of what it can
    /// and saying so. In order it uses all up to that chain, the earlier ones in full, and says it once.
    pub fn complete(&mut self, which: usize, written: u32) {
        let Some(last) = self.peer.chains.len().checked_sub(1) else { return };
        let which = which.min(last);
        let batch: Vec<Chain> = match self.is_in_order() {
            true => self.peer.chains.drain(..=which).collect(),
            false => self.peer.chains.remove(which).into_iter().collect(),
        };
        for (position, chain) in batch.iter().enumerate() {
            let count = if position + 1 < batch.len() { chain.writable() } else { written.min(chain.writable()) };
            self.peer.write(chain, count);
            if let Some(entry) = self.entries.values_mut().find(|entry| entry.token.0 == chain.head) {
                entry.used = Some((count, count));
            }
            if position + 1 == batch.len() {
                self.peer.push(chain.head.into(), count, batch.len() as u16);
            }
        }
    }

    /// Lets the device write a byte into a chain that it has not used yet, in what it may write or beyond.
    pub fn smudge(&mut self, which: usize, offset: u8, value: u8) {
        let Some(chain) = self.peer.chains.get(which % self.peer.chains.len().max(1)) else { return };
        let Some(part) = chain.parts.iter().rev().find(|part| part.is_writable).copied() else { return };
        self.peer.poke(part.address + u64::from(offset) % u64::from(part.len), value);
        for entry in self.entries.values_mut() {
            entry.is_dirty |= entry.token.0 == chain.head;
        }
    }

    /// Lets the device ask for a kick for the next chain, as one does before it sleeps.
    pub fn expect_next(&mut self) {
        self.peer.set_flags(0);
        self.peer.set_avail_event(self.published as u16);
    }

    /// Polls once.
    pub fn poll(&mut self) {
        let known = self.queue.fault();
        let jump = if self.seen == self.completed as u16 { self.look() } else { None };
        let result = self.queue.poll();
        assert!(jump.is_none_or(|jump| matches!(result, Err(fault) if fault == jump)), "HD-VQ-6: {jump:?} unnoticed");
        match result {
            Ok(Some(done)) => {
                assert_eq!(known, None, "a completion after a fault");
                self.finish(done);
            }
            Ok(None) => self.found_nothing(),
            Err(fault) => self.faulted(known, fault),
        }
        self.check();
    }

    /// Drains.
    pub fn drain(&mut self) {
        let known = self.queue.fault();
        let waiting = self.peer.used_index().wrapping_sub(self.completed as u16);
        let jump = self.look();
        let mut taken = Vec::new();
        let result = self.queue.drain(|done| taken.push(done));
        assert!(jump.is_none_or(|jump| result == Err(jump)), "HD-VQ-6: {jump:?} unnoticed");
        assert!(taken.is_empty() || known.is_none(), "a completion after a fault");
        let count = taken.len();
        for done in taken {
            self.finish(done);
        }
        match result {
            Ok(finished) => {
                assert_eq!(usize::from(finished), count);
                assert!(self.lied || finished == waiting, "{finished} found of {waiting}");
            }
            Err(fault) => self.faulted(known, fault),
        }
        self.check();
    }

    /// Arms, and looks whether the device now knows of it.
    pub fn arm(&mut self) {
        let armed = self.queue.arm();
        let is_idle = self.peer.used_index() == self.completed as u16;
        if !self.lied {
            assert_eq!(armed == Armed::Idle, is_idle, "{armed:?}");
            assert!(!is_idle || self.peer.would_interrupt(), "idle, and the next completion does not interrupt");
        }
        self.check();
    }

    fn found_nothing(&self) {
        let waiting = self.peer.used_index().wrapping_sub(self.completed as u16);
        assert!(self.lied || waiting == 0, "{waiting} completions were not found");
    }

    fn faulted(&self, known: Option<DeviceFault>, fault: DeviceFault) {
        assert!(known.is_none_or(|known| known == fault), "{fault:?} after {known:?}");
        assert_eq!(self.queue.fault(), Some(fault));
    }

    /// Holds a completion in order against the element that stands for it: the one at its place, or one before; gives
    /// the length that it has by that.
    fn in_order(&mut self, token: Token, id: u32, len: u32) -> u32 {
        let mask = self.queue.capacity() - 1;
        let position = (self.completed - 1) as u16;
        assert_eq!(token.0, position & mask, "another request than the next");
        if self.batch.0 == 0 {
            let skipped = (id as u16).wrapping_sub(position) & mask;
            assert!(id <= u32::from(mask), "HD-VQ-1: an id beyond the queue");
            assert!(skipped < self.seen.wrapping_sub(position), "HD-VQ-12: a batch beyond the used index");
            self.batch = (skipped + 1, len);
        }
        self.batch.0 -= 1;
        if self.batch.0 == 0 { self.batch.1 } else { u32::MAX }
    }

    /// The queue is about to read the used index; gives the fault that it has to find.
    fn look(&mut self) -> Option<DeviceFault> {
        let (used, completed) = (self.peer.used_index(), self.completed as u16);
        let (advance, in_flight) = (used.wrapping_sub(completed), (self.published - self.completed) as u16);
        if self.queue.fault().is_some() {
            return None;
        }
        if advance > in_flight {
            return Some(DeviceFault::UsedIndexJump { advance, in_flight });
        }
        self.seen = used;
        None
    }

    /// Holds a completion against what is known.
    fn finish(&mut self, done: Done<P, u32, T::Value>) {
        // Nobody has touched the element since the queue read it.
        let (id, len) = self.peer.used_element(self.completed as u16);
        self.completed += 1;
        let entry = self.entries.remove(&done.cookie).expect("a request came back that was not in flight");
        assert_eq!(done.token, entry.token);
        let len = match self.is_in_order() {
            true => self.in_order(done.token, id, len),
            false => {
                assert_eq!(id, u32::from(done.token.0), "HD-VQ-1: another id than the device gave back");
                len
            }
        };
        assert_eq!(done.written, len.min(entry.writable), "HD-VQ-4");
        assert!(done.written <= entry.writable, "{} bytes written of {}", done.written, entry.writable);
        let buffers = done.payload.unpack(entry.direction);
        assert!(buffers.parts().eq(entry.parts.iter().copied()), "other buffers came back");
        if self.lied {
            return;
        }
        for buffer in &buffers.readable {
            assert!(buffer.iter().all(|byte| *byte == BLANK), "what the device may only read has changed");
        }
        if entry.is_dirty {
            return;
        }
        let (count, said) = entry.used.expect("it came back although the device did not use it");
        assert_eq!(done.written, said);
        let bytes = buffers.writable.iter().flat_map(|buffer| buffer.iter().copied());
        let blank = buffers.writable.iter().map(|buffer| buffer.len()).sum::<usize>();
        let before = std::iter::repeat_n(BLANK, blank).chain(entry.trailer.iter().copied());
        for (position, (byte, before)) in (0..).zip(bytes.chain(T::bytes(done.trailer)).zip(before)) {
            let expected = if position < count { fill(position) } else { before };
            assert_eq!(byte, expected, "at {position}, {count} bytes having been written");
        }
    }

    /// Takes back a request that never finished.
    fn unfinished(entries: &mut BTreeMap<u32, Entry<P::Direction>>, payload: P, cookie: u32) {
        let entry = entries.remove(&cookie).expect("a request came back that was not in flight");
        let buffers = payload.unpack(entry.direction);
        assert!(buffers.parts().eq(entry.parts), "other buffers came back");
    }

    /// Resets the device and retires the queue: everything comes home.
    pub fn end(self) -> Fresh {
        let Self { memory, wires, running, queue, mut pool, mut entries, .. } = self;
        let blocks = memory.blocks();
        wires.board().confirms = true;
        let (_, proof) = running.quiesce(&CLOCK).expect("it confirms");
        let retired = queue.retire(&proof, |payload, cookie| Self::unfinished(&mut entries, payload, cookie));
        assert!(retired.is_ok(), "a proof for this device");
        assert!(entries.is_empty(), "{} requests did not come back", entries.len());
        assert_eq!(pool.available(), pool.count(), "buffers that did not come home");
        assert_eq!(memory.blocks(), blocks - 1, "the rings are still allocated");
        wires.board().kicks = 0;
        (wires, pool)
    }

    /// Drops everything without a reset: what the device may still write to stays where it is.
    pub fn abandon(self) {
        let Self { memory, running, queue, pool, peer, entries, .. } = self;
        let keeps_buffers = entries.values().any(|entry| !entry.parts.is_empty());
        drop((running, queue, pool));
        assert!(memory.blocks() > usize::from(keeps_buffers), "memory was freed that is the device's");
        for part in entries.values().flat_map(|entry| &entry.parts) {
            assert!(memory.extent(part.address) >= part.len as usize, "a buffer was freed that is the device's");
        }
        drop(peer);
    }

    /// Resets the queue alone and sets it up again with at most `most` descriptors; a device that does not confirm
    /// keeps its memory.
    pub fn reset_queue(mut self, most: u16, confirms: bool) -> Option<Self> {
        self.wires.board().confirms = confirms;
        let has_feature = self.running.features().contains(FeatureBits::RING_RESET);
        let (blocks, in_flight) = (self.memory.blocks(), self.queue.len());
        let entries = &mut self.entries;
        let mut count = 0;
        let reset = self.running.reset_queue(self.queue, &CLOCK, |payload, cookie| {
            count += 1;
            Self::unfinished(entries, payload, cookie);
        });
        match reset {
            Ok(()) => {
                assert!(has_feature && confirms, "a queue was reset without the device's word");
                assert_eq!(count, in_flight, "requests did not come back");
                assert_eq!(self.memory.blocks(), blocks - 1, "the rings are still allocated");
                self.queue = self.running.queue(QueueIndex(0), most, self.memory).ok()?;
                self.peer = peer(&self.wires, self.memory, self.running.features());
                (self.submitted, self.published, self.completed, self.lied) = (0, 0, 0, false);
                (self.seen, self.batch) = (0, (0, 0));
            }
            Err((queue, _)) => {
                assert!(!has_feature || !confirms, "an obedient device was not believed");
                assert_eq!((count, self.memory.blocks()), (0, blocks), "memory was freed that is the device's");
                self.queue = queue;
                self.wires.board().confirms = true;
            }
        }
        self.check();
        Some(self)
    }
}
