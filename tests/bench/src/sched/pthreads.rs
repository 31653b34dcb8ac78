//! The program for Linux: compiled when it is needed, and the only file of the guest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cpio;

/// Its source.
pub const SOURCE: &str = include_str!("../../guest/sched.c");

/// Compiles the program and makes an initial file system in `directory` that has it as its init.
///
/// # Errors
///
/// No C compiler, or no static C library.
pub fn initial_file_system(directory: &Path) -> Result<PathBuf> {
    let (source, program) = (directory.join("sched.c"), directory.join("sched"));
    std::fs::write(&source, SOURCE).with_context(|| format!("cannot write {}", source.display()))?;
    let output = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-static", "-pthread", "-o"])
        .args([&program, &source])
        .output()
        .context("cannot run cc to compile the program for Linux (Debian: apt install gcc libc6-dev)")?;
    ensure!(output.status.success(), "compiling the program for Linux:\n{}", String::from_utf8_lossy(&output.stderr));
    let contents = std::fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let archive = directory.join("sched.cpio");
    std::fs::write(&archive, cpio::of_one_program("init", &contents))
        .with_context(|| format!("cannot write {}", archive.display()))?;
    Ok(archive)
}
