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

mod error;
mod running;
mod setup;

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use toro_core::{Clock, Deadline, Dma, Registers};

pub use self::error::InitError;
pub use self::running::Running;
use self::setup::Lost;
use crate::features::{FeatureBits, accept, with_prerequisites};
use crate::queue::{Cell, Payload, SlotStorage, Virtqueue, Wanted};
use crate::status::DeviceStatus;
use crate::transport::{DeviceType, Interface, QueueIndex, SharedMemory, Transport, TransportError, read_config};

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
    /// [`TransportError::TimedOut`] if it does not confirm; it is marked FAILED.
    pub fn new(mut transport: T, clock: &'static dyn Clock) -> Result<Self, InitError> {
        if let Err(error) = transport.reset(Deadline::after(clock, RESET_PATIENCE)) {
            transport.set_status(DeviceStatus::FAILED);
            return Err(error.into());
        }
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
    pub fn config<V: PartialEq>(&self, read: impl Fn(&dyn Registers) -> V) -> Result<V, TransportError> {
        read_config(self.device.shared(), read)
    }

    /// Accepts, of what the device offers, the ring features of this crate and the device features in `known`.
    ///
    /// `refine` is shown what would be accepted and returns what shall be: the place to drop a feature whose
    /// prerequisite is missing, or a ring feature that is not wanted. It cannot add anything.
    ///
    /// A legacy device is negotiated with by the legacy rules (§3.1.2), without FEATURES_OK; a driver that has none
    /// for its device type requires [`VERSION_1`](FeatureBits::VERSION_1).
    ///
    /// # Errors
    ///
    /// [`InitError::FeaturesMissing`] if the device lacks one of `required`, or has the modern interface but not
    /// VERSION_1; [`InitError::FeaturesRejected`] if it does not accept the choice.
    pub fn negotiate(
        mut self,
        known: FeatureBits,
        required: FeatureBits,
        refine: impl FnOnce(FeatureBits) -> FeatureBits,
    ) -> Result<Negotiated<T>, InitError> {
        let interface = self.device.shared().interface();
        let acceptable = accept(self.offered, known | required, self.device.shared().ring_features());
        let accepted = with_prerequisites(acceptable & refine(acceptable));
        let required = match interface {
            Interface::Modern => required | FeatureBits::VERSION_1,
            Interface::Legacy { .. } => required,
        };
        if !accepted.contains(required) {
            return Err(InitError::FeaturesMissing(required & !accepted));
        }
        self.device.transport().set_driver_features(accepted);
        if interface == Interface::Modern {
            self.device.add_status(DeviceStatus::FEATURES_OK);
            // The device says no by taking the bit back (§3.1.1, step 6).
            if !self.device.shared().status().contains(DeviceStatus::FEATURES_OK) {
                return Err(InitError::FeaturesRejected);
            }
        }
        let agreed = Agreed { features: accepted, tag: DeviceTag::next() };
        Ok(Negotiated { device: self.device, agreed, lost: Lost::default() })
    }
}

/// A device with which features have been agreed. Dropping it marks the device FAILED: it is for a driver that finds
/// the configuration or the queues unusable.
#[derive(Debug)]
pub struct Negotiated<T: Transport> {
    device: Unfinished<T>,
    agreed: Agreed,
    /// The rings of a queue that the device was told of and did not take.
    lost: Lost,
}

/// What an initialisation agreed on, and which one it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    pub features: FeatureBits,
    pub tag: DeviceTag,
}

impl<T: Transport> Negotiated<T> {
    /// What was agreed.
    pub fn features(&self) -> FeatureBits {
        self.agreed.features
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
    pub fn config<V: PartialEq>(&self, read: impl Fn(&dyn Registers) -> V) -> Result<V, TransportError> {
        read_config(self.device.shared(), read)
    }

    /// The region of shared memory with this id (§2.10); `None` if there is no usable one.
    pub fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        self.device.shared().shared_memory(id)
    }

    /// How many descriptors a queue will use if at most `most` are wanted: a power of two; 0 if the device has no such
    /// queue, or one of a size that cannot be. Requests of several descriptors that have tables of their own
    /// ([`INDIRECT_DESC`](FeatureBits::INDIRECT_DESC)) take one each.
    pub fn queue_size(&mut self, index: QueueIndex, most: u16) -> u16 {
        setup::sizes(self.device.transport(), index, most).map_or(0, |sizes| sizes.used)
    }

    /// Makes a queue of at most the size `most` with its slots on the heap, and tells the device about it. A number of
    /// descriptors will do; [`Wanted`] says for [`Segments`](toro_core::dma::Segments) how many buffers a request has.
    ///
    /// Where the device alone decides how large its rings are, no more of the descriptors are used.
    ///
    /// # Errors
    ///
    /// The device has no such queue or does not take it, it is too small, or memory is short.
    #[cfg(any(feature = "alloc", test))]
    pub fn queue<P: Payload, K, H: Cell, C: Cell>(
        &mut self,
        index: QueueIndex,
        most: impl Into<Wanted>,
        memory: Dma,
    ) -> Result<Virtqueue<P, K, H, C>, InitError> {
        self.queue_in(index, most, memory, setup::boxed)
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
        most: impl Into<Wanted>,
        memory: Dma,
        storage: impl FnOnce(usize) -> S,
    ) -> Result<Virtqueue<P, K, H, C, S>, InitError> {
        setup::queue(self.device.transport(), self.agreed, (index, most.into()), memory, storage, &mut self.lost)
    }

    /// Takes the device into service.
    pub fn run(mut self) -> Running<T> {
        self.device.add_status(DeviceStatus::DRIVER_OK);
        let (transport, status) = self.device.finish();
        Running { transport, status, agreed: self.agreed }
    }

    /// Gives the device up: marks it FAILED, then resets it and waits, at most [`RESET_PATIENCE`], until it confirms.
    ///
    /// The proof frees the queues that were made; the transport can be initialised anew. A driver that finds the
    /// configuration or a later queue unusable ends here, so that nothing stays allocated.
    ///
    /// # Errors
    ///
    /// The device does not confirm, and keeps what it was told of; it stays marked FAILED.
    pub fn abandon(mut self, clock: &'static dyn Clock) -> Result<(T, Quiesced), TransportError> {
        self.device.add_status(DeviceStatus::FAILED);
        self.device.transport().reset(Deadline::after(clock, RESET_PATIENCE))?;
        let (transport, _) = self.device.finish();
        self.lost.free();
        Ok((transport, Quiesced { tag: self.agreed.tag }))
    }
}
