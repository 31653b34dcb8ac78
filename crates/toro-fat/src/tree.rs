//! Names: looking up, listing, making, removing, renaming.
//!
//! ```text
//!   rename, nothing there   new entry | barrier | old entry out
//!   rename, something there its entry now says what ours said | barrier | old entry out | its clusters freed
//! ```
//!
//! The second way changes one sector, so that whoever writes a file anew under another name and renames it finds either the
//! old or the new one after a crash, and never none.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::chain::{Chain, Pending};
use crate::entry::{Attributes, Record, SLOT, Slot, set_short_name, short_name};
use crate::error::{Corruption, Error};
use crate::name::{self, Name};
use crate::node::{self, Node, NodeId, SlotPlace, Whereabouts};
use crate::storage::Storage;
use crate::volume::{Entry, Kind, Volume, metadata};
use crate::walk::{Found, Seen, Visit};

impl<S: Storage> Volume<S> {
    /// Finds `name`, in UTF-8, whatever its case. The node is held once more: [`forget`](Self::forget) it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for names that no entry can have; [`Error::NotDirectory`], [`Error::Stale`],
    /// [`Error::Storage`], [`Error::Corrupt`].
    pub fn lookup(&mut self, directory: NodeId, name: &[u8]) -> Result<NodeId, Error> {
        let directory = self.directory(directory)?;
        let name = Name::parse(name).map_err(|_| Error::NotFound)?;
        let found = self.find(directory, &name, |entry| (entry.place, *entry.slot))?;
        let (place, slot) = found.ok_or(Error::NotFound)?;
        let index = self.hold_entry(place, &slot)?;
        Ok(self.nodes.id(index))
    }

    /// The first entry at or after `cursor`, 0 to begin with, and the cursor for the next one. `.` and `..` are not listed.
    /// While a directory is listed, entries that were there all the time are listed once.
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`], [`Error::Stale`], [`Error::Storage`], [`Error::Corrupt`].
    pub fn list(&mut self, directory: NodeId, cursor: u32) -> Result<Option<(Entry, u32)>, Error> {
        let directory = self.directory(directory)?;
        let mut found = None;
        self.walk(directory, cursor, &mut |_, seen| match seen {
            Seen::Entry(entry) => {
                found = Some((name::text(entry.units), entry.short, entry.place, *entry.slot));
                Visit::Enough
            }
            _ => Visit::GoOn,
        })?;
        let entry = |(name, short, place, slot)| {
            let record = self.nodes.at(place).map_or_else(|| self.record(&slot), |index| self.nodes.get(index).record);
            (Entry { name, metadata: metadata(&record) }, short + 1)
        };
        Ok(found.map(entry))
    }

    /// Shows what [`list`](Self::list) would list from `cursor` on, one after the other, in one way through the slots: the name in
    /// UTF-8, what it is, and the cursor for the next one. Ends where `visit` breaks off, or with the directory.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list), after what is before the trouble was shown.
    pub fn list_names(
        &mut self,
        directory: NodeId,
        cursor: u32,
        mut visit: impl FnMut(&[u8], Kind, u32) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let directory = self.directory(directory)?;
        let mut text = Vec::new();
        self.walk(directory, cursor, &mut |_, seen| {
            let Seen::Entry(entry) = seen else { return Visit::GoOn };
            let is_directory = Attributes(entry.slot[11]).contains(Attributes::DIRECTORY);
            let kind = if is_directory { Kind::Directory } else { Kind::File };
            text.clear();
            name::append_text(entry.units, &mut text);
            match visit(&text, kind, entry.short + 1) {
                ControlFlow::Continue(()) => Visit::GoOn,
                ControlFlow::Break(()) => Visit::Enough,
            }
        })?;
        Ok(())
    }

    /// Makes an empty file. The node is held once: [`forget`](Self::forget) it.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::InvalidName`], [`Error::NameTooLong`], [`Error::NoSpace`], [`Error::ReadOnly`],
    /// [`Error::NotDirectory`], [`Error::Stale`], [`Error::Storage`], [`Error::Corrupt`].
    pub fn create(&mut self, directory: NodeId, name: &[u8]) -> Result<NodeId, Error> {
        let (directory, name) = self.new_name(directory, name)?;
        self.add(directory, &name, Kind::File, 0)
    }

    /// Makes an empty directory. The node is held once: [`forget`](Self::forget) it.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create).
    pub fn create_directory(&mut self, directory: NodeId, name: &[u8]) -> Result<NodeId, Error> {
        let (directory, name) = self.new_name(directory, name)?;
        let first = self.new_directory(directory, &self.new_record(Kind::Directory, 0))?;
        // The entry leads to it.
        let added = self.barrier().and_then(|()| self.add(directory, &name, Kind::Directory, first));
        if added.is_err() {
            self.defer_free(first)?;
        }
        added
    }

    /// Removes a file. If it is held, it can be read and written until it is forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::IsDirectory`], [`Error::ReadOnly`], [`Error::NotDirectory`], [`Error::Stale`],
    /// [`Error::Storage`], [`Error::Corrupt`].
    pub fn remove_file(&mut self, directory: NodeId, name: &[u8]) -> Result<(), Error> {
        let (directory, found) = self.existing(directory, name)?;
        if self.record(&found.slot).is_directory() {
            return Err(Error::IsDirectory);
        }
        self.begin_change()?;
        self.remove_entry(directory, &found)?;
        self.touch(directory);
        self.disown(found.place, &found.slot)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`], and as for [`remove_file`](Self::remove_file), with [`Error::NotDirectory`] for a file.
    pub fn remove_directory(&mut self, directory: NodeId, name: &[u8]) -> Result<(), Error> {
        let (directory, found) = self.existing(directory, name)?;
        if !self.record(&found.slot).is_directory() {
            return Err(Error::NotDirectory);
        }
        self.begin_change()?;
        self.check_empty(&found)?;
        self.remove_entry(directory, &found)?;
        self.touch(directory);
        self.disown(found.place, &found.slot)
    }

    /// Gives the entry `old` of `from` the name `new` in `to`. A file takes the place of a file, a directory that of an
    /// empty directory; what was there is removed.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidMove`] for a directory into itself; [`Error::IsDirectory`] for a file in place of a directory,
    /// [`Error::NotDirectory`] for the reverse, [`Error::NotEmpty`]; and as for [`create`](Self::create) and
    /// [`remove_file`](Self::remove_file).
    pub fn rename(&mut self, from: NodeId, old: &[u8], to: NodeId, new: &[u8]) -> Result<(), Error> {
        let (from, source) = self.existing(from, old)?;
        let to = self.directory(to)?;
        let name = Name::parse(new)?;
        let target = self.find(to, &name, |entry| entry.to_found())?;
        self.begin_change()?;
        let is_directory = self.record(&source.slot).is_directory();
        if is_directory {
            self.check_outside(to, self.record(&source.slot).first)?;
        }
        match target {
            Some(target) if target.place == source.place => self.rename_case(from, &source, &name),
            Some(target) => self.replace(from, &source, to, &target),
            None => self.move_entry(from, &source, to, &name, None),
        }
    }

    /// A directory, and a name that it does not have yet.
    fn new_name(&mut self, directory: NodeId, name: &[u8]) -> Result<(usize, Name), Error> {
        let directory = self.directory(directory)?;
        let name = Name::parse(name)?;
        if self.find(directory, &name, |_| ())?.is_some() {
            return Err(Error::Exists);
        }
        self.begin_change()?;
        Ok((directory, name))
    }

    /// A directory, and an entry in it.
    fn existing(&mut self, directory: NodeId, name: &[u8]) -> Result<(usize, Found), Error> {
        let directory = self.directory(directory)?;
        let name = Name::parse(name).map_err(|_| Error::NotFound)?;
        let found = self.find(directory, &name, |entry| entry.to_found())?.ok_or(Error::NotFound)?;
        Ok((directory, found))
    }

    /// What a new entry says.
    fn new_record(&self, kind: Kind, first: u32) -> Record {
        let now = (self.options.now)();
        let attributes = match kind {
            Kind::File => Attributes::ARCHIVE,
            Kind::Directory => Attributes::DIRECTORY,
        };
        Record { attributes, first, size: 0, created: now, modified: now, accessed: now }
    }

    /// Adds a new entry.
    fn add(&mut self, directory: usize, name: &Name, kind: Kind, first: u32) -> Result<NodeId, Error> {
        let mut slot = [0; SLOT];
        let record = self.new_record(kind, first);
        record.write(&mut slot);
        let place = self.add_entry(directory, name, slot, None)?;
        self.touch(directory);
        let index = self.nodes.insert(Node::new(Whereabouts::Linked(place), record));
        self.nodes.hold(index);
        Ok(self.nodes.id(index))
    }

    /// Notes that the entries of a directory changed.
    fn touch(&mut self, directory: usize) {
        if directory == 0 {
            return;
        }
        let now = (self.options.now)();
        let node = self.nodes.get_mut(directory);
        node.record.modified = now;
        node.entry = node::Entry::Changed;
    }

    /// Takes the clusters from an entry that is gone; from its node only once nobody holds it.
    fn disown(&mut self, place: SlotPlace, slot: &Slot) -> Result<(), Error> {
        let record = self.record(slot);
        if record.is_directory() {
            self.indexes.forget(record.first);
        }
        let (first, pending) = match self.nodes.at(place) {
            Some(index) if self.nodes.is_held(index) => {
                self.nodes.relocate(index, Whereabouts::Orphan);
                return Ok(());
            }
            Some(index) => {
                let Chain { first, pending, .. } = self.nodes.remove(index).chain;
                (first, pending)
            }
            None => (record.first, Pending::Nothing),
        };
        self.free_node_clusters(first, pending)
    }

    /// That the directory of an entry has no entries.
    fn check_empty(&mut self, found: &Found) -> Result<(), Error> {
        let index = self.hold_entry(found.place, &found.slot)?;
        let is_empty = self.is_empty(index);
        let id = self.nodes.id(index);
        self.forget(id)?;
        if is_empty? { Ok(()) } else { Err(Error::NotEmpty) }
    }

    /// That `directory` is not in the directory that begins with `cluster`, nor that one itself.
    fn check_outside(&mut self, directory: usize, cluster: u32) -> Result<(), Error> {
        let mut above = self.cluster_of_parent(directory);
        for _ in 0..self.layout.clusters {
            match above {
                0 => return Ok(()),
                _ if above == cluster => return Err(Error::InvalidMove),
                _ if above == self.layout.root_cluster => return Ok(()),
                _ => above = self.parent_of(above)?,
            }
        }
        Err(Corruption::ChainLoop.into())
    }

    /// What the entry of `found` says, after its node has published what it knows.
    fn published_slot(&mut self, found: &Found) -> Result<Slot, Error> {
        if let Some(index) = self.nodes.at(found.place) {
            self.publish(&[index])?;
        }
        let (sector, offset) = found.place;
        let mut slot = [0; SLOT];
        slot.copy_from_slice(&self.disk.sector(sector)?[offset..offset + SLOT]);
        Ok(slot)
    }

    /// Changes the case of letters in a name.
    fn rename_case(&mut self, directory: usize, found: &Found, name: &Name) -> Result<(), Error> {
        if found.name.units() == name.units() {
            return Ok(());
        }
        // Without a long name before or after, the short entry alone is changed.
        if let (Some(short), true) = (name.as_short(), found.start == found.short) {
            let (sector, offset) = found.place;
            let mut slot = found.slot;
            set_short_name(&mut slot, short);
            self.disk.edit(sector)?[offset..offset + 12].copy_from_slice(&slot[..12]);
            self.disk.edit(sector)?[offset + 12] = slot[12];
            return Ok(());
        }
        self.move_entry(directory, found, directory, name, Some(found))
    }

    /// Makes a new entry for what `source` leads to, then removes the old one.
    fn move_entry(
        &mut self,
        from: usize,
        source: &Found,
        to: usize,
        name: &Name,
        replaced: Option<&Found>,
    ) -> Result<(), Error> {
        let slot = self.published_slot(source)?;
        let place = self.add_entry(to, name, slot, replaced)?;
        self.finish_move(from, source, to, place)
    }

    /// Lets the entry of `target` lead to what `source` leads to, then removes that one and what was there.
    fn replace(&mut self, from: usize, source: &Found, to: usize, target: &Found) -> Result<(), Error> {
        let is_directory = self.record(&source.slot).is_directory();
        match (is_directory, self.record(&target.slot).is_directory()) {
            (false, true) => return Err(Error::IsDirectory),
            (true, false) => return Err(Error::NotDirectory),
            (true, true) => self.check_empty(target)?,
            (false, false) => {}
        }
        let mut slot = self.published_slot(source)?;
        set_short_name(&mut slot, short_name(&target.slot));
        let (sector, offset) = target.place;
        self.disk.edit(sector)?[offset..offset + SLOT].copy_from_slice(&slot);
        self.disown(target.place, &target.slot)?;
        self.finish_move(from, source, to, target.place)
    }

    /// The new entry is written, at `place`: the rest of a renaming.
    fn finish_move(&mut self, from: usize, source: &Found, to: usize, place: SlotPlace) -> Result<(), Error> {
        let record = self.record(&source.slot);
        if record.is_directory() && from != to {
            let parent = self.cluster_of_parent(to);
            self.set_parent_of(record.first, parent)?;
        }
        self.barrier()?;
        self.remove_entry(from, source)?;
        if let Some(index) = self.nodes.at(source.place) {
            self.nodes.relocate(index, Whereabouts::Linked(place));
        }
        self.touch(from);
        self.touch(to);
        Ok(())
    }
}
