//! What must not be sent while something else is under way (FU-FR-10).
//!
//! ```text
//!   INIT, DESTROY          alone: nothing is under way, and nothing is sent until it is answered
//!   FORGET, BATCH_FORGET   of the last reference: after everything about the node, be it in the header or in the body
//!   RELEASE, RELEASEDIR    after everything that uses the handle
//!   FLUSH, FSYNC           after the WRITEs with the handle
//! ```
//!
//! Who has waited for long enough goes on without the answer. So what the model is told never to answer does not count for the
//! first rule and the last; for the others it does, since numbers mean something as long as a request has them.
//!
//! Nothing orders requests once they are on their way. What is sent too early may be carried out too early, even if the model
//! that a test uses happens not to do so; so sending it is the offence.

use std::format;
use std::vec::Vec;

use fuse_proto::Opcode;
use fuse_proto::header::RequestHeader;
use fuse_proto::ops::{WireBatchForget, WireForget, WireForgetOne};
use toro_core::driver::fuse::FuseRequest;
use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

use super::{Inner, header};

fn body(request: &FuseRequest) -> &[u8] {
    RequestHeader::read_from_prefix(&request.request).expect("requests have headers").1
}

/// A field of the body.
fn number(request: &FuseRequest, at: usize) -> u64 {
    u64::from_le_bytes(body(request)[at..at + 8].try_into().expect("well formed"))
}

/// The nodes that a request is about.
fn nodes(request: &FuseRequest) -> Vec<u64> {
    let mut nodes = Vec::from([header(request).node.get()]);
    match Inner::opcode(request) {
        // The directory that it goes to; the object that gets another name.
        Opcode::Rename | Opcode::Rename2 | Opcode::Link => nodes.push(number(request, 0)),
        Opcode::CopyFileRange | Opcode::CopyFileRange64 => nodes.push(number(request, 16)),
        _ => {}
    }
    nodes
}

/// The handles that a request uses.
fn handles(request: &FuseRequest) -> Vec<u64> {
    match Inner::opcode(request) {
        Opcode::CopyFileRange | Opcode::CopyFileRange64 => Vec::from([number(request, 0), number(request, 24)]),
        Opcode::Read
        | Opcode::Write
        | Opcode::Flush
        | Opcode::FSync
        | Opcode::FSyncDir
        | Opcode::ReadDir
        | Opcode::ReadDirPlus
        | Opcode::FAllocate
        | Opcode::LSeek
        | Opcode::GetLk
        | Opcode::SetLk
        | Opcode::SetLkW => Vec::from([number(request, 0)]),
        // If they say that they do.
        Opcode::GetAttr if body(request)[0] & 1 != 0 => Vec::from([number(request, 8)]),
        Opcode::SetAttr if body(request)[0] & 0x40 != 0 => Vec::from([number(request, 8)]),
        _ => Vec::new(),
    }
}

impl Inner {
    /// Notes what is wrong with sending a request now, and a number that is taken (FU-FR-7).
    pub(super) fn check_order(&mut self, request: &FuseRequest, opcode: Opcode) {
        let others: Vec<&FuseRequest> =
            self.in_flight.iter().chain(&self.unpublished).map(|other| &other.request).collect();
        let mut offences = Vec::new();
        let unique = header(request).unique;
        if unique == U64::ZERO || others.iter().any(|other| header(other).unique == unique) {
            offences.push(format!("{opcode} with number {unique}"));
        }
        let is_alone = |opcode| matches!(opcode, Opcode::Init | Opcode::Destroy);
        let is_awaited = |other: &Opcode| !self.behaviour.swallow.contains(&other.raw());
        for other in others.iter().map(|other| Self::opcode(other)).filter(is_awaited) {
            if is_alone(opcode) || is_alone(other) {
                offences.push(format!("{opcode} while {other} is under way"));
            }
        }
        for node in self.last_references(request, opcode) {
            // Another FORGET of it uses nothing.
            let uses = |other: &&FuseRequest| nodes(other).contains(&node) && Self::opcode(other) != Opcode::Forget;
            if let Some(other) = others.iter().find(|other| uses(other)) {
                offences.push(format!("{opcode} on node {node} while {} is under way", Self::opcode(other)));
            }
        }
        let waits_for = |other: Opcode| match opcode {
            Opcode::Release | Opcode::ReleaseDir => true,
            Opcode::Flush | Opcode::FSync => other == Opcode::Write && is_awaited(&other),
            _ => false,
        };
        for other in others.iter().filter(|other| waits_for(Self::opcode(other))) {
            let handle = number(request, 0);
            if handles(other).contains(&handle) {
                offences.push(format!("{opcode} of handle {handle} while {} is under way", Self::opcode(other)));
            }
        }
        self.server.offences.extend(offences);
    }

    /// The nodes of which a FORGET returns the last reference.
    fn last_references(&self, request: &FuseRequest, opcode: Opcode) -> Vec<u64> {
        let mut ends = Vec::new();
        let mut forget = |node: u64, lookups: u64| {
            if self.server.lookups.get(&node).is_none_or(|&held| lookups >= held) {
                ends.push(node);
            }
        };
        match opcode {
            Opcode::Forget => {
                let lookups = WireForget::read_from_bytes(body(request)).expect("well formed").lookups.get();
                forget(header(request).node.get(), lookups);
            }
            Opcode::BatchForget => {
                let (_, nodes) = WireBatchForget::read_from_prefix(body(request)).expect("well formed");
                for one in nodes.chunks_exact(size_of::<WireForgetOne>()) {
                    let one = WireForgetOne::read_from_bytes(one).expect("well formed");
                    forget(one.node.get(), one.lookups.get());
                }
            }
            _ => {}
        }
        ends
    }
}
