//! In which order things become stable: the rule that survives a crash.
//!
//! ```text
//!   1  contents, new clusters and the links among them     | barrier
//!   2  the link from what was there before to what is new  | barrier, if there is one
//!   3  the entry: first cluster, size                      | barrier
//!   4  clusters that no entry leads to any more are freed
//! ```
//!
//! At any moment, what is stable leads only to what is stable: a crash may leave clusters that belong to nobody, a chain
//! that is longer than its file, or two names in the middle of a renaming, and nothing else.
//!
//! Nothing waits for a barrier but what has to: new clusters and sizes are published for many nodes at once, when somebody
//! asks for it or many are waiting; freed chains wait for whatever barrier comes next.
//!
//! FAT12 is weaker by one thing: an entry of its table may lie in two sectors, and a crash between both leaves a chain whose
//! end, behind what was synced, leads to a wrong cluster.

use alloc::vec::Vec;

use crate::chain::{Chain, Pending};
use crate::entry::{SLOT, Slot};
use crate::error::Error;
use crate::node::{Entry, Whereabouts};
use crate::storage::{SECTOR, Storage};
use crate::table::{Link, Shutdown, word};
use crate::volume::Volume;

/// How many chains may wait to be freed.
const MAX_DEFERRED: usize = 256;
/// In the boot sector's flags: the volume is in use.
const IN_USE: u8 = 1;

/// FSInfo: its marks, and where the free count and the hint are.
const FS_INFO_MARKS: [(usize, u32); 2] = [(0, 0x4161_5252), (484, 0x6141_7272)];
const FREE_COUNT: usize = 488;
const NEXT_FREE: usize = 492;

impl<S: Storage> Volume<S> {
    /// Has to be called before anything is changed: says on the disk that it is in use.
    pub(crate) fn begin_change(&mut self) -> Result<(), Error> {
        if self.is_read_only {
            return Err(Error::ReadOnly);
        }
        if self.shutdown == Shutdown::Clean {
            self.disk.edit(0)?[self.layout.state] |= IN_USE;
            self.table.set_shutdown(&mut self.disk, Shutdown::Dirty)?;
            self.disk.barrier()?;
            self.shutdown = Shutdown::Dirty;
        }
        Ok(())
    }

    /// Whether the volume was left in order.
    pub(crate) fn read_shutdown(&mut self) -> Result<Shutdown, Error> {
        let in_use = self.disk.sector(0)?[self.layout.state] & IN_USE != 0;
        Ok(if in_use { Shutdown::Dirty } else { self.table.shutdown(&mut self.disk)? })
    }

    /// Takes FSInfo's word for what does no harm if it is wrong.
    pub(crate) fn read_fs_info(&mut self) -> Result<(), Error> {
        let Some(sector) = self.layout.fs_info else { return Ok(()) };
        let bytes = self.disk.sector(sector)?;
        if FS_INFO_MARKS.iter().any(|&(at, mark)| word(bytes, at) != mark) {
            self.layout.fs_info = None;
            return Ok(());
        }
        let (free, hint) = (word(bytes, FREE_COUNT), word(bytes, NEXT_FREE));
        if self.shutdown == Shutdown::Clean && free <= self.layout.clusters {
            self.table.free = Some(free);
        }
        if self.layout.is_cluster(hint) {
            self.table.hint = hint;
        }
        Ok(())
    }

    /// Writes the free count and the hint, as far as they are known.
    fn write_fs_info(&mut self) -> Result<(), Error> {
        let (Some(sector), Some(free)) = (self.layout.fs_info, self.table.free) else { return Ok(()) };
        let hint = self.table.hint;
        let bytes = self.disk.sector(sector)?;
        if (word(bytes, FREE_COUNT), word(bytes, NEXT_FREE)) != (free, hint) {
            let bytes = self.disk.edit(sector)?;
            bytes[FREE_COUNT..FREE_COUNT + 4].copy_from_slice(&free.to_le_bytes());
            bytes[NEXT_FREE..NEXT_FREE + 4].copy_from_slice(&hint.to_le_bytes());
        }
        Ok(())
    }

    /// Makes everything stable that was written, and frees what waited for that.
    pub(crate) fn barrier(&mut self) -> Result<(), Error> {
        self.disk.barrier()?;
        let cluster_sectors = u64::from(self.layout.sectors_per_cluster);
        for head in core::mem::take(&mut self.deferred) {
            // A directory's sectors may be in memory.
            let layout = self.layout;
            self.table.free(&mut self.disk, head, |disk, cluster, count| {
                disk.discard(layout.sector_of(cluster), u64::from(count) * cluster_sectors);
            })?;
        }
        Ok(())
    }

    /// Frees the chain that begins with `head` after the next barrier. No entry in memory leads to it any more.
    pub(crate) fn defer_free(&mut self, head: u32) -> Result<(), Error> {
        if self.layout.is_cluster(head) {
            self.deferred.push(head);
        }
        if self.deferred.len() > MAX_DEFERRED { self.barrier() } else { Ok(()) }
    }

    /// Frees all clusters of a node whose entry is gone.
    pub(crate) fn free_node_clusters(&mut self, first: u32, pending: Pending) -> Result<(), Error> {
        if let Pending::Link { head, .. } = pending {
            self.defer_free(head)?;
        }
        self.defer_free(first)
    }

    /// Writes the entries of these nodes, after everything that they lead to. They are stable after the next barrier.
    pub(crate) fn publish(&mut self, nodes: &[usize]) -> Result<(), Error> {
        let is_changed = |&&index: &&usize| {
            let node = self.nodes.get(index);
            node.entry == Entry::Changed && node.whereabouts != Whereabouts::Orphan
        };
        let nodes: Vec<usize> = nodes.iter().filter(is_changed).copied().collect();
        if nodes.iter().any(|&index| self.nodes.get(index).is_ahead()) {
            self.barrier()?;
        }
        let mut has_links = false;
        for &index in &nodes {
            if let Pending::Link { tail, head } = self.nodes.get(index).chain.pending {
                self.table.set(&mut self.disk, tail, Link::Next(head))?;
                has_links = true;
            }
        }
        if has_links {
            self.barrier()?;
        }
        nodes.iter().try_for_each(|&index| self.write_entry(index))
    }

    /// Writes the entry of a node: everything that it leads to is stable, or was never on the disk.
    pub(crate) fn write_entry(&mut self, index: usize) -> Result<(), Error> {
        let node = self.nodes.get_mut(index);
        if let Whereabouts::Linked((sector, offset)) = node.whereabouts {
            node.record.first = node.chain.first;
            let bytes = &mut self.disk.edit(sector)?[offset..offset + SLOT];
            let mut slot: Slot = [0; SLOT];
            slot.copy_from_slice(bytes);
            node.record.write(&mut slot);
            bytes.copy_from_slice(&slot);
        }
        node.chain.pending = Pending::Nothing;
        node.published_size = node.record.size;
        node.entry = Entry::Written;
        Ok(())
    }

    /// Publishes everything and makes it stable.
    pub(crate) fn sync_everything(&mut self) -> Result<(), Error> {
        if self.is_read_only {
            return Ok(());
        }
        let changed = self.nodes.changed();
        self.publish(&changed)?;
        self.barrier()?;
        self.nodes.sweep();
        self.write_fs_info()?;
        self.barrier()
    }

    /// Leaves the volume in order.
    pub(crate) fn shut_down(&mut self) -> Result<(), Error> {
        if self.is_read_only {
            return Ok(());
        }
        for index in self.nodes.orphans() {
            let node = self.nodes.get_mut(index);
            let chain = core::mem::replace(&mut node.chain, Chain::new(0));
            node.record.size = 0;
            self.free_node_clusters(chain.first, chain.pending)?;
        }
        self.sync_everything()?;
        if self.shutdown == Shutdown::Clean || self.mounted == Shutdown::Dirty {
            return Ok(());
        }
        if self.layout.fs_info.is_some() {
            self.table.count_free(&mut self.disk)?;
            self.write_fs_info()?;
            self.disk.barrier()?;
        }
        self.disk.edit(0)?[self.layout.state] &= !IN_USE;
        self.table.set_shutdown(&mut self.disk, Shutdown::Clean)?;
        self.disk.barrier()?;
        self.shutdown = Shutdown::Clean;
        Ok(())
    }
}

/// Bytes that are zero, for new directories and gaps in files.
pub(crate) static ZEROS: [u8; 16 * SECTOR] = [0; 16 * SECTOR];
