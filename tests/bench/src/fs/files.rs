//! The files that are read, twice: in a directory that is lent, and on a FAT file system in an image.
//!
//! ```text
//!   big0, big1, big2    for each way of reading one, so that each is read for the first time
//!   d/f00000 ..         small ones
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
/// Large files.
pub const BIG_FILES: usize = 3;
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
        std::fs::create_dir_all(share.join("d"))?;
        let noise = crate::block::noise(1 << 20);
        for number in 0..BIG_FILES {
            let path = share.join(format!("big{number}"));
            let mut file = std::fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
            for _ in 0..mib {
                file.write_all(&noise).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        for number in 0..SMALL_FILES {
            std::fs::write(share.join(format!("d/f{number:05}")), &noise[..SMALL_BYTES])?;
        }
        let image = match fat {
            Fat::Wanted => Some(image(directory, &share, mib)?),
            Fat::NotWanted => None,
        };
        Ok(Self { share, image })
    }
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
