//! FAT file systems within an image: `mkfs.fat` makes one, mtools fill it.
//!
//! Both work on a part of a file, `mkfs.fat --offset` and `IMG@@OFFSET`, so no device and no mount is needed. The file
//! systems are FAT32 in any case. Left alone, `mkfs.fat` would choose clusters by the size of the whole image, so it is told, by the
//! rule that it and others follow.

use std::fs;
use std::path::{Path, PathBuf};

use super::layout::{MIB, Range};
use super::{program, run_program, write_file};
use crate::exit::Failure;

/// How many names are given to one program.
const MOST_NAMES: usize = 256;

/// How many sectors a cluster has in a file system of at most so many MiB, and in larger ones.
const CLUSTERS: [(u64, u32); 4] = [(260, 1), (8 << 10, 8), (16 << 10, 16), (32 << 10, 32)];
const LARGEST_CLUSTER: u32 = 64;

/// Sectors of a cluster, for a file system of so many bytes.
fn cluster(bytes: u64) -> u32 {
    let found = CLUSTERS.into_iter().find(|(mib, _)| bytes <= mib * MIB);
    found.map_or(LARGEST_CLUSTER, |(_, sectors)| sectors)
}

/// A file system within an image.
pub struct Volume {
    /// As mtools name it.
    image: String,
}

impl Volume {
    /// Makes an empty file system in `range` of the file `disk`.
    ///
    /// # Errors
    ///
    /// A preparation failure where `mkfs.fat` fails.
    pub fn make(disk: &Path, range: Range, label: &str, serial: u32) -> Result<Self, Failure> {
        let (sector, kib) = (range.first_sector().to_string(), (range.bytes() / 1024).to_string());
        let mut command = program("mkfs.fat");
        command.args(["-F", "32", "--invariant", "-n", label, "-i", &format!("{serial:08x}")]);
        command.args(["-s", &cluster(range.bytes()).to_string()]);
        command.args(["-h", &sector, "--offset", &sector]).arg(disk).arg(kib);
        run_program(&mut command)?;
        Ok(Self { image: format!("{}@@{}", disk.display(), range.start) })
    }

    /// Makes directories, outer ones first.
    ///
    /// # Errors
    ///
    /// A preparation failure where `mmd` fails.
    pub fn make_directories(&self, paths: &[String]) -> Result<(), Failure> {
        paths.chunks(MOST_NAMES).try_for_each(|paths| {
            let mut command = program("mmd");
            command.args(["-i", &self.image]).args(paths.iter().map(|path| format!("::{path}")));
            run_program(&mut command).map(drop)
        })
    }

    /// Copies `files` of the host, with their times and by their own names, to the directory `to`.
    ///
    /// # Errors
    ///
    /// A preparation failure where `mcopy` fails.
    pub fn copy(&self, files: &[PathBuf], to: &str) -> Result<(), Failure> {
        files.chunks(MOST_NAMES).try_for_each(|files| {
            let mut command = program("mcopy");
            command.args(["-m", "-i", &self.image, "--"]).args(files).arg(format!("::{to}/"));
            run_program(&mut command).map(drop)
        })
    }

    /// Writes a file by way of one in the directory `workshop`.
    ///
    /// # Errors
    ///
    /// A preparation failure where `mcopy` fails.
    pub fn write(&self, path: &str, contents: &[u8], workshop: &Path) -> Result<(), Failure> {
        let file = workshop.join("contents");
        write_file(&file, contents)?;
        let mut command = program("mcopy");
        run_program(command.args(["-i", &self.image, "--"]).arg(&file).arg(format!("::{path}")))?;
        fs::remove_file(&file).map_err(|error| super::cannot_write(&file, &error))
    }
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
}
