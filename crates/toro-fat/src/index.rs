//! Where names are: what is remembered of directories, so that nobody has to go through all their slots for each name.
//!
//! ```text
//!   slots   [long 2][long 1][short] [e5] [long][short] [00] .......
//!            0       1       2       3    4     5      6
//!   keys    (hash of the name, 0) (hash of the alias, 0) (hash of the name, 4) ...      in order
//!   used    1       1       1       0    1     1      0             a bit for each slot: where there is room
//!   known   -------------------------------------------|            6: what is behind was not looked at yet, or is free
//! ```
//!
//! # A hint
//!
//! The disk says what is there, and nothing else does. An index says where to look: whoever gets a slot from it reads the slot,
//! and takes what is there only if it is what was looked for. If it is not, the index is forgotten. That a name is not there
//! is believed, as long as nobody but this crate writes to the directory; on a volume where a file and a directory share a
//! cluster, a name may be overlooked until the index goes.
//!
//! # How it comes to be
//!
//! By looking for names: the search begins with what is known and goes on where that ends, and what it comes past is known
//! from then on. So a name is found with no more requests than without an index, and after the first name that is not there,
//! everything is known. Changes are made to the directory and to what is known of it. When one of them fails, all that is
//! known of the directory is forgotten.
//!
//! A directory goes by its first cluster and not by its node, since nodes come and go with every path. When it is removed,
//! what is known of it goes, too: another one may begin with that cluster.
//!
//! # How large it is
//!
//! Keys are in a tree. A hash table would do the same with less, unless somebody makes names that all have one hash. What
//! keys and bits take is counted, by the most that they may; the directory that was not used for longest is forgotten when it
//! is more than allowed. If one directory alone is too large, as much of it is known as there is memory for, and the rest
//! is gone through every time.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::entry::short_name;
use crate::name;
use crate::walk::{Listed, PER_SECTOR, Seen};

#[cfg(test)]
mod tests;

/// The most directories of which something is known.
const MAX_DIRECTORIES: usize = 256;
/// What a key takes at most: 8 bytes in a node of a tree that has room for twice as many, and their share of the nodes above.
const KEY_BYTES: usize = 32;
/// What the bits of a sector take at most, in a vector that has room for twice as many.
const SECTOR_BYTES: usize = 4;
/// What a slot adds at most.
const SLOT_BYTES: usize = 2 * KEY_BYTES + SECTOR_BYTES;
/// What a directory takes beside its keys and bits.
const DIRECTORY_BYTES: usize = 256;

/// Of what a key has the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The long name of an entry.
    Long,
    /// The alias that goes with a long name.
    Alias,
    /// The short name of an entry that has no other.
    Short,
    /// A short name that is none of an entry: that of the volume.
    Other,
}

/// A name, and the first slot of what is called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    hash: u32,
    start: u16,
    what: What,
}

/// What is known of a directory.
#[derive(Debug)]
struct Index {
    /// Its first cluster, or 0 for the root of a volume where that has none.
    directory: u32,
    /// From this slot on, nothing is known.
    known: u32,
    /// Whether this slot is the end, and thus everything known.
    is_whole: bool,
    keys: BTreeSet<Key>,
    /// Of each sector, which slots are somebody's.
    used: Vec<u16>,
    /// For each number of slots: no sector before this one has so many that are free and lie together.
    first_with: [u16; PER_SECTOR as usize + 1],
}

/// What is known of directories; the one that was used last is the last.
#[derive(Debug)]
pub(crate) struct Indexes {
    list: Vec<Index>,
    /// How much memory they may take, and do.
    limit: usize,
    bytes: usize,
}

impl Index {
    fn new(directory: u32) -> Self {
        Self {
            directory,
            known: 0,
            is_whole: false,
            keys: BTreeSet::new(),
            used: Vec::new(),
            first_with: [0; PER_SECTOR as usize + 1],
        }
    }

    fn bytes(&self) -> usize {
        DIRECTORY_BYTES + self.keys.len() * KEY_BYTES + self.used.len() * SECTOR_BYTES
    }

    /// Notes that slots are somebody's.
    fn occupy(&mut self, first: u32, last: u32) {
        for slot in first..=last {
            let sector = (slot / PER_SECTOR) as usize;
            if sector >= self.used.len() {
                self.used.resize(sector + 1, 0);
            }
            self.used[sector] |= 1 << (slot % PER_SECTOR);
        }
    }

    /// Notes that slots are nobody's any more.
    fn vacate(&mut self, first: u32, last: u32) {
        for slot in first..=last {
            if let Some(used) = self.used.get_mut((slot / PER_SECTOR) as usize) {
                *used &= !(1 << (slot % PER_SECTOR));
            }
        }
        for sector in &mut self.first_with {
            *sector = (*sector).min((first / PER_SECTOR) as u16);
        }
    }

    /// Notes keys. Once in an image, however often it is called.
    #[inline(never)]
    fn insert(&mut self, keys: [Option<Key>; 2]) {
        for key in keys.into_iter().flatten() {
            self.keys.insert(key);
        }
    }

    /// Notes what is in slot `at`, up to which everything is known.
    fn see(&mut self, at: u32, seen: &Seen<'_>) {
        match seen {
            Seen::Free => {}
            // It is known once all of the name is.
            Seen::Part => return self.occupy(at, at),
            Seen::Other(slot) => {
                self.occupy(at, at);
                let hash = short_name(slot).units().map(|units| name::hash(units.units()));
                self.insert([hash.map(|hash| Key { hash, start: at as u16, what: What::Other }), None]);
            }
            Seen::Entry(entry) => {
                self.occupy(at, at);
                self.insert(keys(entry));
            }
        }
        self.known = at + 1;
    }

    /// The first slot of the first `count` that are free and lie together in a sector.
    fn room(&mut self, count: u32) -> u32 {
        let first = &mut self.first_with[count as usize];
        let rest = self.used.get(usize::from(*first)..).unwrap_or_default();
        for used in rest {
            // A bit stays if it and as many above it are not set as there are to be.
            let mut free = u32::from(!used);
            for _ in 1..count {
                free &= free >> 1;
            }
            if free != 0 {
                return u32::from(*first) * PER_SECTOR + free.trailing_zeros();
            }
            *first += 1;
        }
        self.used.len() as u32 * PER_SECTOR
    }
}

/// The keys of an entry.
fn keys(entry: &Listed<'_>) -> [Option<Key>; 2] {
    let key = |units: &[u16], what| Key { hash: name::hash(units), start: entry.start as u16, what };
    let own = if entry.start == entry.short { What::Short } else { What::Long };
    [Some(key(entry.units, own)), entry.alias().map(|alias| key(alias.units(), What::Alias))]
}

impl Indexes {
    /// Of directories, no more is known than what `limit` bytes have room for.
    pub fn new(limit: usize) -> Self {
        Self { list: Vec::new(), limit, bytes: 0 }
    }

    /// What is known of a directory; it was used just now.
    fn get(&mut self, directory: u32) -> Option<&mut Index> {
        let at = self.list.iter().rposition(|index| index.directory == directory)?;
        self.list[at..].rotate_left(1);
        self.list.last_mut()
    }

    /// Forgets a directory.
    pub fn forget(&mut self, directory: u32) {
        if let Some(at) = self.list.iter().position(|index| index.directory == directory) {
            self.bytes -= self.list.remove(at).bytes();
        }
    }

    /// Changes what is known of a directory, and forgets others if it is too much; it, too, if that is not enough.
    fn change<T>(&mut self, directory: u32, change: impl FnOnce(&mut Index) -> T) -> Option<T> {
        let index = self.get(directory)?;
        let before = index.bytes();
        let result = change(index);
        let after = index.bytes();
        self.bytes = self.bytes - before + after;
        while self.bytes > self.limit && !self.list.is_empty() {
            self.bytes -= self.list.remove(0).bytes();
        }
        Some(result)
    }

    /// The first slot of what may be called `name`, none before `from`.
    pub fn candidate(&mut self, directory: u32, hash: u32, from: u32) -> Option<u32> {
        let from = Key { hash, start: u16::try_from(from).ok()?, what: What::Long };
        let to = Key { hash, start: u16::MAX, what: What::Other };
        let keys = &self.get(directory)?.keys;
        keys.range(from..=to).find(|key| key.what != What::Other).map(|key| u32::from(key.start))
    }

    /// From which slot on a search has to look for itself. None if everything is known.
    pub fn unknown(&mut self, directory: u32) -> Option<u32> {
        match self.get(directory) {
            Some(index) => (!index.is_whole).then_some(index.known),
            None => Some(0),
        }
    }

    /// Notes what is in slot `at`; whether it did. A walk shows one slot after the other, from where [`unknown`](Self::unknown)
    /// said, and no more once this said no.
    pub fn see(&mut self, directory: u32, at: u32, seen: &Seen<'_>) -> bool {
        if at == 0 && self.limit > DIRECTORY_BYTES && self.get(directory).is_none() {
            if self.list.len() >= MAX_DIRECTORIES {
                self.bytes -= self.list.remove(0).bytes();
            }
            self.list.push(Index::new(directory));
            self.bytes += DIRECTORY_BYTES;
        }
        let limit = self.limit;
        let noted = self.change(directory, |index| {
            let has_room = index.bytes() + SLOT_BYTES <= limit;
            if has_room {
                index.see(at, seen);
            }
            has_room
        });
        noted == Some(true)
    }

    /// Notes that slot `end` is the first that nothing is behind, after everything before it was seen.
    pub fn finish(&mut self, directory: u32, end: u32) {
        if let Some(index) = self.get(directory) {
            index.known = end;
            index.is_whole = true;
        }
    }

    /// Whether everything is known of a directory.
    pub fn is_whole(&mut self, directory: u32) -> bool {
        self.unknown(directory).is_none()
    }

    /// Whether there is an entry with the short name of this hash, other than the one that begins at `except`; or may be, as
    /// hashes go. Everything has to be known.
    pub fn has_short(&mut self, directory: u32, hash: u32, except: Option<u32>) -> bool {
        let from = Key { hash, start: 0, what: What::Long };
        let to = Key { hash, start: u16::MAX, what: What::Other };
        self.get(directory).is_some_and(|index| {
            let mut keys = index.keys.range(from..=to);
            keys.any(|key| key.what != What::Long && except != Some(u32::from(key.start)))
        })
    }

    /// The first slot of the first `count`, a sector's at most, that are free and lie together in a sector, which the directory
    /// may not have yet; and the slot that nothing is behind. None unless everything is known.
    pub fn room(&mut self, directory: u32, count: u32) -> Option<(u32, u32)> {
        let index = self.get(directory)?;
        index.is_whole.then(|| (index.room(count), index.known))
    }

    /// Notes that a slot is nobody's any more.
    pub fn vacate(&mut self, directory: u32, slot: u32) {
        self.change(directory, |index| index.vacate(slot, slot));
    }

    /// Notes an entry that was made.
    pub fn add(&mut self, directory: u32, entry: &Listed<'_>) {
        self.change(directory, |index| {
            // Between what is known to be the end and the entry, slots are free.
            if entry.start <= index.known || index.is_whole {
                index.occupy(entry.start, entry.short);
                index.insert(keys(entry));
                index.known = index.known.max(entry.short + 1);
            }
        });
    }

    /// Notes that an entry was removed.
    pub fn remove(&mut self, directory: u32, entry: &Listed<'_>) {
        self.change(directory, |index| {
            index.vacate(entry.start, entry.short);
            for key in keys(entry).into_iter().flatten() {
                index.keys.remove(&key);
            }
        });
    }
}
