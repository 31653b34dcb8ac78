//! Counting what passed, failed and was skipped, across programs that report in libtest's format.
//!
//! `cargo test`, Miri and the boot tests all print a line per test and one result line per program. The tally reads
//! these lines as they pass by on their way to the terminal, so the numbers are the programs' own:
//!
//! ```text
//!   test queue::tests::full_queue_refuses ... ok
//!   test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::process::Command;

use crate::exit::Failure;
use crate::supervise::{Ended, Lane, Progress, Supervisor};

/// Numbers of tests, and the names of those that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests and checks that held.
    pub passed: u64,
    /// Tests and checks that did not.
    pub failed: u64,
    /// What was left out, by choice or because the host lacks something.
    pub skipped: u64,
    failures: VecDeque<String>,
}

impl Tally {
    /// Runs `command`, which reports in libtest's format, as the group `name`, and adds its numbers.
    ///
    /// A command that fails without naming a failed test (it does not compile, it crashed) counts as one failure, and so
    /// does one that hangs.
    ///
    /// # Errors
    ///
    /// A signal failure when a signal asks the tool to stop.
    pub fn run_tests(&mut self, supervisor: &Supervisor, name: &str, command: &mut Command) -> Result<(), Failure> {
        self.run_lanes(supervisor, vec![Lane::from([(name, command)])])
    }

    /// Runs commands like that, those of different lanes beside each other: their lines come mixed, each whole.
    ///
    /// # Errors
    ///
    /// As [`run_tests`](Self::run_tests).
    pub fn run_lanes(&mut self, supervisor: &Supervisor, lanes: Vec<Lane<'_>>) -> Result<(), Failure> {
        let mut failed_of = BTreeMap::new();
        supervisor.run_lanes(lanes, |name, progress| match progress {
            Progress::Begin => announce(name),
            Progress::Line(line) => {
                println!("{line}");
                let failed_before = self.failed;
                self.read_line(name, line);
                *failed_of.entry(name.to_owned()).or_insert(0) += self.failed - failed_before;
            }
            Progress::End(Ended::Well) => {}
            Progress::End(Ended::Badly) if failed_of.get(name).is_some_and(|&failed| failed > 0) => {}
            Progress::End(Ended::Badly) => self.fail(name),
            Progress::End(Ended::Hung) => self.fail(&format!("{name} hung")),
        })
    }

    /// Runs `command` as one check named `name`: its exit status is the verdict.
    ///
    /// # Errors
    ///
    /// A signal failure when a signal asks the tool to stop.
    pub fn run_check(&mut self, supervisor: &Supervisor, name: &str, command: &mut Command) -> Result<(), Failure> {
        announce(name);
        match supervisor.run(command, |line| println!("{line}"))? {
            Ended::Well => self.passed += 1,
            Ended::Badly => self.fail(name),
            Ended::Hung => self.fail(&format!("{name} hung")),
        }
        Ok(())
    }

    /// Counts `name` as skipped and says why.
    pub fn skip(&mut self, name: &str, reason: &str) {
        announce(name);
        eprintln!("xtask: skipped: {reason}");
        self.skipped += 1;
    }

    /// Counts `name` as failed.
    pub fn fail(&mut self, name: &str) {
        self.failed += 1;
        self.failures.push_back(name.to_owned());
    }

    /// Prints the names of the failures, then the summary as the last line.
    pub fn report(&self) {
        for name in &self.failures {
            eprintln!("xtask: failed: {name}");
        }
        println!("{self}");
    }

    /// Takes what one line of a test program says.
    fn read_line(&mut self, group: &str, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            for part in result.split(['.', ';']).map(str::trim) {
                let Some((number, what)) = part.split_once(' ') else {
                    continue;
                };
                let Ok(number) = number.parse::<u64>() else {
                    continue;
                };
                match what {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.skipped += number,
                    _ => {}
                }
            }
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.trim_end().strip_suffix(" ... FAILED"))
        {
            self.failures.push_back(format!("{group}: {name}"));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Says what starts now.
fn announce(name: &str) {
    eprintln!("xtask: === {name}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::shell;

    #[test]
    fn numbers_of_several_programs_add_up() {
        let mut tally = Tally::default();
        for line in [
            "test a ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.25s",
            "test b ... FAILED",
            "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ] {
            tally.read_line("group", line);
        }
        assert_eq!(tally.to_string(), "16 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failures, ["group: b"]);
    }

    #[test]
    fn program_that_dies_without_a_result_is_one_failure() {
        let mut tally = Tally::default();
        let supervisor = Supervisor::new().unwrap();
        let mut crash = shell("echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101");
        tally.run_tests(&supervisor, "crash", &mut crash).unwrap();
        assert_eq!((tally.passed, tally.failed), (2, 1));
        tally.run_tests(&supervisor, "missing", &mut Command::new("/no/such/program")).unwrap();
        assert_eq!((tally.passed, tally.failed), (2, 2));
    }

    #[test]
    fn failed_test_is_not_counted_twice() {
        let mut tally = Tally::default();
        let script = "echo 'test x ... FAILED'; echo 'test result: FAILED. 0 passed; 1 failed; 0 ignored'; exit 101";
        tally.run_tests(&Supervisor::new().unwrap(), "tests", &mut shell(script)).unwrap();
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn status_decides_a_check() {
        let mut tally = Tally::default();
        let supervisor = Supervisor::new().unwrap();
        tally.run_check(&supervisor, "yes", &mut shell("exit 0")).unwrap();
        tally.run_check(&supervisor, "no", &mut shell("exit 1")).unwrap();
        tally.skip("later", "not here");
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 1 skipped");
    }
}
