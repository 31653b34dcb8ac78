//! What the network costs, beside Linux: four guests that serve the same, over tap devices of a namespace.
//!
//! ```text
//!                   virtio-net                 e1000
//!   Toro     static-web-server          static-web-server          files preloaded into memory
//!   Linux    nginx                      nginx                      files from its initial file system, by sendfile
//! ```
//!
//! [`requests`] counts guest instructions and accesses to registers per HTTP request. All four guests are up at the same
//! time, each under a counting plugin of its own, and are asked in turn, case by case and run by run: while one is asked,
//! the others sleep, and a sleeping guest executes nothing. [`throughput`] is a bulk stream in each direction, iperf3 on
//! both ends. [`crowd`] asks on one connection while ever more others are open and silent.
//!
//! What is counted is all that the processor executes: interrupts, idle loop, and copies, which count by their
//! instructions (and `rep movs` once per iteration, because QEMU executes it as a loop). On Linux sendfile copies nothing;
//! what the card does is nobody's instruction.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::counters::Plugin;
use crate::machine::{Accel, Card, Machine};
use crate::network;
use crate::options;
use crate::scratch::Scratch;

mod contestant;
mod crowd;
mod iperf;
mod overlay;
mod requests;
mod site;
mod throughput;

use contestant::Who;

/// Parts of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Guest instructions and accesses to registers per HTTP request
    Requests,
    /// Bulk streams, with iperf3
    Throughput,
    /// The cost of a request while many other connections are open
    Connections,
}

/// Options of `bench net`.
#[derive(Args, Debug)]
pub struct Options {
    /// Network cards
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CARDS", default_value = "virtio,e1000")]
    cards: Vec<Card>,
    /// Measure only these systems
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SYSTEMS", default_value = "toro,linux")]
    systems: Vec<Who>,
    /// Measure only these parts
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "PARTS",
        default_value = "requests,throughput,connections"
    )]
    only: Vec<Part>,
    /// Sizes of answers
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SIZES", default_value = "64,4k,64k,1m")]
    sizes: Vec<site::Size>,
    /// Runs of each measurement, in turn; medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Numbers of open connections
    #[arg(long, value_delimiter = ',', value_name = "N,N", default_value = "1,64,1024,10000")]
    connections: Vec<usize>,
    /// Seconds of each stream whose speed is taken
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Accelerator for speeds; instructions are always counted under tcg
    #[arg(long, value_enum, default_value = "tcg")]
    accel: Accel,
    /// Machine type of QEMU: one with PCI
    #[arg(long, value_enum, default_value = "q35")]
    machine: Machine,
    /// Memory of each guest in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    memory: u32,
    /// Memory of each guest in MiB while many connections are open
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    crowd_memory: u32,
    /// Work directory of a Linux guest to compare with (see tests/bench/README.md)
    #[arg(long, value_name = "DIR")]
    linux_baseline: Option<PathBuf>,
    /// More words for Toro's command line
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    append: String,
    /// Print the QEMU command lines
    #[arg(long)]
    verbose: bool,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
///
/// A tool is missing, a guest does not serve what it has, or a measurement fails.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.machine != Machine::Microvm, "--machine: one with PCI, for the e1000");
    ensure!(options.connections.iter().all(|count| (1..=20_000).contains(count)), "--connections: 1 to 20000 each");
    let mut contestants = contestant::all(options)?;
    // After the builds, which may want to fetch something: there is no way out of the namespace.
    network::enter_namespace()?;
    let scratch = Scratch::new()?;
    for (contestant, index) in contestants.iter_mut().zip(0..) {
        contestant.connect(index)?;
    }
    let plugin = Plugin::build(scratch.path())?;
    println!("{}", options::heading());
    for part in &options.only {
        match part {
            Part::Requests => requests::run(options, &contestants, &plugin, scratch.path())?,
            Part::Throughput => throughput::run(options, &contestants, &plugin, scratch.path())?,
            Part::Connections => crowd::run(options, &contestants, &plugin, scratch.path())?,
        }
    }
    Ok(())
}

/// What a table is about.
fn circumstances(options: &Options, memory: u32) -> String {
    format!("over tap, {} -machine {} -cpu max -m {memory}", crate::machine::QEMU, options.machine.name())
}
