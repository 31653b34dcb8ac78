//! What a read of a disk costs, beside Linux in the same machine.
//!
//! Two programs read the same disks in the same way: `kernel/examples/block-bench.rs` on Toro's block layer, and `lbench`
//! on Linux, with `O_DIRECT` and, for several reads in flight, its native asynchronous I/O; so neither has a cache, and
//! both have a queue. [`case`] has the list of what is done on which devices.
//!
//! Each guest is booted twice per repetition: under the counting plugin for instructions and accesses to registers, and
//! without it for times, which are the guest's own. All that the one processor executes between the markers counts, its
//! interrupts and its idle loop included. [`report`] says how guests report.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::counters::Plugin;
use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::linux::Linux;
use crate::machine::{ANY_CPU, Accel, Card, Pace, Setup, System};
use crate::options;
use crate::report::{self, Counts, Line};
use crate::scratch::Scratch;
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;
use crate::toro;

mod case;

use case::{Device, Operation, Store};

/// The program on Toro.
const EXAMPLE: &str = "block-bench";
/// How long a guest may take for all operations.
const LIMIT: Duration = Duration::from_secs(300);
/// Bytes of the file in /dev/shm.
const FILE_BYTES: usize = 128 << 20;

/// Options of `bench block`.
#[derive(Args, Debug)]
pub struct Options {
    /// Measure only these devices
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DEVICES")]
    devices: Vec<Device>,
    /// Read only from these
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STORES")]
    stores: Vec<Store>,
    /// Measure only these operations
    #[arg(long, value_enum, value_delimiter = ',', value_name = "OPERATIONS")]
    operations: Vec<Operation>,
    /// Boots of each guest per figure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Accelerator; instructions are always counted under tcg
    #[arg(long, value_enum, default_value = "tcg")]
    accel: Accel,
    /// Memory of each guest in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    memory: u32,
    /// Work directory of a Linux guest to compare with (see tests/bench/README.md)
    #[arg(long, value_name = "DIR")]
    linux_baseline: Option<PathBuf>,
    /// Print the QEMU command lines
    #[arg(long)]
    verbose: bool,
}

/// Which guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Toro,
    Linux,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Toro => "toro",
            Self::Linux => "linux",
        }
    }
}

/// What has been measured of an operation.
#[derive(Clone, Default)]
struct Measured {
    instructions: Samples,
    accesses: Samples,
    ports: Samples,
    nanoseconds: Samples,
}

/// One row of each table.
struct Row {
    device: Device,
    store: Store,
    operation: Operation,
    /// Of each guest, in the order of [`Bench::guests`].
    results: Vec<Measured>,
}

struct Bench<'a> {
    options: &'a Options,
    operations: Vec<Operation>,
    guests: Vec<Who>,
    linux: Option<Linux>,
    image: Image,
    file: PathBuf,
    rows: Vec<Row>,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
///
/// A tool is missing, or a guest does not do what it is told.
pub fn run(options: &Options) -> Result<()> {
    let linux = options.linux_baseline.as_deref().map(Linux::open).transpose()?;
    let (scratch, shm) = (Scratch::new()?, Scratch::in_memory()?);
    let file = shm.path().join("disk");
    std::fs::write(&file, noise(FILE_BYTES)).with_context(|| format!("cannot write {}", file.display()))?;
    let mut bench = Bench::new(options, linux, Image::build(EXAMPLE)?, file);
    let plugin = Plugin::build(scratch.path())?;
    for run in 1..=options.repeat {
        for device in chosen(&options.devices) {
            for store in chosen(&options.stores) {
                eprintln!("bench: {}, {}, run {run} of {}", device.title(), store.title(), options.repeat);
                for index in 0..bench.guests.len() {
                    bench.count(index, device, store, &plugin)?;
                    bench.time(index, device, store)?;
                }
            }
        }
    }
    println!("{}", options::heading());
    println!("{}", bench.instructions());
    println!("{}", bench.registers());
    println!("{}", bench.times());
    Ok(())
}

/// What was asked for, or everything.
fn chosen<T: ValueEnum + PartialEq>(asked: &[T]) -> Vec<T> {
    T::value_variants().iter().filter(|value| asked.is_empty() || asked.contains(value)).cloned().collect()
}

/// Bytes that no file system can leave out.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(bytes / 8).flatten().collect()
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options, linux: Option<Linux>, image: Image, file: PathBuf) -> Self {
        let guests = [Some(Who::Toro), linux.as_ref().map(|_| Who::Linux)].into_iter().flatten().collect::<Vec<_>>();
        let operations = chosen(&options.operations);
        let mut rows = Vec::new();
        for device in chosen(&options.devices) {
            for store in chosen(&options.stores) {
                rows.extend(operations.iter().map(|operation| Row {
                    device,
                    store,
                    operation: *operation,
                    results: vec![Measured::default(); guests.len()],
                }));
            }
        }
        Self { options, operations, guests, linux, image, file, rows }
    }

    fn system(&self, who: Who, device: Device, is_counted: bool) -> Result<System> {
        match who {
            Who::Toro => {
                let words = case::toro_run(device, &self.operations, is_counted);
                Ok(toro::system(&self.image.path, device.machine(), None, &words))
            }
            Who::Linux => {
                let linux = self.linux.as_ref().context("no Linux to boot")?;
                Ok(linux.program(&case::linux_run(device, &self.operations, is_counted)))
            }
        }
    }

    /// Boots a guest and waits until it has done all operations.
    fn boot(
        &self,
        who: Who,
        device: Device,
        store: Store,
        counted: Option<&Plugin>,
    ) -> Result<(Vec<Line>, Vec<Counts>)> {
        let counters = counted.map(|plugin| plugin.marks_and_accesses(who.name())).transpose()?;
        let disk = device.disk(store, &self.file);
        let setup = Setup {
            machine: device.machine(),
            accel: if counters.is_some() { Accel::Tcg } else { self.options.accel },
            cpu: ANY_CPU,
            vcpus: 1,
            pace: Pace::Host,
            memory: self.options.memory,
            links: &[],
            card: Card::Virtio,
            share: None,
            disk: Some(&disk),
            counters: counters.as_ref(),
        };
        let echo = if self.options.verbose { Echo::Printed } else { Echo::Silent };
        let mut guest = Guest::start(who.name(), &self.system(who, device, counters.is_some())?, &setup, echo)?;
        guest.wait_line(report::END, LIMIT)?;
        let lines = Line::parse_all(guest.console()).with_context(|| who.name())?;
        ensure!(
            lines.len() == self.operations.len()
                && lines.iter().zip(&self.operations).all(|(line, operation)| line.name == operation.name()),
            "{} did something else:\n{}",
            who.name(),
            guest.console()
        );
        let counts = match &counters {
            Some(counters) => Counts::between(&counters.read_marks()?).with_context(|| who.name())?,
            None => Vec::new(),
        };
        Ok((lines, counts))
    }

    /// Adds instructions and accesses of one boot.
    fn count(&mut self, index: usize, device: Device, store: Store, plugin: &Plugin) -> Result<()> {
        let (lines, counts) = self.boot(self.guests[index], device, store, Some(plugin))?;
        ensure!(lines.len() == counts.len(), "{} results but {} pairs of markers", lines.len(), counts.len());
        for (measured, (line, counts)) in self.measured(index, device, store).zip(lines.iter().zip(counts)) {
            measured.instructions.push(counts.instructions / line.times);
            measured.accesses.push(counts.accesses / line.times);
            measured.ports.push(counts.ports / line.times);
        }
        Ok(())
    }

    /// Adds times of one boot.
    fn time(&mut self, index: usize, device: Device, store: Store) -> Result<()> {
        let (lines, _) = self.boot(self.guests[index], device, store, None)?;
        for (measured, line) in self.measured(index, device, store).zip(lines) {
            measured.nanoseconds.push(line.nanoseconds / line.times);
        }
        Ok(())
    }

    /// Where results of one boot belong, in the order of operations.
    fn measured(&mut self, index: usize, device: Device, store: Store) -> impl Iterator<Item = &mut Measured> {
        let rows = self.rows.iter_mut().filter(move |row| row.device == device && row.store == store);
        rows.map(move |row| &mut row.results[index])
    }

    fn instructions(&self) -> Table {
        let mut table = self.table("guest instructions per read", Some("wanted"));
        for row in &self.rows {
            let aim = row.operation.aim(row.device).map_or(String::new(), |aim| format!("<= {aim:.2}x"));
            let compared =
                self.compared(row, |measured| measured.instructions.show(grouped), |m| m.instructions.median());
            table.row(row.heads().into_iter().chain(compared).chain([aim]));
        }
        table
    }

    /// Memory-mapped registers and ports, `0.1 + 26.0`.
    fn registers(&self) -> Table {
        let mut table = self.table("accesses to registers per read, in memory + by ports", None);
        for row in &self.rows {
            let show =
                |measured: &Measured| format!("{:.2} + {:.2}", measured.accesses.median(), measured.ports.median());
            let compared = self.compared(row, show, |m| m.accesses.median() + m.ports.median());
            table.row(row.heads().into_iter().chain(compared));
        }
        table
    }

    fn times(&self) -> Table {
        let mut table = self.table("microseconds per read", None);
        for row in &self.rows {
            let show = |measured: &Measured| measured.nanoseconds.show(|value| format!("{:.1}", value / 1000.0));
            let compared = self.compared(row, show, |m| m.nanoseconds.median());
            table.row(row.heads().into_iter().chain(compared));
        }
        table
    }

    fn table(&self, what: &str, last: Option<&'static str>) -> Table {
        let Options { repeat, memory, accel, .. } = self.options;
        let accel = if *accel == Accel::Kvm { "kvm" } else { "tcg" };
        let boots = if *repeat == 1 { "one boot".to_owned() } else { format!("{repeat} boots") };
        let title = format!("{what}; {boots} of each guest, -cpu {ANY_CPU} -m {memory} -accel {accel}, one vCPU");
        let names = self.guests.iter().map(|who| who.name());
        let comparison = (self.guests.len() > 1).then_some("toro / linux");
        Table::new(title, ["device", "disk", "read"].into_iter().chain(names).chain(comparison).chain(last))
    }

    /// The cells of a row: a figure of each guest, and the ratio where there are two.
    fn compared(
        &self,
        row: &Row,
        show: impl Fn(&Measured) -> String,
        figure: impl Fn(&Measured) -> f64,
    ) -> Vec<String> {
        let compared = match &row.results[..] {
            [toro, linux] => Some(ratio(figure(toro), figure(linux))),
            _ => None,
        };
        row.results.iter().map(show).chain(compared).collect()
    }
}

impl Row {
    fn heads(&self) -> [String; 3] {
        [self.device.title(), self.store.title(), self.operation.title()].map(str::to_owned)
    }
}
