//! What is served: one file of each size, named after it, the same on both systems.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

/// A size of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// 64 bytes
    #[value(name = "64")]
    Line,
    /// 4 KiB
    #[value(name = "4k")]
    Page,
    /// 64 KiB
    #[value(name = "64k")]
    Picture,
    /// 1 MiB
    #[value(name = "1m")]
    Archive,
}

impl Size {
    /// How many bytes that is.
    pub fn bytes(self) -> usize {
        match self {
            Self::Line => 64,
            Self::Page => 4 << 10,
            Self::Picture => 64 << 10,
            Self::Archive => 1 << 20,
        }
    }

    /// How it is called in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Line => "64 B",
            Self::Page => "4 KiB",
            Self::Picture => "64 KiB",
            Self::Archive => "1 MiB",
        }
    }

    /// Where it is served.
    pub fn path(self) -> &'static str {
        match self {
            Self::Line => "/64",
            Self::Page => "/4k",
            Self::Picture => "/64k",
            Self::Archive => "/1m",
        }
    }

    /// How many requests make a figure: enough for a timer's tick not to matter.
    pub fn requests(self) -> usize {
        match self {
            Self::Line | Self::Page => 400,
            Self::Picture => 100,
            Self::Archive => 20,
        }
    }
}

/// A directory below `scratch` with a file of each size.
pub fn create(scratch: &Path) -> Result<PathBuf> {
    let share = scratch.join("site");
    // The parts of a run share it.
    std::fs::create_dir_all(&share).with_context(|| format!("cannot create {}", share.display()))?;
    for &size in Size::value_variants() {
        let path = share.join(size.path().trim_start_matches('/'));
        let body: Vec<u8> = (0..size.bytes()).map(|index| (index * 7 + index / 256) as u8).collect();
        std::fs::write(&path, body).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(share)
}
