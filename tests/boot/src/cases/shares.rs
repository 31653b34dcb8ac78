//! Shares that guests change: `fs-check` in the guest, the host's own tools on the other side, and servers that die.
//!
//! ```text
//!   virtiofsd --> share: fs-check changes it by the thousand, and writes a manifest --> find, sha256sum, getfattr
//!       |                                                                               say the same
//!       +--> has no more descriptors open than before, once the guest is at rest
//! ```
//!
//! Both servers are tried, if they are here, and all they can let a guest cache. A few thousand changes go with all other
//! tests; `cargo xtask test --long --filter shares::` makes tens of thousands.

use std::path::Path;
use std::time::{Duration, Instant};

use super::disks::{new_directory, new_image};
use crate::case::Case;
use crate::file_server::{Caching, FileServer, Flavour};
use crate::manifest;
use crate::tool::Tool;

/// How long a server may take to close what a guest at rest no longer needs.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is checked on which machine.
#[derive(Clone, Copy, Debug)]
struct Check {
    flavour: Flavour,
    caching: Caching,
    machine: &'static str,
    cores: u32,
    operations: u32,
    seed: u32,
}

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let short =
        Check { flavour: Flavour::C, caching: Caching::Auto, machine: "microvm", cores: 2, operations: 2000, seed: 1 };
    let mut cases = vec![
        check_case("shares::host_and_guest_agree_on_what_was_changed", short),
        check_case("shares::host_and_guest_agree_with_the_server_in_rust", Check { flavour: Flavour::Rust, ..short }),
        Case::new("shares::a_disk_keeps_the_rules_that_it_can", a_disk),
    ];
    cases
        .push(Case::new("shares::a_killed_server_is_an_error_and_a_new_one_serves_on", |tool| killed(tool, "microvm")));
    cases.push(Case::new("shares::a_killed_server_is_an_error_on_pci", |tool| killed(tool, "q35")).long());
    for flavour in [Flavour::C, Flavour::Rust] {
        for (number, caching) in [Caching::Never, Caching::Auto, Caching::Always].into_iter().enumerate() {
            for (machine, cores) in [("microvm", 1), ("q35", 2)] {
                let (server, cache) = (flavour.name(), caching.name());
                let name =
                    format!("shares::twenty_thousand_changes_on_{machine}_with_the_server_in_{server}_cache_{cache}");
                let seed = 100 + number as u32 + 10 * cores;
                let check = Check { flavour, caching, machine, cores, operations: 20_000, seed };
                cases.push(check_case(&name, check).long());
            }
        }
    }
    cases
}

fn check_case(name: &str, check: Check) -> Case {
    Case::new(name, move |tool| match check.flavour.program() {
        Some(_) => agree(tool, check),
        None => {
            println!("there is no virtiofsd in {:?} here: nothing is checked", check.flavour);
            Ok(())
        }
    })
}

/// Lets a guest change a share, and compares what it says is there with what is, and what the server still holds.
fn agree(tool: &Tool, check: Check) -> Result<(), String> {
    let Check { flavour, caching, machine, cores, operations, seed } = check;
    let (share, place) = (new_directory()?, new_directory()?);
    let server = FileServer::start(flavour, caching, share.path(), place.path())?;
    let (cpus, device) = (cores.to_string(), server.device(machine, ""));
    let words = format!("operations={operations} seed={seed} rest=600");
    let common = ["run", "fs-check", "--machine", machine, "--cpus", &cpus, "--nics", "0", "--memory", "256"];
    let arguments = common.into_iter().chain(["--timeout", "1800", "--append", &words, "--"]);
    let mut running = tool.start(arguments.chain(device.iter().map(String::as_str)), &[])?;
    running.await_line(|line| (line == "passed").then_some(()))?;
    manifest::compare(&share.path().join("check.manifest"), &share.path().join("check"))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match server.holds_nothing() {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() > deadline || !running.is_running() => return Err(reason),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Kills the server in the middle of reads and writes, then starts another one.
fn killed(tool: &Tool, machine: &'static str) -> Result<(), String> {
    let (share, place) = (new_directory()?, new_directory()?);
    let mut server = FileServer::start(Flavour::C, Caching::Auto, share.path(), place.path())?;
    let device = server.device(machine, ",reconnect=1");
    let words = "mode=loss fs-patience=5";
    let common = ["run", "fs-check", "--machine", machine, "--cpus", "2", "--nics", "0", "--timeout", "600"];
    let arguments = common.into_iter().chain(["--append", words, "--"]);
    let mut running = tool.start(arguments.chain(device.iter().map(String::as_str)), &[])?;
    running.await_line(|line| (line == "using").then_some(()))?;
    std::thread::sleep(Duration::from_millis(200));
    server.kill();
    running.await_line(|line| (line == "lost").then_some(()))?;
    let _another = FileServer::start(Flavour::C, Caching::Auto, share.path(), place.path())?;
    let finished = running.finish()?;
    finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed")?;
    let after = share.path().join("check/after");
    let text = std::fs::read_to_string(&after).map_err(|error| format!("{}: {error}", after.display()))?;
    if text == "all is well" { Ok(()) } else { Err(format!("{}: {text:?}", after.display())) }
}

/// The same rules on a FAT file system, whose image is looked at afterwards.
fn a_disk(tool: &Tool) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_image(&directory, 64 << 20)?;
    super::fat::run("mkfs.fat", &["-F", "32", &image.to_string_lossy()])?;
    let disk = image.to_string_lossy();
    let words = "operations=1000 seed=3";
    let finished =
        tool.run(["run", "fs-check", "--nics", "0", "--timeout", "600", "--disk", &disk, "--append", words])?;
    finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed")?;
    super::fat::run("fsck.fat", &["-n", &path_text(&image)]).map(drop)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
