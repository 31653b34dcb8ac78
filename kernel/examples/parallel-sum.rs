//! A sum over a large range, split over the cores: what several cores are worth for pure computation.
//!
//! ```text
//!   cargo xtask run parallel-sum --cpus 2 --append "n=67108864"
//! ```
//!
//! Each core adds up a hash of every number of its part of `0..n`, so that there is nothing that the compiler could work
//! out beforehand, and the parts are as long as each other to the number. The cores share nothing while they compute;
//! their sums are combined by a reduction.
//!
//! | word | meaning | default |
//! |---|---|---|
//! | `n=` | how many numbers | 2^26 |
//! | `cores=` | how many cores compute, from the first on | one, and then all |
//! | `rounds=` | how often; the shortest time counts | 3 |
//!
//! For each number of cores there is a line for people and programs, time in nanoseconds:
//!
//! ```text
//! parallel-sum: n=67108864 cores=2 ns=10411023 result=0x9b1f3c8e0a7d5524
//! ```
//!
//! The time is the first core's, from one barrier to the result. A core that computes yields now and then, as a thread
//! should.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use core::ops::Range;

use toro::core as cores;
use toro::message::{self, CollectiveError, Member};
use toro::thread;
use toro::time::{Duration, Instant};

toro::entry!(main);

/// Numbers between two yields: a millisecond or so.
const STRETCH: u64 = 1 << 18;

fn main() -> Result<(), String> {
    let n = word("n", 1..=u64::MAX)?.unwrap_or(1 << 26);
    let rounds = word("rounds", 1..=1000)?.unwrap_or(3);
    let all = cores::count();
    match word("cores", 1..=all as u64)? {
        Some(count) => measure(n, count as usize, rounds).map(drop),
        None if all == 1 => measure(n, 1, rounds).map(drop),
        None => {
            let (one, many) = (measure(n, 1, rounds)?, measure(n, all, rounds)?);
            if one == many { Ok(()) } else { Err(alloc::format!("{one:#x} on one core, {many:#x} on {all}")) }
        }
    }
}

/// A number on the command line.
fn word(name: &str, allowed: core::ops::RangeInclusive<u64>) -> Result<Option<u64>, String> {
    let Some(text) = toro::env::option(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    let expected = || alloc::format!("{name}={text}: expected a number from {} to {}", allowed.start(), allowed.end());
    number.map(Some).ok_or_else(expected)
}

/// Computes the sum on the first `count` cores, `rounds` times; prints the line and gives the sum.
fn measure(n: u64, count: usize, rounds: u64) -> Result<u64, String> {
    let group = message::group(count, 1).into_iter().zip(cores::all());
    let result = thread::scope(|scope| {
        let start = |(member, core)| scope.spawn_on(core, move || work(member, n, rounds));
        let threads = group.map(start).collect::<toro::io::Result<alloc::vec::Vec<_>>>();
        let threads = threads.map_err(|error| alloc::format!("no thread: {error}"))?;
        let mut results = threads.into_iter().filter_map(|thread| thread.join().ok()?.transpose());
        results.next().ok_or("nobody has the result")?.map_err(|error| alloc::format!("{error}"))
    });
    let (sum, time): (u64, Duration) = result?;
    toro::println!("parallel-sum: n={n} cores={count} ns={} result={sum:#018x}", time.as_nanos());
    Ok(sum)
}

/// One core's part; the first core's answer is the sum and the shortest time.
fn work(mut member: Member<u64>, n: u64, rounds: u64) -> Result<Option<(u64, Duration)>, CollectiveError> {
    let mut best = None;
    for _ in 0..rounds {
        member.barrier()?;
        let start = Instant::now();
        let own = sum(part(n, member.rank() as u64, member.size() as u64));
        let total = member.reduce(0, own, u64::wrapping_add)?;
        let time = start.elapsed();
        best = total.map(|total| (total, best.map_or(time, |(_, before): (u64, Duration)| before.min(time))));
    }
    Ok(best)
}

/// The part `index` of `0..n` in `count` parts, whose lengths differ by one at most.
fn part(n: u64, index: u64, count: u64) -> Range<u64> {
    let (length, rest) = (n / count, n % count);
    let start = index * length + index.min(rest);
    start..start + length + u64::from(index < rest)
}

/// The sum of the hashes of `numbers`, modulo 2^64.
fn sum(numbers: Range<u64>) -> u64 {
    let mut sum = 0_u64;
    let mut next = numbers.start;
    while next < numbers.end {
        let end = numbers.end.min(next.saturating_add(STRETCH));
        sum = (next..end).fold(sum, |sum, number| sum.wrapping_add(hash(number)));
        next = end;
        thread::yield_now();
    }
    sum
}

/// Mixes the bits of a number (the last step of SplitMix64).
fn hash(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
