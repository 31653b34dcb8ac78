//! Our virtqueue and rust-vmm's, one on each side of the same rings.

mod exchange;
mod layout;
mod random;
mod threads;

/// INDIRECT_DESC.
const INDIRECT: u64 = 1 << 28;
/// EVENT_IDX.
const EVENT: u64 = 1 << 29;
/// What the ring may be like.
const RINGS: [u64; 4] = [0, EVENT, INDIRECT, INDIRECT | EVENT];
