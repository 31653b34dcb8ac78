//! `cargo xtask fuzz`: feeds a target with inputs for as long as was asked, or until one of them fails.
//!
//! ```text
//!   tests/fuzz/src               the targets' bodies; stable Rust, replayed over the corpora by `cargo xtask test`
//!   tests/fuzz/libfuzzer         one libFuzzer program per target, built here with nightly Rust and cargo-fuzz
//!   tests/fuzz/corpus/TARGET     committed inputs: read here, written by --minimise only
//!   target/fuzz/TARGET/found     inputs that reached something new on this machine
//!   target/fuzz/TARGET/failures  inputs that failed
//! ```
//!
//! What is missing is installed and said, as everywhere in this tool: a nightly toolchain by rustup, cargo-fuzz by
//! cargo, a C++ compiler (for libFuzzer itself) by the system's package manager.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::child;
use crate::cli::{FuzzArgs, ParentEnd};
use crate::exit::{Failure, FailureKind};
use crate::image;
use crate::setup::{self, Needs, Program};

/// The longest input: a few dozen steps of any target.
const LONGEST: usize = 1024;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// Runs the command; without a target, lists them.
///
/// # Errors
///
/// An input failure for a target that does not exist, a preparation failure where the set-up or the build fails.
pub fn run(args: &FuzzArgs) -> Result<u8, Failure> {
    let targets = targets(&programs_directory())?;
    let Some(name) = &args.target else {
        for Target { name, description } in &targets {
            println!("{name:18}{description}");
        }
        return Ok(0);
    };
    if !targets.iter().any(|target| target.name == *name) {
        let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        return Err(Failure::input(format!("no fuzz target `{name}`, there are: {}", names.join(", "))));
    }
    if let Some(input) = args.replay.as_ref().filter(|input| !input.is_file()) {
        return Err(Failure::input(format!("no such file: {}", input.display())));
    }
    set_up()?;
    let fuzzer = Fuzzer::build(name)?;
    match &args.replay {
        Some(input) => fuzzer.replay(input),
        None if args.minimise => fuzzer.minimise(),
        None => fuzzer.fuzz(args.seconds),
    }
}

/// A fuzz target, as its program's first line describes it.
struct Target {
    name: String,
    description: String,
}

fn programs_directory() -> PathBuf {
    image::workspace().join("tests/fuzz/libfuzzer")
}

/// The targets that have a program, by name.
fn targets(programs: &Path) -> Result<Vec<Target>, Failure> {
    let trouble = |error| Failure::preparation(format!("cannot read the fuzz targets: {error}"));
    let mut targets = Vec::new();
    for path in files(&programs.join("fuzz_targets")).map_err(trouble)? {
        let Some(name) = file_name(&path).strip_suffix(".rs") else { continue };
        let text = fs::read_to_string(&path).map_err(trouble)?;
        let first = text.lines().next().unwrap_or_default();
        let description = first.trim_start_matches("//!").trim().to_owned();
        targets.push(Target { name: name.to_owned(), description });
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(targets)
}

/// Makes sure that nightly Rust, cargo-fuzz and a C++ compiler are here.
fn set_up() -> Result<(), Failure> {
    setup::ensure(&Needs { target_for: None, programs: vec![Program::CppCompiler] })?;
    setup::ensure_nightly("fuzzing", "")?;
    if setup::quietly(outside("cargo").args(["+nightly", "fuzz", "--version"])) {
        return Ok(());
    }
    let arguments = ["install", "cargo-fuzz", "--locked", "--debug"];
    eprintln!("xtask: cargo-fuzz is missing: cargo {}", arguments.join(" "));
    // In no directory of ours: a toolchain file of this workspace means nothing to it.
    let mut install = outside("cargo");
    install.args(arguments).current_dir(std::env::temp_dir()).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let done = install.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::preparation(format!("cargo-fuzz is missing, type: cargo {}", arguments.join(" ")))),
    }
}

/// A program of the Rust toolchain, not bound to the one that runs this tool.
fn outside(program: &str) -> Command {
    let mut command = child::bound(program, ParentEnd::Terminate);
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").current_dir(image::workspace());
    command
}

/// The program of one target, and where its inputs are.
struct Fuzzer {
    name: String,
    program: PathBuf,
    corpus: PathBuf,
    found: PathBuf,
    failures: PathBuf,
}

impl Fuzzer {
    /// Builds the program, instrumented.
    fn build(name: &str) -> Result<Self, Failure> {
        let work = image::target_directory().join("fuzz");
        let triple = host()?;
        eprintln!("xtask: building the fuzz target {name}");
        let mut build = outside("cargo");
        build.args(["+nightly", "fuzz", "build", "--fuzz-dir"]).arg(programs_directory());
        build.args(["--target", &triple, "--target-dir"]).arg(work.join("build")).arg(name);
        let built = build.stdin(Stdio::null()).stdout(std::io::stderr()).status();
        if !built.is_ok_and(|status| status.success()) {
            return Err(Failure::preparation(format!("the fuzz target {name} does not build")));
        }
        let fuzzer = Self {
            name: name.to_owned(),
            program: work.join("build").join(triple).join("release").join(name),
            corpus: image::workspace().join("tests/fuzz/corpus").join(name),
            found: work.join(name).join("found"),
            failures: work.join(name).join("failures"),
        };
        for directory in [&fuzzer.corpus, &fuzzer.found, &fuzzer.failures] {
            fs::create_dir_all(directory).map_err(cannot(directory))?;
        }
        Ok(fuzzer)
    }

    /// The program, with the options that every use of it has.
    fn command(&self) -> Command {
        let mut command = child::bound(&self.program, ParentEnd::Kill);
        command.current_dir(image::workspace()).stdin(Stdio::null()).stdout(std::io::stderr());
        // The targets account for every allocation themselves; the sanitizer's search for leaks wants rights that a
        // container may not give.
        command.env("ASAN_OPTIONS", "detect_odr_violation=0:detect_leaks=0").args(["-detect_leaks=0", "-timeout=10"]);
        command.arg(format!("-artifact_prefix={}/", self.failures.display()));
        command
    }

    /// Fuzzes for some seconds.
    fn fuzz(&self, seconds: u64) -> Result<u8, Failure> {
        eprintln!("xtask: fuzzing {} for {seconds} s; Ctrl-C ends it", self.name);
        let mut command = self.command();
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LONGEST}")).args(["-print_pcs=0"]);
        let mut progress = Progress::new();
        let (status, failure) = watch(command.arg(&self.found).arg(&self.corpus), |line| progress.read(line))?;
        progress.show();
        if status.success() {
            eprintln!("xtask: {}: no failure", self.name);
            return Ok(0);
        }
        Ok(self.failed(failure.as_deref()))
    }

    /// Runs one input.
    fn replay(&self, input: &Path) -> Result<u8, Failure> {
        let input = fs::canonicalize(input).map_err(cannot(input))?;
        let (status, _) = watch(self.command().arg(&input), |line| eprintln!("{line}"))?;
        Ok(if status.success() { 0 } else { FailureKind::Checks.status() })
    }

    /// Reduces the committed inputs and those found here to few that reach as much, and commits them to the corpus.
    /// Those that were given a name, which says what they are for, stay.
    fn minimise(&self) -> Result<u8, Failure> {
        let merged = self.found.with_file_name("merged");
        let _ = fs::remove_dir_all(&merged);
        fs::create_dir_all(&merged).map_err(cannot(&merged))?;
        for seed in files(&self.corpus).map_err(cannot(&self.corpus))? {
            if !is_found(file_name(&seed)) {
                fs::copy(&seed, merged.join(file_name(&seed))).map_err(cannot(&seed))?;
            }
        }
        let mut command = self.command();
        // Blocks reached, not how often: how often makes hundreds of inputs of a few dozen.
        command.args(["-set_cover_merge=1", "-use_counters=0"]).arg(format!("-max_len={LONGEST}"));
        let mut progress = Progress::new();
        let (status, failure) =
            watch(command.arg(&merged).arg(&self.corpus).arg(&self.found), |line| progress.read(line))?;
        if !status.success() {
            return Ok(self.failed(failure.as_deref()));
        }
        for old in files(&self.corpus).map_err(cannot(&self.corpus))? {
            if is_found(file_name(&old)) {
                fs::remove_file(&old).map_err(cannot(&old))?;
            }
        }
        let (mut count, mut bytes) = (0, 0);
        for input in files(&merged).map_err(cannot(&merged))? {
            bytes += fs::copy(&input, self.corpus.join(file_name(&input))).map_err(cannot(&input))?;
            count += 1;
        }
        let _ = fs::remove_dir_all(&merged);
        println!("{}: {count} inputs, {bytes} bytes", self.corpus.display());
        Ok(0)
    }

    /// Says which input failed and how to see it fail again; gives the exit status.
    fn failed(&self, input: Option<&Path>) -> u8 {
        match input {
            Some(input) => {
                eprintln!("xtask: {} failed on this input: {}", self.name, input.display());
                eprintln!("xtask: to see it again: cargo xtask fuzz {} --replay {}", self.name, input.display());
            }
            None => eprintln!("xtask: {} failed without leaving an input", self.name),
        }
        FailureKind::Checks.status()
    }
}

/// Runs libFuzzer; gives how it ended, and the failing input that it wrote, if it did.
fn watch(command: &mut Command, mut each: impl FnMut(&str)) -> Result<(ExitStatus, Option<PathBuf>), Failure> {
    let cannot_run = |error| Failure::machine(format!("cannot run the fuzz target: {error}"));
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(cannot_run)?;
    let mut failure = None;
    let stderr = child.stderr.take().into_iter();
    for line in stderr.flat_map(|stderr| BufReader::new(stderr).split(b'\n')).map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        match line.split_once("Test unit written to ") {
            Some((_, path)) => failure = Some(PathBuf::from(path.trim())),
            None => each(&line),
        }
    }
    Ok((child.wait().map_err(cannot_run)?, failure))
}

/// What libFuzzer says, with its many lines about single inputs turned into one every few seconds.
struct Progress {
    started: Instant,
    shown: Instant,
    latest: Option<String>,
}

impl Progress {
    fn new() -> Self {
        Self { started: Instant::now(), shown: Instant::now(), latest: None }
    }

    fn read(&mut self, line: &str) {
        if let Some(summary) = summary(line) {
            self.latest = Some(summary);
            if self.shown.elapsed() >= PROGRESS {
                self.show();
            }
        } else if !is_chatter(line) {
            eprintln!("{line}");
        }
    }

    fn show(&mut self) {
        self.shown = Instant::now();
        if let Some(latest) = self.latest.take() {
            eprintln!("xtask: {:4} s: {latest}", self.started.elapsed().as_secs());
        }
    }
}

/// What a status line says, in words: `#8192 pulse cov: 512 ft: 1200 corp: 90/4Kb exec/s: 4096 rss: 60Mb`.
fn summary(line: &str) -> Option<String> {
    let inputs = line.strip_prefix('#')?.split_whitespace().next()?;
    let value = |name: &str| line.split_whitespace().skip_while(|word| *word != name).nth(1);
    let (coverage, corpus, speed) = (value("cov:")?, value("corp:")?, value("exec/s:")?);
    let kept = corpus.split('/').next()?;
    Some(format!("{inputs} inputs, {speed} a second, {coverage} places reached, {kept} inputs kept"))
}

/// Whether a line is libFuzzer's talk about itself.
fn is_chatter(line: &str) -> bool {
    let starts = ["#", "INFO: ", "MERGE-", "Done ", "Running: ", "WARNING: no ", "\"", "\tNEW_FUNC"];
    line.trim().is_empty() || starts.iter().any(|start| line.starts_with(start))
}

/// Whether an input's name is what libFuzzer calls those it finds: a SHA-1.
fn is_found(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn cannot(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::machine(format!("{}: {error}", path.display()))
}

/// The nightly toolchain's name for this machine.
fn host() -> Result<String, Failure> {
    let output = outside("rustc").args(["+nightly", "-vV"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::preparation(format!("cannot run rustc: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::preparation("rustc does not say what it compiles for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_a_target_with_a_description() {
        let targets = targets(&programs_directory()).unwrap();
        let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        let expected = [
            "archive",
            "ata",
            "block_device",
            "boot_information",
            "config_space",
            "e1000",
            "fat",
            "fuse_dirents",
            "fuse_init",
            "fuse_replies",
            "fuse_session",
            "operations",
            "partitions",
            "pci_capabilities",
            "received_frames",
            "registers",
            "used_ring",
            "virtio_fs",
            "virtio_net",
        ];
        assert_eq!(names, expected);
        assert!(targets.iter().all(|target| target.description.ends_with('.')));
    }

    #[test]
    fn status_lines_become_words() {
        let line = "#2097152\tpulse  cov: 1043 ft: 4000 corp: 300/10Kb lim: 80 exec/s: 34952 rss: 410Mb";
        let words = "2097152 inputs, 34952 a second, 1043 places reached, 300 inputs kept";
        assert_eq!(summary(line).as_deref(), Some(words));
        assert_eq!(summary("thread panicked at src/lib.rs"), None);
        assert_eq!(summary("#1462 DONE cov: 2689 exec/s: 487 rss: 217Mb"), None);
        assert!(is_chatter("#1462 DONE cov: 2689 exec/s: 487 rss: 217Mb"));
        assert!(!is_chatter("    #0 0x55 in main") && !is_chatter("thread panicked at src/lib.rs"));
    }

    #[test]
    fn only_inputs_that_libfuzzer_named_are_replaced() {
        assert!(is_found("da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        assert!(!is_found("hd_vq_1") && !is_found("crash-da39a3ee5e6b4b0d3255bfef95601890afd80709"));
    }

    #[test]
    fn target_that_does_not_exist_is_wrong_input() {
        let args = FuzzArgs { target: Some("rings".to_owned()), seconds: 1, minimise: false, replay: None };
        let failure = run(&args).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Input);
        assert!(failure.to_string().contains("used_ring"), "{failure}");
    }
}
