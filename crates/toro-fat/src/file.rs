//! The contents of files.
//!
//! ```text
//!   offset -> cluster number -> cluster, and how many follow it on the disk -> one request for all of them
//!                                                                              and one for a piece of a sector
//! ```
//!
//! Whole sectors go straight between the caller's memory and the storage, as many at once as lie together. A piece of a
//! sector is read, changed, and written as a whole. A gap reads as zeros, and is written as zeros: FAT has no holes.

use crate::boot_sector::FIRST_CLUSTER;
use crate::chain::{Chain, Pending, Place};
use crate::entry::Attributes;
use crate::error::{Corruption, Error};
use crate::node::{Entry, NodeId, Whereabouts};
use crate::storage::{SECTOR, Storage};
use crate::sync::ZEROS;
use crate::table::{Link, Run};
use crate::volume::Volume;

/// The largest size of a file.
const MAX_SIZE: u64 = u32::MAX as u64;

/// What is written.
#[derive(Clone, Copy)]
enum Source<'a> {
    Bytes(&'a [u8]),
    Zeros(u64),
}

impl<'a> Source<'a> {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
        }
    }

    /// At most `most` bytes, from `at` on.
    fn piece(&self, at: u64, most: u64) -> &'a [u8] {
        let bytes: &'a [u8] = match *self {
            Self::Bytes(bytes) => &bytes[at as usize..],
            Self::Zeros(_) => &ZEROS,
        };
        &bytes[..most.min(bytes.len() as u64) as usize]
    }
}

impl<S: Storage> Volume<S> {
    /// Reads from `offset` on; how many bytes, less than there is room for only at the end of the file.
    ///
    /// # Errors
    ///
    /// [`Error::IsDirectory`], [`Error::Stale`], [`Error::Storage`], or [`Error::Corrupt`] where the chain ends too soon.
    pub fn read(&mut self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let index = self.file(node)?;
        let size = u64::from(self.nodes.get(index).record.size);
        let total = size.saturating_sub(offset).min(buffer.len() as u64);
        let mut done = 0;
        while done < total {
            let (sector, within, bytes) = self.extent_at(index, offset + done, total - done)?;
            let target = &mut buffer[done as usize..(done + bytes) as usize];
            self.read_bytes(sector, within, target)?;
            done += bytes;
        }
        Ok(total as usize)
    }

    /// Writes at `offset`; how many bytes, less than there are only if the volume or the largest size is reached. What lies
    /// between the end of the file and `offset` reads as zeros afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] or [`Error::TooLarge`] if not even one byte has room; [`Error::ReadOnly`],
    /// [`Error::IsDirectory`], [`Error::Stale`], [`Error::Storage`], [`Error::Corrupt`].
    pub fn write(&mut self, node: NodeId, offset: u64, data: &[u8]) -> Result<usize, Error> {
        let index = self.writable_file(node)?;
        if data.is_empty() {
            return Ok(0);
        }
        if offset >= MAX_SIZE {
            return Err(Error::TooLarge);
        }
        let data = &data[..(MAX_SIZE - offset).min(data.len() as u64) as usize];
        self.fill_gap(index, offset)?;
        let written = self.fill(index, offset, Source::Bytes(data));
        self.settle(index)?;
        Ok(written? as usize)
    }

    /// Makes a file longer, by zeros, or shorter.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] and [`Error::NoSpace`], which leave the file as it was; [`Error::ReadOnly`],
    /// [`Error::IsDirectory`], [`Error::Stale`], [`Error::Storage`], [`Error::Corrupt`].
    pub fn set_len(&mut self, node: NodeId, len: u64) -> Result<(), Error> {
        let index = self.writable_file(node)?;
        let len = u32::try_from(len).map_err(|_| Error::TooLarge)?;
        if len < self.nodes.get(index).record.size {
            self.shrink(index, len)?;
        } else {
            self.fill_gap(index, u64::from(len))?;
        }
        self.settle(index)
    }

    /// The sectors that hold a file from `offset` on, as far as they lie together: the first one, which has the byte at
    /// `offset` in it, and how many. `None` at the end of the file. Whoever reads and writes them directly does so past this
    /// crate, which remembers no contents; they are the file's until it is made shorter or is forgotten.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn extent(&mut self, node: NodeId, offset: u64) -> Result<Option<(u64, u64)>, Error> {
        let index = self.file(node)?;
        let size = u64::from(self.nodes.get(index).record.size);
        if offset >= size {
            return Ok(None);
        }
        let (sector, within, bytes) = self.extent_at(index, offset, size - offset)?;
        Ok(Some((sector, (within as u64 + bytes).div_ceil(SECTOR as u64))))
    }

    /// A node that is a file.
    fn file(&self, node: NodeId) -> Result<usize, Error> {
        let index = self.nodes.index(node)?;
        if self.nodes.get(index).record.is_directory() { Err(Error::IsDirectory) } else { Ok(index) }
    }

    /// A node that is a file, on a disk that can be written. What its attributes allow is decided when it is opened, by others.
    fn writable_file(&mut self, node: NodeId) -> Result<usize, Error> {
        let index = self.file(node)?;
        self.begin_change()?;
        Ok(index)
    }

    /// Notes that a file was changed.
    fn settle(&mut self, index: usize) -> Result<(), Error> {
        let now = (self.options.now)();
        let node = self.nodes.get_mut(index);
        node.record.modified = now;
        node.record.accessed = now;
        node.record.attributes.0 |= Attributes::ARCHIVE.0;
        node.entry = Entry::Changed;
        Ok(())
    }

    /// Where the byte at `offset` is, and how many of the next `most` follow it: sector, offset in it, bytes.
    fn extent_at(&mut self, index: usize, offset: u64, most: u64) -> Result<(u64, usize, u64), Error> {
        let cluster_bytes = u64::from(self.layout.cluster_bytes());
        let (number, within) = ((offset / cluster_bytes) as u32, offset % cluster_bytes);
        let chain = &mut self.nodes.get_mut(index).chain;
        let Place::At(cluster) = chain.seek(&mut self.disk, &self.table, &self.layout, number)? else {
            return Err(Corruption::ChainTooShort.into());
        };
        let needed = (within + most).div_ceil(cluster_bytes) as u32;
        let count = chain.run(&mut self.disk, &self.table, (number, cluster), needed)?;
        let bytes = (u64::from(count) * cluster_bytes - within).min(most);
        let sector = self.layout.sector_of(cluster) + within / SECTOR as u64;
        Ok((sector, (within % SECTOR as u64) as usize, bytes))
    }

    /// Reads bytes of sectors that lie together.
    fn read_bytes(&mut self, mut sector: u64, mut within: usize, mut buffer: &mut [u8]) -> Result<(), Error> {
        while !buffer.is_empty() {
            let done = if within == 0 && buffer.len() >= SECTOR {
                let whole = buffer.len() - buffer.len() % SECTOR;
                self.disk.read(sector, &mut buffer[..whole])?;
                whole
            } else {
                let mut bytes = [0; SECTOR];
                self.disk.read(sector, &mut bytes)?;
                let piece = buffer.len().min(SECTOR - within);
                buffer[..piece].copy_from_slice(&bytes[within..within + piece]);
                piece
            };
            sector += done.div_ceil(SECTOR) as u64;
            within = 0;
            buffer = &mut buffer[done..];
        }
        Ok(())
    }

    /// Writes zeros from the end of a file to `offset`. If there is no room, the file stays as it was.
    fn fill_gap(&mut self, index: usize, offset: u64) -> Result<(), Error> {
        let size = self.nodes.get(index).record.size;
        if offset <= u64::from(size) {
            return Ok(());
        }
        let result = match self.fill(index, u64::from(size), Source::Zeros(offset - u64::from(size))) {
            Ok(written) if written < offset - u64::from(size) => Err(Error::NoSpace),
            Ok(_) => return Ok(()),
            Err(error) => Err(error),
        };
        self.shrink(index, size)?;
        result
    }

    /// Writes `source` at `offset`, which is not beyond the end; how many bytes had room, if any.
    fn fill(&mut self, index: usize, offset: u64, source: Source<'_>) -> Result<u64, Error> {
        let cluster_bytes = u64::from(self.layout.cluster_bytes());
        let mut done = 0;
        while done < source.len() {
            let at = offset + done;
            let rest = source.len() - done;
            let number = (at / cluster_bytes) as u32;
            let chain = &mut self.nodes.get_mut(index).chain;
            match chain.seek(&mut self.disk, &self.table, &self.layout, number)? {
                Place::At(_) => {}
                Place::End { length, .. } if length < number => return Err(Corruption::ChainTooShort.into()),
                Place::End { tail, .. } => {
                    let needed = (at % cluster_bytes + rest).div_ceil(cluster_bytes) as u32;
                    match self.extend(index, tail, needed) {
                        Ok(()) => {}
                        Err(Error::NoSpace) if done > 0 => break,
                        Err(error) => return Err(error),
                    }
                }
            }
            // As far as there are clusters; the next turn of the loop adds more.
            let (sector, within, bytes) = self.extent_at(index, at, rest)?;
            self.write_bytes(index, at, (sector, within), |from, most| {
                source.piece(done + from, most.min(bytes - from))
            })?;
            done += bytes;
            let node = self.nodes.get_mut(index);
            node.record.size = node.record.size.max((offset + done) as u32);
            node.entry = Entry::Changed;
        }
        Ok(done)
    }

    /// Adds up to `count` clusters behind `tail`, the last one of a file; 0 if there is none.
    fn extend(&mut self, index: usize, tail: u32, count: u32) -> Result<(), Error> {
        let run = self.allocate(count, (tail >= FIRST_CLUSTER).then_some(tail))?;
        let node = self.nodes.get_mut(index);
        node.entry = Entry::Changed;
        if node.chain.first == 0 {
            node.chain = Chain::new(run.head);
            node.chain.pending = Pending::First;
        } else if node.chain.pending == Pending::Nothing {
            node.chain.pending = Pending::Link { tail, head: run.head };
        } else {
            // The tail is itself not published yet.
            self.table.set(&mut self.disk, tail, Link::Next(run.head))?;
        }
        Ok(())
    }

    /// Allocates clusters; those that wait to be freed are, if there are no others.
    pub(crate) fn allocate(&mut self, count: u32, after: Option<u32>) -> Result<Run, Error> {
        match self.table.allocate(&mut self.disk, count, after) {
            Err(Error::NoSpace) if !self.deferred.is_empty() => {
                self.barrier()?;
                self.table.allocate(&mut self.disk, count, after)
            }
            result => result,
        }
    }

    /// Makes a file `len` long, which is not longer than it is, and gives up all clusters behind that.
    fn shrink(&mut self, index: usize, len: u32) -> Result<(), Error> {
        let keep = len.div_ceil(self.layout.cluster_bytes());
        if keep == 0 {
            let node = self.nodes.get_mut(index);
            let (first, pending) = (node.chain.first, node.chain.pending);
            node.chain = Chain::new(0);
            node.record.size = 0;
            self.write_entry(index)?;
            return self.free_node_clusters(first, pending);
        }
        if self.nodes.get(index).whereabouts == Whereabouts::Orphan {
            self.complete_orphan(index)?;
        } else {
            self.publish(&[index])?;
        }
        let node = self.nodes.get_mut(index);
        let Place::At(tail) = node.chain.seek(&mut self.disk, &self.table, &self.layout, keep - 1)? else {
            return Err(Corruption::ChainTooShort.into());
        };
        node.record.size = len;
        node.entry = Entry::Changed;
        let Some(rest) = node.chain.next(&mut self.disk, &self.table, tail)? else { return Ok(()) };
        // The size in the entry is smaller before the chain is cut.
        self.write_entry(index)?;
        self.barrier()?;
        self.table.set(&mut self.disk, tail, Link::End)?;
        self.nodes.get_mut(index).chain.truncate(keep);
        self.defer_free(rest)
    }

    /// Lets the table say everything about the chain of a file that was removed, once it is stable that it was.
    fn complete_orphan(&mut self, index: usize) -> Result<(), Error> {
        self.barrier()?;
        if let Pending::Link { tail, head } = self.nodes.get(index).chain.pending {
            self.table.set(&mut self.disk, tail, Link::Next(head))?;
            self.nodes.get_mut(index).chain.pending = Pending::Nothing;
        }
        Ok(())
    }

    /// Writes a file's bytes at `offset` to sectors that lie together. `piece` gives those from a place on, at most so many.
    fn write_bytes<'a>(
        &mut self,
        index: usize,
        offset: u64,
        (mut sector, mut within): (u64, usize),
        piece: impl Fn(u64, u64) -> &'a [u8],
    ) -> Result<(), Error> {
        let size = u64::from(self.nodes.get(index).record.size);
        let mut done = 0;
        loop {
            let whole = if within == 0 { piece(done, u64::MAX) } else { &[] };
            let written = if whole.len() >= SECTOR {
                let whole = &whole[..whole.len() - whole.len() % SECTOR];
                self.disk.write(sector, whole)?;
                whole.len()
            } else {
                let piece = piece(done, (SECTOR - within) as u64);
                if piece.is_empty() {
                    return Ok(());
                }
                let mut bytes = [0; SECTOR];
                // Behind the end is what others left there.
                if offset + done - (within as u64) < size {
                    self.disk.read(sector, &mut bytes)?;
                }
                bytes[within..within + piece.len()].copy_from_slice(piece);
                self.disk.write(sector, &bytes)?;
                piece.len()
            };
            sector += written.div_ceil(SECTOR) as u64;
            within = 0;
            done += written as u64;
        }
    }
}
