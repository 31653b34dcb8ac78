//! This program in valgrind's callgrind, to count instructions.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The file in the scratch directory that says what was counted where.
const PROFILE: &str = "callgrind.out";

/// Runs this program with `arguments` and answers how many instructions it executed while counting was on. Each function
/// that matches one of `patterns` switches counting over where it is entered and where it is left: on in the first one,
/// off in one that it calls.
///
/// # Errors
///
/// There is no valgrind, or it says something else than how much it counted.
pub fn collected(patterns: &[&str], arguments: Vec<String>, scratch: &Path) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .args(patterns.iter().map(|pattern| format!("--toggle-collect={pattern}")))
        .arg(format!("--callgrind-out-file={}", scratch.join(PROFILE).display()))
        .arg(std::env::current_exe().context("where is this program?")?)
        .args(arguments)
        .output()
        .context("cannot run valgrind (Debian: apt install valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed:\n{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    collected.with_context(|| format!("valgrind did not say what it counted:\n{said}"))
}

/// How many of the instructions that the last [`collected`] counted were in functions with such a name, not in those that
/// they call.
///
/// # Errors
///
/// There is no such run.
pub fn collected_in(is_meant: impl Fn(&str) -> bool, scratch: &Path) -> Result<u64> {
    let profile = std::fs::read_to_string(scratch.join(PROFILE)).context("no profile was written")?;
    let (mut names, mut counts, mut sum, mut is_call) = (HashMap::new(), false, 0, false);
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("fn=") {
            // A name is written once, with a number that stands for it from then on.
            let (number, name) =
                function.split_once(' ').map_or((function, None), |(number, name)| (number, Some(name)));
            if let Some(name) = name {
                names.insert(number, is_meant(name));
            }
            counts = names.get(number).copied().unwrap_or(false);
        } else if let Some(function) = line.strip_prefix("cfn=") {
            if let Some((number, name)) = function.split_once(' ') {
                names.insert(number, is_meant(name));
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // The line after a call says what the called function cost.
            if counts && !std::mem::take(&mut is_call) {
                sum += line.split_once(' ').and_then(|(_, count)| count.trim().parse::<u64>().ok()).unwrap_or(0);
            }
            is_call = false;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_function_is_told_from_that_of_those_it_calls() {
        let scratch = crate::scratch::Scratch::new().expect("there is a directory for temporary files");
        let profile = "events: Ir\n\nfn=(1) work\n5 100\ncfn=(2) memcpy\ncalls=3 7\n+1 40\n6 1\n\nfn=(2)\n9 40\n* 2\n";
        std::fs::write(scratch.path().join(PROFILE), profile).expect("it can be written");
        let cost = |name: &str| collected_in(|found| found == name, scratch.path()).expect("it can be read");
        assert_eq!((cost("work"), cost("memcpy"), cost("other")), (101, 42, 0));
    }
}
