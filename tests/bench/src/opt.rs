//! What the compiler's optimisation is worth: the same two applications, built with each level.
//!
//! `file-bench` reads a file of a virtio-fs share in blocks of 4 KiB, `static-web-server` answers requests for a file of the
//! same size; both are counted under the plugin. Everything else of the profile `release` stays as it is: one unit of
//! link-time optimisation, no checks of arithmetic. Each level is built from nothing into a directory of its own,
//! `target/bench-opt/LEVEL`, which is removed afterwards, so the time of the build is that of all crates and both images.
//!
//! Instructions do not depend on the host. Level 0 is what a compiler writes down without a second thought, so it says how
//! much of the work is in the source; "s" and "z" ask for small code.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::client::Client;
use crate::counters::{Counters, Plugin};
use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::machine::{ANY_CPU, Accel, Card, Pace, Setup};
use crate::network::{Link, Netdev};
use crate::options::{self, GuestOptions};
use crate::scratch::Scratch;
use crate::share::{self, FILE_NAME, Virtiofsd};
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;
use crate::toro;

mod level;

use level::Level;

/// The application that reads a file, and the one that serves it.
const READER: &str = "file-bench";
const SERVER: &str = "static-web-server";
/// How often the reader reads the whole file: in order, again, and in any order.
const PASSES: u64 = 3;
/// Bytes of a block, and of the file that is served.
const BLOCK: usize = 4096;
/// How long a guest may take; without optimisation and under the plugin it takes its time.
const LIMIT: Duration = Duration::from_secs(600);
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Options of `bench opt`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    guest: GuestOptions,
    /// Levels to compare
    #[arg(long, value_enum, value_delimiter = ',', default_value = "0,1,2,3,s,z")]
    levels: Vec<Level>,
    /// Blocks of 4 KiB in the file that is read
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65536))]
    blocks: u64,
    /// Requests of each count
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Counts of requests, of which the median is shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Measure only these applications
    #[arg(long, value_enum, value_delimiter = ',', default_value = "file-bench,static-web-server")]
    apps: Vec<App>,
    /// Leave what has been built where it is
    #[arg(long)]
    keep: bool,
}

/// What is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum App {
    /// Reads a file
    FileBench,
    /// Serves one
    StaticWebServer,
}

impl App {
    fn name(self) -> &'static str {
        match self {
            Self::FileBench => READER,
            Self::StaticWebServer => SERVER,
        }
    }

    /// What it does once.
    fn operation(self) -> &'static str {
        match self {
            Self::FileBench => "per read",
            Self::StaticWebServer => "per request",
        }
    }
}

/// What one level of one application is.
struct Outcome {
    instructions: f64,
    text: u64,
    stripped: u64,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
///
/// A tool is missing, an application cannot be built with a level, or does not work when it is.
pub fn run(options: &Options) -> Result<()> {
    let scratch = Scratch::new()?;
    let plugin = Plugin::build(scratch.path())?;
    let names: Vec<_> = options.apps.iter().map(|app| app.name()).collect();
    let mut built = Table::new("seconds for all crates and both images, from nothing", ["opt-level", "seconds"]);
    let mut outcomes = Vec::new();
    for &level in &options.levels {
        let (images, time) = level.build(&names)?;
        built.row([level.name().to_owned(), format!("{:.0}", time.as_secs_f64())]);
        let bench = Bench { options, scratch: scratch.path(), plugin: &plugin };
        let of_level = options.apps.iter().zip(&images).map(|(&app, image)| bench.measure(app, image));
        outcomes.push(of_level.collect::<Result<Vec<_>>>().with_context(|| format!("opt-level {}", level.name()))?);
        if !options.keep {
            level.remove()?;
        }
    }
    println!("{}", options::heading());
    for (index, app) in options.apps.iter().enumerate() {
        println!("{}", table(options, *app, outcomes.iter().map(|of_level| &of_level[index])));
    }
    println!("{built}");
    Ok(())
}

fn table<'a>(options: &Options, app: App, outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> Table {
    let GuestOptions { machine, memory, cache, .. } = &options.guest;
    let title = format!(
        "{}, guest instructions; -machine {} -m {memory}, one vCPU, virtio-fs, cache={}",
        app.name(),
        machine.name(),
        cache.name()
    );
    // The level that ships, where it is among those that are compared.
    let shipped = options.levels.iter().zip(outcomes.clone()).find(|(level, _)| **level == Level::Three);
    let shipped = shipped.map_or(f64::NAN, |(_, outcome)| outcome.instructions);
    let mut table = Table::new(title, ["opt-level", app.operation(), "of level 3", "text", "stripped file"]);
    for (level, outcome) in options.levels.iter().zip(outcomes) {
        table.row([
            level.name().to_owned(),
            grouped(outcome.instructions),
            ratio(outcome.instructions, shipped),
            grouped(outcome.text as f64),
            grouped(outcome.stripped as f64),
        ]);
    }
    table
}

struct Bench<'a> {
    options: &'a Options,
    scratch: &'a Path,
    plugin: &'a Plugin,
}

impl Bench<'_> {
    fn measure(&self, app: App, image: &Image) -> Result<Outcome> {
        eprintln!("bench: counting instructions of {}", image.path.display());
        let size = image.size(self.scratch)?;
        let instructions = match app {
            App::FileBench => self.read(image),
            App::StaticWebServer => self.serve(image),
        };
        let instructions = instructions.with_context(|| image.name)?;
        eprintln!("bench: {} instructions {}", grouped(instructions), app.operation());
        Ok(Outcome { instructions, text: size.sections.text, stripped: size.stripped })
    }

    /// Instructions of a read: all from `main` to the end, divided by the reads.
    fn read(&self, image: &Image) -> Result<f64> {
        let counters = self.plugin.counters(image.name, &[image.milestones()?.main])?;
        let bytes = usize::try_from(self.options.blocks)? * BLOCK;
        let words = format!("path=/{FILE_NAME} block={BLOCK} {}", self.options.guest.append);
        let (_share, mut guest) = self.boot(image, bytes, None, &words, &counters)?.0;
        guest.wait_end(LIMIT)?;
        let passes = guest.console().lines().filter(|line| line.starts_with("file-bench: pass=")).count();
        if passes as u64 != PASSES {
            bail!("it did something else:\n{}", guest.console());
        }
        let reading = counters.read()?;
        let [Some(main), ..] = reading.watched else { bail!("it never came to its main") };
        Ok((reading.instructions - main) as f64 / (PASSES * self.options.blocks) as f64)
    }

    /// Instructions of a request on one kept connection.
    fn serve(&self, image: &Image) -> Result<f64> {
        let Options { requests, repeat, guest: options, .. } = self.options;
        let link = Link::create(Netdev::User, 0)?;
        let counters = self.plugin.counters(image.name, &[])?;
        let ((_share, mut guest), body) = self.boot(image, BLOCK, Some(&link), &options.append, &counters)?;
        let path = format!("/{FILE_NAME}");
        guest.wait_answer(link.server(), &path, &body, LIMIT)?;
        let mut client = Client::connect(link.server(), &path, 1, ANSWER_LIMIT)?;
        let mut measure = || -> Result<f64> {
            let before = counters.read_at_rest()?;
            for _ in 0..*requests {
                client.round(&body)?;
            }
            Ok((counters.read_at_rest()?.instructions - before.instructions) as f64 / *requests as f64)
        };
        // The first fills caches on both sides of the network.
        measure()?;
        Ok((0..*repeat).map(|_| measure()).collect::<Result<Samples>>()?.median())
    }

    /// Boots `image` with a share that has a file of `bytes`; the share, the guest (which goes first when
    /// both are dropped), and the file's contents.
    fn boot(
        &self,
        image: &Image,
        bytes: usize,
        link: Option<&Link>,
        words: &str,
        counters: &Counters,
    ) -> Result<((Virtiofsd, Guest), Vec<u8>)> {
        let options = &self.options.guest;
        let directory = self.scratch.join(image.name);
        // Of the level before.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let (share, body) = share::create(&directory, bytes)?;
        let share = Virtiofsd::start(self.scratch, "opt", &share, options.cache)?;
        let setup = Setup {
            machine: options.machine,
            accel: Accel::Tcg,
            cpu: ANY_CPU,
            vcpus: 1,
            pace: Pace::Host,
            memory: options.memory,
            links: link.as_slice(),
            card: Card::Virtio,
            share: Some(&share),
            disk: None,
            counters: Some(counters),
        };
        let echo = if options.verbose { Echo::Printed } else { Echo::Silent };
        let system = toro::system(&image.path, options.machine, link, words.trim());
        let guest = Guest::start(image.name, &system, &setup, echo)?;
        Ok(((share, guest), body))
    }
}
