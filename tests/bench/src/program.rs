//! Programs for the Linux guest: compiled when they are needed, and without libraries to bring along.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Compiles the C program `source` in `directory` under `name`, and gives the executable.
///
/// # Errors
///
/// No C compiler, or no static C library.
pub fn compile(name: &str, source: &str, directory: &Path) -> Result<Vec<u8>> {
    let (path, program) = (directory.join(format!("{name}.c")), directory.join(name));
    std::fs::write(&path, source).with_context(|| format!("cannot write {}", path.display()))?;
    let output = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-static", "-pthread", "-o"])
        .args([&program, &path])
        .output()
        .context("cannot run cc to compile the program for Linux (Debian: apt install gcc libc6-dev)")?;
    ensure!(output.status.success(), "compiling the program for Linux:\n{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&program).with_context(|| format!("cannot read {}", program.display()))
}
