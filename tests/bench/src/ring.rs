//! `bench ring`: our virtqueue beside two others, in one process and one run.
//!
//! ```text
//!   ring_driver_send     submit a batch, show it to the device, look whether it wants a kick
//!   ring_device_serve    pop from the available ring, walk the chain, write to the used ring      same for all
//!   ring_driver_reap     take out what is finished
//! ```
//!
//! Every contender has a queue of 256 descriptors, which stays in the first-level cache. An operation is a chain of one
//! buffer, or of a header (16 bytes, written anew each time), a buffer and a status byte (set before, looked at after),
//! the latter also in a table of descriptors of its own (INDIRECT_DESC), which libblkio's queue does not know.
//! Buffers are not touched and nothing is copied: what differs is the drivers' own work. The number of written bytes is
//! part of what comes back, where the driver passes it on (libblkio's does not).
//!
//! # What a caller keeps
//!
//! Ours moves an owned buffer in and out of the queue, which costs a stack of buffers here. The others take an
//! address, so that the caller must keep what belongs to a completion; here that is a running number, since the
//! device completes in order, which is less than any real caller can do with. A real caller of theirs also
//! has to keep its buffers alive itself. The comparison leans to their side.
//!
//! # Times and instructions
//!
//! Contenders take turns, some 16,000 operations each, many times over. A time is the median of the turns and holds the
//! device's part; a ratio is the median of the ratios of neighbouring turns, which other load on the machine changes
//! less than it changes times. Instructions are the driver's alone ([`callgrind`]), calls of the two measured functions
//! included; a locked instruction counts as one, so look at both.

mod callgrind;
mod contender;
mod device;
mod drivers;
mod libblkio;
mod measure;
mod ours;

use anyhow::Result;
use clap::Args;

use self::callgrind::Side;
use self::contender::{Events, Shape, Who};
use self::measure::{Case, Cores, bout};
use crate::options::{heading, rerun_optimised};
use crate::scratch::Scratch;
use crate::stats::{Samples, ratio};
use crate::table::Table;

/// What is measured.
#[derive(Args)]
#[command(after_long_help = "\
ns: one operation, driver and device together; with two cores, what passes per operation at up to 64 in flight.
Ir: instructions that the driver executes for one operation, counted by callgrind.
Ratios are ours / theirs: below 1.00x we are faster.
libblkio is the crate virtio-driver, rCore is the crate virtio-drivers.
One table is one run; run it on a machine that does nothing else.")]
pub struct Options {
    /// Count instructions too, with valgrind
    #[arg(long)]
    callgrind: bool,
    /// How many turns each contender has
    #[arg(long, value_name = "N", default_value_t = 101, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Leave out the cases with the device on a core of its own
    #[arg(long)]
    one_core: bool,
    /// Only run one case of one contender: for callgrind, perf, a debugger
    #[arg(long, value_enum, hide = true)]
    only: Option<Who>,
    #[arg(long, value_enum, hide = true, default_value = "buffer")]
    shape: Shape,
    #[arg(long, hide = true, default_value_t = 32)]
    batch: u32,
    #[arg(long, value_enum, hide = true, default_value = "off")]
    events: Events,
    #[arg(long, hide = true, default_value_t = TURN)]
    operations: u32,
}

/// Operations in one turn.
const TURN: u32 = 16 * 1024;

/// The arguments that make this program run one case.
fn one_arguments(who: Who, case: Case, operations: u32) -> Vec<String> {
    use clap::ValueEnum;
    fn name(value: &impl ValueEnum) -> String {
        value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
    let (only, shape, events) = (name(&who), name(&case.shape), name(&case.events));
    let (batch, operations) = (case.batch.to_string(), operations.to_string());
    let words = ["ring", "--only", &only, "--shape", &shape, "--events", &events, "--batch", &batch];
    words.into_iter().chain(["--operations", &operations]).map(str::to_owned).collect()
}

fn cases(one_core: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for (cores, batches) in [(Cores::One, &[1, 32][..]), (Cores::Two, &[32])] {
        for &batch in batches {
            for shape in [Shape::Buffer, Shape::Request, Shape::Table] {
                for events in [Events::Off, Events::On] {
                    cases.push(Case { shape, batch, events, cores });
                }
            }
        }
    }
    cases.retain(|case| !one_core || case.cores == Cores::One);
    cases
}

/// Measures and prints.
///
/// # Errors
///
/// A driver does not start or loses something; no cargo, no valgrind.
pub fn run(options: &Options) -> Result<()> {
    rerun_optimised()?;
    if let Some(who) = options.only {
        let Options { shape, batch, events, operations, .. } = *options;
        bout(who, Case { shape, batch, events, cores: Cores::One })?.go(operations)?;
        return Ok(());
    }
    println!("{}", heading());
    let heads = ["case", "ours ns", "libblkio ns", "ratio", "rCore ns", "ratio"];
    let counted = ["ours Ir", "libblkio Ir", "ratio", "rCore Ir", "ratio", "device Ir"];
    let heads = heads.into_iter().chain(counted.into_iter().filter(|_| options.callgrind));
    let mut table = Table::new("Virtqueues of 256 descriptors, per operation", heads);
    for case in cases(options.one_core) {
        let mut row = vec![title(case)];
        row.extend(times(case, options.turns)?);
        if options.callgrind && case.cores == Cores::One {
            row.extend(instructions(case)?);
        }
        table.row(row);
    }
    println!("{table}");
    Ok(())
}

fn title(case: Case) -> String {
    let events = match case.events {
        Events::Off => "",
        Events::On => ", event_idx",
    };
    let where_ = match case.cores {
        Cores::One => format!("batch {}", case.batch),
        Cores::Two => "two cores".to_owned(),
    };
    format!("{}, {where_}{events}", case.shape)
}

/// What a column shows for a contender that has no such operation.
const ABSENT: &str = "-";

fn times(case: Case, turns: u32) -> Result<Vec<String>> {
    let bout = |who: Who| who.can(case.shape).then(|| bout(who, case)).transpose();
    let mut bouts = Who::ALL.map(bout).into_iter().collect::<Result<Vec<_>>>()?;
    let mut samples = [const { Vec::new() }; Who::ALL.len()];
    // The first turn is for the caches.
    for turn in 0..=turns {
        for (bout, samples) in bouts.iter_mut().zip(&mut samples) {
            let Some(bout) = bout else { continue };
            let time = bout.go(TURN)?;
            if turn > 0 {
                samples.push(time);
            }
        }
    }
    let [ours, peers @ ..] = &samples;
    let median = |samples: &[f64]| samples.iter().copied().collect::<Samples>().median();
    let mut cells = vec![format!("{:.1}", median(ours))];
    for theirs in peers {
        if theirs.is_empty() {
            cells.extend([ABSENT.to_owned(), ABSENT.to_owned()]);
            continue;
        }
        let against = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect::<Samples>();
        cells.extend([format!("{:.1}", median(theirs)), ratio(against.median(), 1.0)]);
    }
    Ok(cells)
}

fn instructions(case: Case) -> Result<Vec<String>> {
    let scratch = Scratch::new()?;
    let count = |who, side| callgrind::count(who, case, side, scratch.path());
    let ours = count(Who::Ours, Side::Driver)?;
    let mut cells = vec![format!("{ours:.1}")];
    for peer in [Who::Libblkio, Who::Drivers] {
        if !peer.can(case.shape) {
            cells.extend([ABSENT.to_owned(), ABSENT.to_owned()]);
            continue;
        }
        let theirs = count(peer, Side::Driver)?;
        cells.push(format!("{theirs:.1}"));
        cells.push(ratio(ours, theirs));
    }
    cells.push(format!("{:.1}", count(Who::Ours, Side::Device)?));
    Ok(cells)
}
