//! What is wrong with a connection, and how its device gets another one.
//!
//! ```text
//!   Connection (closed, ESTALE)         nodes and handles of the old session: whatever they owe is dropped here
//!        |  renew: reset, buffers come back
//!        v
//!   Connection (open)                   the device, and nothing else of before
//! ```
//!
//! A session that has ended cannot be gone on with: the server may have been started anew, and numbers of nodes and handles
//! mean other things now. So the device moves to a new connection, and the old one stays closed for ever. An answer that
//! was there and not yet taken is lost with the others.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;
use toro_core::DmaBuf;
use toro_core::driver::fuse::{FuseCompletion, FuseDevice, FuseLimits, FuseRequest, RequestId};
use toro_core::driver::{Armed, AttachError, DeviceFault, Refusal, Refused};

use super::Connection;
use super::slots::Phase;

impl Connection {
    /// What keeps the connection from being used: what it was closed with, or ETIMEDOUT if the server has been silent since
    /// somebody waited in vain. `None` if it seems well.
    pub fn trouble(&self) -> Option<Errno> {
        if self.state.borrow().closed.is_none() {
            self.look_at_device();
        }
        let silent = self.silent.get().then_some(Errno::ETIMEDOUT);
        self.state.borrow().closed.or(silent)
    }

    /// Notes that nobody answered for as long as anybody waits; the error for who has waited.
    pub(super) fn waited_in_vain(&self) -> Errno {
        self.silent.set(true);
        self.look_at_device();
        self.state.borrow().closed.unwrap_or(Errno::ETIMEDOUT)
    }

    /// Asks the device whether it is well.
    fn look_at_device(&self) {
        let checked = self.device.borrow_mut().check();
        if let Err(fault) = checked {
            self.fail(fault);
        }
    }

    /// Ends this connection, resets its device, and makes a new one of it. Whoever waits, and whoever comes later with
    /// something of the old session, gets ESTALE.
    ///
    /// # Errors
    ///
    /// EIO if the device cannot be used any more. It stays here; another attempt may be made.
    pub fn renew(&self) -> Result<Rc<Self>, Errno> {
        self.close(Errno::ESTALE);
        self.state.borrow_mut().closed = Some(Errno::ESTALE);
        self.lose_answers();
        self.reset_device().map_err(|error| {
            log::error!("virtio-fs: the device cannot be reset: {error}");
            Errno::EIO
        })?;
        let device = core::mem::replace(&mut *self.device.borrow_mut(), Box::new(Nobody));
        Ok(Self::new(device, Rc::clone(&self.scheduler), self.patience))
    }

    /// Resets the device, and takes all that it gives back.
    ///
    /// # Errors
    ///
    /// The device's: it may still have buffers then.
    pub(super) fn reset_device(&self) -> Result<(), AttachError> {
        let mut unfinished = Vec::new();
        let reset = self.device.borrow_mut().reset(&mut |_, request| unfinished.push(request));
        // Outside of the borrow: buffers go back to the device, or to whoever has lent them.
        unfinished.into_iter().for_each(|request| self.recycle(request));
        reset
    }

    /// Answers that are there and not yet taken are of a session that has ended.
    fn lose_answers(&self) {
        let mut lost = Vec::new();
        let mut state = self.state.borrow_mut();
        for slot in &mut state.slots {
            if let Phase::Done { .. } = slot.phase {
                lost.push(core::mem::replace(&mut slot.phase, Phase::Lost));
            }
        }
        drop(state);
        for phase in lost {
            if let Phase::Done { answer, keep, .. } = phase {
                self.recycle(answer.buffers);
                drop(keep);
            }
        }
    }
}

/// The carrier of a connection whose device has gone to another one.
struct Nobody;

impl FuseDevice for Nobody {
    fn tag(&self) -> &[u8] {
        b"?"
    }

    fn limits(&self) -> FuseLimits {
        FuseLimits { in_flight: 0, high_priority_in_flight: 0, max_payload: 0 }
    }

    fn buffer(&mut self, _: usize) -> Option<DmaBuf> {
        None
    }

    fn recycle(&mut self, buffer: DmaBuf) {
        // It goes home to the pool that it is from.
        drop(buffer);
    }

    fn submit(&mut self, request: FuseRequest) -> Result<RequestId, Refused<FuseRequest>> {
        Err(Refused { reason: Refusal::Faulted(DeviceFault::Gone), request })
    }

    fn publish(&mut self) {}

    fn complete(&mut self) -> Result<Option<FuseCompletion>, DeviceFault> {
        Ok(None)
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        Ok(Armed::Idle)
    }
}
