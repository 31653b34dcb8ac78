//! `bench litmus`: millions of round trips between two sides that sleep whenever they may.
//!
//! ```text
//!   driver, one core                            device, another core
//!   submit, wait for the moment, publish        take what is there, answer, show it
//!   kick if it is wanted          ---------->   interrupt if it is wanted       ------+
//!   take what is there; nothing:                nothing there:                        |
//!   arm; still nothing: sleep     <--------+    ask for kicks; still nothing: sleep   |
//!                                          +------------------------------------------+
//! ```
//!
//! Each side is woken by kicks and interrupts only, and only by those that the ring asks for. Between a store and a later
//! load no processor keeps the order by itself; if a fence is missing there, then sooner or later one side decides not to
//! wake the other in the very nanoseconds in which the other decides to sleep, and both sleep. So the driver aims: it
//! learns how long to wait until the device asks for kicks, and how long until the device completes ([`aim`]). One batch is
//! under way at a time, because a second one would wake whoever missed the first.
//!
//! A sleeper looks a few hundred times and then really sleeps, in the operating system ([`bell`]); every now and then it
//! does so at once. Whoever sleeps beyond all patience with work in the ring was not woken, which is the verdict.

mod aim;
mod bell;
mod sides;

use std::fmt;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;

use self::sides::{Census, Lost, Swallow, play};
use crate::options::{heading, rerun_optimised};
use crate::table::Table;

/// How much is tried.
#[derive(Args)]
#[command(after_long_help = "\
Exit status 1 if a side slept beyond all patience although there was work for it: a lost kick or a lost interrupt.
It wants two cores. They may be busy otherwise, which only makes a fault rarer.")]
pub struct Options {
    /// How many requests go to the device and back, by flags and as many by indices
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
}

/// How long a side may sleep beside work. Generous: a busy machine may take a side off its core meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the sides tell each other when to wake them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wishes {
    /// By a flag.
    Flags,
    /// By the index of a request (EVENT_IDX).
    Indices,
}

impl fmt::Display for Wishes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Flags { "flags" } else { "indices" })
    }
}

/// Runs and prints.
///
/// # Errors
///
/// A kick or an interrupt was lost; the driver does not start.
pub fn run(options: &Options) -> Result<()> {
    rerun_optimised()?;
    println!("{}", heading());
    let heads = ["wishes", "rounds", "kicks", "suppressed", "interrupts", "suppressed", "slept", "ns/round", "lost"];
    let mut table = Table::new("Round trips between two sides that sleep whenever they may", heads);
    let mut lost = None;
    for wishes in [Wishes::Flags, Wishes::Indices] {
        let (census, end) = play(wishes, options.rounds, PATIENCE, Swallow::NOTHING)?;
        table.row(row(wishes, &census, end));
        if let Some(what) = end {
            lost = Some(anyhow!("{what} was lost after {} rounds, wishes told by {wishes}", census.rounds));
            break;
        }
    }
    println!("{table}");
    lost.map_or(Ok(()), Err)
}

fn row(wishes: Wishes, census: &Census, end: Option<Lost>) -> Vec<String> {
    let Census { rounds, kicks, quiet_kicks, interrupts, quiet_interrupts, slept, elapsed } = *census;
    let mut cells = vec![wishes.to_string()];
    cells.extend([rounds, kicks, quiet_kicks, interrupts, quiet_interrupts, slept].map(|count| count.to_string()));
    cells.push(format!("{:.0}", elapsed.as_nanos() as f64 / rounds.max(1) as f64));
    cells.push(u8::from(end.is_some()).to_string());
    cells
}
