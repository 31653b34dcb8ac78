//! Good values for tests to spoil.

use std::vec::Vec;

use proptest::test_runner::Config as ProptestConfig;
use zerocopy::little_endian::{I32, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use crate::attr::WireAttributes;
use crate::entry::WireEntry;
use crate::file_type::FileType;
use crate::header::{ReplyHeader, Unique};
use crate::id::NodeId;
use crate::init::{Init, InitFlags, WireInitReply};
use crate::operation::Operation;
use crate::session::Session;

/// The number that tests give their requests.
pub(crate) const UNIQUE: Unique = Unique::FIRST;

/// A node with this number.
pub(crate) fn node(raw: u64) -> NodeId {
    NodeId::new(raw).expect("tests name real nodes")
}

/// Attributes without a flaw.
pub(crate) fn wire_attributes(file_type: FileType) -> WireAttributes {
    WireAttributes {
        inode: U64::new(4711),
        size: U64::new(12),
        blocks: U64::new(8),
        accessed: U64::new(1_000),
        modified: U64::new(2_000),
        changed: U64::new(3_000),
        accessed_nanos: U32::new(1),
        modified_nanos: U32::new(2),
        changed_nanos: U32::new(3),
        mode: U32::new(file_type.mode_bits() | 0o644),
        links: U32::new(1),
        uid: U32::new(1000),
        gid: U32::new(100),
        device: U32::ZERO,
        block_size: U32::new(512),
        flags: U32::ZERO,
    }
}

/// An entry without a flaw, if `node` is not one.
pub(crate) fn wire_entry(node: u64, file_type: FileType) -> WireEntry {
    WireEntry {
        node: U64::new(node),
        generation: U64::new(3),
        name_lifetime: U64::new(1),
        attr_lifetime: U64::new(2),
        name_lifetime_nanos: U32::new(10),
        attr_lifetime_nanos: U32::new(20),
        attributes: wire_attributes(file_type),
    }
}

/// A session in which the server agreed to `flags`.
pub(crate) fn session(flags: InitFlags) -> Session {
    let mut wire = WireInitReply::new_zeroed();
    wire.major = U32::new(7);
    wire.minor = U32::new(38);
    wire.flags = U32::MAX_VALUE;
    wire.map_alignment = 0.into();
    let init = Init::new(1 << 20).offer(flags);
    init.parse(wire.as_bytes()).expect("a good reply")
}

/// A whole reply to the request with [`UNIQUE`], with the right length.
pub(crate) fn reply(error: i32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + payload.len()).expect("tests are small");
    reply_claiming(len, error, payload)
}

/// The same with a length of the test's choice.
pub(crate) fn reply_claiming(len: u32, error: i32, payload: &[u8]) -> Vec<u8> {
    let header = ReplyHeader { len: U32::new(len), error: I32::new(error), unique: U64::new(UNIQUE.get()) };
    [header.as_bytes(), payload].concat()
}

/// How property tests run: a few cases under Miri, and never a file for failures.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() }
}
