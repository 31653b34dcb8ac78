//! FORGET and BATCH_FORGET: references go back.
//!
//! Every [`Entry`](crate::Entry) is a reference on a node. When the last user of a node is gone, FORGET returns
//! *all* of its references in one number, exactly as many as were taken (FU-SEM-1): one too few and the server
//! keeps a file open for ever, one too many and it closes one that is in use. Two rules more:
//!
//! - No request about the node may be under way when it is forgotten (FU-FR-10).
//! - There is no reply and no writable part at all (FU-FR-4). On virtio-fs both travel on the high-priority
//!   queue, and when that is full they wait. They are never dropped (FU-FR-11).

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::EncodeError;
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Request};

/// Body of FORGET.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_forget_in")]
pub struct WireForget {
    /// References to return.
    #[doc(alias = "nlookup")]
    pub lookups: U64,
}
const _: () = assert!(size_of::<WireForget>() == 8);

/// Head of BATCH_FORGET; `count` times [`WireForgetOne`] follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_batch_forget_in")]
pub struct WireBatchForget {
    /// Number of nodes.
    pub count: U32,
    /// Zero.
    pub dummy: U32,
}
const _: () = assert!(size_of::<WireBatchForget>() == 8);

/// One node of a BATCH_FORGET.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_forget_one")]
pub struct WireForgetOne {
    /// The node.
    pub node: U64,
    /// References to return.
    pub lookups: U64,
}
const _: () = assert!(size_of::<WireForgetOne>() == 16);

/// Returns references on one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_FORGET")]
pub struct Forget {
    /// The node, not the root.
    pub node: NodeId,
    /// How many references, at least 1.
    pub lookups: u64,
}

impl Forget {
    fn check(self) -> Result<(), EncodeError> {
        if self.node.is_root() {
            return Err(EncodeError::ForgetsRoot);
        }
        if self.lookups == 0 {
            return Err(EncodeError::ForgetsNothing);
        }
        Ok(())
    }
}

impl Request for Forget {
    const OPCODE: Opcode = Opcode::Forget;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        self.check()?;
        body.fixed(&WireForget { lookups: U64::new(self.lookups) })
    }
}

/// Returns references on many nodes. Servers know it since minor 16; ask [`Session::plan`](crate::Session::plan).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_BATCH_FORGET")]
pub struct BatchForget<'f> {
    /// What to return, at least one and at most [`MAX_NODES`](Self::MAX_NODES).
    pub nodes: &'f [Forget],
}

impl BatchForget<'_> {
    /// The largest number of nodes: 1 MiB of them, where a server stops reading.
    pub const MAX_NODES: usize = (1 << 20) / size_of::<WireForgetOne>();
}

impl Request for BatchForget<'_> {
    const OPCODE: Opcode = Opcode::BatchForget;

    fn node(&self) -> Option<NodeId> {
        None
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        if self.nodes.is_empty() {
            return Err(EncodeError::ForgetsNothing);
        }
        if self.nodes.len() > Self::MAX_NODES {
            return Err(EncodeError::TooManyForgets);
        }
        let count = u32::try_from(self.nodes.len()).map_err(|_| EncodeError::TooManyForgets)?;
        body.fixed(&WireBatchForget { count: U32::new(count), dummy: U32::ZERO })?;
        for forget in self.nodes {
            forget.check()?;
            body.fixed(&WireForgetOne { node: U64::new(forget.node.get()), lookups: U64::new(forget.lookups) })?;
        }
        Ok(())
    }
}
