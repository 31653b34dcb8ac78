//! From an index to a live queue: its size, its memory, and telling the device.

use toro_core::Dma;

use super::{Agreed, InitError};
use crate::queue::{Cell, Payload, Shape, SlotStorage, Virtqueue, Wanted};
use crate::ring::{MAX_SIZE, Rings};
use crate::transport::{Interface, QueueIndex, QueueSizing, Transport, TransportError};

/// How many descriptors a queue has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// As the device sees it: a power of two.
    pub ring: u16,
    /// As many of them as the driver wants to use: a power of two.
    pub used: u16,
}

/// Slots on the heap.
#[cfg(any(feature = "alloc", test))]
pub(super) fn boxed<P: Payload, K>(slots: usize) -> crate::queue::Slots<P, K> {
    (0..slots).map(|_| crate::Slot::default()).collect()
}

/// The sizes of a queue of which at most `most` descriptors are wanted.
///
/// # Errors
///
/// The device does not have it, or insists on a size that no queue can have.
pub(super) fn sizes<T: Transport>(transport: &mut T, index: QueueIndex, most: u16) -> Result<Sizes, TransportError> {
    let max = transport.max_queue_size(index);
    if max == 0 || most == 0 {
        return Err(TransportError::NoSuchQueue(index));
    }
    // A size that is no power of two is rounded down where the driver may choose.
    let used = 1 << max.min(most).min(MAX_SIZE).ilog2();
    match transport.interface() {
        Interface::Legacy { sizing: QueueSizing::Fixed, .. } if !max.is_power_of_two() => {
            Err(TransportError::QueueRefused(index))
        }
        Interface::Legacy { sizing: QueueSizing::Fixed, .. } => Ok(Sizes { ring: max, used }),
        _ => Ok(Sizes { ring: used, used }),
    }
}

/// Makes a queue and tells the device about it. Rings that the device knows and did not take go to `lost`.
pub(super) fn queue<T: Transport, P: Payload, K, H: Cell, C: Cell, S: SlotStorage<P, K>>(
    transport: &mut T,
    agreed: Agreed,
    (index, wanted): (QueueIndex, Wanted),
    memory: Dma,
    storage: impl FnOnce(usize) -> S,
    lost: &mut Lost,
) -> Result<Virtqueue<P, K, H, C, S>, InitError> {
    let sizes = sizes(transport, index, wanted.descriptors)?;
    let wanted = Wanted { descriptors: sizes.used, ..wanted };
    let slots = Virtqueue::<P, K, H, C, S>::slots_for(wanted, agreed.features);
    if slots == 0 {
        return Err(InitError::QueueTooSmall(index));
    }
    let shape = Shape { size: sizes.ring, wanted, interface: transport.interface() };
    let mut queue = Virtqueue::with_storage(index, shape, memory, agreed, storage(slots.into()))?;
    match transport.enable_queue(index, &queue.addresses()) {
        Ok(doorbell) => {
            queue.set_doorbell(doorbell);
            Ok(queue)
        }
        Err(error) => {
            let rings = queue.into_rings();
            if !matches!(error, TransportError::NoSuchQueue(_)) {
                lost.keep(Some(rings));
            }
            Err(error.into())
        }
    }
}

/// Rings that the device may know: freed by [`Lost::free`] alone, and leaked otherwise.
#[derive(Debug, Default)]
pub(super) struct Lost(Option<Rings>);

impl Lost {
    /// Keeps some more. Those that were there are leaked.
    fn keep(&mut self, rings: Option<Rings>) {
        core::mem::forget(core::mem::replace(&mut self.0, rings));
    }

    /// Frees them, the device having been reset.
    pub fn free(mut self) {
        self.0 = None;
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        self.keep(None);
    }
}
