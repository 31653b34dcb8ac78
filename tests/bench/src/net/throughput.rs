//! Bulk streams in both directions: how fast, at what cost to the host, and at how many guest instructions per MiB.

use std::path::Path;

use anyhow::{Context, Result};

use super::contestant::{Contestant, Service};
use super::iperf::{self, Direction, Length};
use super::{Options, circumstances};
use crate::counters::Plugin;
use crate::stats::{Samples, grouped};
use crate::table::Table;

/// MiB of a stream whose instructions are counted.
const COUNTED: u32 = 64;
const MEBIBYTE: f64 = (1 << 20) as f64;

/// Figures of one direction and one contestant.
#[derive(Clone, Default)]
struct Cell {
    megabits: Samples,
    /// Processor time of QEMU per MiB, in microseconds.
    cpu: Samples,
    instructions: Samples,
    accesses: Samples,
}

/// Measures and prints the table.
pub fn run(options: &Options, contestants: &[Contestant], plugin: &Plugin, scratch: &Path) -> Result<()> {
    iperf::check()?;
    let mut cells = vec![vec![Cell::default(); contestants.len()]; Direction::ALL.len()];
    speeds(options, contestants, scratch, &mut cells)?;
    counts(options, contestants, plugin, scratch, &mut cells)?;
    let title = format!(
        "a TCP stream of iperf3, {}, {} runs of {} s each in turn; instructions of {COUNTED} MiB",
        circumstances(options, options.memory),
        options.repeat,
        options.seconds
    );
    let heads = ["stream", "guest", "Mbit/s", "CPU us/MiB", "instructions/MiB", "card's registers/MiB"];
    let mut table = Table::new(title, heads);
    for (direction, row) in Direction::ALL.iter().zip(&cells) {
        for (contestant, cell) in contestants.iter().zip(row) {
            table.row([
                direction.title().to_owned(),
                contestant.name().to_owned(),
                cell.megabits.show(grouped),
                cell.cpu.show(grouped),
                cell.instructions.show(grouped),
                format!("{:.1}", cell.accesses.median()),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

/// All guests are up, and stream in turn.
fn speeds(options: &Options, contestants: &[Contestant], scratch: &Path, cells: &mut [Vec<Cell>]) -> Result<()> {
    let mut servers = Vec::new();
    for contestant in contestants {
        eprintln!("bench: starting {}", contestant.name());
        servers.push(contestant.serve(Service::Stream, options, options.memory, None, scratch)?);
    }
    for run in 1..=options.repeat {
        eprintln!("bench: streams, run {run} of {}", options.repeat);
        for (direction, row) in Direction::ALL.into_iter().zip(&mut *cells) {
            for ((contestant, server), cell) in contestants.iter().zip(&servers).zip(row) {
                let before = server.guest.cpu_time()?;
                let report = iperf::run(server.link.guest(), direction, Length::Seconds(options.seconds))
                    .with_context(|| format!("{}, {}", contestant.name(), direction.title()))?;
                let cpu = server.guest.cpu_time()?.saturating_sub(before);
                cell.megabits.push(report.bits_per_second / 1e6);
                cell.cpu.push(cpu.as_secs_f64() * 1e6 / (report.bytes / MEBIBYTE));
            }
        }
    }
    Ok(())
}

/// The same once more under the counting plugin, for a length that is known.
fn counts(
    options: &Options,
    contestants: &[Contestant],
    plugin: &Plugin,
    scratch: &Path,
    cells: &mut [Vec<Cell>],
) -> Result<()> {
    for (column, contestant) in contestants.iter().enumerate() {
        eprintln!("bench: counting instructions of {}", contestant.name());
        let counters = plugin.of_device(contestant.name(), contestant.card().registers())?;
        let server = contestant.serve(Service::Stream, options, options.memory, Some(&counters), scratch)?;
        for _ in 0..options.repeat {
            for (direction, row) in Direction::ALL.into_iter().zip(&mut *cells) {
                let before = counters.read_at_rest()?;
                let report = iperf::run(server.link.guest(), direction, Length::Mebibytes(COUNTED))
                    .with_context(|| format!("{}, {}", contestant.name(), direction.title()))?;
                let after = counters.read_at_rest()?;
                let mebibytes = report.bytes / MEBIBYTE;
                row[column].instructions.push((after.instructions - before.instructions) as f64 / mebibytes);
                row[column].accesses.push((after.device - before.device) as f64 / mebibytes);
            }
        }
    }
    Ok(())
}
