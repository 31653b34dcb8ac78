//! [`Running`]: a device in service, and what can still be done about its queues.

use toro_core::driver::DeviceFault;
use toro_core::{Clock, Deadline, Dma, Registers};

use super::setup::{self, Lost};
use super::{Agreed, InitError, Quiesced, RESET_PATIENCE};
use crate::features::FeatureBits;
use crate::queue::{Cell, Notify, Payload, SlotStorage, Virtqueue, Wanted};
use crate::status::DeviceStatus;
use crate::transport::{InterruptStatus, QueueIndex, SharedMemory, Signalling, Transport, TransportError, read_config};

/// A device in service.
#[derive(Debug)]
pub struct Running<T: Transport> {
    pub(super) transport: T,
    pub(super) status: DeviceStatus,
    pub(super) agreed: Agreed,
}

impl<T: Transport> Running<T> {
    /// What was agreed.
    pub fn features(&self) -> FeatureBits {
        self.agreed.features
    }

    /// Notifies the device of what a queue has just published, if it wants that: one store.
    #[inline]
    pub fn notify<P: Payload, K, H: Cell, C: Cell, S: SlotStorage<P, K>>(
        &self,
        queue: &Virtqueue<P, K, H, C, S>,
        wish: Notify,
    ) {
        if let (Notify::Needed, Some(doorbell)) = (wish, queue.doorbell()) {
            self.transport.notify(doorbell, queue.available_index());
        }
    }

    /// Reads and acknowledges the cause of an interrupt. Comes before the queues are looked at: what arrives
    /// after the look then interrupts anew.
    ///
    /// # Errors
    ///
    /// [`DeviceFault::Gone`] if the device does not answer.
    pub fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        self.transport.acknowledge_interrupt()
    }

    /// Reads the device configuration consistently.
    ///
    /// # Errors
    ///
    /// See [`read_config`].
    pub fn config<V: PartialEq>(&self, read: impl Fn(&dyn Registers) -> V) -> Result<V, TransportError> {
        read_config(&self.transport, read)
    }

    /// How its queues interrupt.
    pub fn signalling(&self) -> Signalling {
        self.transport.signalling()
    }

    /// Writes to the device configuration: the few fields that are the driver's to write (§2.5.1), as the standard says
    /// for its device type.
    pub fn write_config(&self, write: impl FnOnce(&dyn Registers)) {
        write(self.transport.config());
    }

    /// Whether the device is still well: costs one register access.
    ///
    /// # Errors
    ///
    /// [`DeviceFault::NeedsReset`] if it asks for a reset, [`DeviceFault::Gone`] if it does not answer.
    pub fn check(&self) -> Result<(), DeviceFault> {
        let status = self.transport.status();
        if status.bits() == u8::MAX {
            return Err(DeviceFault::Gone);
        }
        if status.contains(DeviceStatus::DEVICE_NEEDS_RESET) {
            return Err(DeviceFault::NeedsReset);
        }
        Ok(())
    }

    /// The region of shared memory with this id (VIRTIO 1.3 §2.10); `None` if there is no usable one.
    pub fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        self.transport.shared_memory(id)
    }

    /// Resets one queue and frees it, handing every unfinished request back; the others go on. Needs
    /// [`RING_RESET`](FeatureBits::RING_RESET).
    ///
    /// # Errors
    ///
    /// Gives the queue back, as it is, if the feature was not negotiated, the queue is another device's, or the device
    /// does not confirm in time ([`RESET_PATIENCE`]): then only [`quiesce`](Self::quiesce) frees it.
    #[allow(clippy::result_large_err, clippy::type_complexity)]
    pub fn reset_queue<P: Payload, K, H: Cell, C: Cell, S: SlotStorage<P, K>>(
        &mut self,
        queue: Virtqueue<P, K, H, C, S>,
        clock: &'static dyn Clock,
        mut unfinished: impl FnMut(P, K),
    ) -> Result<(), (Virtqueue<P, K, H, C, S>, TransportError)> {
        if let Err(error) = self.can_reset_queues() {
            return Err((queue, error));
        }
        if !queue.belongs_to(self.agreed.tag) {
            return Err((queue, TransportError::NotVirtio("the queue is another device's")));
        }
        match self.transport.reset_queue(queue.index(), Deadline::after(clock, RESET_PATIENCE)) {
            Ok(()) => {
                queue.free(|_, payload, cookie| unfinished(payload, cookie));
                Ok(())
            }
            Err(error) => Err((queue, error)),
        }
    }

    /// Makes a queue in place of one that was reset, as [`Negotiated::queue`](super::Negotiated::queue) does.
    ///
    /// # Errors
    ///
    /// As there, and [`TransportError::NotNegotiated`] without [`RING_RESET`](FeatureBits::RING_RESET).
    #[cfg(any(feature = "alloc", test))]
    pub fn queue<P: Payload, K, H: Cell, C: Cell>(
        &mut self,
        index: QueueIndex,
        most: impl Into<Wanted>,
        memory: Dma,
    ) -> Result<Virtqueue<P, K, H, C>, InitError> {
        self.queue_in(index, most, memory, setup::boxed)
    }

    /// As `queue`, with its slots in storage of the caller's.
    ///
    /// # Errors
    ///
    /// As `queue`; too little storage is [`InitError::QueueTooSmall`].
    pub fn queue_in<P: Payload, K, H: Cell, C: Cell, S: SlotStorage<P, K>>(
        &mut self,
        index: QueueIndex,
        most: impl Into<Wanted>,
        memory: Dma,
        storage: impl FnOnce(usize) -> S,
    ) -> Result<Virtqueue<P, K, H, C, S>, InitError> {
        self.can_reset_queues()?;
        // Rings that the device does not take are leaked: it may know them, and nobody will prove otherwise.
        let mut lost = Lost::default();
        setup::queue(&mut self.transport, self.agreed, (index, most.into()), memory, storage, &mut lost)
    }

    fn can_reset_queues(&self) -> Result<(), TransportError> {
        match self.agreed.features.contains(FeatureBits::RING_RESET) {
            true => Ok(()),
            false => Err(TransportError::NotNegotiated(FeatureBits::RING_RESET)),
        }
    }

    /// Takes the device out of service: resets it and waits, at most [`RESET_PATIENCE`], until it confirms.
    ///
    /// The transport can be initialised anew; the proof frees the queues.
    ///
    /// # Errors
    ///
    /// Gives the device back, marked FAILED, if it does not confirm: its memory must stay where it is.
    pub fn quiesce(mut self, clock: &'static dyn Clock) -> Result<(T, Quiesced), (Self, TransportError)> {
        match self.transport.reset(Deadline::after(clock, RESET_PATIENCE)) {
            Ok(()) => Ok((self.transport, Quiesced { tag: self.agreed.tag })),
            Err(error) => {
                self.status |= DeviceStatus::FAILED;
                self.transport.set_status(self.status);
                Err((self, error))
            }
        }
    }
}
