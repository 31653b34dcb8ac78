//! The kernel's own tests, run inside a guest: `kernel/examples/kernel-tests.rs`, one test per boot.
//!
//! Those that pass run on every machine. Those that go wrong on purpose must end with the right status and a report whose
//! backtrace names the culprit: that covers the guest's report and the tool's symbols at once. Everything runs
//! optimised and not, because what breaks under one often holds under the other.

use super::MACHINES;
use crate::case::Case;
use crate::tool::{Finished, Tool};

/// The two ways to build an image, and their options.
const PROFILES: [(&str, &[&str]); 2] = [("release", &[]), ("dev", &["--dev"])];

/// Tests that pass.
const PASSING: [&str; 4] = ["threads", "memory", "time", "interrupts"];

/// A program that goes wrong: its name, its exit status, what its report says, and who is named in its backtrace.
struct Failing {
    test: &'static str,
    status: i32,
    report: &'static str,
    culprit: Option<&'static str>,
    /// More options of `run`.
    options: &'static [&'static str],
}

const FAILING: [Failing; 9] = [
    Failing {
        test: "panic",
        status: 101,
        report: "panic in thread `main` at kernel/examples/kernel-tests/faults.rs:",
        culprit: Some("faults::panic at kernel/examples/kernel-tests/faults.rs:"),
        options: &[],
    },
    Failing {
        test: "oom",
        status: 101,
        report: "memory allocation of ",
        culprit: Some("faults::out_of_memory at kernel/examples/kernel-tests/faults.rs"),
        options: &[],
    },
    // With a network card there is always something that may wake a thread.
    Failing {
        test: "deadlock",
        status: 101,
        report: "deadlock",
        culprit: Some("kernel/src/sched/core.rs:"),
        options: &["--drivers", "virtio-fs"],
    },
    Failing {
        test: "null",
        status: 102,
        report: "fault in thread `main`: page fault (vector 14, ",
        culprit: Some("faults::null at kernel/examples/kernel-tests/faults.rs:"),
        options: &[],
    },
    Failing {
        test: "text",
        status: 102,
        report: "fault in thread `main`: page fault (vector 14, ",
        culprit: Some("faults::text at kernel/examples/kernel-tests/faults.rs:"),
        options: &[],
    },
    // It jumps to where there is no function; only its callers could be named.
    Failing {
        test: "execute",
        status: 102,
        report: "fault in thread `main`: page fault (vector 14, ",
        culprit: None,
        options: &[],
    },
    Failing {
        test: "divide",
        status: 102,
        report: "fault in thread `main`: ",
        culprit: Some("faults::divide at kernel/examples/kernel-tests/faults.rs:"),
        options: &[],
    },
    Failing {
        test: "ud",
        status: 102,
        report: "fault in thread `main`: invalid opcode (vector 6, ",
        culprit: Some("undefined_instruction at kernel/src/arch/"),
        options: &[],
    },
    Failing {
        test: "overflow",
        status: 102,
        report: "stack overflow in thread `deep`",
        culprit: Some("deeper at kernel/examples/kernel-tests/faults.rs:"),
        options: &[],
    },
];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (profile, options) in PROFILES {
        for machine in MACHINES {
            for test in PASSING {
                let name = format!("kernel::{profile}_{test}_pass_on_{machine}");
                cases.push(Case::new(name, move |tool| {
                    boot(tool, test, machine, options)?
                        .expect_status(0)?
                        .expect_line("the verdict", |line| line == "passed")
                        .map(drop)
                }));
            }
        }
        for failing in &FAILING {
            let name = format!("kernel::{profile}_{}_is_reported", failing.test);
            cases.push(Case::new(name, move |tool| is_reported(tool, failing, options)));
        }
    }
    for cores in ["1", "2", "4"] {
        cases.push(Case::new(format!("kernel::messages_pass_between_{cores}_cores"), move |tool| {
            boot(tool, "messages", "microvm", &["--cpus", cores])?
                .expect_status(0)?
                .expect_line("the verdict", |line| line == "passed")
                .map(drop)
        }));
    }
    for (test, status) in [("exit", 42), ("error", 1)] {
        cases.push(Case::new(format!("kernel::status_of_{test}_reaches_the_host"), move |tool| {
            boot(tool, test, "microvm", &[])?.expect_status(status).map(drop)
        }));
    }
    cases
}

fn boot(tool: &Tool, test: &str, machine: &str, options: &[&str]) -> Result<Finished, String> {
    let selection = format!("test={test}");
    let common = ["run", "kernel-tests", "--machine", machine, "--timeout", "300", "--append", &selection];
    tool.run(common.iter().chain(options).copied())
}

fn is_reported(tool: &Tool, failing: &Failing, options: &[&str]) -> Result<(), String> {
    let options: Vec<_> = options.iter().chain(failing.options).copied().collect();
    let finished = boot(tool, failing.test, "microvm", &options)?;
    finished.expect_status(failing.status)?.expect_output(failing.report)?.expect_output("backtrace:")?;
    if let Some(culprit) = failing.culprit {
        finished.expect_line(&format!("{culprit:?} in the backtrace"), |line| {
            let line = line.trim_start();
            (line.starts_with('#') || line.starts_with("inlined into")) && line.contains(culprit)
        })?;
    }
    Ok(())
}
