//! Toro's images: building them, and how large they are.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::elf::{Elf, Sizes};

/// The root of the workspace that this program was built from.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

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

/// Builds examples of the package `toro` with optimisation, by cargo as `prepare` leaves it.
fn build(names: &[&'static str], prepare: impl FnOnce(&mut Command)) -> Result<Vec<Image>> {
    let examples = names.iter().flat_map(|name| ["--example", name]);
    let fixed = ["build", "--release", "--package", "toro", "--target", "x86_64-unknown-none"];
    let words: Vec<_> = fixed.into_iter().chain(examples).collect();
    eprintln!("bench: cargo {}", words.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(WORKSPACE).args(words).arg("--message-format=json-render-diagnostics");
    prepare(&mut command);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{} cannot be built", names.join(", "));
    let messages = String::from_utf8(output.stdout).context("cargo's messages")?;
    let image = |&name| {
        let path = executable(&messages, name).with_context(|| format!("cargo built no executable for {name}"))?;
        Ok(Image { name, path })
    };
    names.iter().map(image).collect()
}

/// A level of optimisation, as rustc names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// None
    #[value(name = "0")]
    Zero,
    /// What is cheap
    #[value(name = "1")]
    One,
    /// Most
    #[value(name = "2")]
    Two,
    /// All: what ships
    #[value(name = "3")]
    Three,
    /// For small code
    S,
    /// For the smallest
    Z,
}

impl Level {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::One => "1",
            Self::Two => "2",
            Self::Three => "3",
            Self::S => "s",
            Self::Z => "z",
        }
    }

    /// Builds the examples `names` with this level, from nothing, and everything else of the profile `release` as it is;
    /// the images, and how long that took.
    ///
    /// # Errors
    ///
    /// The build fails; the compiler has then said why.
    pub fn build(self, names: &[&'static str]) -> Result<(Vec<Image>, Duration)> {
        self.remove()?;
        eprintln!("bench: opt-level {}", self.name());
        let start = Instant::now();
        let images = build(names, |command| {
            command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", self.name()).arg("--target-dir").arg(self.directory());
        })?;
        Ok((images, start.elapsed()))
    }

    /// Removes what has been built.
    ///
    /// # Errors
    ///
    /// Something of it cannot be removed.
    pub fn remove(self) -> Result<()> {
        let directory = self.directory();
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", directory.display()))
            }
            _ => Ok(()),
        }
    }

    fn directory(self) -> PathBuf {
        Path::new(WORKSPACE).join("target/bench-opt").join(self.name())
    }
}

/// The path in cargo's message about the executable `name`: a line of JSON per built target, in which paths are
/// strings without anything to unescape, unless somebody builds in a directory with a quote in its name.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| Some(PathBuf::from(line.split_once("\"executable\":\"")?.1.split_once('"')?.0)))
        .find(|path| path.file_name().is_some_and(|file| file == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_is_found_among_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"executable\":\"/t/release/examples/other\",\"fresh\":true}\n\
            {\"reason\":\"compiler-artifact\",\"executable\":\"/t/release/examples/hello\",\"fresh\":true}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages, "hello"), Some(PathBuf::from("/t/release/examples/hello")));
        assert_eq!(executable(messages, "hell"), None);
    }
}
