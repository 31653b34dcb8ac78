//! From a transport to a file system device in service.
//!
//! ```text
//!   reset -> features -> configuration -> queues -> runs -> notification buffers
//!
//!   queue 0   high priority
//!   queue 1   notifications, if the feature was negotiated
//!   then      requests, as many as the device has, up to as many as are wanted
//! ```
//!
//! The specification gives the notification queue its number whether it is there or not; without the feature, devices and
//! drivers all begin with requests at queue 1.
//!
//! # Failure
//!
//! Of what can be done without, nothing ends the attachment: where a queue beyond the first for requests, or the one
//! for notifications, cannot be made, the device is reset and begun anew without it. Whatever else goes wrong ends with a
//! reset, too. One that is confirmed frees all memory; one that is not leaves the device marked FAILED, and what it knows
//! of allocated for ever.

use alloc::vec::Vec;

use toro_core::driver::AttachError;
use toro_core::{Clock, Dma, Registers};
use virtio_queue_rt::{FeatureBits, Negotiated, QueueIndex, Quiesced, Reset, Running, Transport};

use crate::driver::Options;
use crate::features::{NOTIFICATION, NOTIFICATION_SIZES};
use crate::notifications::Notifications;
use crate::queues::{Queues, Unfinished};
use crate::wire::{self, CONFIG_LEN, CONFIG_LEN_WITH_NOTIFICATION, NOTIFY_BUF_SIZE, NUM_REQUEST_QUEUES, TAG, TAG_LEN};

const HIGH_PRIORITY: QueueIndex = QueueIndex(0);
const NOTIFICATIONS: QueueIndex = QueueIndex(1);

/// What the platform provides.
#[derive(Clone, Copy)]
pub(crate) struct Platform {
    pub memory: Dma,
    pub clock: &'static dyn Clock,
    pub options: Options,
}

/// A device in service.
pub(crate) struct Started<T: Transport> {
    pub running: Running<T>,
    pub queues: Queues,
    pub notifications: Option<Notifications>,
    pub tag: Vec<u8>,
}

/// Which tag a device may have.
#[derive(Clone, Copy)]
pub(crate) enum Expected<'a> {
    Any,
    /// It has been in service before, with this one.
    Tag(&'a [u8]),
}

/// What is asked for beyond what every device has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ask {
    request_queues: u16,
    notification_buffers: u16,
}

/// Takes a device into service.
pub(crate) fn start<T: Transport>(
    mut transport: T,
    platform: Platform,
    expected: Expected<'_>,
) -> Result<Started<T>, AttachError> {
    let Options { request_queues, notification_buffers, .. } = platform.options;
    let mut ask = Ask { request_queues: request_queues.get(), notification_buffers };
    loop {
        match attempt(transport, platform, expected, ask) {
            Ok(started) => return Ok(started),
            // Less each time, so that it ends.
            Err(Failure { again: Some((reset, less)), .. }) if less != ask => (transport, ask) = (reset, less),
            Err(Failure { error, .. }) => return Err(error),
        }
    }
}

/// Why an attempt failed.
struct Failure<T> {
    error: AttachError,
    /// The device, which has been reset, and what it is worth to ask for yet.
    again: Option<(T, Ask)>,
}

fn attempt<T: Transport>(
    transport: T,
    platform: Platform,
    expected: Expected<'_>,
    ask: Ask,
) -> Result<Started<T>, Failure<T>> {
    let (mut device, notification_size) =
        negotiate(transport, platform.clock, ask).map_err(|error| Failure { error, again: None })?;
    let mut made = Made::default();
    match made.complete(&mut device, platform, expected, ask, notification_size) {
        Ok((queues, tag)) => {
            let running = device.run();
            let mut notifications = made.notifications;
            if let Some(notifications) = &mut notifications {
                notifications.fill(&running);
            }
            Ok(Started { running, queues, notifications, tag })
        }
        Err(error) => {
            let less = made.less(ask, notification_size);
            // If it does not confirm, what it knows stays allocated.
            let again = device.abandon(platform.clock).ok().and_then(|(transport, proof)| {
                made.retire(&proof);
                less.map(|less| (transport, less))
            });
            Err(Failure { error, again })
        }
    }
}

/// Settles the features; says how large notification buffers are, if there are any.
fn negotiate<T: Transport>(
    transport: T,
    clock: &'static dyn Clock,
    ask: Ask,
) -> Result<(Negotiated<T>, Option<u32>), AttachError> {
    let reset = Reset::new(transport, clock)?;
    // Whether the feature is wanted depends on the field that it governs, so that is read before it is negotiated.
    let size = match Notifications::EXIST && ask.notification_buffers > 0 && reset.offered().contains(NOTIFICATION) {
        true => reset.config(|registers| {
            (registers.len() >= CONFIG_LEN_WITH_NOTIFICATION).then(|| registers.read32(NOTIFY_BUF_SIZE))
        })?,
        false => None,
    };
    // HD-CFG-15: a size that cannot be is no reason to do without files.
    let size = size.filter(|size| NOTIFICATION_SIZES.contains(size));
    let known = if size.is_some() { NOTIFICATION } else { FeatureBits::EMPTY };
    let device = reset.negotiate(known, FeatureBits::VERSION_1, |accepted| accepted)?;
    Ok((device, size))
}

/// The queues made so far, which the device knows.
#[derive(Default)]
struct Made {
    queues: Unfinished,
    /// How many queues for requests there are.
    requests: u16,
    notifications: Option<Notifications>,
}

impl Made {
    /// Reads the configuration and makes the queues; what was made before an error stays here.
    fn complete<T: Transport>(
        &mut self,
        device: &mut Negotiated<T>,
        platform: Platform,
        expected: Expected<'_>,
        ask: Ask,
        notification_size: Option<u32>,
    ) -> Result<(Queues, Vec<u8>), AttachError> {
        let Platform { memory, options, .. } = platform;
        // HD-CFG-3: what is beyond its end is not there.
        let (field, queues) = device
            .config(|registers| {
                (registers.len() >= CONFIG_LEN).then(|| (read_tag(registers), registers.read32(NUM_REQUEST_QUEUES)))
            })?
            .ok_or(AttachError::Configuration("it is too short to hold a tag"))?;
        let tag = wire::tag(&field).ok_or(AttachError::Configuration("the tag is empty"))?;
        match expected {
            Expected::Tag(before) if before != tag => {
                return Err(AttachError::Configuration("the tag is another one than before the reset"));
            }
            _ => {}
        }
        if queues == 0 {
            return Err(AttachError::Configuration("there is no request queue"));
        }
        self.queues.set_high(device.queue(HIGH_PRIORITY, options.descriptors, memory)?);
        if let Some(size) = notification_size {
            let most = ask.notification_buffers;
            self.notifications = Some(Notifications::new(device, NOTIFICATIONS, most, size, memory)?);
        }
        let first: u16 = if notification_size.is_some() { 2 } else { 1 };
        // HD-CFG-14: nothing is allocated for queues that are only claimed.
        let wanted = u16::try_from(queues).unwrap_or(u16::MAX).min(ask.request_queues);
        for number in 0..wanted {
            let left = self.queues.ids_left();
            let index = QueueIndex(first.saturating_add(number));
            let is_there = left >= options.descriptors && device.queue_size(index, options.descriptors) > 0;
            if number > 0 && !is_there {
                break;
            }
            self.queues.add(device.queue(index, options.descriptors.min(left), memory)?);
            self.requests += 1;
        }
        let queues = self.queues.finish().ok_or(AttachError::Resources("a queue"))?;
        Ok((queues, tag.to_vec()))
    }

    /// What there could be if what is missing were not asked for; nothing if there is no use in trying.
    fn less(&self, ask: Ask, notification_size: Option<u32>) -> Option<Ask> {
        if self.requests > 0 {
            return Some(Ask { request_queues: self.requests, ..ask });
        }
        // Also if it was the first queue for requests: without notifications it is another one.
        (self.queues.has_high() && notification_size.is_some()).then_some(Ask { notification_buffers: 0, ..ask })
    }

    /// Frees everything, the device having been reset.
    fn retire(self, proof: &Quiesced) {
        self.queues.retire(proof);
        if let Some(notifications) = self.notifications {
            notifications.retire(proof);
        }
    }
}

fn read_tag(registers: &dyn Registers) -> [u8; TAG_LEN] {
    core::array::from_fn(|i| registers.read8(TAG + i))
}
