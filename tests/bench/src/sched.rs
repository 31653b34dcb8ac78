//! What threads, messages between cores, memory and timers cost, beside pthreads on Linux in the same machine.
//!
//! Two programs do the same operations, each many times: `kernel/examples/sched-bench.rs` on Toro, and
//! `guest/sched.c`, the only program of a Linux guest ([`pthreads`]). Both guests have two vCPUs, the same memory and the
//! same processor, and are booted in turn, twice per repetition: under the counting plugin for instructions, and
//! without it for times, which are the guest's own. What they report is in [`result`].
//!
//! # What is counted
//!
//! Everything that a vCPU executes between the markers, interrupts and the idle loop included, for each vCPU that has a
//! share in the work ([`part::Part::vcpus`]). A halted vCPU executes nothing. So where cores sleep while they wait, the
//! counts are the cost of the operation; where they poll, they are how long they waited.
//!
//! # Repeating exactly
//!
//! The vCPUs are threads of the host, and which of two cores is first to look is for the host's scheduler to say, so
//! counts of two cores that wait for each other vary. With `--icount` the vCPUs take turns in one thread and time is
//! executed instructions: then a guest does the same each time, and times are the instructions on the way from one event
//! to another. Linux does not start a second processor there, under QEMU 7.2 at least, and has the parts for one only.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::counters::{Counters, Plugin};
use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::linux::Linux;
use crate::machine::{ANY_CPU, Accel, Card, Pace, Setup, System};
use crate::options::{self, GuestOptions};
use crate::scratch::Scratch;
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;
use crate::toro;

mod part;
mod pthreads;
mod result;

use part::Part;
use result::Line;

/// The program on Toro.
const EXAMPLE: &str = "sched-bench";
/// Cores that the parts need.
const VCPUS: u32 = 2;
/// How long a guest may take for all parts.
const LIMIT: Duration = Duration::from_secs(180);
/// The same under the counting plugin, which slows guests down several times.
const COUNTED_LIMIT: Duration = Duration::from_secs(900);

/// Figures to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// Guest instructions per operation
    Instructions,
    /// Time per operation, and latencies
    Times,
}

/// Options of `bench sched`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    guest: GuestOptions,
    /// Boots of each guest per figure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Take only these figures
    #[arg(long, value_enum, value_delimiter = ',', default_value = "instructions,times")]
    only: Vec<Figure>,
    /// Measure only these operations
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    parts: Vec<Part>,
    /// Processor of the guests, in QEMU's syntax
    #[arg(long, value_name = "MODEL", default_value = ANY_CPU)]
    cpu: String,
    /// Let a nanosecond be an executed instruction and the vCPUs take turns, so that counts repeat
    #[arg(long)]
    icount: bool,
}

/// A guest, and what has been measured in it.
struct Contestant {
    name: &'static str,
    system: System,
    vcpus: u32,
    /// For each part that is measured, in the same order.
    results: Vec<Measured>,
}

/// What has been measured of a part.
#[derive(Clone, Default)]
struct Measured {
    /// Instructions per operation, of each of the two vCPUs.
    instructions: [Samples; VCPUS as usize],
    /// Nanoseconds per operation.
    nanoseconds: Samples,
    /// Median, 99th percentile and maximum of a latency.
    spread: [Samples; 3],
}

struct Bench<'a> {
    options: &'a Options,
    parts: Vec<Part>,
    contestants: Vec<Contestant>,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
///
/// A tool is missing, or a guest does not do its parts.
pub fn run(options: &Options) -> Result<()> {
    ensure!(!options.icount || options.guest.accel == Accel::Tcg, "--icount needs --accel tcg");
    let linux = options.guest.linux_baseline.as_deref().map(Linux::open_kernel).transpose()?;
    let image = Image::build(EXAMPLE)?;
    let scratch = Scratch::new()?;
    let mut bench = Bench::new(options);
    let words = bench.words();
    let append = format!("{words} {}", options.guest.append);
    bench.enter("toro", toro::system(&image.path, options.guest.machine, None, append.trim()), VCPUS);
    if let Some(linux) = &linux {
        let archive = pthreads::initial_file_system(scratch.path())?;
        let vcpus = if options.icount { 1 } else { VCPUS };
        bench.enter("linux", linux.with_initial(archive, bench.pace(), &words), vcpus);
    }
    let plugin = options.only.contains(&Figure::Instructions).then(|| Plugin::build(scratch.path())).transpose()?;
    for run in 1..=options.repeat {
        for index in 0..bench.contestants.len() {
            eprintln!("bench: {}, run {run} of {}", bench.contestants[index].name, options.repeat);
            if let Some(plugin) = &plugin {
                bench.count(index, &plugin.marks(bench.contestants[index].name)?)?;
            }
            if options.only.contains(&Figure::Times) {
                bench.time(index)?;
            }
        }
    }
    println!("{}", options::heading());
    for figure in &options.only {
        match figure {
            Figure::Instructions => println!("{}", bench.instructions()),
            Figure::Times => {
                if !bench.parts.iter().all(|part| part.is_latency()) {
                    println!("{}", bench.times());
                }
                if bench.parts.iter().any(|part| part.is_latency()) {
                    println!("{}", bench.latencies());
                }
            }
        }
    }
    Ok(())
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Self {
        let all = Part::value_variants().iter().copied();
        let parts = all.filter(|part| options.parts.is_empty() || options.parts.contains(part)).collect();
        Self { options, parts, contestants: Vec::new() }
    }

    fn enter(&mut self, name: &'static str, system: System, vcpus: u32) {
        let results = vec![Measured::default(); self.parts.len()];
        self.contestants.push(Contestant { name, system, vcpus, results });
    }

    /// The word that tells guests what to measure.
    fn words(&self) -> String {
        let names: Vec<_> = self.parts.iter().map(|part| part.name()).collect();
        format!("parts={}", names.join(","))
    }

    fn pace(&self) -> Pace {
        if self.options.icount { Pace::Instructions } else { Pace::Host }
    }

    /// Boots a guest and waits until it has done all parts.
    fn boot(&self, who: &Contestant, counters: Option<&Counters>) -> Result<Vec<Line>> {
        let guest_options = &self.options.guest;
        let setup = Setup {
            machine: guest_options.machine,
            accel: if counters.is_some() { Accel::Tcg } else { guest_options.accel },
            cpu: &self.options.cpu,
            vcpus: who.vcpus,
            pace: self.pace(),
            memory: guest_options.memory,
            links: &[],
            card: Card::Virtio,
            share: None,
            disk: None,
            counters,
        };
        let echo = if guest_options.verbose { Echo::Printed } else { Echo::Silent };
        let mut guest = Guest::start(who.name, &who.system, &setup, echo)?;
        guest.wait_line(result::END, if counters.is_some() { COUNTED_LIMIT } else { LIMIT })?;
        Line::parse_all(guest.console()).with_context(|| who.name)
    }

    /// Adds instructions of one boot.
    fn count(&mut self, index: usize, counters: &Counters) -> Result<()> {
        let lines = self.boot(&self.contestants[index], Some(counters))?;
        let counts = result::between(&counters.read_marks()?)?;
        ensure!(
            lines.len() == counts.len(),
            "{}: {} results but {} pairs of markers",
            self.contestants[index].name,
            lines.len(),
            counts.len()
        );
        for (line, counts) in lines.iter().zip(&counts) {
            let measured = self.measured(index, line)?;
            for (samples, count) in measured.instructions.iter_mut().zip(counts) {
                samples.push(*count as f64 / line.operations);
            }
        }
        Ok(())
    }

    /// Adds times of one boot.
    fn time(&mut self, index: usize) -> Result<()> {
        for line in self.boot(&self.contestants[index], None)? {
            let measured = self.measured(index, &line)?;
            measured.nanoseconds.push(line.nanoseconds / line.operations);
            for (samples, value) in measured.spread.iter_mut().zip(line.spread.unwrap_or([f64::NAN; 3])) {
                samples.push(value);
            }
        }
        Ok(())
    }

    /// Where the result of a line belongs.
    fn measured(&mut self, index: usize, line: &Line) -> Result<&mut Measured> {
        let Contestant { name, results, .. } = &mut self.contestants[index];
        let place = self.parts.iter().position(|part| part.name() == line.part);
        let place = place.with_context(|| format!("{name}: \"{}\" was not asked for", line.part))?;
        Ok(&mut results[place])
    }

    fn instructions(&self) -> Table {
        let title = format!("guest instructions per operation, {}", self.circumstances());
        let mut table = Table::new(title, self.heads(["operation", "vCPU"]));
        for (place, part) in self.parts.iter().enumerate() {
            for vcpu in part.vcpus() {
                let cells = self.compared(place, |measured| &measured.instructions[*vcpu]);
                table.row([part.title().to_owned(), vcpu.to_string()].into_iter().chain(cells));
            }
        }
        table
    }

    fn times(&self) -> Table {
        let title = format!("nanoseconds per operation, {}", self.circumstances());
        let mut table = Table::new(title, self.heads(["operation"]));
        for (place, part) in self.parts.iter().enumerate().filter(|(_, part)| !part.is_latency()) {
            let cells = self.compared(place, |measured| &measured.nanoseconds);
            table.row([part.title().to_owned()].into_iter().chain(cells));
        }
        table
    }

    fn latencies(&self) -> Table {
        let title = format!("nanoseconds too late, {}", self.circumstances());
        let mut table = Table::new(title, self.heads(["operation", "of all"]));
        for (place, part) in self.parts.iter().enumerate().filter(|(_, part)| part.is_latency()) {
            for (index, of_all) in ["median", "99 %", "greatest"].into_iter().enumerate() {
                let cells = self.compared(place, |measured| &measured.spread[index]);
                table.row([part.title().to_owned(), of_all.to_owned()].into_iter().chain(cells));
            }
        }
        table
    }

    fn heads<const N: usize>(&self, first: [&'static str; N]) -> Vec<&'static str> {
        let comparison = (self.contestants.len() > 1).then_some("toro / linux");
        first.into_iter().chain(self.contestants.iter().map(|who| who.name)).chain(comparison).collect()
    }

    /// The cells of a row: a figure of each guest, and the ratio where there are two.
    fn compared(&self, place: usize, figure: impl Fn(&Measured) -> &Samples) -> Vec<String> {
        let samples: Vec<_> = self.contestants.iter().map(|who| figure(&who.results[place])).collect();
        let shown = samples.iter().map(|samples| match samples.median() {
            median if median.is_nan() => "-".to_owned(),
            _ => samples.show(to_three_digits),
        });
        let compared = match samples[..] {
            [toro, linux] => Some(ratio(toro.median(), linux.median())),
            _ => None,
        };
        shown.chain(compared).collect()
    }

    fn circumstances(&self) -> String {
        let GuestOptions { machine, memory, accel, .. } = &self.options.guest;
        let pace = match self.pace() {
            Pace::Host => "",
            Pace::Instructions => " (linux: 1), a nanosecond is an instruction",
        };
        let accel = if *accel == Accel::Kvm { "kvm" } else { "tcg" };
        let Options { repeat, cpu, .. } = self.options;
        let boots = if *repeat == 1 { "one boot each".to_owned() } else { format!("{repeat} boots each in turn") };
        format!("{boots}, -machine {} -cpu {cpu} -m {memory} -accel {accel} -smp {VCPUS}{pace}", machine.name())
    }
}

/// A figure with three digits at least.
fn to_three_digits(value: f64) -> String {
    if value < 99.95 { format!("{value:.1}") } else { grouped(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_figures_keep_a_decimal() {
        let shown: Vec<_> = [0.04, 21.26, 99.94, 99.96, 12_345.6].map(to_three_digits).into();
        assert_eq!(shown, ["0.0", "21.3", "99.9", "100", "12,346"]);
    }
}
