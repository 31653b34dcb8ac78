//! Cores that talk to each other: every kind of message there is in `toro::message`, and what comes of it.
//!
//! ```text
//!   cargo xtask run inter-core --cpus 4
//! ```
//!
//! The same function runs on every core, with that core's member of one group. What the cores have to say is gathered by
//! the member 0, which prints it, so that the output is the same at every run.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use toro::io;
use toro::message::{self, CollectiveError, Member, ReceiveError};

toro::entry!(main);

/// Messages under way between each two cores. One is enough for everything below.
const CAPACITY: usize = 1;

/// Nothing here takes long; a core that waits for so long waits for something that will not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What went wrong; printed before the machine ends with status 1.
#[derive(Debug)]
#[expect(dead_code, reason = "printed by `Debug`")]
enum Failure {
    Start(io::Error),
    Bus(CollectiveError),
    Ring(ReceiveError),
}

impl From<CollectiveError> for Failure {
    fn from(error: CollectiveError) -> Self {
        Self::Bus(error)
    }
}

fn main() -> Result<(), Failure> {
    toro::println!("inter-core: {} cores", toro::core::count());
    let results = message::on_every_core(CAPACITY, talk).map_err(Failure::Start)?;
    results.into_iter().collect()
}

/// What each core does.
fn talk(mut member: Member<u64>) -> Result<(), Failure> {
    member.set_timeout(Some(PATIENCE));
    let member = &mut member;
    pass_round(member)?;
    ask_everybody(member)?;

    let (me, size) = (member.rank() as u64, member.size() as u64);
    let is_first = member.rank() == 0;

    let word = member.broadcast(0, is_first.then_some(42))?;
    report("broadcast: every core has heard", member, word)?;

    let pieces = is_first.then(|| (0..size).map(|piece| 10 * piece).collect());
    let piece = member.scatter(0, pieces)?;
    report("scatter: the cores have got", member, piece)?;

    let sum = member.reduce(0, me + 1, |a, b| a + b)?;
    if let Some(sum) = sum {
        toro::println!("reduce: the sum of 1 to {size} is {sum}");
    }
    let most = member.all_reduce(me * me, u64::max)?;
    report("all_reduce: the greatest square is, as every core knows,", member, most)?;

    member.barrier()?;
    if is_first {
        toro::println!("barrier: all have come");
    }
    Ok(())
}

/// A number goes from core to core and back to the first; each adds its own.
fn pass_round(member: &mut Member<u64>) -> Result<(), Failure> {
    let (me, size) = (member.rank(), member.size());
    if size == 1 {
        toro::println!("ring: there is nobody else");
        return Ok(());
    }
    let (last, next) = ((me + size - 1) % size, (me + 1) % size);
    // What cannot be sent is missed by whoever waits for it, who says so.
    if me == 0 {
        let _ = member.send(next, 1);
        let number = member.receive(last).map_err(Failure::Ring)?;
        toro::println!("ring: the number has seen {size} cores and is {number}");
    } else {
        let number = member.receive(last).map_err(Failure::Ring)?;
        let _ = member.send(next, number + me as u64 + 1);
    }
    Ok(())
}

/// The first core hears all others, in whatever order they speak, and answers each.
fn ask_everybody(member: &mut Member<u64>) -> Result<(), Failure> {
    if member.rank() > 0 {
        let _ = member.send(0, member.rank() as u64);
        let answer = member.receive(0).map_err(Failure::Ring)?;
        assert_eq!(answer, 2 * member.rank() as u64);
        return Ok(());
    }
    let mut heard = Vec::new();
    for _ in 1..member.size() {
        let (from, value) = member.receive_any().map_err(Failure::Ring)?;
        let _ = member.send(from, 2 * value);
        heard.push(from);
    }
    heard.sort_unstable();
    toro::println!("receive_any: the first core has heard and answered {heard:?}");
    Ok(())
}

/// Lets the first core print the values of all.
fn report(what: &str, member: &mut Member<u64>, value: u64) -> Result<(), Failure> {
    if let Some(values) = member.gather(0, value)? {
        toro::println!("{what} {values:?}");
    }
    Ok(())
}
