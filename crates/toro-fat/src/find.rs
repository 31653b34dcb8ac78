//! Directories: finding an entry by its name, a short name that no entry has, and room for a new one.
//!
//! ```text
//!   name --> index --> slots that may have it --> read: is it there?   yes: found    no: the index goes
//!              |
//!              +-- not everything is known: on from there, slot by slot, and what is passed is known from then on
//! ```
//!
//! What comes out is the same with an index and without one: the first entry that has the name, the first alias that nobody
//! has, the first room that is large enough. See [`index`](crate::index) for what is believed and what is not.

use alloc::vec::Vec;

use crate::entry::{DELETED, Slot};
use crate::error::Error;
use crate::index::Indexes;
use crate::name::{self, Name, Short, hashed, numbered};
use crate::storage::Storage;
use crate::volume::Volume;
use crate::walk::{Found, Listed, MAX_SLOTS, PER_SECTOR, Seen, Visit, Walked};

/// How often an alias is tried that depends on the whole name: eight at a time.
const HASHED_ROUNDS: u32 = 64;

/// Room for an entry.
pub(crate) struct Room {
    pub start: u32,
    /// The slot that marked the end, if it is not behind the room.
    pub end: Option<u32>,
}

impl<S: Storage> Volume<S> {
    /// What a directory goes by in the index.
    pub(crate) fn index_key(&self, directory: usize) -> u32 {
        self.nodes.get(directory).chain.first
    }

    /// Finds an entry by its name or its alias: what `look` sees of it.
    pub(crate) fn find<T>(
        &mut self,
        directory: usize,
        name: &Name,
        look: impl Fn(&Listed<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let key = self.index_key(directory);
        let hash = name::hash(name.units());
        let mut from = 0;
        while let Some(start) = self.indexes.candidate(key, hash, from) {
            let is_it = |entry: &Listed<'_>| match entry.is_called(name) {
                true => Ok(look(entry)),
                false => Err(entry.has_hash(hash)),
            };
            match self.entry_at(directory, start, is_it)? {
                Some(Ok(seen)) => return Ok(Some(seen)),
                // Another name with the same hash.
                Some(Err(true)) => from = start + 1,
                Some(Err(false)) | None => {
                    self.indexes.forget(key);
                    break;
                }
            }
        }
        match self.indexes.unknown(key) {
            Some(from) => self.search(directory, key, from, name, look),
            None => Ok(None),
        }
    }

    /// Looks for an entry slot by slot from `from` on, before which everything is known, and notes what it comes past.
    fn search<T>(
        &mut self,
        directory: usize,
        key: u32,
        from: u32,
        name: &Name,
        look: impl Fn(&Listed<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let mut indexes = core::mem::replace(&mut self.indexes, Indexes::new(0));
        let (mut is_noted, mut found) = (true, None);
        let walked = self.walk(directory, from, &mut |at, seen| {
            is_noted = is_noted && indexes.see(key, at, &seen);
            match seen {
                Seen::Entry(entry) if entry.is_called(name) => {
                    found = Some(look(&entry));
                    Visit::Enough
                }
                _ => Visit::GoOn,
            }
        });
        self.indexes = indexes;
        if let Walked::End(end) = walked?
            && is_noted
        {
            self.indexes.finish(key, end);
        }
        Ok(found)
    }

    /// An alias for `name` that no entry has, but for `replaced`.
    pub(crate) fn alias(&mut self, directory: usize, name: &Name, replaced: Option<&Found>) -> Result<Short, Error> {
        let (basis, is_whole) = name.basis();
        let plain = is_whole.then_some(basis);
        let numbers = (1..10).map(|number| numbered(basis, number));
        let mut candidates: Vec<_> = plain.into_iter().chain(numbers).collect();
        for round in 0..=HASHED_ROUNDS {
            if let Some(bytes) = self.first_unused(directory, &mut candidates, replaced)? {
                return Ok(Short { bytes, case: 0 });
            }
            candidates.clear();
            candidates.extend((0..8).map(|attempt| hashed(basis, name, round * 8 + attempt)));
        }
        Err(Error::NoSpace)
    }

    /// The first of some short names that no entry has, but for `replaced`.
    fn first_unused(
        &mut self,
        directory: usize,
        candidates: &mut Vec<[u8; 11]>,
        replaced: Option<&Found>,
    ) -> Result<Option<[u8; 11]>, Error> {
        let key = self.index_key(directory);
        if self.indexes.is_whole(key) {
            // Not read again: at worst, an alias is left out that nobody has.
            let except = replaced.map(|found| found.start);
            let is_unused = |bytes: &&[u8; 11]| {
                let units = Short { bytes: **bytes, case: 0 }.units();
                units.is_some_and(|units| !self.indexes.has_short(key, name::hash(units.units()), except))
            };
            return Ok(candidates.iter().find(is_unused).copied());
        }
        self.walk(directory, 0, &mut |at, seen| {
            let slot = match seen {
                Seen::Other(slot) => slot,
                Seen::Entry(entry) if replaced.is_none_or(|found| found.short != at) => entry.slot,
                _ => return Visit::GoOn,
            };
            candidates.retain(|candidate| candidate != &slot[..11]);
            Visit::GoOn
        })?;
        Ok(candidates.first().copied())
    }

    /// Finds `count` free slots, in one sector if they fit into one; the directory grows if need be.
    pub(crate) fn find_room(&mut self, directory: usize, count: u32) -> Result<Room, Error> {
        if let Some(room) = self.known_room(directory, count)? {
            return Ok(room);
        }
        let mut start = 0;
        let mut end = None;
        for at in 0..MAX_SLOTS {
            if count <= PER_SECTOR && at.is_multiple_of(PER_SECTOR) {
                start = at;
            }
            let slot = self.slot_or_grow(directory, at)?;
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

    /// The same from what is known, if it is enough. What is there has to be free indeed.
    fn known_room(&mut self, directory: usize, count: u32) -> Result<Option<Room>, Error> {
        let key = self.index_key(directory);
        if count > PER_SECTOR {
            return Ok(None);
        }
        let Some((start, end)) = self.indexes.room(key, count) else { return Ok(None) };
        if start + count > MAX_SLOTS {
            return Err(Error::NoSpace);
        }
        self.slot_or_grow(directory, start + count - 1)?;
        // The end may be where the directory ended before it grew.
        for at in (start..start + count).filter(|&at| at < end).chain((start + count > end).then_some(end)) {
            let mark = if at == end { 0 } else { DELETED };
            if self.slot_or_grow(directory, at)?[0] != mark {
                self.indexes.forget(key);
                return Ok(None);
            }
        }
        Ok(Some(Room { start, end: (start + count > end).then_some(end) }))
    }

    /// A slot, for which the directory grows if need be.
    fn slot_or_grow(&mut self, directory: usize, at: u32) -> Result<Slot, Error> {
        if self.slot_place(directory, at)?.is_none() {
            self.grow(directory)?;
        }
        let (_, slot) = self.slot(directory, at)?.ok_or(Error::NoSpace)?;
        Ok(slot)
    }
}
