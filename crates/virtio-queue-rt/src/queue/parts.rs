//! Where the descriptors of a request are: in columns of the descriptor table, or in a table of its slot's.

use crate::ring::stride;

/// The places of parts, counted in descriptors from where parts begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// From a slot's number to its first place.
    shift: u8,
    /// From one part of a request to the next.
    step: u16,
    /// All ones if links count from the start of the descriptor table, zero if from the start of a slot's table.
    link: u16,
}

impl Parts {
    /// One part per row of `row` descriptors, a request in a column.
    pub fn in_columns(row: u16) -> Self {
        Self { shift: 0, step: row, link: u16::MAX }
    }

    /// A table per slot, with room for `most` parts.
    pub fn in_tables(most: u16) -> Self {
        Self { shift: stride(most).ilog2() as u8, step: 1, link: 0 }
    }

    /// Whether slots have tables.
    #[inline(always)]
    pub fn are_in_tables(self) -> bool {
        self.link == 0
    }

    /// The place of a part of a slot's request.
    #[inline(always)]
    pub fn place(self, slot: u16, part: u16) -> usize {
        (usize::from(slot) << self.shift) + usize::from(part) * usize::from(self.step)
    }

    /// The number by which another descriptor of the same request names that part.
    #[inline(always)]
    pub fn link(self, slot: u16, part: u16) -> u16 {
        (slot & self.link) + part * self.step
    }
}
