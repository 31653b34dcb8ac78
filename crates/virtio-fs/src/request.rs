//! Requests on their way in and out of a queue: which are accepted, and their buffers in the order in which the device
//! sees them.
//!
//! ```text
//!   [request]  [data of a WRITE]  |  [reply header and fixed part]  [data of a READ]
//!    read by the device               written by the device
//! ```
//!
//! Each buffer is one descriptor, so that no header is ever divided between two, and a request has four at most, whatever
//! its size: the longest payload does not depend on how many descriptors a queue has, nor on INDIRECT_DESC.
//!
//! # What is refused
//!
//! What the device could not make sense of, some of which ends servers that trust their guests: a request without a whole
//! header, an ordinary one without room for the header of its reply, a buffer that is empty or longer than any may be, and
//! whatever is on the wrong queue or has room for a reply that never comes (§5.11.6.2.2).

use toro_core::driver::fuse::{FuseRequest, Priority};
use virtio_queue_rt::Chain;

use crate::buffers::LARGEST;
use crate::wire::{self, REPLY_HEADER_LEN};

/// Whether a device can be given this request.
pub(crate) fn is_acceptable(request: &FuseRequest) -> bool {
    let FuseRequest { priority, request, data, reply, payload } = request;
    let is_long = |buffer: &Option<_>| buffer.as_ref().is_some_and(|buffer: &toro_core::DmaBuf| buffer.len() > LARGEST);
    if request.len() > LARGEST || is_long(data) || is_long(reply) || is_long(payload) {
        return false;
    }
    match (priority, wire::is_urgent(request)) {
        (Priority::Normal, Some(false)) => reply.as_ref().is_some_and(|reply| reply.len() >= REPLY_HEADER_LEN),
        (Priority::High, Some(true)) => reply.is_none() && payload.is_none(),
        _ => false,
    }
}

/// A request with its buffers in the order in which the device sees them.
pub(crate) fn into_chain(request: FuseRequest) -> Chain {
    Chain { readable: [Some(request.request), request.data], writable: [request.reply, request.payload] }
}

/// The reverse; `None` for a chain without a request, which cannot be, since only `into_chain` makes them.
pub(crate) fn from_chain(chain: Chain, priority: Priority) -> Option<FuseRequest> {
    let [request, data] = chain.readable;
    let [reply, payload] = chain.writable;
    Some(FuseRequest { priority, request: request?, data, reply, payload })
}
