//! Directories: putting an entry in, taking one out, making new ones. [`walk`](crate::walk) goes through them,
//! [`find`](crate::find) finds what is there and where there is room.
//!
//! # An entry in one sector
//!
//! A sector becomes stable as a whole. So the slots of a new entry are put into one sector, unless there are more than 16,
//! which only names beyond 195 units need: a crash leaves such an entry or does not, and no half of it. Slots that are
//! passed over for that at the end are marked as free.

use crate::chain::Place;
use crate::entry::{DELETED, Record, SLOT, Slot, is_long, long_slot, set_short_name, short_name};
use crate::error::{Corruption, Error};
use crate::find::Room;
use crate::name::{Name, Short};
use crate::node::{Node, SlotPlace, Whereabouts};
use crate::storage::{SECTOR, Storage};
use crate::sync::ZEROS;
use crate::table::Link;
use crate::volume::Volume;
use crate::walk::{Found, Listed, MAX_SLOTS, PER_SECTOR, Seen, Visit};

/// The short names of the first two entries.
const DOT: [u8; 11] = *b".          ";
const DOT_DOT: [u8; 11] = *b"..         ";
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
    pub(crate) fn hold_entry(&mut self, place: SlotPlace, slot: &Slot) -> Result<usize, Error> {
        let index = match self.nodes.at(place) {
            Some(index) => index,
            None => {
                let record = self.record(slot);
                if record.is_directory() && !self.layout.is_cluster(record.first) {
                    return Err(Corruption::DirectoryEntry.into());
                }
                self.nodes.insert(Node::new(Whereabouts::Linked(place), record))
            }
        };
        self.nodes.hold(index);
        Ok(index)
    }

    /// Puts an entry with the contents of `slot` but its name into a directory that has none of this name. `replaced` is an entry
    /// that will go, so that its alias may be used again.
    pub(crate) fn add_entry(
        &mut self,
        directory: usize,
        name: &Name,
        mut slot: Slot,
        replaced: Option<&Found>,
    ) -> Result<SlotPlace, Error> {
        let short = match name.as_short() {
            Some(short) => short,
            None => self.alias(directory, name, replaced)?,
        };
        set_short_name(&mut slot, short);
        let long_slots = if name.as_short().is_some() { 0 } else { name.slots() };
        let room = self.find_room(directory, long_slots as u32 + 1)?;
        let key = self.index_key(directory);
        let (start, last) = (room.start, room.start + long_slots as u32);
        match self.fill_room(directory, &room, name, &slot, long_slots) {
            Ok(place) => {
                self.indexes.add(key, &Listed { start, short: last, place, slot: &slot, units: name.units() });
                Ok(place)
            }
            Err(error) => {
                // What is there now is not known.
                self.indexes.forget(key);
                Err(error)
            }
        }
    }

    /// Writes the slots of an entry.
    fn fill_room(
        &mut self,
        directory: usize,
        &Room { start, end }: &Room,
        name: &Name,
        short: &Slot,
        long_slots: usize,
    ) -> Result<SlotPlace, Error> {
        let last = start + long_slots as u32;
        if let Some(end) = end {
            // What was behind the end comes to light, from the back to the front.
            let behind = last + 1;
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
        if long_slots == 0 && start > 0 {
            // A piece of a long name that lost its entry would be taken for the name of this one if their checksums agree.
            if let Some((_, mut slot)) = self.slot(directory, start - 1)?.filter(|(_, slot)| is_piece(slot)) {
                slot[0] = DELETED;
                self.set_slot(directory, start - 1, &slot)?;
                let key = self.index_key(directory);
                self.indexes.vacate(key, start - 1);
            }
        }
        for (at, number) in (start..).zip((1..=long_slots).rev()) {
            self.set_slot(directory, at, &long_slot(name, number, short_name(short).checksum()))?;
        }
        self.set_slot(directory, last, short)
    }

    /// Takes out an entry.
    pub(crate) fn remove_entry(&mut self, directory: usize, entry: &Found) -> Result<(), Error> {
        let key = self.index_key(directory);
        for at in entry.start..=entry.short {
            // Until all of it is done, it is not known what is there.
            let slot = self.slot(directory, at).inspect_err(|_| self.indexes.forget(key))?;
            let Some((_, mut slot)) = slot else { break };
            slot[0] = DELETED;
            self.set_slot(directory, at, &slot).inspect_err(|_| self.indexes.forget(key))?;
        }
        self.indexes.remove(key, &entry.listed());
        Ok(())
    }

    /// Whether a directory has no entries.
    pub(crate) fn is_empty(&mut self, directory: usize) -> Result<bool, Error> {
        let mut is_empty = true;
        self.walk(directory, 0, &mut |_, seen| match seen {
            Seen::Entry(_) => {
                is_empty = false;
                Visit::Enough
            }
            _ => Visit::GoOn,
        })?;
        Ok(is_empty)
    }

    /// The clusters of a new directory in `parent`: one, with `.` and `..` in it. Stable after the next barrier.
    pub(crate) fn new_directory(&mut self, parent: usize, record: &Record) -> Result<u32, Error> {
        let run = self.allocate(1, None)?;
        self.indexes.forget(run.head);
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

    /// Adds a cluster to a directory.
    pub(crate) fn grow(&mut self, directory: usize) -> Result<(), Error> {
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

/// Whether a slot is a piece of a long name.
fn is_piece(slot: &Slot) -> bool {
    slot[0] != DELETED && slot[0] != 0 && is_long(slot)
}
