//! Directories: finding an entry, making room for one, taking one out.
//!
//! ```text
//!   [long 2][long 1][short] [e5] [long 1][short] [00] ............
//!    `------ an entry ----'  free                 the end: everything behind it is free, and holds anything
//! ```
//!
//! A directory has 65,536 slots at most, which bounds every walk.
//!
//! # An entry in one sector
//!
//! A sector becomes stable as a whole. So the slots of a new entry are put into one sector, unless there are more than 16,
//! which only names beyond 195 units need: a crash leaves such an entry or does not, and no half of it. Slots that are
//! passed over for that at the end are marked as free.

use crate::chain::Place;
use crate::entry::{Attributes, DELETED, LongName, Record, SLOT, Slot, is_long, long_slot, set_short_name, short_name};
use crate::error::{Corruption, Error};
use crate::name::{Name, Short, hashed, numbered};
use crate::node::{Node, SlotPlace, Whereabouts};
use crate::storage::{SECTOR, Storage};
use crate::sync::ZEROS;
use crate::table::Link;
use crate::volume::Volume;

/// Slots in a sector.
const PER_SECTOR: u32 = (SECTOR / SLOT) as u32;
/// The most slots of a directory.
const MAX_SLOTS: u32 = 1 << 16;
/// The short names of the first two entries.
const DOT: [u8; 11] = *b".          ";
const DOT_DOT: [u8; 11] = *b"..         ";
/// How often an alias is tried that depends on the whole name: eight at a time.
const HASHED_ROUNDS: u32 = 64;

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

/// Room for an entry.
struct Room {
    start: u32,
    /// The slot that marked the end, if it is not behind the room.
    end: Option<u32>,
}

impl<S: Storage> Volume<S> {
    /// A directory that is in the tree.
    pub(crate) fn directory(&self, id: crate::node::NodeId) -> Result<usize, Error> {
        let index = self.nodes.index(id)?;
        let node = self.nodes.get(index);
        match node.whereabouts {
            Whereabouts::Orphan => Err(Error::Stale),
            _ if !node.record.is_directory() => Err(Error::NotDirectory),
            _ => Ok(index),
        }
    }

    /// Whether a directory is the one whose size cannot change.
    fn is_fixed(&self, directory: usize) -> bool {
        directory == 0 && self.layout.root_cluster == 0
    }

    /// Where a slot is, if the directory has it.
    fn slot_place(&mut self, directory: usize, slot: u32) -> Result<Option<SlotPlace>, Error> {
        let offset = (slot % PER_SECTOR) as usize * SLOT;
        if self.is_fixed(directory) {
            let (sector, slots) = self.layout.root;
            return Ok((slot < slots).then(|| (sector + u64::from(slot / PER_SECTOR), offset)));
        }
        let per_cluster = self.slots_per_cluster();
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

    fn slots_per_cluster(&self) -> u32 {
        self.layout.sectors_per_cluster * PER_SECTOR
    }

    /// A slot and its place, if the directory has it.
    fn slot(&mut self, directory: usize, slot: u32) -> Result<Option<(SlotPlace, Slot)>, Error> {
        let Some((sector, offset)) = self.slot_place(directory, slot)? else { return Ok(None) };
        let mut bytes = [0; SLOT];
        bytes.copy_from_slice(&self.disk.sector(sector)?[offset..offset + SLOT]);
        Ok(Some(((sector, offset), bytes)))
    }

    fn set_slot(&mut self, directory: usize, slot: u32, bytes: &Slot) -> Result<SlotPlace, Error> {
        let (sector, offset) = self.slot_place(directory, slot)?.ok_or(Corruption::ChainTooShort)?;
        self.disk.edit(sector)?[offset..offset + SLOT].copy_from_slice(bytes);
        Ok((sector, offset))
    }

    /// The first entry whose slots begin at or after `from`. `.` and `..` are none, nor is the volume's name.
    pub(crate) fn next_entry(&mut self, directory: usize, from: u32) -> Result<Option<Found>, Error> {
        let mut long = LongName::new();
        for at in from..=MAX_SLOTS {
            let Some((place, slot)) = self.slot(directory, at)? else { break };
            if slot[0] == 0 {
                break;
            }
            if slot[0] == DELETED {
                long.reset();
            } else if is_long(&slot) {
                long.add(&slot, at);
            } else if Attributes(slot[11]).contains(Attributes::VOLUME) {
                long.reset();
            } else {
                let short = short_name(&slot);
                let named = long.finish(short).or_else(|| Some((short.decode()?, at)));
                if let Some((name, start)) = named {
                    return Ok(Some(Found { start, short: at, place, slot, name }));
                }
            }
        }
        Ok(None)
    }

    /// Finds an entry by its name or its alias.
    pub(crate) fn find(&mut self, directory: usize, name: &Name) -> Result<Option<Found>, Error> {
        let mut from = 0;
        while let Some(found) = self.next_entry(directory, from)? {
            let has_alias = found.start != found.short && name.units().len() <= 12;
            if found.name.matches(name)
                || has_alias && short_name(&found.slot).decode().is_some_and(|alias| alias.matches(name))
            {
                return Ok(Some(found));
            }
            from = found.short + 1;
        }
        Ok(None)
    }

    /// The record of an entry, with the first cluster as this kind of volume has it.
    pub(crate) fn record(&self, slot: &Slot) -> Record {
        let mut record = Record::parse(slot);
        if self.layout.root_cluster == 0 {
            record.first &= 0xffff;
        }
        if record.is_directory() {
            record.size = 0;
        }
        record
    }

    /// The node of an entry, held once more.
    pub(crate) fn hold_found(&mut self, found: &Found) -> Result<usize, Error> {
        let index = match self.nodes.at(found.place) {
            Some(index) => index,
            None => {
                let record = self.record(&found.slot);
                if record.is_directory() && !self.layout.is_cluster(record.first) {
                    return Err(Corruption::DirectoryEntry.into());
                }
                self.nodes.insert(Node::new(Whereabouts::Linked(found.place), record))
            }
        };
        self.nodes.hold(index);
        Ok(index)
    }

    /// Puts an entry with the contents of `slot` but its name into a directory that has none of this name. `replaced` is the
    /// short slot of an entry that will go, so that its alias may be used again.
    pub(crate) fn add_entry(
        &mut self,
        directory: usize,
        name: &Name,
        mut slot: Slot,
        replaced: Option<u32>,
    ) -> Result<SlotPlace, Error> {
        let (short, long_slots) = match name.as_short() {
            Some(short) => (short, 0),
            None => (self.alias(directory, name, replaced)?, name.slots()),
        };
        let count = long_slots as u32 + 1;
        let Room { start, end } = self.find_room(directory, count)?;
        if let Some(end) = end {
            // What was behind the end comes to light, from the back to the front.
            let behind = start + count;
            if let Some((_, mut slot)) = self.slot(directory, behind)?.filter(|(_, slot)| slot[0] != 0) {
                slot[0] = 0;
                self.set_slot(directory, behind, &slot)?;
            }
            for skipped in (end..start).rev() {
                let mut free = [0; SLOT];
                free[0] = DELETED;
                self.set_slot(directory, skipped, &free)?;
            }
        }
        for (at, number) in (start..).zip((1..=long_slots).rev()) {
            self.set_slot(directory, at, &long_slot(name, number, short.checksum()))?;
        }
        set_short_name(&mut slot, short);
        self.set_slot(directory, start + count - 1, &slot)
    }

    /// Takes out the entry of these slots.
    pub(crate) fn remove_entry(&mut self, directory: usize, start: u32, short: u32) -> Result<(), Error> {
        for at in start..=short {
            let Some((_, mut slot)) = self.slot(directory, at)? else { break };
            slot[0] = DELETED;
            self.set_slot(directory, at, &slot)?;
        }
        Ok(())
    }

    /// Whether a directory has no entries.
    pub(crate) fn is_empty(&mut self, directory: usize) -> Result<bool, Error> {
        Ok(self.next_entry(directory, 0)?.is_none())
    }

    /// The clusters of a new directory in `parent`: one, with `.` and `..` in it. Stable after the next barrier.
    pub(crate) fn new_directory(&mut self, parent: usize, record: &Record) -> Result<u32, Error> {
        let run = self.allocate(1, None)?;
        self.zero_cluster(run.head)?;
        let sector = self.layout.sector_of(run.head);
        let parent = self.cluster_of_parent(parent);
        for (at, (name, first)) in [(DOT, run.head), (DOT_DOT, parent)].into_iter().enumerate() {
            let mut slot = [0; SLOT];
            Record { first, size: 0, ..*record }.write(&mut slot);
            set_short_name(&mut slot, Short { bytes: name, case: 0 });
            self.disk.edit(sector)?[at * SLOT..(at + 1) * SLOT].copy_from_slice(&slot);
        }
        Ok(run.head)
    }

    /// What `..` says for a directory in `parent`: 0 for the root.
    pub(crate) fn cluster_of_parent(&self, parent: usize) -> u32 {
        if parent == 0 { 0 } else { self.nodes.get(parent).chain.first }
    }

    /// What `..` of the directory that begins with `cluster` says.
    pub(crate) fn parent_of(&mut self, cluster: u32) -> Result<u32, Error> {
        let mut slot = [0; SLOT];
        if !self.layout.is_cluster(cluster) {
            return Err(Corruption::ClusterOutOfRange.into());
        }
        slot.copy_from_slice(&self.disk.sector(self.layout.sector_of(cluster))?[SLOT..2 * SLOT]);
        if slot[..11] != DOT_DOT {
            return Err(Corruption::DirectoryEntry.into());
        }
        Ok(self.record(&slot).first)
    }

    /// Says it anew.
    pub(crate) fn set_parent_of(&mut self, cluster: u32, parent: u32) -> Result<(), Error> {
        self.parent_of(cluster)?;
        let bytes = self.disk.edit(self.layout.sector_of(cluster))?;
        bytes[SLOT + 20..SLOT + 22].copy_from_slice(&((parent >> 16) as u16).to_le_bytes());
        bytes[SLOT + 26..SLOT + 28].copy_from_slice(&(parent as u16).to_le_bytes());
        Ok(())
    }

    /// An alias for `name` that no entry has.
    fn alias(&mut self, directory: usize, name: &Name, replaced: Option<u32>) -> Result<Short, Error> {
        let (basis, is_whole) = name.basis();
        let plain = is_whole.then_some(basis);
        let candidates = plain.into_iter().chain((1..10).map(|number| numbered(basis, number)));
        if let Some(bytes) = self.first_unused(directory, candidates, replaced)? {
            return Ok(Short { bytes, case: 0 });
        }
        for round in 0..HASHED_ROUNDS {
            let candidates = (0..8).map(|attempt| hashed(basis, name, round * 8 + attempt));
            if let Some(bytes) = self.first_unused(directory, candidates, replaced)? {
                return Ok(Short { bytes, case: 0 });
            }
        }
        Err(Error::NoSpace)
    }

    /// The first of up to ten short names that no entry has, but for `replaced`.
    fn first_unused(
        &mut self,
        directory: usize,
        candidates: impl Iterator<Item = [u8; 11]>,
        replaced: Option<u32>,
    ) -> Result<Option<[u8; 11]>, Error> {
        let mut open = [None; 10];
        for (open, candidate) in open.iter_mut().zip(candidates) {
            *open = Some(candidate);
        }
        for at in 0..=MAX_SLOTS {
            let Some((_, slot)) = self.slot(directory, at)?.filter(|(_, slot)| slot[0] != 0) else { break };
            let counts = slot[0] != DELETED && !is_long(&slot) && replaced != Some(at);
            for candidate in open.iter_mut().filter(|candidate| counts && candidate.is_some_and(|c| c == slot[..11])) {
                *candidate = None;
            }
        }
        Ok(open.into_iter().flatten().next())
    }

    /// Finds `count` free slots, in one sector if they fit into one; the directory grows if need be.
    fn find_room(&mut self, directory: usize, count: u32) -> Result<Room, Error> {
        let mut start = 0;
        let mut end = None;
        for at in 0..MAX_SLOTS {
            if count <= PER_SECTOR && at.is_multiple_of(PER_SECTOR) {
                start = at;
            }
            let slot = match self.slot(directory, at)? {
                Some((_, slot)) => slot,
                None => {
                    self.grow(directory)?;
                    let (_, slot) = self.slot(directory, at)?.ok_or(Error::NoSpace)?;
                    slot
                }
            };
            if slot[0] == 0 {
                end = end.or(Some(at));
            } else if end.is_none() && slot[0] != DELETED {
                start = at + 1;
            }
            if at + 1 - start == count {
                return Ok(Room { start, end });
            }
        }
        Err(Error::NoSpace)
    }

    /// Adds a cluster to a directory.
    fn grow(&mut self, directory: usize) -> Result<(), Error> {
        if self.is_fixed(directory) {
            return Err(Error::NoSpace);
        }
        let chain = &mut self.nodes.get_mut(directory).chain;
        // No chain is longer than the volume.
        let last = (MAX_SLOTS / (self.layout.sectors_per_cluster * PER_SECTOR)).min(self.layout.clusters);
        let Place::End { tail, .. } = chain.seek(&mut self.disk, &self.table, &self.layout, last)? else {
            return Err(Error::NoSpace);
        };
        let run = self.allocate(1, Some(tail))?;
        self.zero_cluster(run.head)?;
        self.barrier()?;
        self.table.set(&mut self.disk, tail, Link::Next(run.head))
    }

    /// Writes zeros to a whole cluster.
    fn zero_cluster(&mut self, cluster: u32) -> Result<(), Error> {
        let sector = self.layout.sector_of(cluster);
        let mut done = 0;
        while done < self.layout.sectors_per_cluster {
            let part = (self.layout.sectors_per_cluster - done).min(ZEROS.len() as u32 / SECTOR as u32);
            self.disk.write(sector + u64::from(done), &ZEROS[..part as usize * SECTOR])?;
            done += part;
        }
        Ok(())
    }
}
