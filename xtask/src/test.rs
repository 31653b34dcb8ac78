//! `cargo xtask test`: everything that can be tested, in groups from fast to slow.
//!
//! | group | what | where |
//! |---|---|---|
//! | host tests | unit and integration tests of every crate, and of the kernel's parts that need no machine | this host |
//! | documentation examples | those of every crate | this host |
//! | Miri | the crates that share memory with devices and between cores | Miri, where a nightly toolchain is |
//! | boot | images in virtual machines, through `cargo xtask run` as users type it | QEMU |
//!
//! The long tests (`--long`) are others: random runs on every file server and on a model of one, and boots that take many minutes. They build what they
//! want besides; the ordinary tests do not, and count what they leave out for want of it as skipped.
//!
//! The last two run beside each other. A group that cannot run is counted as skipped with the reason; one that does not compile is one failure. All groups
//! run even after a failure.

use std::process::{Command, Stdio};

use crate::child;
use crate::cli::{ParentEnd, TestArgs};
use crate::exit::{Failure, FailureKind};
use crate::image;
use crate::rust_virtiofsd;
use crate::setup::{self, Needs, Program};
use crate::supervise::{Lane, Supervisor};
use crate::tally::Tally;

/// A part of the tests that Miri runs.
struct MiriRun {
    package: &'static str,
    targets: &'static [&'static str],
    /// Only tests whose names contain one of these; all if there are none.
    names: &'static [&'static str],
    /// The machine that Miri plays; this host's kind if there is none.
    machine: Option<&'static str>,
    flags: &'static str,
}

/// How many schedules Miri tries where there is a choice, if the command line does not say.
pub const SEEDS: u32 = 2;

/// The last group.
const BOOT: &str = "boot tests";
/// Random runs on every file server.
const FILE_SERVERS: &str = "file systems on real servers";
/// Random runs of the client of file servers.
const FILE_CLIENT: &str = "file systems on a model of a server";
/// How many times as many random runs are made of it as in the ordinary tests.
const LONG_TIMES: &str = "30";
/// Those that meet no others.
const ISOLATED: &str = "boot tests in networks of their own";
/// Those that take no ports of this host.
const STORAGE: &str = "boot tests of files and disks";

/// A machine with the bytes of a word the other way around.
const BIG_ENDIAN: &str = "s390x-unknown-linux-gnu";

/// What Miri runs: the code that shares memory with devices or between cores, and its tests. The device of `threads` is a
/// second thread, as is the other core of `toro-sync`, so they are tried under several schedules (`--seeds`). A queue that is dropped leaks on purpose, and tests do that. The
/// crates above are safe code. A guest whose words are the other way around has to get along with the same devices; what
/// legacy devices have in the guest's order is in that order there.
const MIRI: [MiriRun; 11] = [
    MiriRun { package: "toro-core", targets: &["--lib"], names: &[], machine: None, flags: "" },
    MiriRun {
        package: "toro-sync",
        targets: &["--features", "alloc", "--tests"],
        names: &[],
        machine: None,
        flags: "-Zmiri-many-seeds=0..SEEDS",
    },
    // Heaps of several cores, which free each other's blocks.
    MiriRun {
        package: "toro",
        targets: &["--lib"],
        names: &["mm::heap::tests"],
        machine: None,
        flags: "-Zmiri-ignore-leaks -Zmiri-permissive-provenance",
    },
    MiriRun { package: "virtio-queue-rt", targets: &["--lib"], names: &[], machine: None, flags: "" },
    MiriRun {
        package: "virtio-sim",
        targets: &["--test", "hostile", "--test", "queue"],
        names: &[],
        machine: None,
        flags: "-Zmiri-ignore-leaks",
    },
    // Rings of which the others know nothing: tables, batches in order, the legacy layout.
    MiriRun {
        package: "virtio-sim",
        targets: &["--test", "vq"],
        names: &[
            "vq_12_",
            "vq_28_",
            "vq_29_",
            "vq_30_",
            "vq_5_6_every_number_",
            "vq_7_what_is_too_much_",
            "ini_12_recovery_",
        ],
        machine: None,
        flags: "-Zmiri-ignore-leaks",
    },
    // Requests of a disk: of one buffer and of many, and what a reset hands back.
    MiriRun {
        package: "virtio-sim",
        targets: &["--test", "virtio_blk"],
        names: &["blk_16_many_", "blk_18_hd_blk_1_a_status_", "ini_12_20_"],
        machine: None,
        flags: "-Zmiri-ignore-leaks",
    },
    MiriRun {
        package: "virtio-sim",
        targets: &["--test", "threads"],
        names: &[],
        machine: None,
        flags: "-Zmiri-ignore-leaks -Zmiri-many-seeds=0..SEEDS",
    },
    MiriRun {
        package: "virtio-sim",
        targets: &["--test", "asynchronous"],
        names: &[],
        machine: None,
        flags: "-Zmiri-ignore-leaks",
    },
    MiriRun {
        package: "virtio-sim",
        targets: &["--test", "conformance"],
        names: &["hd_g_8_", "hd_g_2_used_"],
        machine: None,
        flags: "-Zmiri-ignore-leaks",
    },
    MiriRun {
        package: "virtio-sim",
        targets: &["--test", "conformance", "--test", "vq"],
        names: &["cfg_7_", "ini_9_", "ini_17_", "vq_31_"],
        machine: Some(BIG_ENDIAN),
        flags: "-Zmiri-ignore-leaks",
    },
];

/// Sets up, runs every group, and prints the summary.
///
/// # Errors
///
/// A preparation failure of the set-up; [`FailureKind::Checks`] when something failed.
pub fn run(args: &TestArgs) -> Result<u8, Failure> {
    set_up()?;
    if args.long {
        rust_virtiofsd::ensure()?;
    }
    let mut tally = Tally::default();
    let supervisor = if args.long { Supervisor::patient() } else { Supervisor::new() };
    run_groups(args, &supervisor?, &mut tally)?;
    verdict(&tally)
}

/// Installs what the tests need.
pub fn set_up() -> Result<(), Failure> {
    let machines = [Program::Qemu, Program::Virtiofsd, Program::StorageDaemon, Program::Testpmd];
    let disks = [Program::Dosfstools, Program::Mtools, Program::Gdisk, Program::Fdisk, Program::Attr, Program::Cpio];
    let tools = [Program::Curl, Program::Iperf3, Program::Gdb, Program::Iproute, Program::Tshark];
    let programs = [&machines[..], &disks, &tools].concat();
    setup::ensure(&Needs { target_for: Some(image::workspace()), programs })
}

/// Prints the summary and turns it into the command's outcome.
pub fn verdict(tally: &Tally) -> Result<u8, Failure> {
    tally.report();
    // The summary is the last line: no further message.
    if tally.failed > 0 { Ok(FailureKind::Checks.status()) } else { Ok(0) }
}

/// Runs every group of tests.
///
/// # Errors
///
/// A signal failure when a signal asks the tool to stop.
pub fn run_groups(args: &TestArgs, supervisor: &Supervisor, tally: &mut Tally) -> Result<(), Failure> {
    let mut boot = boot(args);
    let filter = args.filter.as_deref();
    if args.long {
        let mut servers = cargo(&["test", "--no-fail-fast", "--package", "vhost-user-tests", "--"]);
        servers.args(["--include-ignored", filter.unwrap_or("share::")]);
        tally.run_tests(supervisor, FILE_SERVERS, &mut servers)?;
        let mut client = cargo(&["test", "--no-fail-fast", "--package", "toro", "--lib", "--"]);
        client.arg(filter.unwrap_or("fs::fuse::")).env("TORO_TEST_TIMES", LONG_TIMES);
        tally.run_tests(supervisor, FILE_CLIENT, &mut client)?;
        return tally.run_tests(supervisor, BOOT, &mut boot);
    }
    if !rust_virtiofsd::is_present() {
        tally.skip("file systems on the virtiofsd in Rust", "it is not here (cargo xtask setup --with rust-virtiofsd)");
    }
    // The same packages in both, so that features come out the same and nothing is compiled twice. No examples: those of
    // the kernel are for its own target.
    for (name, what) in [("host tests", "--tests"), ("documentation examples", "--doc")] {
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast", what]);
        tally.run_tests(supervisor, name, command.args(libtest_filter(filter.as_slice())))?;
    }
    let mut miri = if args.quick {
        tally.skip("Miri", "--quick");
        Vec::new()
    } else {
        miri(filter, args.seeds, tally)
    };
    let (mut isolated, mut storage) = (self::boot(args), self::boot(args));
    isolated.args(["--place", "namespace"]);
    boot.args(["--place", "here", "--part", "first"]);
    storage.args(["--place", "here", "--part", "second"]);
    // Neither uses more than one processor for most of the time.
    let mut first: Lane<'_> = miri.iter_mut().map(|(name, command)| (name.as_str(), command)).collect();
    first.push_back((ISOLATED, &mut isolated));
    first.push_back((STORAGE, &mut storage));
    tally.run_lanes(supervisor, vec![first, Lane::from([(BOOT, &mut boot)])])
}

/// Miri on the crates that it can check, under the nightly toolchain: names and commands.
fn miri(filter: Option<&str>, seeds: u32, tally: &mut Tally) -> Vec<(String, Command)> {
    if let Err(reason) = prepare_miri() {
        tally.skip("Miri", &reason);
        return Vec::new();
    }
    let mut groups = Vec::new();
    for MiriRun { package, targets, names, machine, flags } in MIRI {
        let mut group = format!("Miri: {package} {}", targets.join(" "));
        if let Some(machine) = machine {
            group = format!("{group} on {machine}");
            if !works(&["run", "nightly", "cargo", "miri", "setup", "--target", machine]) {
                tally.skip(&group, "Miri cannot build its standard library for this machine");
                continue;
            }
        }
        let mut command = child::bound("cargo", ParentEnd::Terminate);
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").current_dir(image::workspace());
        command.args(["+nightly", "miri", "test", "--no-fail-fast", "--package", package]).args(targets);
        command.args(machine.iter().flat_map(|machine| ["--target", machine]));
        // Libtest knows alternatives only: a filter of the user's replaces the choice made here.
        command.args(libtest_filter(if filter.is_some() { filter.as_slice() } else { names }));
        command.env("MIRIFLAGS", flags.replace("SEEDS", &seeds.to_string()));
        groups.push((group, command));
    }
    groups
}

/// Whether rustup does this.
fn works(arguments: &[&str]) -> bool {
    let mut rustup = Command::new("rustup");
    rustup.args(arguments).env_remove("RUSTUP_TOOLCHAIN").stdin(Stdio::null());
    rustup.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Makes sure that a nightly toolchain with Miri is there; adds Miri to a nightly that lacks it.
fn prepare_miri() -> Result<(), String> {
    if !works(&["run", "nightly", "rustc", "--version"]) {
        return Err("there is no nightly toolchain (rustup toolchain install nightly)".to_owned());
    }
    let add = ["component", "add", "--toolchain", "nightly", "miri", "rust-src"];
    if !works(&["run", "nightly", "cargo", "miri", "--version"]) {
        eprintln!("xtask: rustup {}", add.join(" "));
        if !works(&add) {
            return Err("the nightly toolchain has no Miri".to_owned());
        }
    }
    if works(&["run", "nightly", "cargo", "miri", "setup"]) {
        Ok(())
    } else {
        Err("Miri cannot build its standard library (rustup component add --toolchain nightly rust-src)".to_owned())
    }
}

/// The boot tests, which run this very tool.
fn boot(args: &TestArgs) -> Command {
    // The link names this tool even when cargo has put a new one in its place.
    let this = format!("/proc/{}/exe", std::process::id());
    let mut command = cargo(&["run", "--quiet", "--package", "boot-tests", "--", "--xtask", &this]);
    if args.quick {
        command.arg("--quick");
    }
    if args.long {
        command.arg("--long");
    }
    if let Some(filter) = &args.filter {
        command.args(["--filter", filter]);
    }
    command
}

/// Cargo in this workspace, with the toolchain that runs this tool. It ends with this process.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = child::bound("cargo", ParentEnd::Terminate);
    command.args(arguments).current_dir(image::workspace());
    command
}

/// Parts of names as libtest takes them, after `--`: a test runs if its name contains one of them.
fn libtest_filter<'a>(parts: &[&'a str]) -> Vec<&'a str> {
    if parts.is_empty() { Vec::new() } else { [&["--"], parts].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_goes_to_the_test_programs_not_to_cargo() {
        assert_eq!(libtest_filter(Some("queue").as_slice()), ["--", "queue"]);
        assert_eq!(libtest_filter(&["a", "b"]), ["--", "a", "b"]);
        assert!(libtest_filter(None.as_slice()).is_empty());
    }

    #[test]
    fn crates_that_miri_runs_exist() {
        let manifest = std::fs::read_to_string(image::workspace().join("tests/sim/Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"virtio-sim\""));
        for MiriRun { package, .. } in MIRI.iter().filter(|run| !["virtio-sim", "toro"].contains(&run.package)) {
            assert!(image::workspace().join("crates").join(package).join("Cargo.toml").is_file(), "{package}");
        }
        assert!(image::workspace().join("tests/boot/Cargo.toml").is_file());
    }

    #[test]
    fn tests_that_miri_runs_by_name_exist() {
        let modules = MIRI.iter().filter(|run| run.package == "toro").flat_map(|run| run.names);
        for module in modules {
            let file = format!("kernel/src/{}.rs", module.replace("::", "/"));
            assert!(image::workspace().join(&file).is_file(), "{file}");
        }
        let by_name = |run: &&MiriRun| run.package == "virtio-sim" && !run.names.is_empty();
        for MiriRun { targets, names, .. } in MIRI.iter().filter(by_name) {
            let directories = targets.iter().map(|target| image::workspace().join("tests/sim/tests").join(target));
            let sources = directories.filter_map(|directory| std::fs::read_dir(directory).ok()).flatten();
            let text: String = sources.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
            for name in *names {
                assert!(text.contains(&format!("\nfn {name}")), "{name}");
            }
        }
    }
}
