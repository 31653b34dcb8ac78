//! The files that are read, twice: in a directory that is lent, and on a FAT file system in an image.
//!
//! ```text
//!   big0, big1, ..      for each way of reading one, so that each is read for the first time
//!   d/f00000 ..         small ones
//!   once                another small one
//!   names/f00000 ..     empty ones, for their names and attributes
//!   many/f00000 ..      small ones, only in the directory
//!   new/                for what guests write, likewise; empty at the start of each
//! ```
//!
//! All of it lies in /dev/shm, so what is measured is the way to it and never a disk of the host.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Small files, and bytes in each.
pub const SMALL_FILES: u64 = 500;
const SMALL_BYTES: usize = 4096;
/// Small files where there are many.
pub const MANY_FILES: u64 = 10_000;
/// Empty files.
pub const LISTED: u64 = 1000;
/// Large files.
const BIG_FILES: usize = 5;
/// Sectors in a cluster: 4 KiB, which is what a volume of this size gets from most programs.
const CLUSTER: &str = "8";

/// The directory and the image.
pub struct Files {
    /// What is lent.
    pub share: PathBuf,
    /// The image, if one was asked for.
    pub image: Option<PathBuf>,
}

/// Whether an image is wanted beside the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fat {
    /// It is.
    Wanted,
    /// It is not.
    NotWanted,
}

impl Files {
    /// Writes the files into `directory`; the large ones have `mib` MiB.
    ///
    /// # Errors
    ///
    /// There is no room, or no program that makes FAT file systems.
    pub fn create(directory: &Path, mib: u64, fat: Fat) -> Result<Self> {
        let share = directory.join("share");
        std::fs::create_dir_all(&share)?;
        let noise = crate::block::noise(1 << 20);
        for number in 0..BIG_FILES {
            let path = share.join(format!("big{number}"));
            let mut file = std::fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
            for _ in 0..mib {
                file.write_all(&noise).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        std::fs::write(share.join("once"), &noise[..SMALL_BYTES])?;
        fill(&share.join("d"), SMALL_FILES, &noise[..SMALL_BYTES])?;
        fill(&share.join("names"), LISTED, &[])?;
        let image = match fat {
            Fat::Wanted => Some(image(directory, &share, mib)?),
            Fat::NotWanted => None,
        };
        fill(&share.join("many"), MANY_FILES, &noise[..SMALL_BYTES])?;
        Ok(Self { share, image })
    }

    /// Removes what guests have written.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn clear(&self) -> Result<()> {
        let new = self.share.join("new");
        if new.exists() {
            std::fs::remove_dir_all(&new)?;
        }
        std::fs::create_dir(&new).with_context(|| format!("cannot create {}", new.display()))
    }
}

/// Creates a directory with so many files, all with these contents.
fn fill(directory: &Path, files: u64, contents: &[u8]) -> Result<()> {
    std::fs::create_dir(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    (0..files).try_for_each(|number| Ok(std::fs::write(directory.join(format!("f{number:05}")), contents)?))
}

/// Makes an image with what is in `share`.
fn image(directory: &Path, share: &Path, mib: u64) -> Result<PathBuf> {
    let image = directory.join("fat.img");
    let file = std::fs::File::create(&image)?;
    // A file system with fewer than 65,525 clusters would not be FAT32.
    file.set_len((mib * BIG_FILES as u64 + 512) << 20)?;
    run(Command::new("mkfs.fat").args(["-F", "32", "-s", CLUSTER]).arg(&image), "dosfstools")?;
    let mut copy = Command::new("mcopy");
    copy.env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(&image).arg("-s");
    for entry in std::fs::read_dir(share)? {
        copy.arg(entry?.path());
    }
    run(copy.arg("::/"), "mtools")?;
    Ok(image)
}

fn run(command: &mut Command, package: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?} (Debian: apt install {package})"))?;
    ensure!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
