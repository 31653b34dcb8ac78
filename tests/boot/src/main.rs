//! Runs the boot tests: `cargo xtask test`, or alone with
//! `cargo run -p boot-tests -- --xtask target/debug/xtask [--quick | --long] [--filter TEXT]`.
//!
//! Reports in libtest's format. The exit status is 0 when no case failed, 101 when one did, 2 for wrong arguments.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use boot_tests::case::{self, Selection};
use boot_tests::cases;
use boot_tests::tool::Tool;

fn main() -> ExitCode {
    let mut tool = None;
    let mut selection = Selection::default();
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--xtask") => tool = words.next().map(PathBuf::from),
            Some("--quick") => selection.quick = true,
            Some("--long") => selection.long = true,
            Some("--filter") => selection.filter = words.next().and_then(|text| text.into_string().ok()),
            _ => return usage(),
        }
    }
    let Some(tool) = tool else {
        return usage();
    };
    if case::run_all(&cases::all(), &Tool::new(tool), &selection) == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: boot-tests --xtask PROGRAM [--quick | --long] [--filter TEXT]");
    ExitCode::from(2)
}
