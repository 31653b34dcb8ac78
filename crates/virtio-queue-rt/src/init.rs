//! From a device that was found to one that runs (VIRTIO 1.3 §3.1.1), as types.
//!
//! ```text
//!   Reset::new        reset, ACKNOWLEDGE, DRIVER
//!     .negotiate      offered features -> accepted ones, FEATURES_OK, re-read     Negotiated
//!     .queue, .config rings to the device; device configuration
//!     .run            DRIVER_OK                                                   Running
//!     .quiesce        reset, confirmed                                            Quiesced
//! ```
//!
//! The order in which the specification wants these steps is the order in which the types allow them: features
//! cannot change after FEATURES_OK, queues cannot be added after DRIVER_OK, a notification cannot be sent before.
//! Status bits are only added, each write containing all earlier ones. Every failure marks the device FAILED.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use toro_core::driver::{AttachError, DeviceFault};
use toro_core::{Clock, Deadline, Dma, OutOfDmaMemory, Registers};

use crate::features::{FeatureBits, accept};
use crate::queue::{Cell, Notify, Payload, SlotStorage, Virtqueue};
use crate::ring::MAX_SIZE;
use crate::status::DeviceStatus;
use crate::transport::{DeviceType, InterruptStatus, QueueIndex, Transport, TransportError, read_config};

/// How long a device may take to confirm a reset.
pub const RESET_PATIENCE: Duration = Duration::from_secs(5);

/// Which initialisation of which device a queue belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceTag(u32);

impl DeviceTag {
    fn next() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Proof that a device has been reset and uses no memory any more: what [`Virtqueue::retire`] asks for.
#[derive(Debug)]
pub struct Quiesced {
    tag: DeviceTag,
}

impl Quiesced {
    pub(crate) fn is_for(&self, tag: DeviceTag) -> bool {
        self.tag == tag
    }
}

/// Why a device could not be initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitError {
    /// The registers did not do what they must.
    Transport(TransportError),
    /// The device does not offer these features, without which it cannot be driven.
    FeaturesMissing(FeatureBits),
    /// The device did not accept the driver's choice of features.
    FeaturesRejected,
    /// A queue is too small for a single request.
    QueueTooSmall(QueueIndex),
    /// The platform has no memory for the rings.
    OutOfDmaMemory,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::FeaturesMissing(features) => write!(f, "the device does not offer {features:?}"),
            Self::FeaturesRejected => f.write_str("the device rejected the features chosen"),
            Self::QueueTooSmall(queue) => write!(f, "queue {} is too small for one request", queue.0),
            Self::OutOfDmaMemory => OutOfDmaMemory.fmt(f),
        }
    }
}

impl core::error::Error for InitError {}

impl From<TransportError> for InitError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<OutOfDmaMemory> for InitError {
    fn from(_: OutOfDmaMemory) -> Self {
        Self::OutOfDmaMemory
    }
}

impl From<InitError> for AttachError {
    fn from(error: InitError) -> Self {
        match error {
            InitError::FeaturesMissing(_) | InitError::FeaturesRejected => Self::Features,
            InitError::QueueTooSmall(queue) => Self::Queue { index: queue.0 },
            InitError::OutOfDmaMemory => Self::OutOfDmaMemory,
            InitError::Transport(error) => error.into(),
        }
    }
}

impl From<TransportError> for AttachError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::NotVirtio(what) | TransportError::Missing(what) => Self::Resources(what),
            TransportError::TimedOut => Self::TimedOut,
            TransportError::NoSuchQueue(queue)
            | TransportError::QueueRefused(queue)
            | TransportError::BadDoorbell(queue)
            | TransportError::NoVector(queue) => Self::Queue { index: queue.0 },
            TransportError::UnstableConfiguration => Self::Configuration("it changes faster than it can be read"),
        }
    }
}

/// The registers of a device that is being set up, marked FAILED when it is given up half way.
#[derive(Debug)]
struct Unfinished<T: Transport> {
    /// `None` once the device runs, or was reset.
    transport: Option<T>,
    /// What has been written to the status field.
    status: DeviceStatus,
}

impl<T: Transport> Unfinished<T> {
    fn transport(&mut self) -> &mut T {
        self.transport.as_mut().expect("it is taken only by those who consume this")
    }

    fn shared(&self) -> &T {
        self.transport.as_ref().expect("it is taken only by those who consume this")
    }

    fn add_status(&mut self, bits: DeviceStatus) {
        self.status |= bits;
        let status = self.status;
        self.transport().set_status(status);
    }

    /// The device is set up: from here on its owner answers for it.
    fn finish(mut self) -> (T, DeviceStatus) {
        let transport = self.transport.take().expect("it is taken only here");
        (transport, self.status)
    }
}

impl<T: Transport> Drop for Unfinished<T> {
    fn drop(&mut self) {
        if let Some(transport) = &mut self.transport {
            transport.set_status(self.status | DeviceStatus::FAILED);
        }
    }
}

/// A device that has been reset and greeted, and has said what it offers. Dropping it marks the device FAILED.
#[derive(Debug)]
pub struct Reset<T: Transport> {
    device: Unfinished<T>,
    offered: FeatureBits,
}

impl<T: Transport> Reset<T> {
    /// Resets the device and waits, at most [`RESET_PATIENCE`], until it confirms; then says that a driver is here.
    ///
    /// # Errors
    ///
    /// [`TransportError::TimedOut`] if it does not confirm.
    pub fn new(mut transport: T, clock: &'static dyn Clock) -> Result<Self, InitError> {
        transport.reset(Deadline::after(clock, RESET_PATIENCE))?;
        let mut device = Unfinished { transport: Some(transport), status: DeviceStatus::empty() };
        device.add_status(DeviceStatus::ACKNOWLEDGE);
        device.add_status(DeviceStatus::DRIVER);
        // Read once: decisions rest on this copy, whatever the device says later.
        let offered = device.transport().device_features();
        Ok(Self { device, offered })
    }

    /// What the device offers.
    pub fn offered(&self) -> FeatureBits {
        self.offered
    }

    /// Reads the device configuration consistently, to decide which features to accept (§3.1.1, step 4). A field that
    /// a feature governs is there if the feature is offered.
    ///
    /// # Errors
    ///
    /// See [`read_config`].
    pub fn config<V>(&self, read: impl Fn(&dyn Registers) -> V) -> Result<V, TransportError> {
        read_config(self.device.shared(), read)
    }

    /// Accepts, of what the device offers, the ring features of this crate and the device features in `known`.
    ///
    /// `refine` is shown what would be accepted and returns what shall be: the place to drop a feature whose
    /// prerequisite is missing. It cannot add anything.
    ///
    /// # Errors
    ///
    /// [`InitError::FeaturesMissing`] if the device is not a modern one or lacks one of `required`;
    /// [`InitError::FeaturesRejected`] if it does not accept the choice.
    pub fn negotiate(
        mut self,
        known: FeatureBits,
        required: FeatureBits,
        refine: impl FnOnce(FeatureBits) -> FeatureBits,
    ) -> Result<Negotiated<T>, InitError> {
        let acceptable = accept(self.offered, known | required);
        let accepted = acceptable & refine(acceptable);
        let required = required | FeatureBits::VERSION_1;
        if !accepted.contains(required) {
            return Err(InitError::FeaturesMissing(required & !accepted));
        }
        self.device.transport().set_driver_features(accepted);
        self.device.add_status(DeviceStatus::FEATURES_OK);
        // The device says no by taking the bit back (§3.1.1, step 6).
        if !self.device.shared().status().contains(DeviceStatus::FEATURES_OK) {
            return Err(InitError::FeaturesRejected);
        }
        Ok(Negotiated { device: self.device, features: accepted, tag: DeviceTag::next() })
    }
}

/// A device with which features have been agreed. Dropping it marks the device FAILED: it is for a driver that finds
/// the configuration or the queues unusable.
#[derive(Debug)]
pub struct Negotiated<T: Transport> {
    device: Unfinished<T>,
    features: FeatureBits,
    tag: DeviceTag,
}

impl<T: Transport> Negotiated<T> {
    /// What was agreed.
    pub fn features(&self) -> FeatureBits {
        self.features
    }

    /// Which type of device it is.
    pub fn device_type(&self) -> DeviceType {
        self.device.shared().device_type()
    }

    /// Reads the device configuration consistently.
    ///
    /// # Errors
    ///
    /// See [`read_config`].
    pub fn config<V>(&self, read: impl Fn(&dyn Registers) -> V) -> Result<V, TransportError> {
        read_config(self.device.shared(), read)
    }

    /// The size that a queue will have if at most `most` descriptors are wanted: a power of two; 0 if the device
    /// has no such queue.
    pub fn queue_size(&mut self, index: QueueIndex, most: u16) -> u16 {
        let most = self.device.transport().max_queue_size(index).min(most).min(MAX_SIZE);
        if most == 0 { 0 } else { 1 << most.ilog2() }
    }

    /// Makes a queue of at most `most` descriptors with its slots on the heap, and tells the device about it.
    ///
    /// # Errors
    ///
    /// The device has no such queue or does not take it, it is too small, or memory is short.
    #[cfg(any(feature = "alloc", test))]
    pub fn queue<P: Payload, K, H: Cell, C: Cell>(
        &mut self,
        index: QueueIndex,
        most: u16,
        memory: Dma,
    ) -> Result<Virtqueue<P, K, H, C>, InitError> {
        self.queue_in(index, most, memory, |slots| (0..slots).map(|_| crate::Slot::default()).collect())
    }

    /// As `queue`, with its slots in the storage that `storage` returns when told how many there
    /// have to be at least.
    ///
    /// # Errors
    ///
    /// As `queue`; too little storage is [`InitError::QueueTooSmall`].
    pub fn queue_in<P: Payload, K, H: Cell, C: Cell, S: SlotStorage<P, K>>(
        &mut self,
        index: QueueIndex,
        most: u16,
        memory: Dma,
        storage: impl FnOnce(usize) -> S,
    ) -> Result<Virtqueue<P, K, H, C, S>, InitError> {
        let size = self.queue_size(index, most);
        if size == 0 {
            return Err(TransportError::NoSuchQueue(index).into());
        }
        let slots = usize::from(Virtqueue::<P, K, H, C, S>::slots_for(size));
        if slots == 0 {
            return Err(InitError::QueueTooSmall(index));
        }
        let mut queue = Virtqueue::with_storage(index, size, memory, self.features, self.tag, storage(slots))?;
        match self.device.transport().enable_queue(index, &queue.addresses()) {
            Ok(doorbell) => {
                queue.set_doorbell(doorbell);
                Ok(queue)
            }
            Err(error @ TransportError::NoSuchQueue(_)) => {
                queue.discard();
                Err(error.into())
            }
            // The device may have seen the addresses: the memory is lost until a reset nobody will do.
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the device into service.
    pub fn run(mut self) -> Running<T> {
        self.device.add_status(DeviceStatus::DRIVER_OK);
        let (transport, status) = self.device.finish();
        Running { transport, status, features: self.features, tag: self.tag }
    }
}

/// A device in service.
#[derive(Debug)]
pub struct Running<T: Transport> {
    transport: T,
    status: DeviceStatus,
    features: FeatureBits,
    tag: DeviceTag,
}

impl<T: Transport> Running<T> {
    /// What was agreed.
    pub fn features(&self) -> FeatureBits {
        self.features
    }

    /// Notifies the device of what a queue has just published, if it wants that: one store.
    #[inline]
    pub fn notify<P: Payload, K, H: Cell, C: Cell, S: SlotStorage<P, K>>(
        &self,
        queue: &Virtqueue<P, K, H, C, S>,
        wish: Notify,
    ) {
        if let (Notify::Needed, Some(doorbell)) = (wish, queue.doorbell()) {
            self.transport.notify(doorbell);
        }
    }

    /// Reads and acknowledges the cause of an interrupt. Comes before the queues are looked at: what arrives
    /// after the look then interrupts anew.
    pub fn acknowledge_interrupt(&self) -> InterruptStatus {
        self.transport.acknowledge_interrupt()
    }

    /// Reads the device configuration consistently.
    ///
    /// # Errors
    ///
    /// See [`read_config`].
    pub fn config<V>(&self, read: impl Fn(&dyn Registers) -> V) -> Result<V, TransportError> {
        read_config(&self.transport, read)
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

    /// Takes the device out of service: resets it and waits, at most [`RESET_PATIENCE`], until it confirms.
    ///
    /// The transport can be initialised anew; the proof frees the queues.
    ///
    /// # Errors
    ///
    /// Gives the device back, marked FAILED, if it does not confirm: its memory must stay where it is.
    pub fn quiesce(mut self, clock: &'static dyn Clock) -> Result<(T, Quiesced), (Self, TransportError)> {
        match self.transport.reset(Deadline::after(clock, RESET_PATIENCE)) {
            Ok(()) => Ok((self.transport, Quiesced { tag: self.tag })),
            Err(error) => {
                self.status |= DeviceStatus::FAILED;
                self.transport.set_status(self.status);
                Err((self, error))
            }
        }
    }
}
