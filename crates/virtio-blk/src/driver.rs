//! The driver: a queue, a snapshot of the configuration, and the trait [`BlockDevice`].
//!
//! # Storage
//!
//! A request in flight takes a slot: on the heap with the feature `alloc` (`VirtioBlk::new`), or where the caller says
//! ([`VirtioBlk::new_in`]). A reset uses the same ones again.
//!
//! # After a failure
//!
//! A queue that the device has broken answers with its fault until [`reset`](BlockDevice::reset), which hands back what
//! was in flight and begins anew. A device that does not confirm a reset, or cannot be begun with, is gone for good:
//! everything answers [`DeviceFault::Gone`], and the buffers stay where the device may still write to them.

use core::borrow::Borrow;
use core::fmt;
use core::iter;
use core::marker::PhantomData;

use toro_core::dma::Segments;
use toro_core::driver::block::{
    BlockCompletion, BlockDevice, BlockError, BlockLimits, BlockOperation, BlockRequest, Disk,
};
use toro_core::driver::{Armed, AttachError, DeviceFault, Refusal, Refused, RequestId};
use toro_core::{Clock, Dma, Instant};
use virtio_queue_rt::queue::{Done, SlotStorage, Slots};
use virtio_queue_rt::transport::Signalling;
use virtio_queue_rt::{Running, Slot, Transport};
use zerocopy::IntoBytes;

use crate::config::{Cache, Traits};
use crate::hold::Hold;
use crate::in_flight::{InFlight, Remembered};
use crate::request::{self, Order};
use crate::setup::{Platform, Queue, Started, read_again, start};
use crate::wire::{self, status};

mod cache;
mod commands;

pub use cache::WriteCache;
pub use commands::{Command, CommandCompletion, Finished};

/// Choices that a platform makes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most descriptors to use in each queue: as many requests are in flight where the device has INDIRECT_DESC,
    /// and a third of that, or less, where it has not.
    pub descriptors: u16,
    /// The most buffers of a request where each has a table of descriptors (INDIRECT_DESC). A table takes 16 bytes for
    /// each of them and for header and status, rounded up to a power of two: 30 are 512 bytes for each descriptor.
    pub segments: u16,
    /// The most buffers of a request where it lies in the descriptors of the queue: each takes room for one from every
    /// other request. With one, a request has exactly three descriptors, which some devices insist on.
    pub segments_without_tables: u16,
}

impl Default for Options {
    fn default() -> Self {
        // Without an allocator no request has more than one.
        let segments = if cfg!(feature = "alloc") { 30 } else { 1 };
        Self { descriptors: 256, segments, segments_without_tables: 1 }
    }
}

/// Bookkeeping of one request: where there is no allocator, the caller has an array of them.
pub type RequestSlot = Slot<Segments, InFlight>;

/// A disk, or one of its queues.
///
/// `S` is where its slots are, and `D` how it holds the device: by itself, or together with the other queues
/// (`DiskQueue`).
pub struct VirtioBlk<T, S = Slots<Segments, InFlight>, D = Running<T>>
where
    T: Transport,
    S: SlotStorage<Segments, InFlight>,
{
    /// `None` once the device is gone for good.
    live: Option<Live<S, D>>,
    traits: Traits,
    platform: Platform,
    /// How often the write cache was switched off.
    switches: u32,
    /// Whether the disk has changed and [`refresh`](BlockDevice::refresh) has not said so yet.
    is_changed: bool,
    transport: PhantomData<fn() -> T>,
}

struct Live<S: SlotStorage<Segments, InFlight>, D> {
    device: D,
    queue: Queue<S>,
}

#[cfg(feature = "alloc")]
impl<T: Transport> VirtioBlk<T> {
    /// Initialises the device behind a transport. Of a device with several queues the first one is used.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used; it is left marked FAILED or reset.
    pub fn new(transport: T, memory: Dma, clock: &'static dyn Clock, options: &Options) -> Result<Self, AttachError> {
        let platform = Platform { memory, clock, options: *options };
        let started = start(transport, platform, usize::MAX, boxed)?;
        Ok(Self::assemble(started.running, started.queue, started.traits, platform))
    }
}

/// Slots on the heap.
#[cfg(feature = "alloc")]
pub(crate) fn boxed(slots: usize) -> Slots<Segments, InFlight> {
    (0..slots).map(|_| RequestSlot::default()).collect()
}

impl<T: Transport, S: SlotStorage<Segments, InFlight>> VirtioBlk<T, S> {
    /// As `new`, with slots in storage of the caller's: a borrowed slice or an array. As many requests can be in flight
    /// as there are slots, or as [`Options::descriptors`] has room for. There have to be at least four.
    ///
    /// # Errors
    ///
    /// As `new`; too little storage is [`AttachError::Queue`].
    pub fn new_in(
        transport: T,
        memory: Dma,
        clock: &'static dyn Clock,
        options: &Options,
        storage: S,
    ) -> Result<Self, AttachError> {
        let platform = Platform { memory, clock, options: *options };
        let started = start(transport, platform, storage.as_ref().len(), |_| storage)?;
        Ok(Self::assemble(started.running, started.queue, started.traits, platform))
    }

    /// Takes the device out of service: resets it, hands every unfinished request back, and returns what it was made of.
    ///
    /// # Errors
    ///
    /// The device does not confirm the reset: it is marked FAILED, and what it knows stays allocated for ever.
    pub fn stop(mut self, unfinished: &mut dyn FnMut(BlockCompletion)) -> Result<(T, S), AttachError> {
        match self.live.take() {
            Some(Live { device, queue }) => quiesce(device, queue, self.platform.clock, unfinished),
            None => Err(DeviceFault::Gone.into()),
        }
    }
}

impl<T, S, D> VirtioBlk<T, S, D>
where
    T: Transport,
    S: SlotStorage<Segments, InFlight>,
    D: Borrow<Running<T>>,
{
    pub(crate) fn assemble(device: D, queue: Queue<S>, traits: Traits, platform: Platform) -> Self {
        let live = Some(Live { device, queue });
        Self { live, traits, platform, switches: 0, is_changed: false, transport: PhantomData }
    }

    /// Reads again what may have changed, and notes whether it has.
    fn read_again(&mut self) {
        let Some(Live { device, .. }) = &self.live else { return };
        // One that never holds still is believed as it was.
        let Ok((sectors, cache)) = read_again((*device).borrow()) else { return };
        let before = self.traits;
        self.traits.sectors = sectors;
        self.note_cache(cache);
        self.is_changed |= before != self.traits;
    }

    /// A request that the disk does not take, and why: for want of room, or for what it is.
    #[cold]
    fn refuse(&self, request: BlockRequest) -> Refused<BlockRequest> {
        Refused { reason: self.room().err().unwrap_or(Refusal::Invalid), request }
    }

    /// Submits any request, such as one of several buffers.
    #[inline(never)]
    fn submit_any(&mut self, mut request: BlockRequest) -> Result<RequestId, Refused<BlockRequest>> {
        // Before the buffer is written to: a request that is refused is unchanged.
        let (Some(order), Ok(())) = (self.traits.order(&request), self.room()) else {
            return Err(self.refuse(request));
        };
        // A range goes into the buffer.
        if let (Some(range), Segments::One(buffer)) = (self.traits.range_of(request.operation), &mut request.data)
            && request::fill(buffer, range.as_bytes()).is_err()
        {
            return Err(Refused { reason: Refusal::Invalid, request });
        }
        let in_flight = match self.traits.cache {
            // It counts for more than itself.
            Cache::Draining if request.operation == BlockOperation::Flush => InFlight::settling(self.switches),
            _ => InFlight::request(request.operation),
        };
        let header = wire::header(self.traits.order, order.kind, order.sector);
        let Some(live) = &mut self.live else { return Err(self.refuse(request)) };
        let BlockRequest { unit, operation, data } = request;
        let refused = |reason, data, _| Refused { reason, request: BlockRequest { unit, operation, data } };
        let token = live.queue.submit_or(header, data, order.direction, status::UNWRITTEN, in_flight, refused)?;
        Ok(RequestId(token.0))
    }

    /// Whether there is room for one more request.
    fn room(&self) -> Result<(), Refusal> {
        match &self.live {
            None => Err(Refusal::Faulted(DeviceFault::Gone)),
            Some(live) if live.queue.room() > 0 => Ok(()),
            Some(live) => Err(live.queue.fault().map_or(Refusal::Full, Refusal::Faulted)),
        }
    }
}

impl<T, S, D> BlockDevice for VirtioBlk<T, S, D>
where
    T: Transport,
    S: SlotStorage<Segments, InFlight> + Send,
    D: Hold<T> + Send,
{
    fn units(&self) -> u8 {
        1
    }

    fn disk(&self, unit: u8) -> Option<Disk> {
        (unit == 0).then(|| self.traits.disk())
    }

    fn refresh(&mut self) -> bool {
        self.read_again();
        core::mem::take(&mut self.is_changed)
    }

    fn limits(&self) -> BlockLimits {
        self.traits.limits()
    }

    #[inline]
    fn submit(&mut self, request: BlockRequest) -> Result<RequestId, Refused<BlockRequest>> {
        let Some(live) = &mut self.live else { return Err(self.refuse(request)) };
        // As most are: it is checked where it is, and moves once.
        match request {
            BlockRequest {
                unit: unit @ 0,
                operation: operation @ (BlockOperation::Read { sector } | BlockOperation::Write { sector }),
                data: Segments::One(buffer),
            } if self.traits.takes_transfer(operation, sector, iter::once(buffer.len())) => {
                let Order { kind, sector, direction } = Order::transfer(operation, sector);
                let header = wire::header(self.traits.order, kind, sector);
                let in_flight = InFlight::request(operation);
                let refused = |reason, data, _| Refused { reason, request: BlockRequest { unit, operation, data } };
                let data = Segments::One(buffer);
                let token = live.queue.submit_or(header, data, direction, status::UNWRITTEN, in_flight, refused)?;
                Ok(RequestId(token.0))
            }
            request => self.submit_any(request),
        }
    }

    #[inline]
    fn publish(&mut self) {
        if let Some(Live { device, queue }) = &mut self.live {
            let wish = queue.publish();
            (*device).borrow().notify(queue, wish);
        }
    }

    #[inline]
    fn complete(&mut self) -> Result<Option<BlockCompletion>, DeviceFault> {
        loop {
            let Some(live) = &mut self.live else { return Err(DeviceFault::Gone) };
            let Some(done) = live.queue.poll()? else { return Ok(None) };
            if let Some(operation) = done.cookie.transfer() {
                return Ok(Some(completion(operation, done)));
            }
            let finished = self.conclude(done.payload.into_one(), done.cookie, done.token, done.trailer);
            if let Finished::Request(completion) = finished {
                return Ok(Some(completion));
            }
            // Nobody waits for a command here. No more are passed over than there are slots.
        }
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        let Some(live) = &self.live else { return Err(DeviceFault::Gone) };
        let running: &Running<T> = live.device.borrow();
        // Before the look: what arrives after it raises the line again.
        let cause = running.acknowledge_interrupt()?;
        // Where each event has a message of its own, this says nothing, and the configuration would be read each time.
        if cause.configuration && running.signalling() == Signalling::Line {
            running.check()?;
            self.read_again();
        }
        let Some(live) = &mut self.live else { return Err(DeviceFault::Gone) };
        match live.queue.fault() {
            Some(fault) => Err(fault),
            None => Ok(live.queue.arm()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn reset(&mut self, unfinished: &mut dyn FnMut(BlockCompletion)) -> Result<(), AttachError> {
        let Some(Live { device, queue }) = self.live.take() else { return Err(DeviceFault::Gone.into()) };
        let running = match device.alone() {
            Ok(running) => running,
            Err(device) => {
                self.live = Some(Live { device, queue });
                return Err(AttachError::Resources("one of several queues of a disk"));
            }
        };
        let (transport, storage) = quiesce(running, queue, self.platform.clock, unfinished)?;
        let Started { running, queue, traits } = start(transport, self.platform, storage.as_ref().len(), |_| storage)?;
        self.note_reset(traits);
        self.live = Some(Live { device: D::from(running), queue });
        Ok(())
    }
}

/// What a read or a write completes with.
#[inline(always)]
fn completion(operation: BlockOperation, done: Done<Segments, InFlight, u8>) -> BlockCompletion {
    let request = BlockRequest { unit: 0, operation, data: done.payload };
    BlockCompletion { id: RequestId(done.token.0), request, result: request::result(done.trailer) }
}

/// Resets a device and hands back what was in flight. Without its confirmation everything stays where the device may still
/// write to it.
fn quiesce<T: Transport, S: SlotStorage<Segments, InFlight>>(
    running: Running<T>,
    queue: Queue<S>,
    clock: &'static dyn Clock,
    unfinished: &mut dyn FnMut(BlockCompletion),
) -> Result<(T, S), AttachError> {
    let (transport, proof) = running.quiesce(clock).map_err(|(_, error)| error)?;
    let storage = queue.recover(&proof, |token, data, in_flight| {
        let operation = match in_flight.remembered() {
            Remembered::Request(operation) => operation,
            Remembered::Settling(_) => BlockOperation::Flush,
            // Nobody waits for it here; its buffer goes home.
            Remembered::Command(_) => return,
        };
        let request = BlockRequest { unit: 0, operation, data };
        unfinished(BlockCompletion { id: RequestId(token.0), request, result: Err(BlockError::Interrupted) });
    });
    let storage = storage.map_err(|_| AttachError::Resources("the queue of another device"))?;
    Ok((transport, storage))
}

impl<T, S, D> fmt::Debug for VirtioBlk<T, S, D>
where
    T: Transport,
    S: SlotStorage<Segments, InFlight>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Traits { sectors, block_size, .. } = self.traits;
        write!(f, "VirtioBlk({sectors} sectors, blocks of {block_size}, ")?;
        match &self.live {
            Some(live) => write!(f, "{:?})", live.queue),
            None => f.write_str("gone)"),
        }
    }
}
