//! `bench block-host`: our disk driver beside libblkio, in one process and against the same daemon.
//!
//! ```text
//!   this process, core 0                                  qemu-storage-daemon, core 1
//!   VirtioBlk over VhostUser          --vhost-user-->     null-co, or a file in /dev/shm
//!   blkio, virtio-blk-vhost-user      --vhost-user-->     the same
//! ```
//!
//! Reads of 4 KiB at random places, one queue of 256 descriptors, so many in flight. Both sides poll: they ask for no
//! interrupts, and look at the used ring until something is finished, ours with pauses ([`toro_core::Pace`]), libblkio's, as it
//! is, without. Whatever is finished then is taken out at once, as many new requests are put in, and shown to the device together. Nothing is copied, and both use buffers again; the
//! answer of every request is looked at.
//!
//! # Fairness
//!
//! The contenders take turns, each with a daemon of its own that is started for the turn, so that neither has a lucky
//! one. A machine that others use as well has fast and slow minutes: a ratio is the median of the ratios of neighbouring
//! turns, and worth more than the figures beside it. What a read costs the daemon, in time that it runs, depends least on
//! who else does: it tells whether one driver's way of laying out requests is dearer for the device than the other's.

mod contender;
mod libblkio;
mod ours;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use vhost_user_tests::{Access, Backing, Daemon, Disk};

use self::contender::{Contender, Load, Who};
use crate::options::{heading, rerun_optimised};
use crate::processors::pin;
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;

/// What is measured.
#[derive(Args)]
#[command(after_long_help = "\
IOPS: reads of 4 KiB per second, the median of the turns. ratio: ours / libblkio's, above 1.00x we are faster.
served: nanoseconds of processor time that a read of ours, and one of libblkio's, costs the daemon.")]
pub struct Options {
    /// How many turns each contender has in each case
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Length of a turn in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    length: u64,
    /// Only run one contender, against the first disk with 32 requests in flight: for callgrind, perf, a debugger
    #[arg(long, value_enum, hide = true)]
    only: Option<Who>,
    /// So many requests, instead of a time
    #[arg(long, hide = true)]
    requests: Option<u64>,
}

/// Bytes that a disk has: small enough to be filled in no time, and larger than a cache.
const BYTES: u64 = 64 << 20;
/// What comes before a turn is measured.
const WARM_UP: u64 = 2000;

/// A disk, by name.
fn disks() -> Vec<(&'static str, Backing)> {
    let file = |aio| Backing::File { bytes: BYTES, directory: Some(PathBuf::from("/dev/shm")), aio };
    vec![
        ("null-co", Backing::Null { bytes: BYTES }),
        ("file in /dev/shm, aio=threads", file("threads")),
        ("file in /dev/shm, aio=io_uring", file("io_uring")),
    ]
}

/// Measures and prints.
///
/// # Errors
///
/// A driver does not start, or a read fails.
pub fn run(options: &Options) -> Result<()> {
    rerun_optimised()?;
    let length = Duration::from_millis(options.length);
    if let Some(who) = options.only {
        let load = options.requests.map_or(Load::For(length), Load::Requests);
        return turn(who, &disks()[0].1, 32, load).map(drop);
    }
    println!("{}", heading());
    let heads = ["disk", "in flight", "ours IOPS", "libblkio IOPS", "ratio", "served ours", "libblkio"];
    let mut table = Table::new("Random reads of 4 KiB, polled", heads);
    for (name, backing) in disks() {
        for depth in [32, 1] {
            let (mut ours, mut theirs, mut ratios) = <(Samples, Samples, Samples)>::default();
            let (mut served, mut served_theirs) = <(Samples, Samples)>::default();
            for number in 0..options.turns {
                // Who begins changes from turn to turn.
                let mut order = Who::BOTH;
                order.rotate_left(number as usize % 2);
                let mut turns = [Turn::default(); 2];
                for who in order {
                    turns[who as usize] = turn(who, &backing, depth, Load::For(length))
                        .with_context(|| format!("{who:?} on {name} with {depth} in flight"))?;
                }
                let [our, their] = turns;
                ours.push(our.speed);
                theirs.push(their.speed);
                ratios.push(our.speed / their.speed);
                served.push(our.served);
                served_theirs.push(their.served);
            }
            table.row([
                name.to_owned(),
                depth.to_string(),
                ours.show(grouped),
                theirs.show(grouped),
                format!("{} [{:.2}..{:.2}]", ratio(ratios.median(), 1.0), ratios.min(), ratios.max()),
                grouped(served.median()),
                grouped(served_theirs.median()),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

/// What one turn of one contender gives.
#[derive(Clone, Copy, Default)]
struct Turn {
    /// Requests per second.
    speed: f64,
    /// What a request costs the daemon, in nanoseconds of processor time.
    served: f64,
}

fn turn(who: Who, backing: &Backing, depth: u32, load: Load) -> Result<Turn> {
    // What is started has the cores of who starts it.
    pin(1);
    let disk = Disk { backing: backing.clone(), queues: 1, access: Access::Writable, requests_per_second: None };
    let daemon = Daemon::storage(&disk);
    pin(0);
    if let Some(path) = daemon.disk() {
        std::fs::write(path, vec![0x5a; BYTES as usize]).context("cannot fill the disk")?;
    }
    let mut contender: Box<dyn Contender> = match who {
        Who::Ours => Box::new(ours::Ours::new(&daemon.socket(), depth)?),
        Who::Libblkio => Box::new(libblkio::Libblkio::new(&daemon.socket(), depth)?),
    };
    contender.read(Load::Requests(WARM_UP))?;
    let before = daemon.processor_time();
    let run = contender.read(load)?;
    let served = daemon.processor_time().saturating_sub(before).as_nanos() as f64;
    let requests = run.requests as f64;
    Ok(Turn { speed: requests / run.elapsed.as_secs_f64(), served: served / requests })
}
