//! From a transport to a disk in service.
//!
//! ```text
//!   reset -> features -> configuration -> queue 0 [, 1, .. ] -> runs
//! ```
//!
//! The configuration is read after the features are settled and not before, as the mode of the write cache may only then
//! be (§5.2.5.1).
//!
//! # Failure
//!
//! Whatever goes wrong ends with a reset. One that is confirmed frees all memory; one that is not leaves the device
//! marked FAILED, and what it knows of allocated for ever.

use core::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::dma::Segments;
use toro_core::driver::AttachError;
use toro_core::{Clock, Dma};
use virtio_queue_rt::queue::SlotStorage;
use virtio_queue_rt::transport::Interface;
use virtio_queue_rt::{
    FeatureBits, InitError, Negotiated, QueueIndex, Reset, Running, Transport, TransportError, Virtqueue, Wanted,
};

use crate::config::Traits;
use crate::driver::Options;
use crate::features;
use crate::in_flight::InFlight;
use crate::wire::{ByteOrder, config};

/// A queue of requests: header, data, status.
pub(crate) type Queue<S> = Virtqueue<Segments, InFlight, [AtomicU64; 2], AtomicU8, S>;

/// What the platform provides.
#[derive(Clone, Copy)]
pub(crate) struct Platform {
    pub(crate) memory: Dma,
    pub(crate) clock: &'static dyn Clock,
    pub(crate) options: Options,
}

/// A disk in service, with one queue.
pub(crate) struct Started<T: Transport, S: SlotStorage<Segments, InFlight>> {
    pub(crate) running: Running<T>,
    pub(crate) queue: Queue<S>,
    pub(crate) traits: Traits,
}

/// Takes a device into service with its first queue, whose slots lie where `storage` says when told how many there are.
/// There are no more than `most`.
pub(crate) fn start<T: Transport, S: SlotStorage<Segments, InFlight>>(
    transport: T,
    platform: Platform,
    most: usize,
    storage: impl FnOnce(usize) -> S,
) -> Result<Started<T, S>, AttachError> {
    let (mut device, mut traits) = negotiate(transport, platform, features::KNOWN)?;
    match queue(&mut device, QueueIndex(0), platform, &traits, most, storage) {
        Ok(queue) => {
            traits.fit(&queue);
            Ok(Started { running: device.run(), queue, traits })
        }
        Err(error) => {
            // If it confirms, nothing stays allocated; if not, what it knows does.
            let _ = device.abandon(platform.clock);
            Err(error.into())
        }
    }
}

/// Settles the features and reads the configuration.
pub(crate) fn negotiate<T: Transport>(
    transport: T,
    platform: Platform,
    known: FeatureBits,
) -> Result<(Negotiated<T>, Traits), AttachError> {
    let order = if transport.interface() == Interface::Modern { ByteOrder::Little } else { ByteOrder::Guest };
    let device = Reset::new(transport, platform.clock)?.negotiate(known, FeatureBits::EMPTY, features::refine)?;
    let features = device.features();
    let traits = device.config(|registers| {
        // HD-CFG-3: without a capacity there is no disk.
        (registers.len() >= config::LEAST).then(|| Traits::read(registers, features, order))
    })?;
    let traits = traits.ok_or(AttachError::Configuration("it is too short to hold a capacity"))?;
    Ok((device, traits))
}

/// Makes one queue, of at most `most` slots.
pub(crate) fn queue<T: Transport, S: SlotStorage<Segments, InFlight>>(
    device: &mut Negotiated<T>,
    index: QueueIndex,
    Platform { memory, options, .. }: Platform,
    traits: &Traits,
    most: usize,
    storage: impl FnOnce(usize) -> S,
) -> Result<Queue<S>, InitError> {
    let has_tables = device.features().contains(FeatureBits::INDIRECT_DESC);
    let segments = if has_tables { options.segments } else { options.segments_without_tables };
    let wanted = Wanted { descriptors: options.descriptors, segments: segments.min(traits.segments) };
    // As many descriptors as these slots have use for.
    let each = usize::from(if has_tables { 1 } else { Queue::<S>::descriptors_for(wanted) });
    let useful = most.saturating_mul(each).saturating_add(each - 1);
    let descriptors = wanted.descriptors.min(u16::try_from(useful).unwrap_or(u16::MAX));
    if descriptors == 0 {
        return Err(InitError::QueueTooSmall(index));
    }
    device.queue_in(index, Wanted { descriptors, ..wanted }, memory, storage)
}

impl Traits {
    /// Takes note of what the queues take.
    pub(crate) fn fit<S: SlotStorage<Segments, InFlight>>(&mut self, queue: &Queue<S>) {
        self.segments = queue.segments();
        self.in_flight = queue.capacity();
    }
}

/// What is read again when the configuration has changed: `None` if it changes faster than it can be read.
pub(crate) fn read_again<T: Transport>(running: &Running<T>) -> Result<(u64, crate::config::Cache), TransportError> {
    let features = running.features();
    running.config(|registers| (crate::config::capacity(registers), crate::config::cache(registers, features)))
}
