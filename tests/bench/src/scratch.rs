//! A directory for sockets, counters and served files that lasts as long as the run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A temporary directory, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates an empty directory that no other process uses.
    ///
    /// # Errors
    ///
    /// The system's directory for temporary files cannot be written.
    pub fn new() -> Result<Self> {
        Self::inside(&std::env::temp_dir())
    }

    /// The same in memory, for files whose reading is not to wait for a disk.
    ///
    /// # Errors
    ///
    /// /dev/shm cannot be written.
    pub fn in_memory() -> Result<Self> {
        Self::inside(Path::new("/dev/shm"))
    }

    fn inside(directory: &Path) -> Result<Self> {
        let path = directory.join(format!("toro-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: nothing can be done about a file that does not want to go.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
