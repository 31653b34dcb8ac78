//! Command line options that both benchmarks share.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::machine::{Accel, Machine};
use crate::share::Cache;

/// How the guests are run.
#[derive(Args, Clone, Debug)]
pub struct GuestOptions {
    /// Machine type of QEMU
    #[arg(long, value_enum, default_value = "microvm")]
    pub machine: Machine,
    /// Accelerator; instructions are always counted under tcg
    #[arg(long, value_enum, default_value = "tcg")]
    pub accel: Accel,
    /// Memory of each guest in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub memory: u32,
    /// What virtiofsd lets the guest cache
    #[arg(long, value_enum, default_value = "auto")]
    pub cache: Cache,
    /// Work directory of a Linux guest to compare with (see tests/bench/README.md)
    #[arg(long, value_name = "DIR")]
    pub linux_baseline: Option<PathBuf>,
    /// More words for Toro's command line
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    pub append: String,
    /// Print the QEMU command lines
    #[arg(long)]
    pub verbose: bool,
}

/// Starts this program again, optimised, unless it is: figures of an unoptimised one mean nothing.
///
/// # Errors
///
/// Cargo does not start.
pub fn rerun_optimised() -> Result<()> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let arguments = std::env::args_os().skip(1);
    Err(Command::new("cargo").args(["run", "--release", "-p", "bench", "--"]).args(arguments).exec().into())
}

/// The line above the tables: the command that produced them, and on what.
pub fn heading() -> String {
    let command: Vec<_> = std::env::args().skip(1).collect();
    let version = Command::new(crate::machine::QEMU).arg("--version").output();
    let version =
        version.map(|output| String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned());
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = processor.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let (count, model) = (models.clone().count(), models.map(|(_, model)| model.trim()).next().unwrap_or("unknown"));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "$ cargo run -p bench -- {}\n{}; {count} x {model}; load {}\n",
        command.join(" "),
        version.unwrap_or_default(),
        load.split_whitespace().next().unwrap_or("unknown")
    )
}
