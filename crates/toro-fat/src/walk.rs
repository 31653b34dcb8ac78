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

use crate::chain::Place;
use crate::entry::{Attributes, DELETED, SLOT, Slot, is_long, short_name};
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

/// What a visitor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    GoOn,
    Enough,
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// Where its visitor had enough.
    Enough,
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

    /// Goes through the slots from `from` on, until there are no more or `visit` has enough.
    pub(crate) fn walk(
        &mut self,
        directory: usize,
        from: u32,
        visit: &mut dyn FnMut(u32, Seen<'_>) -> Visit,
    ) -> Result<Walked, Error> {
        let slots = if self.is_fixed(directory) { self.layout.root.1 } else { u32::MAX };
        self.long.reset();
        let mut at = from;
        while at <= MAX_SLOTS {
            let Some((sector, first)) = self.slot_place(directory, at)? else { break };
            let long = &mut self.long;
            let (in_sector, _) = self.disk.sector(sector)?[first..].as_chunks::<SLOT>();
            for (slot, offset) in in_sector.iter().zip((first..).step_by(SLOT)) {
                if slot[0] == 0 || at >= slots {
                    return Ok(Walked::End(at));
                }
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
                    let short = short_name(slot);
                    if let Some((units, start)) = long.finish(short) {
                        Seen::Entry(listed(start, units))
                    } else {
                        alias = short.units();
                        alias.as_ref().map_or(Seen::Other(slot), |units| Seen::Entry(listed(at, units.units())))
                    }
                };
                if visit(at, seen) == Visit::Enough {
                    return Ok(Walked::Enough);
                }
                at += 1;
            }
        }
        Ok(Walked::End(at))
    }

    /// What `look` sees of the entry whose first slot is `start`, if there is one.
    pub(crate) fn entry_at<T>(
        &mut self,
        directory: usize,
        start: u32,
        look: impl Fn(&Listed<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let mut seen = None;
        self.walk(directory, start, &mut |at, slot| {
            match slot {
                Seen::Part if at - start < LONGEST_ENTRY => return Visit::GoOn,
                Seen::Entry(entry) if entry.start == start => seen = Some(look(&entry)),
                _ => {}
            }
            Visit::Enough
        })?;
        Ok(seen)
    }
}
