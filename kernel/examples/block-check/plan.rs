//! Into which requests an area is divided, and in what order they are made.

use alloc::vec::Vec;
use core::ops::Range;

use super::stamp::mix;

/// Requests have up to 2^7 blocks, if they may be so long.
const SIZES: u64 = 8;

/// A request's place: a range of sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first sector.
    pub sector: u64,
    /// How many; not 0.
    pub sectors: usize,
}

impl Piece {
    /// The sector behind the last.
    pub fn end(self) -> u64 {
        self.sector + self.sectors as u64
    }

    /// Whether one of the sectors is in `range`.
    pub fn touches(self, range: &Range<u64>) -> bool {
        self.sector < range.end && range.start < self.end()
    }
}

/// The order of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they lie on the disk.
    Sequential,
    /// Any.
    Random,
}

/// Divides `area` into requests of mixed sizes, from one block to `longest` sectors; both ends of `area` and `longest` are
/// multiples of `block`. The same arguments give the same plan.
pub fn plan(area: Range<u64>, block: u64, longest: u64, order: Order, seed: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut sector = area.start;
    while sector < area.end {
        let blocks = 1 << (mix(seed ^ mix(sector)) % SIZES);
        let sectors = (blocks * block).min(longest).min(area.end - sector);
        pieces.push(Piece { sector, sectors: sectors as usize });
        sector += sectors;
    }
    if order == Order::Random {
        // Fisher and Yates.
        for last in (1..pieces.len()).rev() {
            let other = mix(seed ^ mix(last as u64)) % (last as u64 + 1);
            pieces.swap(last, other as usize);
        }
    }
    pieces
}
