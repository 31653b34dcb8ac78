//! A disk with several queues, each for an owner of its own; and the entry for a kernel's list of drivers.
//!
//! ```text
//!   queue 0    owner 0      any request to any sector; nothing orders those of one queue after those of another
//!   queue 1    owner 1
//!   ..                      what they share is the device's registers
//! ```
//!
//! There are as many as the platform has owners for, if the device has so many and each can interrupt its owner by a
//! message; where all queues share one line, that is one. If one of them cannot be made, the device is reset and begun
//! anew with those before it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use toro_core::dma::Segments;
use toro_core::driver::block::BlockDevice;
use toro_core::driver::{AttachError, Attached, DeviceId, Driver, Resources};
use toro_core::{Clock, Dma};
use virtio_queue_rt::attach::{BoxedTransport, Opened, matches, open_divided};
use virtio_queue_rt::queue::Slots;
use virtio_queue_rt::transport::Signalling;
use virtio_queue_rt::{DeviceType, QueueIndex, Quiesced, Running, Transport};

use crate::config::Traits;
use crate::driver::{Options, VirtioBlk, boxed};
use crate::features;
use crate::in_flight::InFlight;
use crate::setup::{self, Platform, negotiate};

/// One queue of a disk that has several: all that they share is the device's registers. None of them can reset it.
pub type DiskQueue<T> = VirtioBlk<T, Slots<Segments, InFlight>, Arc<Running<T>>>;

type Queue = setup::Queue<Slots<Segments, InFlight>>;

impl<T: Transport> DiskQueue<T> {
    /// Initialises the device behind a transport with as many queues as there are owners, or as can be had, which is at
    /// least one. Queue *k* is for owner *k*.
    ///
    /// A transport that interrupts has to interrupt that owner: over PCI, by messages that are
    /// [`Assigned`](virtio_queue_rt::Interrupts::Assigned) so that queue *k* has number *k*. There are never more queues
    /// than messages, and one only where all queues share a line, as those of virtio-mmio do.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used; it is left marked FAILED or reset.
    pub fn divide(
        mut transport: T,
        memory: Dma,
        clock: &'static dyn Clock,
        options: &Options,
        owners: NonZeroU16,
    ) -> Result<Vec<Self>, AttachError> {
        let platform = Platform { memory, clock, options: *options };
        let mut most = match transport.signalling() {
            Signalling::Polled => owners.get(),
            Signalling::Line => 1,
            Signalling::Messages(messages) => owners.get().min(messages),
        };
        loop {
            match attempt(transport, platform, most) {
                Ok(Divided { running, queues, traits }) => {
                    let running = Arc::new(running);
                    let assemble = |queue| {
                        let mut traits = traits;
                        traits.fit(&queue);
                        Self::assemble(running.clone(), queue, traits, platform)
                    };
                    return Ok(queues.into_iter().map(assemble).collect());
                }
                // Fewer each time, so that it ends.
                Err(Failure { again: Some((reset, fewer)), .. }) if fewer < most => (transport, most) = (reset, fewer),
                Err(Failure { error, .. }) => return Err(error),
            }
        }
    }
}

/// A device in service, with its queues in order.
struct Divided<T: Transport> {
    running: Running<T>,
    queues: Vec<Queue>,
    traits: Traits,
}

/// Why an attempt failed.
struct Failure<T> {
    error: AttachError,
    /// The device, which has been reset, and with how many queues it is worth another attempt.
    again: Option<(T, u16)>,
}

fn attempt<T: Transport>(transport: T, platform: Platform, most: u16) -> Result<Divided<T>, Failure<T>> {
    // With one queue the device is asked for nothing that is about several.
    let known = if most > 1 { features::KNOWN | features::MQ } else { features::KNOWN };
    let negotiated = negotiate(transport, platform, known);
    let (mut device, traits) = negotiated.map_err(|error| Failure { error, again: None })?;
    let mut queues = Vec::new();
    for number in 0..traits.queues.min(most) {
        let index = QueueIndex(number);
        match setup::queue(&mut device, index, platform, &traits, usize::MAX, boxed) {
            Ok(queue) => queues.push(queue),
            Err(error) => {
                // If it does not confirm, what it knows stays allocated.
                let again = device.abandon(platform.clock).ok().map(|(transport, proof)| {
                    retire(queues, &proof);
                    (transport, number)
                });
                return Err(Failure { error: error.into(), again: again.filter(|_| number > 0) });
            }
        }
    }
    Ok(Divided { running: device.run(), queues, traits })
}

/// Frees queues, their device having been reset.
fn retire(queues: Vec<Queue>, proof: &Quiesced) {
    for queue in queues {
        // It is this device's, so it is taken.
        let _ = queue.retire(proof, |_, _| {});
    }
}

struct VirtioBlkDriver;

/// The entry for a kernel's list of drivers.
pub static DRIVER: &dyn Driver = &VirtioBlkDriver;

impl Driver for VirtioBlkDriver {
    fn name(&self) -> &'static str {
        "virtio-blk"
    }

    fn matches(&self, id: &DeviceId) -> bool {
        matches(id, DeviceType::BLOCK)
    }

    fn attach(&self, resources: Resources) -> Result<Attached, AttachError> {
        let Opened { transport, memory, clock, owners } = open_divided(resources, DeviceType::BLOCK, |queue| queue.0)?;
        let options = Options::default();
        if owners == NonZeroU16::MIN {
            let disk: VirtioBlk<BoxedTransport> = VirtioBlk::new(transport, memory, clock, &options)?;
            return Ok(Attached::Block(Box::new(disk)));
        }
        let queues = DiskQueue::<BoxedTransport>::divide(transport, memory, clock, &options, owners)?;
        let mut queues: Vec<Box<dyn BlockDevice>> =
            queues.into_iter().map(|queue| Box::new(queue) as Box<dyn BlockDevice>).collect();
        Ok(match queues.pop() {
            Some(only) if queues.is_empty() => Attached::Block(only),
            last => {
                queues.extend(last);
                Attached::BlockQueues(queues)
            }
        })
    }
}
