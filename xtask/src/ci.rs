//! `cargo xtask ci`: what continuous integration runs, the same on every machine.
//!
//! Formatting, lints, documentation and dependencies come first: they are quick and say most about a change that is not
//! ready. Each is one check in the tally that the tests then add to; nothing stops at the first failure.
//!
//! Two tools come from outside the toolchain file and are installed when missing: a nightly toolchain with Miri, and
//! `cargo-deny`. The advisory database is not consulted here: it changes without a change of ours, and needs access to a git
//! host.

use std::process::{Command, Stdio};

use crate::child;
use crate::cli::{ParentEnd, TestArgs};
use crate::container;
use crate::exit::Failure;
use crate::image::TARGET;
use crate::setup::{self, Needs, Program, User, quietly};
use crate::supervise::Supervisor;
use crate::tally::Tally;
use crate::test::{self, cargo};

/// Sets of the kernel's features that images are likely to be built with, beside all of them: none, each part alone, and
/// what a web server has.
const FEATURES: [&str; 7] = ["", "net", "ipv6", "block", "fs,fs-mounts,fs-notices", "fat", "virtio-net,virtio-fs"];

/// Runs every check and every test.
///
/// # Errors
///
/// A preparation failure of the set-up. Failed checks are in the status.
pub fn run() -> Result<u8, Failure> {
    test::set_up()?;
    let supervisor = Supervisor::new()?;
    let mut tally = Tally::default();
    let mut check = |name: &str, command: &mut Command| tally.run_check(&supervisor, name, command);
    code(&mut check)?;
    documentation(&mut check)?;
    install_deny();
    check("deny", &mut cargo(&["deny", "--all-features", "check", "licenses", "bans", "sources"]))?;
    container(&supervisor, &mut tally)?;
    install_nightly();
    test::run_groups(
        &TestArgs { filter: None, quick: false, long: false, seeds: test::SEEDS },
        &supervisor,
        &mut tally,
    )?;
    test::verdict(&tally)
}

/// The lines of the Dockerfile, with one application, where they can be carried out.
fn container(supervisor: &Supervisor, tally: &mut Tally) -> Result<(), Failure> {
    const NAME: &str = "container";
    if User::current() == User::Root {
        // What cannot be installed is said by what comes next.
        let _ = setup::ensure(&Needs { target_for: None, programs: vec![Program::Debootstrap] });
    }
    if let Some(obstacle) = container::obstacle() {
        tally.skip(NAME, obstacle);
        return Ok(());
    }
    let mut command = child::bound(format!("/proc/{}/exe", std::process::id()), ParentEnd::Terminate);
    tally.run_check(supervisor, NAME, command.args(["container", "--build-arg", "APPS=hello"]))
}

/// Formatting, lints, and the kernel with few of its parts.
fn code(check: &mut impl FnMut(&str, &mut Command) -> Result<(), Failure>) -> Result<(), Failure> {
    check("fmt", &mut cargo(&["fmt", "--all", "--check"]))?;
    check("clippy, host", &mut cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]))?;
    let kernel = ["--package", "toro", "--lib"];
    // As part of the workspace: alone it would have all it stands on checked again, with fewer features.
    let workspace = ["clippy", "--workspace", "--tests", "--", "-D", "warnings"];
    check("clippy, kernel on the host", &mut cargo(&workspace))?;
    check(
        "clippy, kernel and applications",
        cargo(&["clippy"]).args(kernel).args(["--examples", "--target", TARGET, "--", "-D", "warnings"]),
    )?;
    for features in FEATURES {
        let mut command = cargo(&["clippy", "--target", TARGET, "--no-default-features", "--features", features]);
        check(&format!("kernel with only [{features}]"), command.args(kernel).args(["--", "-D", "warnings"]))?;
    }
    without_allocator(check)
}

/// Where the kernel's allocator hides what is missing: the crates by themselves, and the example of a static library,
/// which is no member of this workspace.
fn without_allocator(check: &mut impl FnMut(&str, &mut Command) -> Result<(), Failure>) -> Result<(), Failure> {
    for features in ["", "alloc", "async", "alloc,async", "alloc,legacy"] {
        let queue = ["clippy", "--package", "virtio-queue-rt", "--features", features];
        let strict = ["--", "-D", "warnings"];
        check(&format!("virtio-queue-rt with [{features}], host"), cargo(&queue).args(strict))?;
        let mut bare = cargo(&queue);
        check(&format!("virtio-queue-rt with [{features}]"), bare.args(["--target", TARGET]).args(strict))?;
    }
    for features in ["", "alloc"] {
        let sync = ["clippy", "--package", "toro-sync", "--lib", "--features", features];
        check(
            &format!("toro-sync with [{features}]"),
            cargo(&sync).args(["--target", TARGET, "--", "-D", "warnings"]),
        )?;
    }
    let example = ["--manifest-path", "crates/virtio-queue-rt/examples/staticlib/Cargo.toml"];
    check("fmt, static library", cargo(&["fmt", "--check"]).args(example))?;
    let mut library = cargo(&["clippy", "--target", TARGET]);
    check("clippy, static library", library.args(example).args(["--", "-D", "warnings"]))
}

/// Documentation without a warning, and requirements with their tests.
fn documentation(check: &mut impl FnMut(&str, &mut Command) -> Result<(), Failure>) -> Result<(), Failure> {
    let strict = ("RUSTDOCFLAGS", "-D warnings");
    check("doc, host", cargo(&["doc", "--no-deps"]).env(strict.0, strict.1))?;
    let mut kernel = cargo(&["doc", "--no-deps", "--package", "toro", "--lib", "--target", TARGET]);
    check("doc, kernel", kernel.env(strict.0, strict.1))?;
    // The link names this tool even when cargo has put a new one in its place.
    let this = format!("/proc/{}/exe", std::process::id());
    check("conformance", child::bound(this, ParentEnd::Terminate).args(["conformance", "--check"]))
}

/// Installs cargo-deny where it is missing. Built without optimisation: it runs for a second, and compiles for minutes.
/// A failure shows in the check that uses it.
fn install_deny() {
    if quietly(Command::new("cargo").args(["deny", "--version"])) {
        return;
    }
    eprintln!("xtask: cargo-deny is missing: cargo install cargo-deny --locked --debug");
    let mut install = cargo(&["install", "cargo-deny", "--locked", "--debug"]);
    // In no directory of ours: a toolchain file or target directory of this workspace means nothing to it.
    install.current_dir(std::env::temp_dir()).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let _ = install.stdin(Stdio::null()).stdout(std::io::stderr()).status();
}

/// Installs the nightly toolchain where it is missing. Without one the tests skip Miri and say so.
fn install_nightly() {
    let _ = setup::ensure_nightly("Miri", "miri,rust-src");
}
