//! The storage, with the few sectors in memory that tables and directories need.
//!
//! ```text
//!   tables, directories   sector, edit -->  [ sectors in memory ] -- write_back --> storage     every copy of the table
//!   contents of files     read, write  ------------------------------------------> storage
//! ```
//!
//! A sector that was edited is written when its place is needed or at the next [`barrier`](Disk::barrier), whatever comes
//! first. That is no order at all, and none is needed: what has to be stable before something else is separated from it by
//! a barrier, and what must not be written yet is not in a sector yet.

use alloc::vec::Vec;

use crate::boot_sector::Layout;
use crate::error::Error;
use crate::storage::{SECTOR, Storage, StorageError};

/// Of how many sectors it is remembered where they are.
const RECENT: usize = 64;

/// A sector in memory.
#[derive(Debug)]
struct Slot {
    sector: u64,
    state: State,
    /// When it was used last.
    used: u64,
    data: [u8; SECTOR],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Clean,
    Dirty,
}

/// The storage behind its cache.
#[derive(Debug)]
pub(crate) struct Disk<S> {
    storage: S,
    slots: Vec<Slot>,
    capacity: usize,
    /// Counts uses.
    clock: u64,
    /// Where sectors were the last time, by the lower bits of their numbers; they may have moved.
    recent: [u16; RECENT],
    /// The table, of which there are copies: first sector, sectors, first of all copies, how many.
    table: (u64, u64, u64, u64),
    /// Whether something was written after the last flush.
    is_unflushed: bool,
}

impl<S: Storage> Disk<S> {
    pub fn new(storage: S, capacity: usize) -> Self {
        let capacity = capacity.clamp(8, 1 << 15);
        Self {
            storage,
            slots: Vec::new(),
            capacity,
            clock: 0,
            recent: [0; RECENT],
            table: (0, 0, 0, 0),
            is_unflushed: false,
        }
    }

    /// From now on, sectors of the table are written to all its copies.
    pub fn mirror(&mut self, layout: &Layout) {
        self.table = (layout.table, layout.table_sectors, layout.copies.0, layout.copies.1);
    }

    pub fn storage(&self) -> &S {
        &self.storage
    }

    pub fn into_storage(self) -> S {
        self.storage
    }

    /// A sector to look at.
    pub fn sector(&mut self, sector: u64) -> Result<&[u8; SECTOR], Error> {
        let slot = self.load(sector)?;
        Ok(&self.slots[slot].data)
    }

    /// A sector to change.
    pub fn edit(&mut self, sector: u64) -> Result<&mut [u8; SECTOR], Error> {
        let slot = self.load(sector)?;
        self.slots[slot].state = State::Dirty;
        Ok(&mut self.slots[slot].data)
    }

    /// Reads past the sectors in memory.
    pub fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Error> {
        Ok(self.storage.read(sector, buffer)?)
    }

    /// Writes past the sectors in memory, which forget what they had of it.
    pub fn write(&mut self, sector: u64, data: &[u8]) -> Result<(), Error> {
        self.discard(sector, (data.len() / SECTOR) as u64);
        self.is_unflushed = true;
        Ok(self.storage.write(sector, data)?)
    }

    /// Forgets sectors, changed or not.
    pub fn discard(&mut self, first: u64, sectors: u64) {
        self.slots.retain(|slot| slot.sector.wrapping_sub(first) >= sectors);
    }

    /// Everything that was written or edited before is stable when this returns.
    pub fn barrier(&mut self) -> Result<(), Error> {
        // In the order of the disk: neighbours can be merged below.
        self.slots.sort_unstable_by_key(|slot| slot.sector);
        for slot in 0..self.slots.len() {
            self.write_back(slot)?;
        }
        if self.is_unflushed {
            self.storage.flush()?;
            self.is_unflushed = false;
        }
        Ok(())
    }

    /// The slot that has a sector, which is read if need be.
    fn load(&mut self, sector: u64) -> Result<usize, Error> {
        self.clock += 1;
        let recent = usize::from(self.recent[sector as usize % RECENT]);
        let found = match self.slots.get(recent) {
            Some(slot) if slot.sector == sector => Some(recent),
            _ => self.slots.iter().position(|slot| slot.sector == sector),
        };
        let slot = match found {
            Some(slot) => slot,
            None => self.replace(sector)?,
        };
        self.slots[slot].used = self.clock;
        self.recent[sector as usize % RECENT] = slot as u16;
        Ok(slot)
    }

    /// Reads a sector into a new slot, or into the one that was not used for longest.
    fn replace(&mut self, sector: u64) -> Result<usize, Error> {
        if sector >= self.storage.sectors() {
            return Err(Error::Storage(StorageError::OutOfRange));
        }
        let slot = if self.slots.len() < self.capacity {
            self.slots.push(Slot { sector: u64::MAX, state: State::Clean, used: 0, data: [0; SECTOR] });
            self.slots.len() - 1
        } else {
            let oldest = (0..self.slots.len()).min_by_key(|&slot| self.slots[slot].used).unwrap_or(0);
            self.write_back(oldest)?;
            oldest
        };
        // Until it is read, it is no sector.
        self.slots[slot].sector = u64::MAX;
        self.storage.read(sector, &mut self.slots[slot].data)?;
        self.slots[slot].sector = sector;
        Ok(slot)
    }

    /// Writes a slot that was changed, and all copies of it.
    fn write_back(&mut self, slot: usize) -> Result<(), Error> {
        let Slot { sector, state, data, .. } = &mut self.slots[slot];
        if *state == State::Clean {
            return Ok(());
        }
        self.is_unflushed = true;
        let (table, sectors, copies, count) = self.table;
        if sector.wrapping_sub(table) < sectors {
            for copy in 0..count {
                self.storage.write(copies + copy * sectors + (*sector - table), data)?;
            }
        } else {
            self.storage.write(*sector, data)?;
        }
        *state = State::Clean;
        Ok(())
    }
}
