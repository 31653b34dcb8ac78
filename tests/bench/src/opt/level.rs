//! Images of another level of optimisation than the one that ships, built by cargo in a directory for each level.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::image::{Image, WORKSPACE};

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
