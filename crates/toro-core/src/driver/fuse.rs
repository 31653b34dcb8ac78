//! Carriers of FUSE requests: [`FuseDevice`].
//!
//! A carrier moves requests to a file server and replies back. It knows nothing about files: a request is a
//! buffer of bytes, a reply is one or two buffers that the device fills in order, so that bulk data lands in a
//! buffer of its own and needs no copy.
//!
//! ```text
//!   FuseRequest   request: [in header, body, names]          readable by the device
//!                 data:    [bytes of a WRITE]                readable, may be absent
//!                 reply:   [out header, fixed part]          writable, absent for FORGET
//!                 payload: [bytes of a READ or READDIR]      writable, may be absent
//! ```
//!
//! A request is submitted and waits; [`publish`](FuseDevice::publish) makes all that were submitted visible to
//! the device with as few notifications as it needs; completions come in any order, named by the [`RequestId`] that
//! [`submit`](FuseDevice::submit) returned.
//!
//! # A carrier that fails
//!
//! ```text
//!   submit, publish --> in flight --complete--> FuseCompletion
//!                          |  reset
//!                          +------------------> handed back, unfinished
//! ```
//!
//! After a [`DeviceFault`], or when nothing is answered any more, a carrier can be [`reset`](FuseDevice::reset): it hands
//! back all that it was given and can be used anew. The server behind it knows nothing of earlier requests then: whoever
//! uses the carrier begins a session from nothing, with INIT.

pub use super::RequestId;
use super::{Armed, AttachError, DeviceFault, Refused};
use crate::dma::{Dma, DmaBuf};

/// Which way a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Ordinary requests.
    Normal,
    /// FORGET, BATCH_FORGET and INTERRUPT, and nothing else: they pass when ordinary requests are stuck.
    High,
}

/// The buffers of a request, owned by the device from submission to completion.
#[derive(Debug)]
pub struct FuseRequest {
    /// Which way it goes.
    pub priority: Priority,
    /// Header, body and names; its length is what the device reads.
    pub request: DmaBuf,
    /// Bulk data behind the body, for WRITE.
    pub data: Option<DmaBuf>,
    /// Where the out header and the fixed part of the reply go; its length is the room that the device gets.
    pub reply: Option<DmaBuf>,
    /// Where bulk data of the reply goes, for READ and READDIR; its length is the room that the device gets.
    pub payload: Option<DmaBuf>,
}

/// A request that the device has finished with.
#[derive(Debug)]
pub struct FuseCompletion {
    /// What `submit` returned for it.
    pub id: RequestId,
    /// The buffers, back in the caller's hands.
    pub request: FuseRequest,
    /// How many bytes the device says it wrote, at most the writable length. Some servers say 0.
    pub written: usize,
}

/// What a carrier can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuseLimits {
    /// How many ordinary requests can be in flight.
    pub in_flight: usize,
    /// How many high-priority requests can be in flight.
    pub high_priority_in_flight: usize,
    /// Longest payload or data buffer, in bytes.
    pub max_payload: usize,
}

/// A carrier of FUSE requests.
///
/// What a caller may rely on: a buffer given to `submit` is not touched by anyone else until its completion
/// hands it back; each accepted request completes at most once; after `arm` answered [`Armed::Idle`] the next
/// completion raises an interrupt; nothing the device does makes a method panic or loop without end.
pub trait FuseDevice: Send {
    /// The name under which the host exports the file system: 1 to 36 bytes.
    fn tag(&self) -> &[u8];

    /// What it can take.
    fn limits(&self) -> FuseLimits;

    /// A zeroed-at-birth buffer of at least `size` bytes that requests can be built from, with its length set to
    /// `size`; its contents are whatever the last user left. `None` when memory is short.
    fn buffer(&mut self, size: usize) -> Option<DmaBuf>;

    /// Takes a buffer back. Dropping it does the same, a little slower.
    fn recycle(&mut self, buffer: DmaBuf);

    /// Through what memory that is not the carrier's own may be lent to it, with [`lend`](crate::dma::lend); `None` where its
    /// buffers have to come from [`buffer`](Self::buffer). A carrier that borrows memory can be [`reset`](Self::reset).
    fn lender(&self) -> Option<Dma> {
        None
    }

    /// Queues a request.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the request inside: [`Refusal::Full`](super::Refusal::Full) while too many are in flight,
    /// [`Refusal::Invalid`](super::Refusal::Invalid) for an empty buffer, one longer than the limit, or a priority that is
    /// not for this kind of request, and [`Refusal::Faulted`](super::Refusal::Faulted) after a fault.
    fn submit(&mut self, request: FuseRequest) -> Result<RequestId, Refused<FuseRequest>>;

    /// Shows the device all that was submitted, and notifies it where it asked for that.
    fn publish(&mut self);

    /// The next finished request, if there is one.
    ///
    /// # Errors
    ///
    /// The device broke the protocol; nothing will complete until it is reset.
    fn complete(&mut self) -> Result<Option<FuseCompletion>, DeviceFault>;

    /// Asks for an interrupt at the next completion, then looks once more.
    ///
    /// # Errors
    ///
    /// The device broke the protocol.
    fn arm(&mut self) -> Result<Armed, DeviceFault>;

    /// Whether the server can send messages of its own accord. Then [`notification`](Self::notification) has to be asked
    /// after every interrupt, and [`arm`](Self::arm) says that work is pending until all have been taken.
    fn has_notifications(&self) -> bool {
        false
    }

    /// The next message that the server sent of its own accord, as long as the device says it is. Give it back with
    /// [`recycle`](Self::recycle). `None` if there is none, and always of a carrier without such messages.
    ///
    /// # Errors
    ///
    /// The device broke the protocol.
    fn notification(&mut self) -> Result<Option<DmaBuf>, DeviceFault> {
        Ok(None)
    }

    /// Whether the device is still well, as far as it can tell. It costs an access to its registers: it is for whoever has
    /// waited in vain.
    ///
    /// # Errors
    ///
    /// The fault.
    fn check(&mut self) -> Result<(), DeviceFault> {
        Ok(())
    }

    /// Resets the device and takes it into service again. Every request that had not completed is handed to `unfinished`:
    /// whether the server has seen it is unknown. [`limits`](Self::limits) may be others afterwards; the tag is the same.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used any more: then what was in flight may stay with it for ever. The carriers that cannot
    /// be reset say so and are as they were.
    fn reset(&mut self, unfinished: &mut dyn FnMut(RequestId, FuseRequest)) -> Result<(), AttachError> {
        let _ = unfinished;
        Err(AttachError::Resources("the carrier cannot be reset"))
    }
}
