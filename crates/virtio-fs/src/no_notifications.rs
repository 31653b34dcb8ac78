//! In place of the notification queue, for a driver without the feature `notifications`: there are none, and what would be
//! done with one is not compiled.

use toro_core::driver::{Armed, AttachError, DeviceFault};
use toro_core::{Dma, DmaBuf};
use virtio_queue_rt::{Negotiated, QueueIndex, Quiesced, Running, Transport};

/// Never made.
pub(crate) enum Notifications {}

impl Notifications {
    /// Whether there can be one.
    pub const EXIST: bool = false;

    pub fn new<T: Transport>(
        _: &mut Negotiated<T>,
        _: QueueIndex,
        _: u16,
        _: u32,
        _: Dma,
    ) -> Result<Self, AttachError> {
        Err(AttachError::Features)
    }

    pub fn fill<T: Transport>(&mut self, _: &Running<T>) {
        match *self {}
    }

    pub fn next<T: Transport>(&mut self, _: &Running<T>) -> Result<Option<DmaBuf>, DeviceFault> {
        match *self {}
    }

    pub fn arm<T: Transport>(&mut self, _: &Running<T>) -> Armed {
        match *self {}
    }

    pub fn fault(&self) -> Option<DeviceFault> {
        match *self {}
    }

    pub fn retire(self, _: &Quiesced) {
        match self {}
    }
}
