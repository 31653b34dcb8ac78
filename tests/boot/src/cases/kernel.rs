//! The kernel's own tests, run inside a guest: `kernel/examples/kernel-tests.rs`.
//!
//! Those that pass run on every machine, with one core and with several:
//!
//! ```text
//!   microvm, pc, q35   x   1, 2, 4, 8 processors, optimised     all of them, in one boot each
//!   microvm            x   1, 4 processors, not                 the same; and on pc and q35 with 2
//!   microvm            x   1, 2, 4, 8 processors                very many of everything, and no memory lost
//! ```
//!
//! A case is the boots of one machine and profile, two at a time: what it reports names those that failed. There is no
//! network, so nothing but timers and other cores wakes a core, and the kernel sees if no thread can go on.
//!
//! Those that go wrong on purpose must end with the right status and a report whose backtrace names the culprit: that
//! covers the guest's report and the tool's symbols at once. They fail in the main thread and in a thread of another core.
//! Everything runs optimised and not, because what breaks under one often holds under the other.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Mutex;

use super::MACHINES;
use crate::case::Case;
use crate::tool::{Finished, Tool};

/// A way to build an image.
#[derive(Clone, Copy, Debug)]
struct Profile {
    name: &'static str,
    /// Options of `run` and `build`.
    options: &'static [&'static str],
}

const RELEASE: Profile = Profile { name: "release", options: &[] };
const DEV: Profile = Profile { name: "dev", options: &["--dev"] };

/// Without a driver for the network.
const NO_NETWORK: [&str; 2] = ["--drivers", "virtio-fs,virtio-legacy"];
/// Numbers of processors.
const CPUS: [u32; 4] = [1, 2, 4, 8];
/// How many virtual machines run at a time.
const WORKERS: usize = 2;

/// Tests that pass, in the order in which one boot runs them: `memory` wants half of it in one piece.
const PASSING: &str = "memory,cores,threads,sync,channels,messages,timers,float,time,interrupts,loopback";

/// A program that goes wrong: its name, its exit status, what its report says, and who is named in its backtrace.
struct Failing {
    test: &'static str,
    status: i32,
    /// In the first line, behind the name of the thread and the number of its core.
    report: &'static str,
    culprit: Option<&'static str>,
}

const FAILING: [Failing; 11] = [
    Failing {
        test: "panic",
        status: 101,
        report: "kernel/examples/kernel-tests/faults.rs:",
        culprit: Some("faults::panic at kernel/examples/kernel-tests/faults.rs:"),
    },
    Failing {
        test: "unwrap",
        status: 101,
        report: "`Option::unwrap()` on a `None` value",
        culprit: Some("faults::unwrap at kernel/examples/kernel-tests/faults.rs:"),
    },
    Failing {
        test: "oom",
        status: 101,
        report: "memory allocation of ",
        culprit: Some("faults::out_of_memory at kernel/examples/kernel-tests/faults.rs"),
    },
    Failing {
        test: "null",
        status: 102,
        report: "page fault (vector 14, ",
        culprit: Some("faults::null at kernel/examples/kernel-tests/faults.rs:"),
    },
    Failing {
        test: "text",
        status: 102,
        report: "page fault (vector 14, ",
        culprit: Some("faults::text at kernel/examples/kernel-tests/faults.rs:"),
    },
    // It jumps to where there is no function; only its callers could be named.
    Failing { test: "execute", status: 102, report: "page fault (vector 14, ", culprit: None },
    Failing {
        test: "divide",
        status: 102,
        report: "divide error (vector 0, ",
        culprit: Some("faults::divide at kernel/examples/kernel-tests/faults.rs:"),
    },
    Failing {
        test: "ud",
        status: 102,
        report: "invalid opcode (vector 6, ",
        culprit: Some("undefined_instruction at kernel/src/arch/"),
    },
    Failing {
        test: "double",
        status: 102,
        report: "double fault (vector 8, ",
        culprit: Some("faults::null at kernel/examples/kernel-tests/faults.rs:"),
    },
    // These two name threads of their own.
    Failing {
        test: "overflow",
        status: 102,
        report: "page fault (vector 14, ",
        culprit: Some("deeper at kernel/examples/kernel-tests/faults.rs:"),
    },
    Failing { test: "deadlock", status: 101, report: "deadlock", culprit: Some("kernel/src/sched/core.rs:") },
];

/// One boot.
#[derive(Clone, Debug)]
struct Boot {
    machine: &'static str,
    cpus: u32,
    profile: Profile,
    /// Mebibytes.
    memory: u32,
    /// Words for the guest.
    words: String,
}

/// A thousand sleepers on each of eight cores, and what pools of stacks keep.
const MUCH_MEMORY: u32 = 384;
const LITTLE_MEMORY: u32 = 128;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for profile in [RELEASE, DEV] {
        for machine in MACHINES {
            let name = format!("kernel::{}_tests_pass_on_all_cores_of_{machine}", profile.name);
            cases.push(Case::new(name, move |tool| pass(tool, &passing(profile, machine))));
        }
        for failing in &FAILING {
            let name = format!("kernel::{}_{}_is_reported", profile.name, failing.test);
            cases.push(Case::new(name, move |tool| in_parallel(tool, &places(profile, failing), is_reported(failing))));
        }
        let name = format!("kernel::{}_failures_of_several_cores_make_one_report", profile.name);
        cases.push(Case::new(name, move |tool| in_parallel(tool, &everywhere(profile), there_is_one_report)));
        let name = format!("kernel::{}_panic_among_lines_of_other_cores_is_readable", profile.name);
        cases.push(Case::new(name, move |tool| in_parallel(tool, &among_lines(profile), nothing_is_garbled)));
    }
    cases.push(Case::new("kernel::many_of_everything_pass_and_lose_no_memory", |tool| pass(tool, &stress())));
    cases.push(Case::new("kernel::very_many_of_everything_pass_and_lose_no_memory", |tool| pass(tool, &full())).long());
    cases.push(Case::new("kernel::planted_failure_on_the_last_core_is_seen", planted));
    cases.push(Case::new("kernel::thread_that_holds_its_core_is_named", watchdog));
    for (test, status) in [("exit", 42), ("error", 1)] {
        cases.push(Case::new(format!("kernel::status_of_{test}_reaches_the_host"), move |tool| {
            for core in [None, Some(0), Some(1)] {
                run(tool, &Boot::failing(RELEASE, test, core))?.expect_status(status)?;
            }
            Ok(())
        }));
    }
    cases
}

/// The boots of a machine. Images that are not optimised take ten times as long, and the machines differ in little that
/// they could break: two numbers of cores on one, one on each of the others.
fn passing(profile: Profile, machine: &'static str) -> Vec<Boot> {
    let (cpus, sleepers): (&[u32], u32) = match (profile.name, machine) {
        ("release", _) => (&CPUS, 1000),
        (_, "microvm") => (&[1, 4], 200),
        _ => (&[2], 200),
    };
    let words = |cpus| format!("test={PASSING} cores={cpus} sleepers={sleepers}");
    let boot = |&cpus| Boot { machine, cpus, profile, memory: MUCH_MEMORY, words: words(cpus) };
    cpus.iter().map(boot).collect()
}

/// The test `stress`, with words for its numbers.
fn stressing(profile: Profile, cpus: u32, words: &str) -> Boot {
    let words = format!("test=stress cores={cpus} {words}");
    Boot { machine: "microvm", cpus, profile, memory: MUCH_MEMORY, words }
}

/// Millions, in the test's own numbers.
fn full() -> Vec<Boot> {
    [2, 4].map(|cpus| stressing(RELEASE, cpus, "")).into()
}

/// Some of everything, with several numbers of cores, and less for an image that checks its arithmetic. Memory that is lost
/// is seen in the balance at the end, however often it was lost; what needs luck has more of it in [`full`].
fn stress() -> Vec<Boot> {
    let boot = stressing;
    const FEW: &str = "spawns=50000 switches=500000 messages=500000 pieces=50000";
    const FEWER: &str = "spawns=5000 switches=50000 messages=50000 pieces=5000";
    vec![
        boot(RELEASE, 2, FEW),
        boot(RELEASE, 1, FEW),
        boot(RELEASE, 4, FEW),
        boot(RELEASE, 8, FEW),
        boot(DEV, 1, FEWER),
        boot(DEV, 4, FEWER),
    ]
}

/// A failure in the main thread, and on the last of two cores. An image that is not optimised differs in its code and its
/// frames, not in who fails: one of the two shows that, the one with a thread and a core of its own.
fn places(profile: Profile, failing: &Failing) -> Vec<Boot> {
    let cores: &[Option<u32>] = if profile.name == RELEASE.name { &[None, Some(1)] } else { &[Some(1)] };
    cores.iter().map(|&core| Boot::failing(profile, failing.test, core)).collect()
}

fn everywhere(profile: Profile) -> Vec<Boot> {
    let boot = Boot::failing(profile, "everywhere", None);
    [2, 4, 4].map(|cpus| Boot { cpus, ..boot.clone() }).into()
}

fn among_lines(profile: Profile) -> Vec<Boot> {
    let boot = |core| Boot { cpus: 4, ..Boot::failing(profile, "among-lines", core) };
    vec![boot(None), boot(Some(3))]
}

impl Boot {
    /// A test that goes wrong on the core `core`, or in the main thread, of two.
    fn failing(profile: Profile, test: &str, core: Option<u32>) -> Self {
        let core = core.map(|core| format!(" core={core}")).unwrap_or_default();
        let words = format!("test={test}{core}");
        Self { machine: "microvm", cpus: 2, profile, memory: LITTLE_MEMORY, words }
    }

    /// The thread that fails, and its core, as reports name them.
    fn culprit(&self) -> String {
        match self.words.split_once(" core=") {
            Some((_, core)) => format!("`worker` on core {core}"),
            None => "`main` on core 0".to_owned(),
        }
    }
}

fn run(tool: &Tool, boot: &Boot) -> Result<Finished, String> {
    let Boot { machine, cpus, profile, memory, words } = boot;
    let (cpus, memory) = (cpus.to_string(), memory.to_string());
    let common = ["run", "kernel-tests", "--machine", machine, "--cpus", &cpus, "--timeout", "600", "--append", words];
    tool.run(common.iter().chain(&NO_NETWORK).chain(&["--memory", &memory]).chain(profile.options).copied())
}

/// Runs boots, [`WORKERS`] at a time, and judges each.
fn in_parallel(
    tool: &Tool,
    boots: &[Boot],
    judge: impl Fn(&Boot, &Finished) -> Result<(), String> + Sync,
) -> Result<(), String> {
    for profile in [RELEASE, DEV] {
        if boots.iter().any(|boot| boot.profile.name == profile.name) {
            // Once, so that no worker waits for the other's build.
            let build = ["build", "kernel-tests"];
            tool.run(build.iter().chain(&NO_NETWORK).chain(profile.options).copied())?.expect_status(0)?;
        }
    }
    let waiting = Mutex::new(boots.iter().collect::<VecDeque<_>>());
    let failures = Mutex::new(String::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(boot) = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front()) {
                    let result = run(tool, boot).and_then(|finished| judge(boot, &finished));
                    if let (Err(reason), Ok(mut failures)) = (result, failures.lock()) {
                        let _ = writeln!(failures, "{boot:?}\n{reason}");
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().map_err(|_| "a worker has panicked")?;
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn pass(tool: &Tool, boots: &[Boot]) -> Result<(), String> {
    in_parallel(tool, boots, |_, finished| {
        finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed").map(drop)
    })
}

/// A line of a backtrace with this text.
fn expect_in_backtrace(finished: &Finished, text: &str) -> Result<(), String> {
    let is_there = |line: &str| {
        let line = line.trim_start();
        (line.starts_with('#') || line.starts_with("inlined into")) && line.contains(text)
    };
    finished.expect_output("backtrace:")?.expect_line(&format!("{text:?} in the backtrace"), is_there).map(drop)
}

fn is_reported(failing: &'static Failing) -> impl Fn(&Boot, &Finished) -> Result<(), String> + Sync {
    move |boot, finished| {
        finished.expect_status(failing.status)?;
        let kind = if failing.status == 101 { "panic" } else { "fault" };
        let culprit = match failing.test {
            "overflow" => boot.culprit().replace("main", "deep").replace("worker", "deep"),
            // Whichever core goes to sleep last notices.
            "deadlock" => "`core` on core ".to_owned(),
            _ => boot.culprit(),
        };
        let start = format!("{kind} in thread {culprit}");
        finished.expect_line(&format!("{start:?} and {:?}", failing.report), |line| {
            line.starts_with(&start) && line.contains(failing.report)
        })?;
        if failing.test == "overflow" {
            finished.expect_output("stack overflow in thread `deep`")?;
        }
        failing.culprit.map_or(Ok(()), |culprit| expect_in_backtrace(finished, culprit))
    }
}

/// Lines that begin a report of a panic or a fault.
fn reports(finished: &Finished) -> usize {
    let is_report = |line: &&str| line.contains("panic in thread `") || line.contains("fault in thread `");
    finished.stdout.lines().filter(is_report).count()
}

/// Whoever comes first reports; its report is whole, and the exit status is of its kind.
fn there_is_one_report(_: &Boot, finished: &Finished) -> Result<(), String> {
    let (status, start) = match finished.status.code() {
        Some(102) => (102, "fault in thread `"),
        _ => (101, "panic in thread `"),
    };
    finished.expect_status(status)?;
    finished.expect_line("the report", |line| line.starts_with(start))?;
    expect_in_backtrace(finished, "kernel-tests/faults.rs")?;
    let last = format!("[toro] exit status {status}");
    finished.expect_line("the exit status", |line| line == last)?;
    match reports(finished) {
        1 => Ok(()),
        number => Err(format!("{number} reports:\n{}", finished.stdout)),
    }
}

/// Up to the report lines are whole, but for those that other cores were printing when they were stopped; the report is
/// whole, too, and nothing but itself comes after its beginning.
fn nothing_is_garbled(boot: &Boot, finished: &Finished) -> Result<(), String> {
    there_is_one_report(boot, finished)?;
    let start = format!("panic in thread {}", boot.culprit());
    finished.expect_line("the report", |line| line.starts_with(&start))?;
    let (before, after) = finished.stdout.split_once(&start).unwrap_or_default();
    let is_whole = |line: &&str| line.len() == "line 00000000000000000000 of core 00 ends here".len();
    let lines: Vec<_> = before.lines().filter(|line| line.contains("line ")).collect();
    let broken: Vec<_> = lines.iter().filter(|line| !is_whole(line)).collect();
    if after.contains("ends here") || broken.len() > 1 || lines.len() < 60 {
        return Err(format!("{} lines, of them {broken:#?} broken, then:\n{after}", lines.len()));
    }
    Ok(())
}

/// A test that fails inside the machine makes the run fail.
fn planted(tool: &Tool) -> Result<(), String> {
    for cpus in CPUS {
        let finished = run(tool, &Boot { cpus, ..Boot::failing(RELEASE, "planted", None) })?;
        finished.expect_status(101)?.expect_output("as planted")?;
        finished.expect_line("the last core", |line| line.contains(&format!(" on core {} at ", cpus - 1)))?;
        if finished.stdout.lines().any(|line| line == "passed") {
            return Err("a test that fails passes".to_owned());
        }
    }
    Ok(())
}

/// The watchdog says who, where, and that is all: the run ends as if nothing was.
fn watchdog(tool: &Tool) -> Result<(), String> {
    for core in [0, 1] {
        let boot = Boot::failing(RELEASE, "spin", Some(core));
        let finished = run(tool, &Boot { words: format!("{} watchdog=1", boot.words), ..boot })?;
        finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed")?;
        let start = format!("watchdog: thread `worker` has held core {core} for ");
        finished.expect_line("the watchdog", |line| line.starts_with(&start))?;
        expect_in_backtrace(&finished, "faults::spin at kernel/examples/kernel-tests/faults.rs:")?;
    }
    Ok(())
}

/// What the test `float` computes in the guest, computed here.
#[cfg(test)]
#[path = "../../../../kernel/examples/kernel-tests/series.rs"]
mod series;

#[cfg(test)]
mod tests {
    use super::series;

    #[test]
    fn constants_of_floating_point_series_are_what_this_host_computes() {
        let mut steps = 0;
        let computed = series::SERIES.map(|compute| compute(&mut || steps += 1));
        assert_eq!(computed, series::EXPECTED, "{computed:#x?}");
        assert!(steps > 2_000);
    }
}
