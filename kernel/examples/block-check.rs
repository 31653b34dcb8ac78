//! Writes a stamp to every sector of a disk, reads all of them, and says which are not what they should be.
//!
//! ```text
//!   cargo xtask run block-check --disk disk.img --append "size=64M depth=128 order=random"
//! ```
//!
//! A stamp has the number of the sector, a generation and a seed, at both of its ends (see `stamp.rs`): so a sector that
//! was not written, written elsewhere, written in part or spoilt is told from the others, and named. Requests have mixed
//! sizes, and many are in flight. **What was on the disk is lost**, unless the mode is `verify`.
//!
//! | word | meaning | default |
//! |---|---|---|
//! | `disk=` | which disk, such as `virtio-blk0` | the first |
//! | `mode=` | `write`, `verify`, `both`, or `cut`: see below | `both` |
//! | `start=`, `size=` | the part of the disk, in bytes; `K`, `M` and `G` are understood | 0, and all that follows |
//! | `depth=` | how many requests are in flight, on each core | 32 |
//! | `longest=` | the longest request, in bytes | 64K |
//! | `order=` | `sequential` or `random` | `sequential` |
//! | `cores=` | how many cores work, from the first on, each on a part of its own | all |
//! | `seed=`, `generation=` | what the stamps say | 1, 1 |
//! | `flush=` | flush after so many writes, while others are in flight; 0 is once at the end | 0 |
//! | `expect_errors=` | `A-B`: requests to these sectors have to fail, and no others | |
//!
//! Each request that fails is reported (`error at sector S`), as is each wrong sector. The last lines have the figures, and
//! `passed` or how much is wrong; the exit status is the verdict.
//!
//! # Cutting the power
//!
//! With `mode=cut` the first core writes the part of the disk again and again, one generation after the other, from its
//! first sector to its last. After every `flush=` writes it waits for all of them, flushes, and says what must be on the
//! disk from then on, whatever happens:
//!
//! ```text
//! flushed 3 2048         every sector before number 2048 has generation 3 or a later one, all others 2 or a later one
//! ```
//!
//! It ends after the word `generations=N` of them, or never.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "block-check/job.rs"]
mod job;
#[path = "block-check/pass.rs"]
mod pass;
#[path = "block-check/plan.rs"]
mod plan;
#[path = "block-check/stamp.rs"]
mod stamp;
#[path = "block-check/words.rs"]
mod words;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use job::{Job, Mode};
use pass::{Count, Direction, Pass};
use toro::core as cores;
use toro::thread::{self, ScopedJoinHandle};
use toro::time::Instant;

toro::entry!(main);

fn main() -> Result<(), String> {
    let job = Job::from_command_line()?;
    toro::println!("block-check: {job}");
    let problems = match job.mode {
        Mode::Cut => cut(&job)?,
        Mode::Write => all_cores(&job, Direction::Write)?,
        Mode::Verify => all_cores(&job, Direction::Verify)?,
        Mode::Both => all_cores(&job, Direction::Write)? + all_cores(&job, Direction::Verify)?,
    };
    if problems == 0 {
        toro::println!("passed");
        return Ok(());
    }
    Err(format!("{problems} problems"))
}

/// Goes once over the disk with all cores of the job, each with a part of its own; gives the number of problems.
fn all_cores(job: &Job, direction: Direction) -> Result<u64, String> {
    let start = Instant::now();
    let counts: Result<Vec<Count>, String> = thread::scope(|scope| {
        let threads = cores::all().take(job.cores).enumerate().map(|(number, core)| {
            let part = job.part(number);
            scope.spawn_on(core, move || Pass::new(job, direction, job.generation)?.run(part))
        });
        let threads: Vec<_> = threads.collect::<Result<_, _>>().map_err(|error| format!("no thread: {error}"))?;
        let join = |thread: ScopedJoinHandle<'_, _>| {
            let Ok(count) = thread.join();
            count
        };
        threads.into_iter().map(join).collect()
    });
    let total = counts?.into_iter().fold(Count::default(), Count::plus);
    total.report(direction, start.elapsed());
    Ok(total.problems)
}

/// Writes generation after generation, and says what is stable.
fn cut(job: &Job) -> Result<u64, String> {
    let start = Instant::now();
    let mut total = Count::default();
    for generation in (job.generation..).take(job.generations) {
        let count = Pass::new(job, Direction::Cut, generation)?.run(job.area.clone())?;
        total = total.plus(count);
    }
    total.report(Direction::Cut, start.elapsed());
    Ok(total.problems)
}
