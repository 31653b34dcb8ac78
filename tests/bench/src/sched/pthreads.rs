//! The program for Linux: compiled when it is needed, and the only file of the guest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{cpio, program};

/// Its source.
pub const SOURCE: &str = include_str!("../../guest/sched.c");

/// Compiles the program and makes an initial file system in `directory` that has it as its init.
///
/// # Errors
///
/// No C compiler, or no static C library.
pub fn initial_file_system(directory: &Path) -> Result<PathBuf> {
    let contents = program::compile("sched", SOURCE, directory)?;
    let archive = directory.join("sched.cpio");
    std::fs::write(&archive, cpio::of_one_program("init", &contents))
        .with_context(|| format!("cannot write {}", archive.display()))?;
    Ok(archive)
}
