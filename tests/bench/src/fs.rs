//! What reading files costs: from a share of the host by virtio-fs and, to compare with, from a disk by virtio-blk and our
//! FAT file system.
//!
//! `kernel/examples/fs-bench.rs` reads the same files ([`files`]) in the same ways from both. Each guest is booted twice per
//! repetition, as for [`block`](crate::block): under the counting plugin, and without it. A boot reads each file once, so
//! nothing that the guest remembers helps. Beside it stands what a copy from memory to memory costs in the same guest, since
//! that is the least that somebody who wants bytes in his own memory has to pay.
//!
//! A guest divides what it does into parts, and times are those of the median part, then of the median boot: a guest whose
//! processor is taken away for a while, or copies between addresses that an emulated processor confuses, do not count.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::counters::Plugin;
use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::machine::{ANY_CPU, Accel, Card, Disk, Machine, Pace, Setup};
use crate::options;
use crate::report::{self, Counts, Line};
use crate::scratch::Scratch;
use crate::share::{Cache, Virtiofsd};
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;
use crate::toro;

mod files;

use files::{BIG_FILES, Fat, Files, SMALL_FILES};

/// The program on Toro.
const EXAMPLE: &str = "fs-bench";
/// How long a guest may take for all operations.
const LIMIT: Duration = Duration::from_secs(300);

/// Options of `bench fs`.
#[derive(Args, Debug)]
pub struct Options {
    /// Read the same files from a FAT file system on a virtio disk as well
    #[arg(long)]
    compare_fat: bool,
    /// Machine type of QEMU
    #[arg(long, value_enum, default_value = "microvm")]
    machine: Machine,
    /// Size of each large file in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    size: u64,
    /// What virtiofsd lets the guest cache
    #[arg(long, value_enum, default_value = "auto")]
    cache: Cache,
    /// Boots of each guest per figure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Accelerator; instructions are always counted under tcg
    #[arg(long, value_enum, default_value = "tcg")]
    accel: Accel,
    /// Memory of each guest in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    memory: u32,
    /// Print the QEMU command lines
    #[arg(long)]
    verbose: bool,
    /// No guest: read in this process, through this virtiofsd (`c`, `rust`, or the path of one), as `fs-host` does
    #[arg(long, value_name = "c|rust|PATH", conflicts_with_all = ["compare_fat", "verbose"])]
    daemon: Vec<std::path::PathBuf>,
}

/// Where files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    VirtioFs,
    Fat,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::VirtioFs => "virtio-fs",
            Self::Fat => "virtio-blk + FAT",
        }
    }
}

/// What is done.
struct Operation {
    title: &'static str,
    /// What the guest calls it in its result.
    name: String,
    /// What the guest is told.
    word: String,
    /// MiB in one of what the guest counts; `None` where it counts files.
    mib: Option<f64>,
}

/// What has been measured of an operation.
#[derive(Clone, Default)]
struct Measured {
    instructions: Samples,
    accesses: Samples,
    nanoseconds: Samples,
}

struct Bench<'a> {
    options: &'a Options,
    scratch: &'a Path,
    image: Image,
    files: Files,
    operations: Vec<Operation>,
    sources: Vec<Source>,
    /// For each operation, of each source.
    results: Vec<Vec<Measured>>,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
///
/// A tool is missing, or a guest does not do what it is told.
pub fn run(options: &Options) -> Result<()> {
    if !options.daemon.is_empty() {
        return crate::fs_host::run(&crate::fs_host::Options::of(&options.daemon));
    }
    let (scratch, shm) = (Scratch::new()?, Scratch::in_memory()?);
    let fat = if options.compare_fat { Fat::Wanted } else { Fat::NotWanted };
    let files = Files::create(shm.path(), options.size, fat)?;
    let sources = [Some(Source::VirtioFs), files.image.as_ref().map(|_| Source::Fat)];
    let sources: Vec<_> = sources.into_iter().flatten().collect();
    let operations = operations(options.size);
    let results = vec![vec![Measured::default(); sources.len()]; operations.len()];
    let image = Image::build(EXAMPLE)?;
    let mut bench = Bench { options, scratch: scratch.path(), image, files, operations, sources, results };
    let plugin = Plugin::build(scratch.path())?;
    for run in 1..=options.repeat {
        for index in 0..bench.sources.len() {
            eprintln!("bench: {}, run {run} of {}", bench.sources[index].name(), options.repeat);
            bench.measure(index, Some(&plugin))?;
            bench.measure(index, None)?;
        }
    }
    println!("{}", options::heading());
    println!("{}", bench.table("guest instructions", |measured| &measured.instructions, grouped));
    println!(
        "{}",
        bench.table("accesses to registers in memory", |measured| &measured.accesses, |value| format!("{value:.2}"))
    );
    println!(
        "{}",
        bench.table("microseconds", |measured| &measured.nanoseconds, |value| format!("{:.1}", value / 1e3))
    );
    for index in 0..bench.sources.len() {
        println!("{}", bench.composition(index));
    }
    Ok(())
}

/// What is done in a boot, each with a file of its own.
fn operations(size: u64) -> Vec<Operation> {
    let total = size << 20;
    let of_file = |title, verb: &str, file: usize, bytes: u64| {
        assert!(file < BIG_FILES, "each operation has a file of its own");
        Operation {
            title,
            name: format!("{verb} bs={bytes}"),
            word: format!("{verb}:/big{file}:{bytes}:{total}"),
            mib: Some(bytes as f64 / f64::from(1 << 20)),
        }
    };
    vec![
        of_file("in order, 1 MiB at a time, per MiB", "fsseq", 0, 1 << 20),
        of_file("in order, 128 KiB at a time, per MiB", "fsseq", 1, 128 << 10),
        of_file("the same by buffers, per MiB", "fsbuf", 2, 128 << 10),
        Operation {
            title: "a file of 4 KiB opened, read, closed",
            name: "fssmall".to_owned(),
            word: format!("fssmall:/d:{SMALL_FILES}"),
            mib: None,
        },
        Operation {
            title: "memory to memory, per MiB",
            name: "copy bs=1048576".to_owned(),
            word: format!("copy:1048576:{total}"),
            mib: Some(1.0),
        },
    ]
}

impl Bench<'_> {
    /// Adds what one boot shows: counts with the plugin, times without.
    fn measure(&mut self, index: usize, plugin: Option<&Plugin>) -> Result<()> {
        let source = self.sources[index];
        let (lines, counts) = self.boot(source, plugin).with_context(|| source.name())?;
        for (place, (line, operation)) in lines.iter().zip(&self.operations).enumerate() {
            let measured = &mut self.results[place][index];
            let units = line.times * operation.mib.unwrap_or(1.0);
            match counts.get(place) {
                Some(counts) => {
                    measured.instructions.push(counts.instructions / units);
                    measured.accesses.push(counts.accesses / units);
                }
                None => {
                    let one = line.median.unwrap_or(line.nanoseconds / line.times);
                    measured.nanoseconds.push(one / operation.mib.unwrap_or(1.0));
                }
            }
        }
        Ok(())
    }

    fn boot(&self, source: Source, plugin: Option<&Plugin>) -> Result<(Vec<Line>, Vec<Counts>)> {
        let counters = plugin.map(|plugin| plugin.marks_and_accesses("files")).transpose()?;
        let share = match source {
            Source::VirtioFs => Some(Virtiofsd::start(self.scratch, "files", &self.files.share, self.options.cache)?),
            Source::Fat => None,
        };
        let disk = match (source, &self.files.image) {
            (Source::Fat, Some(image)) => Some(Disk {
                node: format!("driver=file,read-only=on,filename={}", image.display()),
                device: self.options.machine.virtio_disk(),
            }),
            _ => None,
        };
        let setup = Setup {
            machine: self.options.machine,
            accel: if counters.is_some() { Accel::Tcg } else { self.options.accel },
            cpu: ANY_CPU,
            vcpus: 1,
            pace: Pace::Host,
            memory: self.options.memory,
            links: &[],
            card: Card::Virtio,
            share: share.as_ref(),
            disk: disk.as_ref(),
            counters: counters.as_ref(),
        };
        let words: Vec<_> = self.operations.iter().map(|operation| operation.word.as_str()).collect();
        let system = toro::system(&self.image.path, self.options.machine, None, &format!("run={}", words.join(",")));
        let echo = if self.options.verbose { Echo::Printed } else { Echo::Silent };
        let mut guest = Guest::start(source.name(), &system, &setup, echo)?;
        guest.wait_line(report::END, LIMIT)?;
        let lines = Line::parse_all(guest.console())?;
        ensure!(
            lines.iter().map(|line| &line.name).eq(self.operations.iter().map(|operation| &operation.name)),
            "it did something else:\n{}",
            guest.console()
        );
        let counts = match &counters {
            Some(counters) => Counts::between(&counters.read_marks()?)?,
            None => Vec::new(),
        };
        ensure!(
            counters.is_none() || counts.len() == lines.len(),
            "{} results but {} pairs of markers",
            lines.len(),
            counts.len()
        );
        Ok((lines, counts))
    }

    fn table(&self, what: &str, figure: impl Fn(&Measured) -> &Samples, show: impl Fn(f64) -> String + Copy) -> Table {
        let Options { repeat, memory, accel, machine, .. } = self.options;
        let accel = if *accel == Accel::Kvm { "kvm" } else { "tcg" };
        let boots = if *repeat == 1 { "one boot".to_owned() } else { format!("{repeat} boots") };
        let machine = machine.name();
        let title =
            format!("{what}; {boots} each, -machine {machine} -cpu {ANY_CPU} -m {memory} -accel {accel}, one vCPU");
        let comparison = (self.sources.len() > 1).then_some("FAT / virtio-fs");
        let names = self.sources.iter().map(|source| source.name());
        let mut table = Table::new(title, std::iter::once("what is read").chain(names).chain(comparison));
        for (operation, results) in self.operations.iter().zip(&self.results) {
            let compared = match &results[..] {
                [share, fat] => Some(ratio(figure(fat).median(), figure(share).median())),
                _ => None,
            };
            let shown = results.iter().map(|measured| figure(measured).show(show));
            table.row(std::iter::once(operation.title.to_owned()).chain(shown).chain(compared));
        }
        table
    }

    /// What the time of a MiB is made of: a copy by the guest, and all that is neither that nor an instruction of it.
    fn composition(&self, index: usize) -> String {
        let median = |place: usize, figure: fn(&Measured) -> &Samples| figure(&self.results[place][index]).median();
        let copy = self.operations.len() - 1;
        let nanoseconds = |place| median(place, |measured| &measured.nanoseconds);
        let (whole, copied) = (nanoseconds(0), nanoseconds(copy));
        format!(
            "{}: of {:.0} microseconds for a MiB in blocks of 1 MiB, a copy in the guest takes {:.0} ({:.0} %); {:.2} accesses to \
             registers; the rest is the device and {} instructions of the guest beside the copy's {}",
            self.sources[index].name(),
            whole / 1e3,
            copied / 1e3,
            100.0 * copied / whole,
            median(0, |measured| &measured.accesses),
            grouped((median(0, |m| &m.instructions) - median(copy, |m| &m.instructions)).max(0.0)),
            grouped(median(copy, |m| &m.instructions)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_a_name_of_its_own_and_a_file_that_no_other_has_read() {
        let operations = operations(64);
        let files: Vec<_> = operations.iter().filter_map(|operation| operation.word.split(':').nth(1)).collect();
        for (number, operation) in operations.iter().enumerate() {
            assert!(operations[..number].iter().all(|other| other.name != operation.name));
            assert!(!files[..number].contains(&files[number]), "{}", operation.word);
        }
    }
}
