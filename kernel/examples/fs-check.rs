//! Checks a file system: the rules that each has to keep, and a long run of random changes beside a model in memory.
//!
//! ```text
//!   cargo xtask run fs-check --share DIR --append "operations=20000 seed=7"
//!   cargo xtask run fs-check --disk fat.img --append "path=/"
//! ```
//!
//! Everything happens in the directory `check` below `path=`, **which is removed first** and left as it is at the end.
//! What a file system cannot, since it is FAT for instance, is found out first and left out.
//!
//! | word | meaning | default |
//! |---|---|---|
//! | `path=` | where the file system is | `/` |
//! | `operations=` | how many random changes there are, of all threads together | 10000 |
//! | `seed=` | which ones | 1 |
//! | `cores=` | how many cores take part, from the first on | all |
//! | `rest=` | how many seconds to stay at the end, with nothing open, for the host to look at the server | 0 |
//! | `mode=` | `all`, or `loss`: see `loss.rs` | `all` |
//!
//! 1. `rules.rs`: each rule once. `broken: RULE: REASON` for those that do not hold.
//! 2. `shared.rs`: threads of all cores on the same files.
//! 3. `run.rs`: a thread on each core, in a directory of its own.
//! 4. `manifest.rs`: what is there at the end is written to the file `check.manifest`, for the host to compare.
//!
//! The last line is `passed`; the exit status is the verdict.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "fs-check/features.rs"]
mod features;
#[path = "fs-check/loss.rs"]
mod loss;
#[path = "fs-check/manifest.rs"]
mod manifest;
#[path = "fs-check/model.rs"]
mod model;
#[path = "fs-check/outcome.rs"]
mod outcome;
#[path = "fs-check/random.rs"]
mod random;
#[path = "fs-check/rules.rs"]
mod rules;
#[path = "fs-check/run.rs"]
mod run;
#[path = "fs-check/sha256.rs"]
mod sha256;
#[path = "fs-check/shared.rs"]
mod shared;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use features::Features;
use outcome::{Checked, worked};
use run::Run;
use toro::core as cores;
use toro::io::ErrorKind;
use toro::time::Duration;
use toro::{fs, println, thread};

toro::entry!(main);

/// The words of the command line.
struct Job {
    /// Where the file system is.
    mount: String,
    /// The directory that everything happens in.
    place: String,
    /// The file for the manifest.
    manifest: String,
    operations: u64,
    seed: u64,
    cores: usize,
}

fn main() -> Checked {
    let job = Job::from_command_line()?;
    match toro::env::option("mode").unwrap_or("all") {
        "all" => job.check(),
        "loss" => {
            start_anew(&job.place)?;
            loss::check(&job.mount, &job.place)
        }
        other => Err(format!("mode={other}: expected all or loss")),
    }
}

impl Job {
    fn from_command_line() -> Checked<Self> {
        let path = toro::env::option("path").unwrap_or("/").trim_end_matches('/');
        Ok(Self {
            mount: if path.is_empty() { "/".into() } else { path.into() },
            place: format!("{path}/check"),
            manifest: format!("{path}/check.manifest"),
            operations: number("operations")?.unwrap_or(10_000),
            seed: number("seed")?.unwrap_or(1),
            cores: number("cores")?.map_or(cores::count(), |count| (count as usize).clamp(1, cores::count())),
        })
    }

    fn check(&self) -> Checked {
        let Self { place, manifest, operations, seed, cores, .. } = self;
        start_anew(place)?;
        let features = Features::find(place)?;
        println!("fs-check: {place}: {features}; {cores} cores, {operations} operations, seed {seed}");
        let (rules, together) = (format!("{place}/rules"), format!("{place}/together"));
        worked(&rules, fs::create_dir(&rules))?;
        let verdict = rules::check_all(&rules, &features)?;
        println!(
            "fs-check: {} rules checked, {} broken, {} left out",
            verdict.checked, verdict.broken, verdict.skipped
        );
        worked(&together, fs::create_dir(&together))?;
        shared::check(&together, *cores, &features)?;
        println!("fs-check: threads of {cores} cores on the same files");
        self.run(&features)?;
        println!("fs-check: {operations} operations");
        worked("making all stable", fs::sync())?;
        let totals = manifest::write(place, manifest, &features)?;
        println!("fs-check: {} objects, {} bytes in files", totals.objects, totals.bytes);
        if verdict.broken > 0 {
            return Err(format!("{} rules do not hold", verdict.broken));
        }
        println!("passed");
        thread::sleep(Duration::from_secs(number("rest")?.unwrap_or(0)));
        Ok(())
    }

    /// The random changes, on all cores.
    fn run(&self, features: &Features) -> Checked {
        let mut threads = Vec::new();
        for (number, core) in cores::all().take(self.cores).enumerate() {
            let root = format!("{}/core{number}", self.place);
            worked(&root, fs::create_dir(&root))?;
            let (seed, features) = (self.seed.wrapping_add(number as u64), *features);
            let operations = self.operations / self.cores as u64;
            threads.push(thread::spawn_on(core, move || Run::new(root, seed, features).run(operations)));
        }
        let results: Vec<Checked> = threads
            .into_iter()
            .map(|thread| {
                let Ok(result) = thread.join();
                result
            })
            .collect();
        results.into_iter().collect()
    }
}

/// An empty directory, whatever an earlier run has left.
fn start_anew(place: &str) -> Checked {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => worked(place, Err(error))?,
        _ => {}
    }
    worked(place, fs::create_dir(place))
}

fn number(name: &str) -> Checked<Option<u64>> {
    let Some(text) = toro::env::option(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("{name}={text}: expected a number"))
}
