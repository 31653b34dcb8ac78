//! The driver: [`VirtioFs`] and the trait [`FuseDevice`].
//!
//! # After a failure
//!
//! A queue that the device has broken, or a device that says that it needs a reset, poisons all of it: everything answers
//! with the fault until [`reset`](FuseDevice::reset), which hands back what was in flight and begins anew. A device that
//! does not confirm a reset answers [`DeviceFault::Gone`], and what it did not give back stays where it may still write; it
//! may confirm a later one. A device that cannot be begun with, or that has another tag now, is gone for good.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU16;

use toro_core::driver::fuse::{FuseCompletion, FuseDevice, FuseLimits, FuseRequest, RequestId};
use toro_core::driver::{Armed, AttachError, Attached, DeviceFault, DeviceId, Driver, Refusal, Refused, Resources};
use toro_core::{Clock, Dma, DmaBuf};
use virtio_queue_rt::attach::{BoxedTransport, matches, open};
use virtio_queue_rt::transport::{SharedMemory, Signalling};
use virtio_queue_rt::{DeviceType, Running, Transport};

use crate::buffers::{Buffers, LARGEST};
use crate::notifications::Notifications;
use crate::queues::Queues;
use crate::request::is_acceptable;
use crate::setup::{Expected, Platform, Started, start};
use crate::window::WINDOW_ID;

/// Choices that a platform makes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most descriptors to use in each queue: as many requests are in flight there where the device has INDIRECT_DESC,
    /// and a quarter of that where it has not.
    pub descriptors: u16,
    /// The most queues for requests to use; the device may have fewer. All of them have one owner: they are for servers
    /// that have a thread for each.
    pub request_queues: NonZeroU16,
    /// How many buffers to keep ready for messages that the server sends of its own accord, where the device can do that;
    /// with 0, and without the feature `notifications`, it is not asked to. There is memory for twice as many.
    pub notification_buffers: u16,
    /// The most bytes that all buffers of requests together may take.
    pub buffer_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        let request_queues = NonZeroU16::new(4).unwrap_or(NonZeroU16::MIN);
        Self { descriptors: 1024, request_queues, notification_buffers: 8, buffer_bytes: 24 << 20 }
    }
}

/// A file system device.
pub struct VirtioFs<T: Transport> {
    /// `None` once the device is gone for good.
    live: Option<Live<T>>,
    platform: Platform,
    buffers: Buffers,
    tag: Vec<u8>,
    limits: FuseLimits,
    /// What the device has done wrong since it was last begun with.
    fault: Option<DeviceFault>,
}

struct Live<T: Transport> {
    running: Running<T>,
    queues: Queues,
    notifications: Option<Notifications>,
}

impl<T: Transport> VirtioFs<T> {
    /// Initialises the device behind a transport.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used; it is left marked FAILED or reset.
    pub fn new(transport: T, memory: Dma, clock: &'static dyn Clock, options: &Options) -> Result<Self, AttachError> {
        let platform = Platform { memory, clock, options: *options };
        let Started { running, queues, notifications, tag } = start(transport, platform, Expected::Any)?;
        let limits = limits(&queues);
        let live = Some(Live { running, queues, notifications });
        Ok(Self { live, platform, buffers: Buffers::new(memory, options.buffer_bytes), tag, limits, fault: None })
    }

    /// How many queues requests are spread over; 0 while the device is gone.
    pub fn request_queues(&self) -> usize {
        let live = self.live.as_ref().filter(|_| self.fault != Some(DeviceFault::Gone));
        live.map_or(0, |live| live.queues.count())
    }

    /// Where the device's window for mapped files is (VIRTIO 1.3 §5.11.6.4), for a platform that maps it and makes a
    /// [`DaxWindow`](crate::DaxWindow) of it. `None` if there is none, as of most devices, or none that can be: files are
    /// read and written then.
    pub fn window_memory(&self) -> Option<SharedMemory> {
        self.live.as_ref()?.running.shared_memory(WINDOW_ID)
    }

    /// Takes the device out of service: resets it, hands every unfinished request back, and returns its transport.
    ///
    /// # Errors
    ///
    /// The device does not confirm the reset: it is marked FAILED, and what it knows stays allocated for ever.
    pub fn stop(mut self, unfinished: &mut dyn FnMut(RequestId, FuseRequest)) -> Result<T, AttachError> {
        let live = self.live.take().ok_or(DeviceFault::Gone)?;
        quiesce(live, self.platform.clock, unfinished).map_err(|(_, error)| error)
    }

    /// What keeps the device from being used.
    fn fault(&self) -> Option<DeviceFault> {
        match self.live {
            Some(_) => self.fault,
            None => Some(DeviceFault::Gone),
        }
    }

    /// The device, if it can be used.
    fn live(&mut self) -> Result<&mut Live<T>, DeviceFault> {
        match (self.fault, &mut self.live) {
            (Some(fault), Some(_)) => Err(fault),
            (None, Some(live)) => Ok(live),
            (_, None) => Err(DeviceFault::Gone),
        }
    }

    /// Does something with the device and remembers if that fails.
    fn with<V>(&mut self, act: impl FnOnce(&mut Live<T>) -> Result<V, DeviceFault>) -> Result<V, DeviceFault> {
        let result = act(self.live()?);
        if let Err(fault) = &result {
            self.fault = Some(*fault);
        }
        result
    }
}

fn limits(queues: &Queues) -> FuseLimits {
    let (in_flight, high_priority_in_flight) = queues.capacity();
    FuseLimits { in_flight, high_priority_in_flight, max_payload: LARGEST }
}

/// Resets a device and hands back what was in flight. Without its confirmation everything stays where the device may still
/// write to it, and comes back with the error.
fn quiesce<T: Transport>(
    live: Live<T>,
    clock: &'static dyn Clock,
    unfinished: &mut dyn FnMut(RequestId, FuseRequest),
) -> Result<T, (Box<Live<T>>, AttachError)> {
    let Live { running, queues, notifications } = live;
    let (transport, proof) = match running.quiesce(clock) {
        Ok(quiesced) => quiesced,
        Err((running, error)) => return Err((Box::new(Live { running, queues, notifications }), error.into())),
    };
    queues.recover(&proof, unfinished);
    if let Some(notifications) = notifications {
        notifications.retire(&proof);
    }
    Ok(transport)
}

impl<T: Transport + Send> FuseDevice for VirtioFs<T> {
    fn tag(&self) -> &[u8] {
        &self.tag
    }

    fn limits(&self) -> FuseLimits {
        self.limits
    }

    fn buffer(&mut self, size: usize) -> Option<DmaBuf> {
        self.buffers.take(size)
    }

    fn recycle(&mut self, buffer: DmaBuf) {
        self.buffers.recycle(buffer);
    }

    fn lender(&self) -> Option<Dma> {
        Some(self.platform.memory)
    }

    fn submit(&mut self, request: FuseRequest) -> Result<RequestId, Refused<FuseRequest>> {
        if !is_acceptable(&request) {
            return Err(Refused { reason: Refusal::Invalid, request });
        }
        match self.live() {
            Ok(live) => live.queues.submit(request),
            Err(fault) => Err(Refused { reason: Refusal::Faulted(fault), request }),
        }
    }

    fn publish(&mut self) {
        if let Ok(Live { running, queues, .. }) = self.live() {
            queues.publish(running);
        }
    }

    fn complete(&mut self) -> Result<Option<FuseCompletion>, DeviceFault> {
        self.with(|live| live.queues.complete())
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        self.with(|Live { running, queues, notifications }| {
            // Before the look: what arrives after it raises the line again.
            let cause = running.acknowledge_interrupt()?;
            // Where each event has a message of its own, this says nothing, and the status would be read each time.
            if cause.configuration && running.signalling() == Signalling::Line {
                running.check()?;
            }
            if let Some(fault) = queues.fault().or(notifications.as_ref().and_then(Notifications::fault)) {
                return Err(fault);
            }
            // All of them, whatever the first one says: each has to be armed.
            let armed = [Some(queues.arm()), notifications.as_mut().map(|notifications| notifications.arm(running))];
            Ok(if armed.contains(&Some(Armed::WorkPending)) { Armed::WorkPending } else { Armed::Idle })
        })
    }

    fn has_notifications(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.notifications.is_some())
    }

    fn notification(&mut self) -> Result<Option<DmaBuf>, DeviceFault> {
        self.with(|live| match &mut live.notifications {
            Some(notifications) => notifications.next(&live.running),
            None => Ok(None),
        })
    }

    fn check(&mut self) -> Result<(), DeviceFault> {
        self.with(|live| live.running.check())
    }

    fn reset(&mut self, unfinished: &mut dyn FnMut(RequestId, FuseRequest)) -> Result<(), AttachError> {
        let live = self.live.take().ok_or(DeviceFault::Gone)?;
        let transport = match quiesce(live, self.platform.clock, unfinished) {
            Ok(transport) => transport,
            Err((live, error)) => {
                self.live = Some(*live);
                self.fault = Some(DeviceFault::Gone);
                return Err(error);
            }
        };
        let Started { running, queues, notifications, tag: _ } =
            start(transport, self.platform, Expected::Tag(&self.tag))?;
        self.limits = limits(&queues);
        self.live = Some(Live { running, queues, notifications });
        self.fault = None;
        Ok(())
    }
}

impl<T: Transport> fmt::Debug for VirtioFs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tag, queues) = (self.tag.escape_ascii(), self.request_queues());
        write!(f, "VirtioFs({tag}, {queues} queues, {} at once", self.limits.in_flight)?;
        match self.fault() {
            Some(fault) => write!(f, ", {fault})"),
            None => f.write_str(")"),
        }
    }
}

struct VirtioFsDriver;

/// The entry for a kernel's list of drivers. It uses as many request queues as the device may have owners, though they all
/// belong to the first.
pub static DRIVER: &dyn Driver = &VirtioFsDriver;

impl Driver for VirtioFsDriver {
    fn name(&self) -> &'static str {
        "virtio-fs"
    }

    fn matches(&self, id: &DeviceId) -> bool {
        matches(id, DeviceType::FILE_SYSTEM)
    }

    fn attach(&self, resources: Resources) -> Result<Attached, AttachError> {
        let options = Options { request_queues: resources.owners, ..Options::default() };
        let opened = open(resources, DeviceType::FILE_SYSTEM)?;
        let fs: VirtioFs<BoxedTransport> = VirtioFs::new(opened.transport, opened.memory, opened.clock, &options)?;
        Ok(Attached::Fuse(Box::new(fs)))
    }
}
