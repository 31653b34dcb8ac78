//! A directory for sockets, counters and served files that lasts as long as the run.

use std::io::ErrorKind;
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
        // Another one of this process, or of one that was killed and had its number, may be there.
        let mut number = 0;
        loop {
            let path = directory.join(format!("toro-bench-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error).with_context(|| format!("cannot create {}", path.display())),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_one_process_are_two_and_go_when_they_are_dropped() {
        let (one, other) = (Scratch::new().expect("a directory"), Scratch::new().expect("another one"));
        assert_ne!(one.path(), other.path());
        let path = one.path().to_owned();
        assert!(path.is_dir());
        drop(one);
        assert!(!path.exists() && other.path().is_dir());
    }
}
