//! [`Chain`]: requests that go to the device as one, because they follow each other on the disk.

use alloc::collections::VecDeque;

use toro_core::driver::block::{BlockLimits, BlockOperation, SECTOR};

use super::record::{NONE, Record, Records};

/// How many of the last chains a new request is compared with.
const LOOK_BACK: usize = 4;

/// What may be merged with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    /// Neither, or it shall be alone.
    Alone,
}

/// Requests linked through their records, in the order of their sectors.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    pub head: u32,
    tail: u32,
    pub parts: usize,
    kind: Kind,
    unit: u8,
    first: u64,
    end: u64,
}

impl Chain {
    /// A request by itself, which nothing is merged with.
    pub const fn alone(place: u32) -> Self {
        Self { head: place, tail: place, parts: 1, kind: Kind::Alone, unit: 0, first: 0, end: 0 }
    }

    fn of(place: u32, record: &Record, limits: &BlockLimits) -> Self {
        let (kind, sector) = match record.operation {
            BlockOperation::Read { sector } => (Kind::Read, sector),
            BlockOperation::Write { sector } => (Kind::Write, sector),
            _ => return Self::alone(place),
        };
        let sectors = (record.length / SECTOR) as u64;
        let Some(end) = sector.checked_add(sectors) else { return Self::alone(place) };
        if record.length > limits.segment_bytes || sectors >= u64::from(limits.sectors) {
            return Self::alone(place);
        }
        Self { kind, unit: record.unit, first: sector, end, ..Self::alone(place) }
    }

    /// Whether both together are one request that the device takes.
    fn goes_with(&self, other: &Self, limits: &BlockLimits) -> bool {
        let sectors = (self.end - self.first) + (other.end - other.first);
        self.kind != Kind::Alone
            && (self.kind, self.unit) == (other.kind, other.unit)
            && self.parts + other.parts <= limits.segments
            && sectors <= u64::from(limits.sectors)
    }
}

/// Chains that wait for the device, in the order of their first requests.
pub struct Waiting {
    chains: VecDeque<Chain>,
}

impl Waiting {
    pub const fn new() -> Self {
        Self { chains: VecDeque::new() }
    }

    pub fn len(&self) -> usize {
        self.chains.len()
    }

    /// The next one for the device.
    pub fn pop(&mut self) -> Option<Chain> {
        self.chains.pop_front()
    }

    /// Puts one back that the device did not take, or that goes on, before all others.
    pub fn put_back(&mut self, chain: Chain) {
        self.chains.push_front(chain);
    }

    /// Adds a request, to a chain that it continues or precedes if one of the last few is such, and else at the end.
    pub fn add(&mut self, records: &mut Records, place: u32, limits: &BlockLimits) {
        let Some(record) = records.get(place) else { return };
        let new = Chain::of(place, record, limits);
        for chain in self.chains.iter_mut().rev().take(LOOK_BACK) {
            if new.first == chain.end && chain.goes_with(&new, limits) {
                if let Some(last) = records.get_mut(chain.tail) {
                    last.next = place;
                }
                chain.tail = place;
                chain.end = new.end;
                chain.parts += 1;
                return;
            }
            if new.end == chain.first && chain.goes_with(&new, limits) {
                if let Some(record) = records.get_mut(place) {
                    record.next = chain.head;
                }
                chain.head = place;
                chain.first = new.first;
                chain.parts += 1;
                return;
            }
        }
        self.chains.push_back(new);
    }
}

/// Takes a chain apart: the place behind `place`, which is then linked to nothing.
pub fn unlink(records: &mut Records, place: u32) -> u32 {
    records.get_mut(place).map_or(NONE, |record| core::mem::replace(&mut record.next, NONE))
}
