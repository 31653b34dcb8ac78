//! However a run ends, it leaves no process and no file behind.
//!
//! The guest is one that never runs (`-S` keeps QEMU's processor stopped), so the cases depend on no application. Each run
//! has a directory for temporary files of its own, and a name of its own on QEMU's command line to look for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::case::Case;
use crate::tool::{Running, Tool};

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("stopping::ctrl_c_leaves_nothing_behind", |tool| stopped_by(tool, Signal::INT, Some(130))),
        Case::new("stopping::termination_leaves_nothing_behind", |tool| stopped_by(tool, Signal::TERM, Some(143))),
        Case::new("stopping::killed_tool_leaves_nothing_behind", |tool| stopped_by(tool, Signal::KILL, None)),
        Case::new("stopping::time_limit_leaves_nothing_behind", time_limit),
    ]
}

/// What a run has of its own: a share, a place for temporary files, and a mark.
struct Traces {
    share: tempfile::TempDir,
    temporary: tempfile::TempDir,
    mark: String,
}

impl Traces {
    fn new(case: &str) -> Result<Self, String> {
        let directory = || tempfile::tempdir().map_err(|error| error.to_string());
        let mark = format!("boot-test-{case}-{}", std::process::id());
        Ok(Self { share: directory()?, temporary: directory()?, mark })
    }

    /// Starts a guest that never runs, with a share, and waits until both of its processes are there.
    fn start(&self, tool: &Tool, options: &[&str]) -> Result<Running, String> {
        let share = self.share.path().to_string_lossy().into_owned();
        let mut arguments = vec!["run", "hello", "--share", &share];
        arguments.extend(options);
        arguments.extend(["--", "-S", "-name", &self.mark]);
        let mut running = tool.start(arguments, &[("TMPDIR", self.temporary.path())])?;
        running.await_condition("QEMU and virtiofsd run", || {
            let lines = processes();
            lines.iter().any(|line| is_qemu(line) && line.contains(&self.mark))
                && lines.iter().any(|line| line.contains("virtiofsd") && line.contains(&share))
        })?;
        Ok(running)
    }

    /// Checks that no process and no file is left. The tool may have been killed: then its children end a moment later.
    fn expect_none_left(&self) -> Result<(), String> {
        let share = self.share.path().to_string_lossy().into_owned();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let left: Vec<_> = processes()
                .into_iter()
                .filter(|line| line.contains(&self.mark) || line.contains(&share))
                // The harness's own command line may name neither, but the tool's does.
                .collect();
            if left.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(format!("still running:\n{}", left.join("\n")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let files = entries(self.temporary.path())?;
        if files.is_empty() { Ok(()) } else { Err(format!("files are left: {}", files.join(", "))) }
    }
}

fn stopped_by(tool: &Tool, signal: Signal, status: Option<i32>) -> Result<(), String> {
    let traces = Traces::new(&format!("signal-{}", signal.as_raw()))?;
    let running = traces.start(tool, &[])?;
    running.signal(signal)?;
    let finished = running.finish()?;
    if let Some(status) = status {
        finished.expect_status(status)?;
    }
    traces.expect_none_left()
}

fn time_limit(tool: &Tool) -> Result<(), String> {
    let traces = Traces::new("time-limit")?;
    let finished = traces.start(tool, &["--timeout", "3"])?.finish()?;
    finished.expect_status(124)?;
    if !finished.stderr.contains("within 3 seconds") {
        return Err(format!("the limit is not named:\n{}", finished.stderr));
    }
    traces.expect_none_left()
}

fn is_qemu(line: &str) -> bool {
    line.split(' ').next().is_some_and(|program| program.ends_with("qemu-system-x86_64"))
}

/// The command lines of every process.
fn processes() -> Vec<String> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    numbers
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| !line.trim().is_empty())
        .collect()
}

/// Names in `directory`.
fn entries(directory: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(directory).map_err(|error| error.to_string())?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
