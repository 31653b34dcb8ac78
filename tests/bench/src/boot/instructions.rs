//! Guest instructions from the image's first to `main`, to an address on the network, to the first answer; and where they go.
//!
//! The kernel executes marks as it comes along, which the counting plugin knows, so the table of phases has what lies
//! between two of them: instructions executed, accesses to devices, and blocks that QEMU had not translated before. Under
//! emulation the last is what time goes with, as most of a boot is executed once.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{App, Bench, Sign};
use crate::counters::{Counters, Mark, Plugin};
use crate::guest::Guest;
use crate::image::Image;
use crate::machine::{ANY_CPU, Accel, Card, Pace, Setup};
use crate::network::Link;
use crate::share::Virtiofsd;
use crate::stats::grouped;
use crate::table::Table;
use crate::toro;

/// How long it may take to reach `main`, or an answer, under the counting plugin.
const COUNT_LIMIT: Duration = Duration::from_secs(60);

/// What ends at each of the kernel's marks (`kernel/src/arch/x86_64/milestone.rs`), in the order of the boot.
const PHASES: [(u16, &str); 11] = [
    (0x100, ".bss, early page tables"),
    (0x101, "console, fault handlers"),
    (0x102, "memory map, frames, heap"),
    (0x103, "page tables"),
    (0x104, "firmware tables"),
    (0x105, "interrupt controllers"),
    (0x106, "clock"),
    (0x107, "other cores"),
    (0x108, "scheduler, first thread"),
    (0x109, "buses, drivers"),
    (0x10A, "file systems"),
];
/// The mark of the first IPv4 address.
const NETWORK: u16 = 0x10B;

/// What one boot counted.
struct Count {
    /// Before the image's first instruction: the firmware's.
    firmware: u64,
    /// Before the application's `main`.
    main: u64,
    /// Before the first right answer had arrived.
    answer: Option<u64>,
    marks: Vec<Mark>,
}

impl Count {
    fn network(&self) -> Option<u64> {
        self.marks.iter().find(|mark| mark.number == NETWORK).map(Mark::executed)
    }
}

/// Boots each application under the plugin; the table of sums, and of each application's phases.
///
/// # Errors
///
/// The plugin cannot be compiled, or an application does not get as far as it should.
pub fn tables(bench: &Bench<'_>, images: &[(App, Image)], link: &Link) -> Result<Vec<Table>> {
    let plugin = Plugin::build(bench.scratch)?;
    let circumstances = bench.circumstances();
    let mut sums = Table::new(
        format!("guest instructions, {circumstances}"),
        ["image", "firmware, to the entry", "entry to main", "to an address", "to the first answer"],
    );
    let mut tables = Vec::new();
    for (app, image) in images {
        let count = count(bench, &plugin, *app, image, link).with_context(|| image.name.to_owned())?;
        let from_entry = |at: Option<u64>| at.map_or(f64::NAN, |at| at.saturating_sub(count.firmware) as f64);
        let cells = [Some(count.main), count.network(), count.answer].map(|at| grouped(from_entry(at)));
        sums.row([image.name.to_owned(), grouped(count.firmware as f64)].into_iter().chain(cells));
        tables.push(phases(&format!("{}, entry to main by phases, {circumstances}", image.name), &count)?);
    }
    tables.insert(0, sums);
    Ok(tables)
}

fn count(bench: &Bench<'_>, plugin: &Plugin, app: App, image: &Image, link: &Link) -> Result<Count> {
    let options = &bench.options.guest;
    let milestones = image.milestones()?;
    let counters = plugin.milestones(image.name, &[milestones.entry, milestones.main])?;
    let link = app.link(link);
    let share = link.map(|_| Virtiofsd::start(bench.scratch, "count", &bench.share, options.cache)).transpose()?;
    let setup = Setup {
        machine: options.machine,
        accel: Accel::Tcg,
        cpu: ANY_CPU,
        vcpus: bench.options.cores,
        pace: Pace::Host,
        memory: options.memory,
        links: link.as_slice(),
        card: Card::Virtio,
        share: share.as_ref(),
        disk: None,
        counters: Some(&counters),
    };
    let system = toro::system(&image.path, options.machine, link, &options.append);
    let mut guest = Guest::start(image.name, &system, &setup, bench.echo())?;
    let (firmware, main) = wait_main(&counters)?;
    let answer = match (app.sign(), link) {
        (Sign::Answer(path), Some(link)) => {
            guest.wait_answer(link.server(), &path, &bench.body, COUNT_LIMIT)?;
            Some(counters.read()?.instructions)
        }
        _ => None,
    };
    // The guest goes before its share, and before the marks are read: all of them are there then.
    drop(guest);
    Ok(Count { firmware, main, answer, marks: counters.read_milestones()? })
}

/// Instructions before the image's first and before those of `main`, once that has been reached.
fn wait_main(counters: &Counters) -> Result<(u64, u64)> {
    let deadline = Instant::now() + COUNT_LIMIT;
    loop {
        thread::sleep(Duration::from_millis(20));
        match counters.read().map(|reading| reading.watched) {
            Ok([Some(entry), Some(main), ..]) => return Ok((entry, main)),
            Err(error) if Instant::now() > deadline => return Err(error),
            Ok(_) if Instant::now() > deadline => bail!("it never came to its main"),
            Ok(_) | Err(_) => {}
        }
    }
}

fn phases(title: &str, count: &Count) -> Result<Table> {
    let mut table = Table::new(
        title,
        ["phase", "instructions", "register accesses", "port accesses", "blocks translated", "instructions in them"],
    );
    let mut before = Mark { instructions: [0; _], ..count.marks.first().context("no mark was reached")?.clone() };
    let mut executed = count.firmware;
    for (index, (number, name)) in PHASES.into_iter().enumerate() {
        let mark = count.marks.iter().find(|mark| mark.number == number);
        let mark = mark.with_context(|| format!("the mark behind \"{name}\" was not reached"))?;
        let counts = [
            mark.executed().saturating_sub(executed),
            mark.accesses.saturating_sub(before.accesses),
            mark.ports.saturating_sub(before.ports),
            mark.blocks.saturating_sub(before.blocks),
            mark.translated.saturating_sub(before.translated),
        ];
        // The firmware has no mark, so of the first phase only the instructions are known.
        let known = if index == 0 { 1 } else { counts.len() };
        table.row([name.to_owned()].into_iter().chain(counts.iter().take(known).map(|count| grouped(*count as f64))));
        (executed, before) = (mark.executed(), mark.clone());
    }
    Ok(table)
}
