//! Booting: how long, how many instructions, how large, in how little memory.
//!
//! Times run from the start of the QEMU process, so they hold QEMU's own start and the firmware. Instructions are
//! counted apart: those of the firmware, up to the first of the image, and those from there to the first of the
//! application's `main`, found by their addresses in the image.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::counters::Plugin;
use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::linux::{self, Linux};
use crate::machine::{ANY_CPU, Accel, Card, Pace, Setup, System};
use crate::network::{Link, Netdev};
use crate::options::{self, GuestOptions};
use crate::scratch::Scratch;
use crate::share::{self, FILE_NAME, Virtiofsd};
use crate::stats::{Samples, grouped};
use crate::table::Table;
use crate::{memory, toro};

/// The line that `hello` prints, or what it begins with.
const HELLO_LINE: &str = "hello";
/// Size of the file that is fetched first.
const BODY_SIZE: usize = 4096;
/// How long a boot may take.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to reach `main` under the counting plugin.
const COUNT_LIMIT: Duration = Duration::from_secs(60);

/// Parts of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Wall time to the first line and to the first answer
    Times,
    /// Instructions from entry to main
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
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sizes,times,instructions,memory")]
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
        let table = match part {
            Part::Times => bench.times(&subjects)?,
            Part::Instructions => bench.instructions(&images, &link)?,
            Part::Sizes => bench.sizes(&images)?,
            Part::Memory => bench.least_memory(&subjects)?,
        };
        println!("{table}");
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
            vcpus: 1,
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

    fn instructions(&self, images: &[(App, Image)], link: &Link) -> Result<Table> {
        let guest_options = &self.options.guest;
        let plugin = Plugin::build(self.scratch)?;
        let title = format!("guest instructions, {}", self.circumstances());
        let mut table = Table::new(title, ["image", "firmware, to the entry", "entry to main"]);
        for (app, image) in images {
            let milestones = image.milestones()?;
            let counters = plugin.counters(image.name, &[milestones.entry, milestones.main])?;
            let link = app.link(link);
            let share =
                link.map(|_| Virtiofsd::start(self.scratch, "count", &self.share, guest_options.cache)).transpose()?;
            let setup = Setup {
                machine: guest_options.machine,
                accel: Accel::Tcg,
                cpu: ANY_CPU,
                vcpus: 1,
                pace: Pace::Host,
                memory: guest_options.memory,
                links: link.as_slice(),
                card: Card::Virtio,
                share: share.as_ref(),
                disk: None,
                counters: Some(&counters),
            };
            let system = toro::system(&image.path, guest_options.machine, link, &guest_options.append);
            let guest = Guest::start(image.name, &system, &setup, self.echo())?;
            let deadline = Instant::now() + COUNT_LIMIT;
            let (entry, main) = loop {
                thread::sleep(Duration::from_millis(20));
                match counters.read().map(|reading| reading.watched) {
                    Ok([Some(entry), Some(main), ..]) => break (entry, main),
                    Err(error) if Instant::now() > deadline => return Err(error),
                    Ok(_) if Instant::now() > deadline => bail!("{} never came to its main", image.name),
                    Ok(_) | Err(_) => {}
                }
            };
            drop(guest);
            table.row([image.name.to_owned(), grouped(entry as f64), grouped((main - entry) as f64)]);
        }
        Ok(table)
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
        format!("-machine {} -m {memory}", machine.name())
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
