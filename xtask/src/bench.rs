//! `cargo xtask bench`: hands over to the program in `tests/bench`, with what it needs installed.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use crate::cli::BenchArgs;
use crate::exit::{Failure, FailureKind};
use crate::image;
use crate::rust_virtiofsd;
use crate::setup::{self, Needs, Program};
use crate::test::cargo;

/// Runs a benchmark; gives its exit status.
///
/// # Errors
///
/// A preparation failure of the set-up, or where cargo does not start.
pub fn run(args: &BenchArgs) -> Result<u8, Failure> {
    setup::ensure(&Needs { target_for: Some(image::workspace()), programs: programs(&args.arguments) })?;
    if wants_rust_virtiofsd(&args.arguments) {
        rust_virtiofsd::ensure()?;
    }
    let mut command = cargo(&["run", "--quiet", "--package", "bench", "--"]);
    let status = command.args(&args.arguments).stdin(Stdio::null()).status();
    let status = status.map_err(|error| Failure::preparation(format!("cannot start cargo: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FailureKind::Checks.status()))
}

/// What a benchmark starts: those of the virtqueue need no virtual machine, and help needs nothing.
fn programs(arguments: &[OsString]) -> Vec<Program> {
    if arguments.iter().any(|word| word == OsStr::new("--help") || word == OsStr::new("-h")) {
        return Vec::new();
    }
    match arguments.first().and_then(|name| name.to_str()) {
        Some("web" | "boot" | "fs" | "opt") => vec![Program::Qemu, Program::Virtiofsd],
        Some("sched" | "scale" | "block") => vec![Program::Qemu],
        Some("net-host") => vec![Program::Testpmd],
        Some("fs-host") => vec![Program::Virtiofsd],
        Some("block-host") => vec![Program::StorageDaemon],
        _ => Vec::new(),
    }
}

/// Whether a benchmark compares with the server that only a set-up builds.
fn wants_rust_virtiofsd(arguments: &[OsString]) -> bool {
    arguments.first().is_some_and(|name| name == OsStr::new("fs-host") || name == OsStr::new("fs"))
        && arguments.iter().any(|word| word == OsStr::new("rust") || word == OsStr::new("--daemon=rust"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_benchmarks_that_boot_need_a_virtual_machine() {
        let needs = |words: &[&str]| programs(&words.iter().map(OsString::from).collect::<Vec<_>>()).len();
        assert_eq!(needs(&["web", "--seconds", "10"]), 2);
        assert_eq!(needs(&["boot"]), 2);
        assert_eq!(needs(&["opt", "--levels", "2,3"]), 2);
        assert_eq!(needs(&["fs", "--compare-fat"]), 2);
        assert_eq!(needs(&["block"]), 1);
        assert_eq!(needs(&["sched", "--icount"]), 1);
        assert_eq!(needs(&["ring"]), 0);
        assert_eq!(needs(&["block-host"]), 1);
        assert_eq!(needs(&["fs-host", "--daemon", "c"]), 1);
        assert_eq!(needs(&["web", "--help"]), 0);
    }
}
