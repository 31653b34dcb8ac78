//! Booting: how long, how many instructions, how large, in how little memory.
//!
//! Times run from the start of the QEMU process, so they hold QEMU's own start and the firmware; an empty kernel that is
//! booted in turn shows how much that is ([`start`]). Instructions are counted apart: those of the firmware, up to the first
//! of the image, and those from there to the first of the application's `main`, found by their addresses in the image; and
//! further, to an address on the network and the first answer ([`instructions`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::linux::{self, Linux};
use crate::machine::{ANY_CPU, Card, Pace, Setup, System};
use crate::network::{Link, Netdev};
use crate::options::{self, GuestOptions};
use crate::scratch::Scratch;
use crate::share::{self, FILE_NAME, Virtiofsd};
use crate::stats::{Samples, grouped};
use crate::table::Table;
use crate::{memory, toro};

mod empty;
mod instructions;
mod start;

/// The line that `hello` prints, or what it begins with.
const HELLO_LINE: &str = "hello";
/// Size of the file that is fetched first.
const BODY_SIZE: usize = 4096;
/// How long a boot may take.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// Parts of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Wall time of hello to the first line and to the end, beside an empty kernel
    Start,
    /// Wall time to the first line and to the first answer
    Times,
    /// Instructions from entry to main, by phases; to an address and to the first answer
    Instructions,
    /// Image sizes
    Sizes,
    /// Least memory
    Memory,
}

/// Applications to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum App {
    /// Prints one line
    Hello,
    /// Serves a directory of the host
    StaticWebServer,
}

impl App {
    /// Name of the example in the package `toro`.
    fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::StaticWebServer => "static-web-server",
        }
    }

    /// The network, for an application that needs one.
    fn link(self, link: &Link) -> Option<&Link> {
        match self {
            Self::Hello => None,
            Self::StaticWebServer => Some(link),
        }
    }

    /// What shows that it is up.
    fn sign(self) -> Sign {
        match self {
            Self::Hello => Sign::Line(HELLO_LINE),
            Self::StaticWebServer => Sign::Answer(format!("/{FILE_NAME}")),
        }
    }
}

/// Options of `bench boot`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    guest: GuestOptions,
    /// Boots per time
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Cores of each guest
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7))]
    cores: u32,
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sizes,start,times,instructions,memory")]
    only: Vec<Part>,
    /// Measure only these applications
    #[arg(long, value_enum, value_delimiter = ',', default_value = "hello,static-web-server")]
    apps: Vec<App>,
}

/// What shows that a guest is up.
enum Sign {
    /// A line on the console.
    Line(&'static str),
    /// The right answer to a request for this path.
    Answer(String),
}

/// Something to boot.
struct Subject<'a> {
    name: String,
    system: System,
    sign: Sign,
    link: Option<&'a Link>,
}

struct Bench<'a> {
    options: &'a Options,
    scratch: &'a Path,
    share: PathBuf,
    body: Vec<u8>,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
///
/// A tool is missing, or a guest does not boot.
pub fn run(options: &Options) -> Result<()> {
    let linux = options.guest.linux_baseline.as_deref().map(Linux::open).transpose()?;
    let images = options.apps.iter().map(|app| Ok((*app, Image::build(app.name())?))).collect::<Result<Vec<_>>>()?;
    let scratch = Scratch::new()?;
    let (share, body) = share::create(scratch.path(), BODY_SIZE)?;
    let bench = Bench { options, scratch: scratch.path(), share, body };
    let link = Link::create(Netdev::User, 0)?;
    let subjects = bench.subjects(&images, linux.as_ref(), &link);
    println!("{}", options::heading());
    for part in &options.only {
        let tables = match part {
            Part::Start => bench.start(&images)?,
            Part::Times => vec![bench.times(&subjects)?],
            Part::Instructions => instructions::tables(&bench, &images, &link)?,
            Part::Sizes => vec![bench.sizes(&images)?],
            Part::Memory => vec![bench.least_memory(&subjects)?],
        };
        tables.iter().for_each(|table| println!("{table}"));
    }
    Ok(())
}

impl Bench<'_> {
    fn subjects<'a>(&self, images: &[(App, Image)], linux: Option<&Linux>, link: &'a Link) -> Vec<Subject<'a>> {
        let Options { guest, apps, .. } = self.options;
        let mut subjects: Vec<_> = images
            .iter()
            .map(|(app, image)| {
                let (link, sign) = (app.link(link), app.sign());
                let system = toro::system(&image.path, guest.machine, link, &guest.append);
                Subject { name: sign.describe(&format!("toro {}", image.name)), system, sign, link }
            })
            .collect();
        if let Some(linux) = linux {
            if apps.contains(&App::Hello) {
                let sign = Sign::Line(linux::FIRST_LINE);
                subjects.push(Subject {
                    name: sign.describe("linux, small init"),
                    system: linux.smallest(),
                    sign,
                    link: None,
                });
            }
            if apps.contains(&App::StaticWebServer) {
                let sign = Sign::Answer(format!("{}{FILE_NAME}", linux::SHARE_PATH));
                let system = linux.web_server(guest.machine, link);
                subjects.push(Subject { name: sign.describe("linux, nginx"), system, sign, link: Some(link) });
            }
        }
        subjects
    }

    /// Boots once; the time until the sign, and the processor time of QEMU until then.
    fn boot(&self, subject: &Subject<'_>, memory: u32, limit: Duration) -> Result<(Duration, Duration)> {
        let options = &self.options.guest;
        let share =
            subject.link.map(|_| Virtiofsd::start(self.scratch, "boot", &self.share, options.cache)).transpose()?;
        let setup = Setup {
            machine: options.machine,
            accel: options.accel,
            cpu: ANY_CPU,
            vcpus: self.options.cores,
            pace: Pace::Host,
            memory,
            links: subject.link.as_slice(),
            card: Card::Virtio,
            share: share.as_ref(),
            disk: None,
            counters: None,
        };
        let mut guest = Guest::start("guest", &subject.system, &setup, self.echo())?;
        let at = match (&subject.sign, subject.link) {
            (Sign::Answer(path), Some(link)) => guest.wait_answer(link.server(), path, &self.body, limit)?,
            (Sign::Line(line), _) => guest.wait_line(line, limit)?,
            (Sign::Answer(_), None) => bail!("{}: an answer without a network", subject.name),
        };
        let cpu = guest.cpu_time()?;
        // The guest goes before its share.
        drop(guest);
        Ok((at, cpu))
    }

    fn times(&self, subjects: &[Subject<'_>]) -> Result<Table> {
        let Options { guest, runs, .. } = self.options;
        let mut times = vec![(Samples::default(), Samples::default()); subjects.len()];
        for run in 1..=*runs {
            eprintln!("bench: boot {run} of {runs}");
            for ((times, cpu_times), subject) in times.iter_mut().zip(subjects) {
                let (at, cpu) = self.boot(subject, guest.memory, BOOT_LIMIT).with_context(|| subject.name.clone())?;
                times.push(at.as_secs_f64() * 1e3);
                cpu_times.push(cpu.as_secs_f64() * 1e3);
            }
        }
        let title = format!("milliseconds from the start of QEMU, {runs} boots each in turn, {}", self.circumstances());
        let mut table = Table::new(title, ["until", "median", "min", "max", "QEMU CPU"]);
        for ((times, cpu), subject) in times.iter().zip(subjects) {
            let cells = [times.median(), times.min(), times.max(), cpu.median()].map(|ms| format!("{ms:.0}"));
            table.row([subject.name.clone()].into_iter().chain(cells));
        }
        Ok(table)
    }

    fn start(&self, images: &[(App, Image)]) -> Result<Vec<Table>> {
        // Without `hello` there is nothing to compare.
        let hello = images.iter().find(|(app, _)| *app == App::Hello);
        let table = |(_, hello): &(App, Image)| {
            start::table(self.options, &hello.path, &empty::build(self.scratch)?, self.echo())
        };
        hello.map(table).transpose().map(|table| table.into_iter().collect())
    }

    fn sizes(&self, images: &[(App, Image)]) -> Result<Table> {
        let mut table = Table::new("bytes, release build", ["image", "file", "stripped", "text", "data", "bss"]);
        for (_, image) in images {
            let size = image.size(self.scratch)?;
            let bytes = [size.file, size.stripped, size.sections.text, size.sections.data, size.sections.bss];
            table.row([image.name.to_owned()].into_iter().chain(bytes.map(|bytes| grouped(bytes as f64))));
        }
        Ok(table)
    }

    fn least_memory(&self, subjects: &[Subject<'_>]) -> Result<Table> {
        let enough = self.options.guest.memory;
        let machine = self.options.guest.machine.name();
        let mut table = Table::new(format!("least -m in MiB, -machine {machine}"), ["until", "MiB"]);
        for subject in subjects {
            eprintln!("bench: least memory for {}", subject.name);
            let (usual, _) = self.boot(subject, enough, BOOT_LIMIT).with_context(|| subject.name.clone())?;
            // A guest without enough memory may hang; one with just enough may be slow.
            let limit = usual * 4 + Duration::from_secs(2);
            let least = memory::least(enough, |memory| Ok(self.boot(subject, memory, limit).is_ok()))?;
            table.row([subject.name.clone(), least.to_string()]);
        }
        Ok(table)
    }

    fn echo(&self) -> Echo {
        if self.options.guest.verbose { Echo::Printed } else { Echo::Silent }
    }

    fn circumstances(&self) -> String {
        let GuestOptions { machine, memory, .. } = &self.options.guest;
        format!("-machine {} -m {memory} -smp {}", machine.name(), self.options.cores)
    }
}

impl Sign {
    /// Names what is measured: who, until what.
    fn describe(&self, who: &str) -> String {
        match self {
            Self::Line(line) => format!("{who}: \"{line}\""),
            Self::Answer(_) => format!("{who}: first answer"),
        }
    }
}
