//! Waiting for an answer, and what is in it.

use alloc::rc::Rc;

use fuse_proto::{Errno, Operation, ReplyError, Unique};
use toro_core::driver::fuse::FuseRequest;

use super::Connection;
use super::slots::{Phase, Waiter};
use crate::fs::scheduler::Wake;

/// A finished exchange.
pub struct Answer {
    /// The number that the reply must carry.
    pub unique: Unique,
    /// The buffers, with the reply in them.
    pub buffers: FuseRequest,
}

impl Answer {
    /// The reply as the device wrote it: header, then what is not bulk data.
    pub fn reply(&self) -> &[u8] {
        self.buffers.reply.as_deref().unwrap_or_default()
    }
}

/// The bulk data of a good reply, as long as its header says.
///
/// # Errors
///
/// Those of [`Operation::payload_range`].
pub fn payload<'a, O: Operation>(
    operation: &O,
    unique: Unique,
    buffers: &'a FuseRequest,
) -> Result<&'a [u8], ReplyError> {
    let reply = buffers.reply.as_deref().unwrap_or_default();
    let header = reply.first_chunk().ok_or(fuse_proto::Defect::HeaderLength)?;
    let length = operation.payload_range(unique, header)?.len();
    let payload = buffers.payload.as_deref().unwrap_or_default();
    payload.get(..length).ok_or(fuse_proto::Defect::Overlong.into())
}

/// A claim to the answer of a request. Dropped, it leaves the answer to be settled.
#[must_use = "dropping a ticket abandons the request"]
pub struct Ticket {
    pub(super) connection: Rc<Connection>,
    pub(super) slot: usize,
    /// Cleared when the slot is no longer ours.
    pub(super) waits: bool,
}

impl Ticket {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// ETIMEDOUT after the connection's patience; what the connection was closed with.
    pub fn wait(mut self) -> Result<Answer, Errno> {
        let connection = Rc::clone(&self.connection);
        let deadline = connection.deadline();
        loop {
            let mut state = connection.state.borrow_mut();
            let reason = state.closed.unwrap_or(Errno::EIO);
            let Some(slot) = state.slots.get_mut(self.slot) else { return Err(reason) };
            if let Phase::InFlight { unique, .. } = slot.phase {
                let event = Rc::clone(&slot.event);
                drop(state);
                if event.wait_until(deadline) == Wake::TimedOut && !self.is_answered() {
                    // The device may have missed the notification; it costs nothing to tell it again.
                    connection.device.borrow_mut().publish();
                    let errno = connection.waited_in_vain();
                    // Nobody interrupts what was lost with the device.
                    if !self.is_answered() {
                        connection.interrupt(unique);
                    }
                    return Err(errno);
                }
                continue;
            }
            self.waits = false;
            let phase = core::mem::replace(&mut slot.phase, Phase::Free);
            return match phase {
                Phase::Done { answer, late: _, keep } => {
                    state.free.push(self.slot);
                    drop(state);
                    drop(keep);
                    Ok(answer)
                }
                Phase::Lost => {
                    state.free.push(self.slot);
                    Err(reason)
                }
                // Not while there is a ticket for it.
                Phase::Free | Phase::InFlight { .. } => Err(reason),
            };
        }
    }

    /// Whether waiting would return at once.
    pub fn is_answered(&self) -> bool {
        let state = self.connection.state.borrow();
        state.slots.get(self.slot).is_none_or(|slot| !matches!(slot.phase, Phase::InFlight { .. }))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.waits {
            return;
        }
        let mut state = self.connection.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(self.slot) else { return };
        match core::mem::replace(&mut slot.phase, Phase::Free) {
            Phase::InFlight { unique, late, keep, .. } => {
                slot.phase = Phase::InFlight { unique, late, keep, waiter: Waiter::Gone };
                let wanted = &self.connection.wanted;
                wanted.set(wanted.get().saturating_sub(1));
            }
            Phase::Done { answer, late, keep } => {
                state.free.push(self.slot);
                drop(state);
                self.connection.settle(answer, late, keep);
            }
            Phase::Lost => state.free.push(self.slot),
            // Not while there is a ticket for it.
            Phase::Free => {}
        }
    }
}
