//! INTERRUPT: a request is no longer wanted.
//!
//! A hint that travels on the high-priority queue and has no reply (HD-FS-39). What it can change is *when* the request
//! that it names is answered, and whether with `EINTR`. It cannot take anything back: buffers of the request stay with
//! the device until that answer is there, which may be never (HD-FS-37). Virtio-fs servers ignore it today.

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::EncodeError;
use crate::header::Unique;
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Request};

/// Body of INTERRUPT.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_interrupt_in")]
pub struct WireInterrupt {
    /// The request that is no longer wanted.
    pub unique: U64,
}
const _: () = assert!(size_of::<WireInterrupt>() == 8);

/// Interrupts a request that is under way. The interrupt's own number, the one it is encoded with, is another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_INTERRUPT")]
pub struct Interrupt {
    /// The number of the request that is no longer wanted.
    pub unique: Unique,
}

impl Request for Interrupt {
    const OPCODE: Opcode = Opcode::Interrupt;

    fn node(&self) -> Option<NodeId> {
        None
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireInterrupt { unique: U64::new(self.unique.get()) })
    }
}
