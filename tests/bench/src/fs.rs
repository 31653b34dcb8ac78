//! What files cost: in a share of the host by virtio-fs, beside Linux in the same machine with the same share, and beside a
//! disk by virtio-blk and our FAT file system.
//!
//! `kernel/examples/fs-bench.rs` does the same things to the same files ([`files`]) in the same order ([`operation`]) on both
//! file systems; `guest/files.c` does on Linux, past the caches of whatever came before. Each guest is booted twice per
//! repetition, as for [`block`](crate::block): under the counting plugin, and without it. Each operation has files of its own,
//! so nothing that the guest remembers helps unless that is what is asked. Beside it stands what a copy from memory to memory
//! costs in the same guest, since that is the least that somebody who wants bytes in his own memory has to pay.
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
use crate::linux::{self, Linux};
use crate::machine::{Accel, Card, Disk, Pace, Setup, System};
use crate::options::{self, GuestOptions};
use crate::program;
use crate::report::{self, Counts, Line};
use crate::scratch::Scratch;
use crate::share::Virtiofsd;
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;
use crate::toro;

mod files;
mod operation;

use files::{Fat, Files};
use operation::{Operation, Scope};

/// The program on Toro.
const EXAMPLE: &str = "fs-bench";
/// The program on Linux.
const SOURCE: &str = include_str!("../guest/files.c");
/// How long a guest may take for all operations.
const LIMIT: Duration = Duration::from_secs(900);

/// Options of `bench fs`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    guest: GuestOptions,
    /// Read the same files from a FAT file system on a virtio disk as well
    #[arg(long)]
    compare_fat: bool,
    /// Size of each large file in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    size: u64,
    /// Boots of each guest per figure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Processor of the guests, in QEMU's syntax
    #[arg(long, value_name = "MODEL", default_value = crate::machine::ANY_CPU)]
    cpu: String,
    /// Do only operations whose name in the guest begins with one of these
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    operations: Vec<String>,
    /// Take only the counts, which do not depend on what else the machine does
    #[arg(long)]
    counts_only: bool,
    /// No guest: read in this process, through this virtiofsd (`c`, `rust`, or the path of one), as `fs-host` does
    #[arg(long, value_name = "c|rust|PATH", conflicts_with_all = ["compare_fat", "counts_only"])]
    daemon: Vec<std::path::PathBuf>,
}

/// Who has the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Toro,
    Linux,
    Fat,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Toro => "toro",
            Self::Linux => "linux",
            Self::Fat => "toro, FAT",
        }
    }

    fn does(self, operation: &Operation) -> bool {
        match operation.scope {
            Scope::Everywhere => true,
            Scope::Shares => self != Self::Fat,
        }
    }
}

/// What has been measured of an operation.
#[derive(Clone, Default)]
struct Measured {
    instructions: Samples,
    accesses: Samples,
    nanoseconds: Samples,
}

/// A guest, and what it has shown.
struct Contestant {
    source: Source,
    system: System,
    /// For each operation; nothing for those that it does not do.
    results: Vec<Measured>,
}

struct Bench<'a> {
    options: &'a Options,
    scratch: &'a Path,
    files: Files,
    operations: Vec<Operation>,
    contestants: Vec<Contestant>,
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
    let linux = options.guest.linux_baseline.as_deref().map(Linux::open).transpose()?;
    let files = Files::create(shm.path(), options.size, fat)?;
    let is_wanted = |operation: &Operation| {
        options.operations.is_empty() || options.operations.iter().any(|name| operation.name.starts_with(name))
    };
    let operations = operation::all(options.size).into_iter().filter(is_wanted).collect();
    let image = Image::build(EXAMPLE)?;
    let mut bench = Bench { options, scratch: scratch.path(), files, operations, contestants: Vec::new() };
    bench.enter_toro(Source::Toro, &image);
    if let Some(linux) = &linux {
        bench.enter_linux(linux)?;
    }
    if options.compare_fat {
        bench.enter_toro(Source::Fat, &image);
    }
    let plugin = Plugin::build(scratch.path())?;
    for run in 1..=options.repeat {
        for index in 0..bench.contestants.len() {
            eprintln!("bench: {}, run {run} of {}", bench.contestants[index].source.name(), options.repeat);
            bench.measure(index, Some(&plugin))?;
            if !options.counts_only {
                bench.measure(index, None)?;
            }
        }
    }
    println!("{}", options::heading());
    println!("{}", bench.table("guest instructions", Aims::Shown, |measured| &measured.instructions, grouped));
    let show = |value| format!("{value:.2}");
    println!("{}", bench.table("accesses to registers in memory", Aims::Hidden, |measured| &measured.accesses, show));
    if !options.counts_only {
        let show = |value| format!("{:.1}", value / 1e3);
        println!("{}", bench.table("microseconds", Aims::Hidden, |measured| &measured.nanoseconds, show));
        bench.contestants.iter().filter_map(|who| bench.composition(who)).for_each(|line| println!("{line}"));
    }
    Ok(())
}

/// Whether a table shows what we want to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aims {
    Shown,
    Hidden,
}

impl Bench<'_> {
    fn enter_toro(&mut self, source: Source, image: &Image) {
        let words = format!("run={} {}", self.words(source, ""), self.options.guest.append);
        let system = toro::system(&image.path, self.options.guest.machine, None, words.trim());
        self.enter(source, system);
    }

    fn enter_linux(&mut self, linux: &Linux) -> Result<()> {
        let program = program::compile("files", SOURCE, self.scratch)?;
        let words = format!("lb_run={}", self.words(Source::Linux, linux::SHARE_MOUNT));
        let system = linux.program_with_share(self.options.guest.machine, &program, self.scratch, &words)?;
        self.enter(Source::Linux, system);
        Ok(())
    }

    fn enter(&mut self, source: Source, system: System) {
        let results = vec![Measured::default(); self.operations.len()];
        self.contestants.push(Contestant { source, system, results });
    }

    /// What a guest is told to do.
    fn words(&self, source: Source, root: &str) -> String {
        let operations = self.operations.iter().filter(|operation| source.does(operation));
        operations.map(|operation| operation.word(root)).collect::<Vec<_>>().join(",")
    }

    /// Adds what one boot shows: counts with the plugin, times without.
    fn measure(&mut self, index: usize, plugin: Option<&Plugin>) -> Result<()> {
        self.files.clear()?;
        let who = &self.contestants[index];
        let source = who.source;
        let (lines, counts) = self.boot(who, plugin).with_context(|| source.name())?;
        let done = self.operations.iter().enumerate().filter(|(_, operation)| source.does(operation));
        for (number, (line, (place, operation))) in lines.iter().zip(done).enumerate() {
            let measured = &mut self.contestants[index].results[place];
            match counts.get(number) {
                Some(counts) => {
                    let units = line.times * operation.units;
                    measured.instructions.push(counts.instructions / units);
                    measured.accesses.push(counts.accesses / units);
                }
                None => {
                    let one = line.median.unwrap_or(line.nanoseconds / line.times);
                    measured.nanoseconds.push(one / operation.units);
                }
            }
        }
        Ok(())
    }

    fn boot(&self, who: &Contestant, plugin: Option<&Plugin>) -> Result<(Vec<Line>, Vec<Counts>)> {
        let counters = plugin.map(|plugin| plugin.marks_and_accesses("files")).transpose()?;
        let guest_options = &self.options.guest;
        let share = match who.source {
            Source::Toro | Source::Linux => {
                Some(Virtiofsd::start(self.scratch, "files", &self.files.share, guest_options.cache)?)
            }
            Source::Fat => None,
        };
        let disk = match (who.source, &self.files.image) {
            (Source::Fat, Some(image)) => Some(Disk {
                node: format!("driver=file,read-only=on,filename={}", image.display()),
                device: guest_options.machine.virtio_disk(),
            }),
            _ => None,
        };
        let setup = Setup {
            machine: guest_options.machine,
            accel: if counters.is_some() { Accel::Tcg } else { guest_options.accel },
            cpu: &self.options.cpu,
            vcpus: 1,
            pace: Pace::Host,
            memory: guest_options.memory,
            links: &[],
            card: Card::Virtio,
            share: share.as_ref(),
            disk: disk.as_ref(),
            counters: counters.as_ref(),
        };
        let echo = if guest_options.verbose { Echo::Printed } else { Echo::Silent };
        let mut guest = Guest::start(who.source.name(), &who.system, &setup, echo)?;
        guest.wait_line(report::END, LIMIT)?;
        let lines = Line::parse_all(guest.console())?;
        let wanted = self.operations.iter().filter(|operation| who.source.does(operation));
        ensure!(
            lines.iter().map(|line| &line.name).eq(wanted.map(|operation| &operation.name)),
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

    fn table(
        &self,
        what: &str,
        aims: Aims,
        figure: impl Fn(&Measured) -> &Samples,
        show: impl Fn(f64) -> String + Copy,
    ) -> Table {
        let GuestOptions { memory, accel, machine, cache, .. } = &self.options.guest;
        let Options { repeat, cpu, .. } = self.options;
        let accel = if *accel == Accel::Kvm { "kvm" } else { "tcg" };
        let boots = if *repeat == 1 { "one boot".to_owned() } else { format!("{repeat} boots") };
        let (machine, cache) = (machine.name(), cache.name());
        let title = format!(
            "{what}; {boots} each, -machine {machine} -cpu {cpu} -m {memory} -accel {accel}, one vCPU, cache={cache}"
        );
        let has_linux = self.contestants.iter().any(|who| who.source == Source::Linux);
        let aims = if has_linux { aims } else { Aims::Hidden };
        let names = self.contestants.iter().map(|who| who.source.name());
        let others = self.contestants.iter().skip(1);
        let compared = others.map(|who| match who.source {
            Source::Fat => "FAT / share",
            Source::Linux | Source::Toro => "toro / linux",
        });
        let wanted = (aims == Aims::Shown).then_some("wanted");
        let mut table = Table::new(title, std::iter::once("what is done").chain(names).chain(compared).chain(wanted));
        for (place, operation) in self.operations.iter().enumerate() {
            let samples: Vec<_> = self.contestants.iter().map(|who| figure(&who.results[place])).collect();
            let shown = samples.iter().map(|samples| match samples.median() {
                median if median.is_nan() => "-".to_owned(),
                _ => samples.show(show),
            });
            let ours = samples[0].median();
            let compared = self.contestants.iter().zip(&samples).skip(1).map(|(who, other)| match other.median() {
                median if median.is_nan() => "-".to_owned(),
                median if who.source == Source::Fat => ratio(median, ours),
                median => ratio(ours, median),
            });
            let aim = (aims == Aims::Shown).then(|| operation.aim.map_or(String::new(), |aim| format!("<= {aim:.2}x")));
            table.row(std::iter::once(operation.title.to_owned()).chain(shown).chain(compared).chain(aim));
        }
        table
    }

    /// What the time of a MiB is made of: a copy by the guest, and all that is neither that nor an instruction of it.
    fn composition(&self, who: &Contestant) -> Option<String> {
        let place = |name: &str| self.operations.iter().position(|operation| operation.name == name);
        let (whole, copy) = (&who.results[place("fsseq bs=1048576")?], &who.results[place("copy bs=1048576")?]);
        let (time, copied) = (whole.nanoseconds.median(), copy.nanoseconds.median());
        let instructions = |measured: &Measured| measured.instructions.median();
        Some(format!(
            "{}: of {:.0} microseconds for a MiB in blocks of 1 MiB, a copy in the guest takes {:.0} ({:.0} %); {:.2} \
             accesses to registers; the rest is the device and {} instructions of the guest beside the copy's {}",
            who.source.name(),
            time / 1e3,
            copied / 1e3,
            100.0 * copied / time,
            whole.accesses.median(),
            grouped((instructions(whole) - instructions(copy)).max(0.0)),
            grouped(instructions(copy)),
        ))
    }
}
