//! The empty kernel: what QEMU itself takes to start, to load an image, to print a line and to end.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Its source.
const SOURCE: &str = include_str!("../../guest/empty.S");
/// How it is linked: nothing but itself, at 1 MiB, with the boot note as the only note.
const FLAGS: [&str; 6] =
    ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-Ttext-segment=0x100000", "-Wl,-e,start"];

/// Assembles it into `directory`.
///
/// # Errors
///
/// No compiler for C, or one that does not make code for x86.
pub fn build(directory: &Path) -> Result<PathBuf> {
    let source = directory.join("empty.S");
    let image = directory.join("empty");
    std::fs::write(&source, SOURCE).with_context(|| format!("cannot write {}", source.display()))?;
    let output = Command::new("cc").args(FLAGS).arg("-o").args([&image, &source]).output();
    let output = output.context("cannot run cc to assemble the empty kernel (Debian: apt install gcc libc6-dev)")?;
    ensure!(output.status.success(), "assembling the empty kernel:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Elf;
    use crate::scratch::Scratch;

    #[test]
    fn a_pvh_loader_finds_the_entry_of_the_empty_kernel_in_its_code() {
        let scratch = Scratch::new().expect("a directory for temporary files");
        let bytes = std::fs::read(build(scratch.path()).expect("it can be assembled")).expect("it has been written");
        let elf = Elf::parse(&bytes).expect("an ELF file");
        let entry = elf.pvh_entry().expect("intact notes").expect("a boot note");
        assert_eq!(elf.symbol(|name| name == "start").expect("intact symbols"), Some(entry));
        assert!((0x10_0000..0x20_0000).contains(&entry), "{entry:#x}");
    }
}
