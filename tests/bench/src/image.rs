//! Toro's images: building them as `cargo xtask build` does, and how large they are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::elf::{Elf, Sizes};

/// The root of the workspace that this program was built from.
pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Symbol of the function that is the application's `main`, as the kernel calls it (`toro::entry!`).
const MAIN: &str = "toro_application_main";

/// An application, built.
#[derive(Clone, Debug)]
pub struct Image {
    /// Name of the application.
    pub name: &'static str,
    /// The ELF file.
    pub path: PathBuf,
}

/// How large an image is, in bytes.
pub struct ImageSize {
    /// The file as built, with symbols and debug information.
    pub file: u64,
    /// The file without them.
    pub stripped: u64,
    /// What is loaded.
    pub sections: Sizes,
}

/// Addresses that the counters watch.
pub struct Milestones {
    /// First instruction of the image.
    pub entry: u64,
    /// First instruction of the application's `main`.
    pub main: u64,
}

impl Image {
    /// Builds the application `name` of this workspace with optimisation, with what it uses and no more.
    ///
    /// # Errors
    ///
    /// The build fails; the compiler has then said why.
    pub fn build(name: &'static str) -> Result<Self> {
        let words = ["xtask", "build", name];
        eprintln!("bench: cargo {}", words.join(" "));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo).current_dir(WORKSPACE).args(words).stderr(Stdio::inherit()).output();
        let output = output.context("cannot run cargo")?;
        ensure!(output.status.success(), "{name} cannot be built");
        let printed = String::from_utf8(output.stdout).context("the path of an image")?;
        let path = printed.lines().next().with_context(|| format!("no executable was built for {name}"))?;
        Ok(Self { name, path: PathBuf::from(path) })
    }

    /// Measures the image; `directory` is for the stripped copy.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or `strip` cannot be run.
    pub fn size(&self, directory: &Path) -> Result<ImageSize> {
        let bytes = self.read()?;
        let stripped = directory.join("stripped");
        let status = Command::new("strip").arg("-o").args([&stripped, &self.path]).status();
        let status = status.context("cannot run strip (Debian: apt install binutils)")?;
        ensure!(status.success(), "strip failed on {}", self.path.display());
        let sections = Elf::parse(&bytes)?.sizes();
        Ok(ImageSize { file: bytes.len() as u64, stripped: std::fs::metadata(stripped)?.len(), sections })
    }

    /// Where its milestones are.
    ///
    /// # Errors
    ///
    /// The image has no PVH entry or no `main`.
    pub fn milestones(&self) -> Result<Milestones> {
        let bytes = self.read()?;
        let elf = Elf::parse(&bytes)?;
        let entry = elf.pvh_entry()?.with_context(|| format!("{} has no PVH entry", self.name))?;
        let main = elf
            .symbol(|symbol| symbol == MAIN)?
            .with_context(|| format!("{} has no symbol {MAIN}; was it inlined?", self.name))?;
        Ok(Milestones { entry, main })
    }

    fn read(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))
    }
}
