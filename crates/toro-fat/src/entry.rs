//! The 32 bytes of a directory's slot.
//!
//! ```text
//!   short   0 name 11 | 11 attributes | 12 case | 13 created 10 ms, 14 time, 16 date | 18 accessed date
//!           20 cluster, upper half | 22 modified time, 24 date | 26 cluster, lower half | 28 size
//!   long    0 number, 0x40 on the last | 1 five units | 11 0x0f | 13 checksum | 14 six units | 28 two units
//! ```

use crate::name::{self, Name, Short, UNITS_PER_SLOT};
use crate::time::{Packed, Timestamp};

/// Bytes of a slot.
pub(crate) const SLOT: usize = 32;
/// What the first byte of a free slot is.
pub(crate) const DELETED: u8 = 0xe5;

/// The bytes of a slot.
pub(crate) type Slot = [u8; SLOT];

/// The attribute bits of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub u8);

impl Attributes {
    /// It shall not be written.
    pub const READ_ONLY: Self = Self(0x01);
    /// It shall not be listed.
    pub const HIDDEN: Self = Self(0x02);
    /// It belongs to the system.
    pub const SYSTEM: Self = Self(0x04);
    /// It is the volume's name, and no file.
    pub const VOLUME: Self = Self(0x08);
    /// It is a directory.
    pub const DIRECTORY: Self = Self(0x10);
    /// It was changed since the last backup.
    pub const ARCHIVE: Self = Self(0x20);

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What an entry says about its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub attributes: Attributes,
    pub first: u32,
    pub size: u32,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub accessed: Timestamp,
}

impl Record {
    /// Reads a slot.
    pub fn parse(slot: &Slot) -> Self {
        let half = |at: usize| u16::from_le_bytes([slot[at], slot[at + 1]]);
        let time = |date: usize, time: u16, hundredths: u8| Packed { date: half(date), time, hundredths }.unpack();
        Self {
            attributes: Attributes(slot[11]),
            first: u32::from(half(26)) | u32::from(half(20)) << 16,
            size: u32::from(half(28)) | u32::from(half(30)) << 16,
            created: time(16, half(14), slot[13]),
            modified: time(24, half(22), 0),
            accessed: time(18, 0, 0),
        }
    }

    /// Writes everything but the name.
    pub fn write(&self, slot: &mut Slot) {
        let mut put = |at: usize, value: u16| slot[at..at + 2].copy_from_slice(&value.to_le_bytes());
        let (created, modified) = (self.created.pack(), self.modified.pack());
        put(14, created.time);
        put(16, created.date);
        put(18, self.accessed.pack().date);
        put(20, (self.first >> 16) as u16);
        put(22, modified.time);
        put(24, modified.date);
        put(26, self.first as u16);
        put(28, self.size as u16);
        put(30, (self.size >> 16) as u16);
        slot[11] = self.attributes.0;
        slot[13] = created.hundredths;
    }

    pub fn is_directory(&self) -> bool {
        self.attributes.contains(Attributes::DIRECTORY)
    }
}

/// Whether a slot is part of a long name.
pub(crate) fn is_long(slot: &Slot) -> bool {
    slot[11] & 0x3f == 0x0f
}

/// The short name in a slot.
pub(crate) fn short_name(slot: &Slot) -> Short {
    let mut short = Short { bytes: [0; 11], case: slot[12] };
    short.bytes.copy_from_slice(&slot[..11]);
    short
}

/// Puts a short name into a slot.
pub(crate) fn set_short_name(slot: &mut Slot, short: Short) {
    slot[..11].copy_from_slice(&short.bytes);
    slot[12] = short.case;
}

/// Where a slot has its units.
const UNIT_OFFSETS: [usize; UNITS_PER_SLOT] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Slot number `number` of a long name, counted from 1; the last one comes first in the directory.
pub(crate) fn long_slot(name: &Name, number: usize, checksum: u8) -> Slot {
    let mut slot = [0; SLOT];
    let is_last = number == name.slots();
    slot[0] = number as u8 | if is_last { 0x40 } else { 0 };
    slot[11] = 0x0f;
    slot[13] = checksum;
    let start = (number - 1) * UNITS_PER_SLOT;
    let units = name.units()[start..].iter().copied().chain([0]).chain(core::iter::repeat(0xffff));
    for (offset, unit) in UNIT_OFFSETS.into_iter().zip(units) {
        slot[offset..offset + 2].copy_from_slice(&unit.to_le_bytes());
    }
    slot
}

/// A long name in the making, slot by slot.
#[derive(Debug)]
pub(crate) struct LongName {
    units: [u16; 20 * UNITS_PER_SLOT],
    len: usize,
    /// The number that the next slot has to have; 0 when all are there.
    expected: u8,
    checksum: u8,
    /// Where it began.
    start: u32,
}

impl LongName {
    pub fn new() -> Self {
        Self { units: [0; 20 * UNITS_PER_SLOT], len: 0, expected: u8::MAX, checksum: 0, start: 0 }
    }

    /// Forgets what there was: nothing, or a piece whose end is missing.
    pub fn reset(&mut self) {
        self.expected = u8::MAX;
    }

    /// Takes a slot in.
    pub fn add(&mut self, slot: &Slot, at: u32) {
        let number = slot[0] & 0x3f;
        if slot[0] & 0x40 != 0 && (1..=20).contains(&number) {
            self.len = usize::from(number) * UNITS_PER_SLOT;
            self.checksum = slot[13];
            self.start = at;
        } else if slot[0] != self.expected || !(1..=20).contains(&number) || slot[13] != self.checksum {
            return self.reset();
        }
        self.expected = number - 1;
        let units = &mut self.units[usize::from(number - 1) * UNITS_PER_SLOT..];
        for (unit, offset) in units.iter_mut().zip(UNIT_OFFSETS) {
            *unit = u16::from_le_bytes([slot[offset], slot[offset + 1]]);
        }
    }

    /// The name and where it began, if it is whole, belongs to `short` and can be a name.
    pub fn finish(&mut self, short: Short) -> Option<(&[u16], u32)> {
        let is_whole = self.expected == 0 && self.checksum == short.checksum();
        self.reset();
        if is_whole { Some((name::checked(&self.units[..self.len])?, self.start)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_survive_their_slots() {
        for text in ["a", "thirteen char", "thirteen chars", &"x".repeat(255), "ein Straßenname mit 😀.txt"] {
            let name = Name::parse(text.as_bytes()).unwrap();
            let short = Short { bytes: *b"ALIAS~1 TXT", case: 0 };
            let mut long = LongName::new();
            for number in (1..=name.slots()).rev() {
                long.add(&long_slot(&name, number, short.checksum()), (name.slots() - number) as u32 + 7);
            }
            let (found, start) = long.finish(short).unwrap();
            assert_eq!((name::text(found).as_str(), start), (text, 7));
        }
    }

    #[test]
    fn fragments_of_long_names_are_none() {
        let name = Name::parse(&[b'x'; 30]).unwrap();
        let short = Short { bytes: *b"ALIAS~1 TXT", case: 0 };
        let slots = [3, 2, 1].map(|number| long_slot(&name, number, short.checksum()));
        let finish = |order: &[usize], short| {
            let mut long = LongName::new();
            order.iter().for_each(|&slot| long.add(&slots[slot], 0));
            long.finish(short).is_some()
        };
        assert!(finish(&[0, 1, 2], short));
        assert!(finish(&[0, 1, 0, 1, 2], short));
        for order in [&[0, 1][..], &[1, 2], &[0, 2, 1], &[0, 1, 1, 2], &[2], &[]] {
            assert!(!finish(order, short), "{order:?}");
        }
        assert!(!finish(&[0, 1, 2], Short { bytes: *b"OTHER      ", case: 0 }));
    }

    #[test]
    fn records_survive_their_slot() {
        let time = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
        let record = Record {
            attributes: Attributes::ARCHIVE,
            first: 0x0123_4567,
            size: 0x89ab_cdef,
            created: time,
            modified: time,
            accessed: Timestamp { seconds: 1_700_000_000 / 86_400 * 86_400, nanoseconds: 0 },
        };
        let mut slot = [0; SLOT];
        record.write(&mut slot);
        assert_eq!(Record::parse(&slot), record);
    }
}
