//! LOOKUP: from a directory and a name to a node.
//!
//! There are three answers, and two of them say "no". An error `ENOENT` says that the name does not exist, now.
//! A *negative entry*, a good reply with node id 0, says it for a while: it has a lifetime and may be cached,
//! which the error may not (FU-SEM-4).

use core::ops::RangeInclusive;
use core::time::Duration;

use crate::entry::{Entry, WireEntry};
use crate::error::{EncodeError, ReplyError};
use crate::id::NodeId;
use crate::name::Name;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Finds a name in a directory. An [`Entry`] in the reply is one reference on its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_LOOKUP")]
pub struct Lookup<'n> {
    /// The directory.
    pub parent: NodeId,
    /// The name.
    pub name: Name<'n>,
}

/// What a directory has under a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an entry is a reference that must be remembered, or forgotten"]
pub enum LookupReply {
    /// This object.
    Found(Entry),
    /// Nothing, and that may be remembered.
    Negative {
        /// For how long, from the receipt of the reply; zero: not at all.
        lifetime: Duration,
    },
}

impl Request for Lookup<'_> {
    const OPCODE: Opcode = Opcode::Lookup;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.name(self.name)
    }
}

impl Operation for Lookup<'_> {
    type Reply<'a> = LookupReply;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireEntry>()
    }

    fn parse(&self, payload: &[u8]) -> Result<LookupReply, ReplyError> {
        let wire: WireEntry = parse_fixed(payload)?;
        if NodeId::new(wire.node.get()).is_none() {
            return Ok(LookupReply::Negative { lifetime: wire.name_lifetime() });
        }
        Entry::from_wire(&wire, self.parent).map(LookupReply::Found)
    }
}
