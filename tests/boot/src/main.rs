//! Runs the boot tests: `cargo xtask test`, or alone with
//! `cargo run -p boot-tests -- --xtask target/debug/xtask [--quick | --long] [--filter TEXT]
//! [--place here|namespace] [--part first|second]`.
//!
//! Reports in libtest's format. The exit status is 0 when no case failed, 101 when one did, 2 for wrong arguments.
//! `--inside CASE` is for this program itself: it runs one case in the network namespace that it is in.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use boot_tests::case::{self, Part, Place, Selection};
use boot_tests::cases;
use boot_tests::netns;
use boot_tests::tool::Tool;

fn main() -> ExitCode {
    let mut tool = None;
    let mut selection = Selection::default();
    let mut inside = None;
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--xtask") => tool = words.next().map(PathBuf::from),
            Some("--quick") => selection.quick = true,
            Some("--long") => selection.long = true,
            Some("--filter") => selection.filter = words.next().and_then(|text| text.into_string().ok()),
            Some("--place") => match words.next().as_deref().and_then(|place| place.to_str()) {
                Some("here") => selection.place = Some(Place::Here),
                Some("namespace") => selection.place = Some(Place::Namespace),
                _ => return usage(),
            },
            Some("--part") => match words.next().as_deref().and_then(|part| part.to_str()) {
                Some("first") => selection.part = Some(Part::First),
                Some("second") => selection.part = Some(Part::Second),
                _ => return usage(),
            },
            Some(netns::INSIDE) => inside = words.next(),
            _ => return usage(),
        }
    }
    let Some(tool) = tool else {
        return usage();
    };
    let (tool, cases) = (Tool::new(tool), cases::all());
    if let Some(name) = inside {
        let Some(case) = cases.iter().find(|case| name == case.name.as_str()) else {
            return usage();
        };
        return match netns::run_inside(&tool, case) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                println!("{reason}");
                ExitCode::from(netns::FAILED)
            }
        };
    }
    if case::run_all(&cases, &tool, &selection) == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: boot-tests --xtask PROGRAM [--quick | --long] [--filter TEXT] [--place here|namespace] [--part first|second]"
    );
    ExitCode::from(2)
}
