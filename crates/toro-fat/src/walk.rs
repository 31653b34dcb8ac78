//! Directories: going through their slots.
//!
//! ```text
//!   [long 2][long 1][short] [e5] [long 1][short] [00] ............
//!    Part    Part    Entry  Free  Part    Entry   End
//! ```
//!
//! A directory has 65,536 slots at most, which bounds every walk. It goes sector by sector: each is looked for once, and its
//! slots are looked at where they are. What a walk comes past it shows to its visitor, who says when it is enough.
//!
//! What a disk says is not what is shown: pieces of long names that do not belong together are no name, nor is one that would
//! be a path, and the short name is used.

use alloc::string::String;

use crate::chain::Place;
use crate::entry::{Attributes, DELETED, LongName, SLOT, Slot, is_long, short_name};
use crate::error::{Corruption, Error};
use crate::name::{self, Name, ShortUnits};
use crate::node::SlotPlace;
use crate::storage::{SECTOR, Storage};
use crate::volume::Volume;

/// Slots in a sector.
pub(crate) const PER_SECTOR: u32 = (SECTOR / SLOT) as u32;
/// The most slots of a directory.
pub(crate) const MAX_SLOTS: u32 = 1 << 16;
/// The most slots of an entry.
const LONGEST_ENTRY: u32 = 21;

/// An entry that was found.
pub(crate) struct Found {
    /// Its first slot, and its last, which is the short one.
    pub start: u32,
    pub short: u32,
    /// Where the short one is.
    pub place: SlotPlace,
    pub slot: Slot,
    pub name: Name,
}

/// A slot that a walk comes past.
pub(crate) enum Seen<'a> {
    /// Nobody's.
    Free,
    /// A piece of a long name.
    Part,
    /// The name of the volume, or one that can be none, as `.` and `..`.
    Other(&'a Slot),
    /// The short slot of an entry, and with it the entry.
    Entry(Listed<'a>),
}

/// An entry that a walk comes past.
pub(crate) struct Listed<'a> {
    pub start: u32,
    pub short: u32,
    pub place: SlotPlace,
    pub slot: &'a Slot,
    /// Its name, which is one.
    pub units: &'a [u16],
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked<T> {
    /// Where its visitor had enough.
    Found(T),
    /// At the first slot that nothing is behind, whether the directory has it or not.
    End(u32),
}

impl Found {
    pub fn listed(&self) -> Listed<'_> {
        let Self { start, short, place, slot, name } = self;
        Listed { start: *start, short: *short, place: *place, slot, units: name.units() }
    }
}

impl Listed<'_> {
    pub fn to_found(&self) -> Found {
        let Self { start, short, place, .. } = *self;
        Found { start, short, place, slot: *self.slot, name: Name::of(self.units) }
    }

    pub fn to_text(&self) -> String {
        name::text(self.units)
    }

    /// The short name that goes with a long one.
    pub fn alias(&self) -> Option<ShortUnits> {
        if self.start == self.short { None } else { short_name(self.slot).units() }
    }

    /// Whether it can be found under this name: its own or its alias, whatever the case.
    pub fn is_called(&self, name: &Name) -> bool {
        let units = name.units();
        name::are_same(self.units, units)
            || units.len() <= name::LONGEST_SHORT
                && self.alias().is_some_and(|alias| name::are_same(alias.units(), units))
    }

    /// Whether its own name or its alias has this hash.
    pub fn has_hash(&self, hash: u32) -> bool {
        name::hash(self.units) == hash || self.alias().is_some_and(|alias| name::hash(alias.units()) == hash)
    }
}

impl<S: Storage> Volume<S> {
    /// Whether a directory is the one whose size cannot change.
    pub(crate) fn is_fixed(&self, directory: usize) -> bool {
        directory == 0 && self.layout.root_cluster == 0
    }

    /// Where a slot is, if the directory has it.
    pub(crate) fn slot_place(&mut self, directory: usize, slot: u32) -> Result<Option<SlotPlace>, Error> {
        let offset = (slot % PER_SECTOR) as usize * SLOT;
        if self.is_fixed(directory) {
            let (sector, slots) = self.layout.root;
            return Ok((slot < slots).then(|| (sector + u64::from(slot / PER_SECTOR), offset)));
        }
        let per_cluster = self.layout.sectors_per_cluster * PER_SECTOR;
        let chain = &mut self.nodes.get_mut(directory).chain;
        Ok(match chain.seek(&mut self.disk, &self.table, &self.layout, slot / per_cluster)? {
            Place::At(_) if slot >= MAX_SLOTS => return Err(Corruption::ChainLoop.into()),
            Place::At(cluster) => {
                let sector = self.layout.sector_of(cluster) + u64::from(slot % per_cluster / PER_SECTOR);
                Some((sector, offset))
            }
            Place::End { .. } => None,
        })
    }

    /// A slot and its place, if the directory has it.
    pub(crate) fn slot(&mut self, directory: usize, slot: u32) -> Result<Option<(SlotPlace, Slot)>, Error> {
        let Some((sector, offset)) = self.slot_place(directory, slot)? else { return Ok(None) };
        let mut bytes = [0; SLOT];
        bytes.copy_from_slice(&self.disk.sector(sector)?[offset..offset + SLOT]);
        Ok(Some(((sector, offset), bytes)))
    }

    pub(crate) fn set_slot(&mut self, directory: usize, slot: u32, bytes: &Slot) -> Result<SlotPlace, Error> {
        let (sector, offset) = self.slot_place(directory, slot)?.ok_or(Corruption::ChainTooShort)?;
        self.disk.edit(sector)?[offset..offset + SLOT].copy_from_slice(bytes);
        Ok((sector, offset))
    }

    /// Goes through the slots from `from` on, until there are no more or `visit` returns something.
    pub(crate) fn walk<T>(
        &mut self,
        directory: usize,
        from: u32,
        mut visit: impl FnMut(u32, Seen<'_>) -> Option<T>,
    ) -> Result<Walked<T>, Error> {
        let slots = if self.is_fixed(directory) { self.layout.root.1 } else { u32::MAX };
        let mut long = LongName::new();
        let mut at = from;
        while at <= MAX_SLOTS {
            let Some((sector, first)) = self.slot_place(directory, at)? else { break };
            let (in_sector, _) = self.disk.sector(sector)?[first..].as_chunks::<SLOT>();
            for (slot, offset) in in_sector.iter().zip((first..).step_by(SLOT)) {
                if slot[0] == 0 || at >= slots {
                    return Ok(Walked::End(at));
                }
                let short = short_name(slot);
                let alias;
                let seen = if slot[0] == DELETED {
                    long.reset();
                    Seen::Free
                } else if is_long(slot) {
                    long.add(slot, at);
                    Seen::Part
                } else if Attributes(slot[11]).contains(Attributes::VOLUME) {
                    long.reset();
                    Seen::Other(slot)
                } else {
                    let listed = |start, units| Listed { start, short: at, place: (sector, offset), slot, units };
                    alias = short.units();
                    match (long.finish(short), &alias) {
                        (Some((units, start)), _) => Seen::Entry(listed(start, units)),
                        (None, Some(units)) => Seen::Entry(listed(at, units.units())),
                        (None, None) => Seen::Other(slot),
                    }
                };
                if let Some(found) = visit(at, seen) {
                    return Ok(Walked::Found(found));
                }
                at += 1;
            }
        }
        Ok(Walked::End(at))
    }

    /// The first entry whose slots begin at or after `from`, as `look` sees it. `.` and `..` are none, nor is the volume's name.
    pub(crate) fn next_entry<T>(
        &mut self,
        directory: usize,
        from: u32,
        look: impl Fn(&Listed<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let walked = self.walk(directory, from, |_, seen| match seen {
            Seen::Entry(entry) => Some(look(&entry)),
            _ => None,
        })?;
        Ok(match walked {
            Walked::Found(seen) => Some(seen),
            Walked::End(_) => None,
        })
    }

    /// The entry whose first slot is `start`, if there is one.
    pub(crate) fn entry_at(&mut self, directory: usize, start: u32) -> Result<Option<Found>, Error> {
        let walked = self.walk(directory, start, |at, seen| match seen {
            Seen::Entry(entry) => Some((entry.start == start).then(|| entry.to_found())),
            Seen::Part if at - start < LONGEST_ENTRY => None,
            _ => Some(None),
        })?;
        Ok(match walked {
            Walked::Found(found) => found,
            Walked::End(_) => None,
        })
    }
}
