//! `bench fs-host`: reads of files in an ordinary process, through virtiofsd and by the host's own `pread`.
//!
//! ```text
//!   this process, core 0                                     virtiofsd, core 1
//!   fuse-proto, VirtioFs over VhostUser   --vhost-user-->    preadv from a file in /dev/shm, into our buffer
//!   toro::fs, over the same               --vhost-user-->    the same
//!   this process, core 1
//!   pread                                                    from the same file, into a buffer of its own
//! ```
//!
//! What is measured is the way to the page cache of the host: the file lies in memory, and both ways copy each byte once.
//! `ours` is the driver with so many requests in flight; `toro::fs` is what an application gets that reads in order by
//! [`read_buffer`](toro::fs::File::read_buffer), which asks ahead by itself. Neither copies on our side: the data is where
//! the server put it. Each uses as many buffers in turn as there are requests in flight, and so does `pread`.
//!
//! # Waiting
//!
//! Our side looks at the used ring until something is finished: it has a core of its own for that. `--waiting look` does so
//! for as long as a core of the kernel does, and then sleeps until the device interrupts; with `--waiting interrupt` it
//! sleeps at once. What is finished is taken out at once, as many new requests are put in, and shown to the device together.
//! The server sleeps when it finds nothing to do, and that is not ours to change.
//!
//! # Fairness
//!
//! The contenders take turns, each of ours with a server that is started for the turn; who begins changes. A machine that
//! others use as well has fast and slow minutes, and takes both of our cores away at other times than the one of `pread`: a
//! ratio is the median of the ratios of neighbouring turns. What a read costs in time on a processor, at the server and
//! in `pread`, depends least on who else computes.

mod case;
mod ours;
mod pread;
mod small;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use vhost_user_tests::{Daemon, FileServer, FileServerKind, Serving, Waiting, share_memory};

use self::case::{Case, Order, Run, Tree};
use crate::options::{heading, rerun_optimised};
use crate::processors::pin;
use crate::scratch::Scratch;
use crate::stats::{Samples, grouped};
use crate::table::Table;

/// What is measured.
#[derive(Args, Clone)]
#[command(after_long_help = "\
rates: the median of the turns. /pread: the median of the ratios of neighbouring turns, above 1.00x we are faster. cpu: \
microseconds on a processor that a read costs the server, and pread. busy: the part of the time for which the server is on one.")]
pub struct Options {
    /// Which virtiofsd: `c`, `rust`, or the path of one; all that are here if none is named
    #[arg(long, value_name = "c|rust|PATH")]
    pub daemon: Vec<PathBuf>,
    /// How many turns each contender has in each case
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Length of a turn in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    length: u64,
    /// Threads of the server that work on requests, beside the one that takes them
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: u16,
    /// How our side waits
    #[arg(long, value_enum, default_value = "spin")]
    waiting: Wait,
    /// How many small files are opened, read and closed in a turn
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    files: u32,
    /// Only this case, by its number, and only ours: for perf and strace
    #[arg(long, hide = true)]
    only: Option<usize>,
}

impl Options {
    /// Those that are usual, for these servers.
    pub fn of(daemon: &[PathBuf]) -> Self {
        Self {
            daemon: daemon.to_vec(),
            turns: 15,
            length: 200,
            threads: 0,
            waiting: Wait::Spin,
            files: 10_000,
            only: None,
        }
    }
}

/// How our side waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wait {
    /// It looks again and again
    Spin,
    /// It looks for 50 microseconds, as a core of the kernel does, then sleeps until the device interrupts
    Look,
    /// It sleeps until the device interrupts
    Interrupt,
}

impl From<Wait> for Waiting {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Spin => Self::Spin,
            Wait::Look => Self::Look,
            Wait::Interrupt => Self::Interrupt,
        }
    }
}

/// What is demanded of reads of 1 MiB with 4 in flight: this part of what `pread` does.
const LARGE_GOAL: f64 = 0.95;
/// What is demanded of reads of 4 KiB at random places with 16 in flight: so many times what one at a time does.
const RANDOM_GOAL: f64 = 4.0;

/// Measures and prints.
///
/// # Errors
///
/// A server does not start, or a read fails.
pub fn run(options: &Options) -> Result<()> {
    rerun_optimised()?;
    let scratch = Scratch::in_memory()?;
    let tree = Tree::create(scratch.path(), options.files)?;
    println!("{}", heading());
    for server in servers(&options.daemon)? {
        let mut bench = Bench { options, server, tree: &tree, memory: share_memory() };
        if let Some(number) = options.only {
            let case = *case::CASES.get(number).context("there is no such case")?;
            println!("{:?}", bench.ours(case)?);
            continue;
        }
        bench.reads()?;
        bench.small_files()?;
    }
    Ok(())
}

/// The servers that were asked for.
fn servers(wanted: &[PathBuf]) -> Result<Vec<FileServer>> {
    if wanted.is_empty() {
        let all = FileServer::all();
        ensure!(!all.is_empty(), "there is no virtiofsd");
        return Ok(all);
    }
    let find = |wanted: &PathBuf| match wanted.to_str() {
        Some("c") => FileServer::find(FileServerKind::C).context("there is no virtiofsd in C"),
        Some("rust") => FileServer::find(FileServerKind::Rust).context("there is no virtiofsd in Rust"),
        _ => FileServer::at(wanted).with_context(|| format!("{} is no virtiofsd", wanted.display())),
    };
    wanted.iter().map(find).collect()
}

struct Bench<'a> {
    options: &'a Options,
    server: FileServer,
    tree: &'a Tree,
    memory: &'static virtio_vhost_user::GuestMemory,
}

/// What has been measured of one case.
#[derive(Default)]
struct Measured {
    ours: Samples,
    pread: Samples,
    ratio: Samples,
    served: Samples,
    busy: Samples,
    pread_served: Samples,
}

impl Bench<'_> {
    fn length(&self) -> Duration {
        Duration::from_millis(self.options.length)
    }

    /// All ways of reading large files.
    fn reads(&mut self) -> Result<()> {
        let title = format!(
            "{}, {} threads, {:?}: reads of a file in memory",
            self.server.name(),
            self.options.threads,
            self.options.waiting
        );
        let heads = ["read", "in flight", "ours", "pread", "/pread", "server's cpu", "pread's", "busy"];
        let mut table = Table::new(title, heads);
        let mut all = Vec::new();
        for case in case::CASES {
            eprintln!("bench: {}, {case}", self.server.name());
            let measured = self.turns(case)?;
            table.row([
                case.to_string(),
                case.in_flight(),
                measured.ours.show(|value| case.rate(value)),
                measured.pread.show(|value| case.rate(value)),
                measured.ratio.show(|value| format!("{value:.2}x")),
                format!("{:.1}", measured.served.median()),
                format!("{:.1}", measured.pread_served.median()),
                format!("{:.0} %", measured.busy.median() * 100.0),
            ]);
            all.push((case, measured));
        }
        println!("{table}");
        self.verdict(&all);
        Ok(())
    }

    /// What was demanded, and what there is.
    fn verdict(&self, all: &[(Case, Measured)]) {
        let find = |bytes, order, depth| {
            all.iter().find(|(case, _)| (case.bytes, case.order, case.depth) == (bytes, order, depth))
        };
        let say = |what: &str, value: f64, goal: f64| {
            let verdict = if value >= goal { "met" } else { "MISSED" };
            println!("{}: {what}: {value:.2}x, {goal:.2}x demanded: {verdict}", self.server.name());
        };
        if let Some((_, large)) = find(1 << 20, Order::Sequential, 4) {
            say("1 MiB with 4 in flight, beside pread", large.ratio.median(), LARGE_GOAL);
            let cost = large.pread_served.median() / large.served.median();
            say("the same by time on a processor, which others do not disturb", cost, LARGE_GOAL);
        }
        if let (Some((_, one)), Some((_, many))) = (find(4096, Order::Random, 1), find(4096, Order::Random, 16)) {
            let gain = many.ours.median() / one.ours.median();
            say("4 KiB at random places with 16 in flight, beside one", gain, RANDOM_GOAL);
            // What one takes from end to end, by what it costs a server that never waits.
            let most = 1e6 / one.ours.median() / many.served.median();
            let (name, busy) = (self.server.name(), many.busy.median() * 100.0);
            println!(
                "{name}: more than {most:.2}x is beyond one thread of the server, which is busy for {busy:.0} % of the time"
            );
        }
        println!();
    }

    fn turns(&mut self, case: Case) -> Result<Measured> {
        let mut measured = Measured::default();
        // What rings lie in stays with the servers that had them.
        self.memory = share_memory();
        for number in 0..self.options.turns {
            let (ours, pread) = if number % 2 == 0 {
                let ours = self.ours(case)?;
                (ours, self.pread(case)?)
            } else {
                let pread = self.pread(case)?;
                (self.ours(case)?, pread)
            };
            measured.ours.push(ours.speed());
            measured.pread.push(pread.speed());
            measured.ratio.push(ours.speed() / pread.speed());
            measured.served.push(ours.processor_micros());
            measured.busy.push(ours.busy());
            measured.pread_served.push(pread.processor_micros());
        }
        Ok(measured)
    }

    fn ours(&self, case: Case) -> Result<Run> {
        let daemon = self.daemon();
        pin(0);
        let waiting = self.options.waiting.into();
        match case.depth {
            0 => ours::by_toro_fs(&daemon, self.memory, case, self.length(), waiting),
            _ => ours::Ours::new(&daemon, self.memory, case, waiting)?.read(&daemon, self.length()),
        }
        .with_context(|| format!("{case} by {}", self.server.name()))
    }

    fn pread(&self, case: Case) -> Result<Run> {
        pin(1);
        pread::read(&self.tree.large(), case, self.length())
    }

    /// A server of the turn's own, on the core of `pread`.
    fn daemon(&self) -> Daemon {
        // What is started has the cores of who starts it.
        pin(1);
        let serving = Serving { threads: self.options.threads, ..Serving::default() };
        Daemon::files_by(&self.server, self.tree.root(), &serving)
    }

    /// Many small files, each opened, read and closed.
    fn small_files(&mut self) -> Result<()> {
        let count = f64::from(self.options.files);
        let title = format!("{}: {} files of 4 KiB, each opened, read, closed", self.server.name(), grouped(count));
        let mut table =
            Table::new(title, ["", "toro::fs, us/file", "host, us/file", "host / toro::fs", "server's cpu"]);
        for (name, times) in
            [("the first time", small::Time::First), ("again, while nothing runs out", small::Time::Again)]
        {
            eprintln!("bench: {}, small files, {name}", self.server.name());
            let mut measured = Measured::default();
            self.memory = share_memory();
            for _ in 0..self.options.turns.div_ceil(3) {
                let daemon = self.daemon();
                pin(0);
                let ours = small::by_toro_fs(&daemon, self.memory, self.tree, times, self.options.waiting.into())?;
                pin(1);
                let host = small::by_host(self.tree)?;
                if ours.reads != u64::from(self.options.files) {
                    bail!("{} files were read", ours.reads);
                }
                measured.ours.push(1e6 / ours.speed());
                measured.pread.push(1e6 / host.speed());
                measured.ratio.push(ours.speed() / host.speed());
                measured.served.push(ours.processor_micros());
            }
            let micros = |value: f64| format!("{value:.1}");
            table.row([
                name.to_owned(),
                measured.ours.show(micros),
                measured.pread.show(micros),
                measured.ratio.show(|value| format!("{value:.2}x")),
                micros(measured.served.median()),
            ]);
        }
        println!("{table}");
        Ok(())
    }
}
