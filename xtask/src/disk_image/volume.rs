//! FAT file systems within an image: `mkfs.fat` makes one, `toro-fat` fills it.
//!
//! ```text
//!   file:  | ...          | start                             end |  ... |
//!                         +-- Part: sectors 0, 1, 2 .. of a disk --+
//!                         |   mkfs.fat --offset, then Volume      |
//! ```
//!
//! Neither needs a device or a mount. `mkfs.fat` is what everybody's FAT file systems are made by; the files are written by the
//! crate that reads them in the guest, which keeps names as they are, and takes the times that it is told.
//!
//! The file systems are FAT32 in any case. Left alone, `mkfs.fat` would choose clusters by the size of the whole image, so it is
//! told, by the rule that it and others follow.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use toro_fat::{Error, NodeId, Options, SECTOR, Storage, StorageError, Timestamp};

use super::layout::{MIB, Range};
use super::{EPOCH, cannot_read, cannot_write, program, run_program};
use crate::exit::Failure;

/// How many sectors a cluster has in a file system of at most so many MiB, and in larger ones.
const CLUSTERS: [(u64, u32); 4] = [(260, 1), (8 << 10, 8), (16 << 10, 16), (32 << 10, 32)];
const LARGEST_CLUSTER: u32 = 64;
/// How many sectors of tables and directories are kept in memory.
const CACHED_SECTORS: usize = 4096;
/// How much of a file is read at once.
const PIECE: usize = 1 << 20;

/// Sectors of a cluster, for a file system of so many bytes.
fn cluster(bytes: u64) -> u32 {
    let found = CLUSTERS.into_iter().find(|(mib, _)| bytes <= mib * MIB);
    found.map_or(LARGEST_CLUSTER, |(_, sectors)| sectors)
}

/// A part of a file, as a disk.
struct Part {
    file: File,
    range: Range,
}

impl Part {
    /// Where in the file `length` bytes from `sector` on are.
    fn place(&self, sector: u64, length: usize) -> Result<u64, StorageError> {
        let from = sector.checked_mul(SECTOR as u64).ok_or(StorageError::OutOfRange)?;
        let end = from.checked_add(length as u64).ok_or(StorageError::OutOfRange)?;
        if end <= self.range.bytes() { Ok(self.range.start + from) } else { Err(StorageError::OutOfRange) }
    }
}

impl Storage for Part {
    fn sectors(&self) -> u64 {
        self.range.bytes() / SECTOR as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let at = self.place(sector, buffer.len())?;
        self.file.read_exact_at(buffer, at).map_err(|_| StorageError::Failed)
    }

    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        let at = self.place(sector, data.len())?;
        self.file.write_all_at(data, at).map_err(|_| StorageError::Failed)
    }

    fn flush(&self) -> Result<(), StorageError> {
        // Nobody looks at the image before it is complete.
        Ok(())
    }
}

/// A file system within an image.
pub struct Volume {
    volume: toro_fat::Volume<Part>,
}

impl Volume {
    /// Makes an empty file system in `range` of the file `disk`.
    ///
    /// # Errors
    ///
    /// A preparation failure where that fails.
    pub fn make(disk: &Path, range: Range, label: &str, serial: u32) -> Result<Self, Failure> {
        let (sector, kib) = (range.first_sector().to_string(), (range.bytes() / 1024).to_string());
        let mut command = program("mkfs.fat");
        command.args(["-F", "32", "--invariant", "-n", label, "-i", &format!("{serial:08x}")]);
        command.args(["-s", &cluster(range.bytes()).to_string(), "-h", &sector, "--offset", &sector]);
        run_program(command.arg(disk).arg(kib))?;
        let file = OpenOptions::new().read(true).write(true).open(disk).map_err(|error| cannot_write(disk, &error))?;
        let now = || Timestamp { seconds: EPOCH, nanoseconds: 0 };
        let options = Options { cached_sectors: CACHED_SECTORS, ..Options::new(now) };
        let volume = toro_fat::Volume::mount(Part { file, range }, options).map_err(|error| trouble(label, error))?;
        Ok(Self { volume })
    }

    /// The outermost directory.
    pub fn root(&self) -> NodeId {
        self.volume.root()
    }

    /// Makes a directory.
    ///
    /// # Errors
    ///
    /// A preparation failure that names it.
    pub fn make_directory(&mut self, parent: NodeId, name: &str) -> Result<NodeId, Failure> {
        self.volume.create_directory(parent, name.as_bytes()).map_err(|error| trouble(name, error))
    }

    /// Copies a file of the host, with the time of its last change.
    ///
    /// # Errors
    ///
    /// A preparation failure that names it.
    pub fn copy_with_time(&mut self, from: &Path, parent: NodeId, name: &str) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| cannot_read(from, &error);
        let file = File::open(from).map_err(cannot)?;
        let changed = timestamp(file.metadata().and_then(|metadata| metadata.modified()).map_err(cannot)?);
        let node = self.copy_contents(&file, parent, name)?;
        let done = self.volume.set_times(node, Some(changed), Some(changed));
        done.and_then(|()| self.volume.forget(node)).map_err(|error| trouble(name, error))
    }

    /// Copies what is in a file of the host from where it is at.
    ///
    /// # Errors
    ///
    /// A preparation failure that names it.
    pub fn copy(&mut self, from: &File, parent: NodeId, name: &str) -> Result<(), Failure> {
        let node = self.copy_contents(from, parent, name)?;
        self.volume.forget(node).map_err(|error| trouble(name, error))
    }

    fn copy_contents(&mut self, mut from: &File, parent: NodeId, name: &str) -> Result<NodeId, Failure> {
        let node = self.volume.create(parent, name.as_bytes()).map_err(|error| trouble(name, error))?;
        let (mut piece, mut offset) = (vec![0; PIECE], 0);
        loop {
            let length = from.read(&mut piece).map_err(|error| cannot_read(Path::new(name), &error))?;
            if length == 0 {
                return Ok(node);
            }
            self.append(node, offset, &piece[..length]).map_err(|error| trouble(name, error))?;
            offset += length as u64;
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    ///
    /// A preparation failure that names it.
    pub fn write(&mut self, parent: NodeId, name: &str, contents: &[u8]) -> Result<(), Failure> {
        let written = self.volume.create(parent, name.as_bytes()).and_then(|node| {
            self.append(node, 0, contents)?;
            self.volume.forget(node)
        });
        written.map_err(|error| trouble(name, error))
    }

    /// Writes all of `data`, or says that it has no room.
    fn append(&mut self, node: NodeId, mut offset: u64, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            match self.volume.write(node, offset, data)? {
                0 => return Err(Error::NoSpace),
                count => {
                    offset += count as u64;
                    data = &data[count..];
                }
            }
        }
        Ok(())
    }

    /// Writes what is still in memory, and leaves the file system in order.
    ///
    /// # Errors
    ///
    /// A preparation failure.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.volume.unmount().map_err(|error| trouble("a file system", error))
    }
}

/// A time as FAT has it; what was before 1980 is that.
fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs().max(EPOCH), nanoseconds: since.subsec_nanos() }
}

fn trouble(what: &str, error: Error) -> Failure {
    Failure::preparation(format!("cannot write {what} into the image: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_enough_clusters_for_fat32_and_not_too_many() {
        let sizes = [36, 259, 260, 261, 8 << 10, (8 << 10) + 1, 16 << 10, 32 << 10, 2 << 20];
        for bytes in sizes.map(|mib: u64| mib * MIB) {
            let clusters = bytes / 512 / u64::from(cluster(bytes));
            // Tables take two entries of four bytes for each, and there are reserved sectors.
            assert!(clusters - clusters / 64 - 32 >= 65_525 && clusters < 1 << 28, "{bytes}: {clusters}");
        }
    }

    #[test]
    fn a_part_reaches_nothing_beside_it() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 4 * SECTOR], 0).unwrap();
        let part = Part { file, range: Range { start: SECTOR as u64, end: 3 * SECTOR as u64 } };
        assert_eq!(part.sectors(), 2);
        part.write(0, &[1; 2 * SECTOR]).unwrap();
        for (sector, length) in [(2, SECTOR), (1, 2 * SECTOR), (u64::MAX, SECTOR), (u64::MAX / 512, SECTOR)] {
            assert_eq!(part.write(sector, &vec![2; length]), Err(StorageError::OutOfRange));
            assert_eq!(part.read(sector, &mut vec![2; length]), Err(StorageError::OutOfRange));
        }
        let mut all = [0; 4 * SECTOR];
        part.file.read_exact_at(&mut all, 0).unwrap();
        let pieces: Vec<u8> = all.chunks(SECTOR).map(|piece| piece[0]).collect();
        assert_eq!(pieces, [7, 1, 1, 7]);
    }

    #[test]
    fn times_before_those_of_fat_are_its_first() {
        assert_eq!(timestamp(UNIX_EPOCH).seconds, EPOCH);
        assert_eq!(timestamp(UNIX_EPOCH - std::time::Duration::from_secs(9)).seconds, EPOCH);
    }
}
