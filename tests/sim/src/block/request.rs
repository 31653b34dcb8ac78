//! What the disk reads in a request, and what it insists on.

use super::config;
use crate::device::Device;
use crate::queue::{DeviceQueue, PoppedChain};

/// Bytes in a sector.
pub const SECTOR: usize = 512;

/// Types of requests.
#[allow(missing_docs)]
pub mod kind {
    pub const IN: u32 = 0;
    pub const OUT: u32 = 1;
    pub const FLUSH: u32 = 4;
    pub const GET_ID: u32 = 8;
    pub const GET_LIFETIME: u32 = 10;
    pub const DISCARD: u32 = 11;
    pub const WRITE_ZEROES: u32 = 13;
    pub const SECURE_ERASE: u32 = 14;
}

/// What requests have to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Header, each buffer and status in descriptors of their own (§5.2.6.4).
    Separate,
    /// The same, and never more than one buffer nor a table: Firecracker's rules.
    Three,
}

/// A request as the device understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its type.
    pub kind: u32,
    /// Its first sector.
    pub sector: u64,
    /// Lengths of its buffers.
    pub buffers: Vec<u32>,
    /// Bytes in them.
    pub data_len: u32,
    /// What the device reads of them.
    pub data: Vec<u8>,
    /// The ranges in them: first sector, sectors, flags.
    pub ranges: Vec<(u64, u32, u32)>,
    /// Whether it lies in a table.
    pub has_table: bool,
    /// What the status byte was before.
    pub status_before: u8,
}

/// Reads a request.
///
/// # Panics
///
/// If it is one that no driver may send.
pub(super) fn read(queue: &DeviceQueue, chain: &PoppedChain, device: &Device, framing: Framing) -> Seen {
    let (accepted, offered, config) = {
        let state = device.state();
        (state.accepted, state.offered, state.config.clone())
    };
    let is_legacy = accepted & 1 << 32 == 0;
    let word32 = |bytes: &[u8]| {
        let bytes = bytes.try_into().expect("four bytes");
        if is_legacy { u32::from_ne_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    let word64 = |bytes: &[u8]| {
        let bytes = bytes.try_into().expect("eight bytes");
        if is_legacy { u64::from_ne_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    };
    assert_eq!(chain.readable.first().map(|&(_, len)| len), Some(16), "BLK-24: a header of its own");
    assert_eq!(chain.writable.last().map(|&(_, len)| len), Some(1), "BLK-24: a status of its own");
    let bytes = queue.read(chain);
    let (kind, sector) = (word32(&bytes[..4]), word64(&bytes[8..16]));
    assert_eq!(bytes[4..8], [0; 4], "the reserved field");
    let data = bytes[16..].to_vec();
    let writable = &chain.writable[..chain.writable.len() - 1];
    let buffers: Vec<u32> = chain.readable[1..].iter().chain(writable).map(|&(_, len)| len).collect();
    let data_len: u32 = buffers.iter().sum();
    assert!(chain.readable.len() == 1 || writable.is_empty(), "data goes one way");
    if framing == Framing::Three {
        assert!(chain.table.is_none() && chain.len() <= 3, "one buffer, and no table");
    }
    let field = |at: usize| word32(&config[at..at + 4]);
    let has = |feature: u64| accepted & feature != 0;
    if has(config::SEG_MAX) {
        assert!(buffers.len() <= field(12).max(1) as usize, "BLK-16: {} buffers", buffers.len());
    } else {
        assert!(buffers.len() <= 1, "BLK-16: {} buffers without SEG_MAX", buffers.len());
    }
    if has(config::SIZE_MAX) && field(8) != 0 {
        assert!(buffers.iter().all(|&len| len <= field(8).max(512)), "BLK-16: {buffers:?}");
    }
    let (status, _) = chain.writable[chain.writable.len() - 1];
    let status_before = queue.peek(status, 1)[0];
    assert!(status_before > 6, "BLK-18: the status starts as {status_before}");
    let is_write = !matches!(kind, kind::IN | kind::FLUSH | kind::GET_ID | kind::GET_LIFETIME);
    assert!(!is_write || offered & config::RO == 0, "BLK-7: a write to a disk that has none");
    let mut ranges = Vec::new();
    match kind {
        kind::IN | kind::OUT => {
            assert_eq!(kind == kind::IN, !writable.is_empty(), "the direction of the data");
            assert!(data_len > 0 && data_len.is_multiple_of(512), "BLK-9: {data_len} bytes");
        }
        kind::FLUSH => {
            assert!(has(config::FLUSH), "BLK-17: a flush");
            assert_eq!((sector, data_len), (0, 0), "BLK-8");
        }
        kind::GET_ID => assert_eq!((data_len, writable.len()), (20, 1), "BLK-11"),
        kind::GET_LIFETIME => {
            assert!(has(config::LIFETIME), "BLK-17: a lifetime");
            assert_eq!(writable.len(), 1);
        }
        kind::DISCARD | kind::WRITE_ZEROES | kind::SECURE_ERASE => {
            let (feature, limits) = match kind {
                kind::DISCARD => (config::DISCARD, 36),
                kind::WRITE_ZEROES => (config::WRITE_ZEROES, 48),
                _ => (config::SECURE_ERASE, 60),
            };
            assert!(has(feature), "BLK-17: type {kind}");
            assert!(!data.is_empty() && data.len().is_multiple_of(16), "BLK-10: {} bytes", data.len());
            for range in data.chunks_exact(16) {
                let (sectors, flags) = (word32(&range[8..12]), word32(&range[12..]));
                assert!(sectors > 0 && sectors <= field(limits), "BLK-10: {sectors} sectors");
                assert!(flags == 0 || kind == kind::WRITE_ZEROES && flags == 1, "BLK-12: flags {flags}");
                ranges.push((word64(&range[..8]), sectors, flags));
            }
            assert!(ranges.len() <= field(limits + 4).max(1) as usize, "BLK-10: {} ranges", ranges.len());
        }
        _ => panic!("BLK-17, BLK-22: a request of type {kind:#x}"),
    }
    Seen { kind, sector, buffers, data_len, data, ranges, has_table: chain.table.is_some(), status_before }
}
