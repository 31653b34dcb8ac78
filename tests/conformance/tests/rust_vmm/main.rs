//! Our virtqueue and rust-vmm's, one on each side of the same rings.

mod exchange;
mod layout;
mod random;
mod threads;

/// INDIRECT_DESC.
const INDIRECT: u64 = 1 << 28;
/// EVENT_IDX.
const EVENT: u64 = 1 << 29;
/// IN_ORDER. rust-vmm knows nothing of it, and need not: a device that completes in order keeps the promise.
const IN_ORDER: u64 = 1 << 35;
/// What the ring may be like.
const RINGS: [u64; 5] = [0, EVENT, INDIRECT, INDIRECT | EVENT, INDIRECT | EVENT | IN_ORDER];
