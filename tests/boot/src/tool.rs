//! Running the command line tool, and judging what it printed and how it ended.
//!
//! Every run is tied to this process by the tool's own means (`xtask bound`), so an interrupted test run leaves no virtual
//! machine behind. Temporary files of a run go where the case says, so that it can look at what is left.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long anything may take before it counts as hung; the builds of images are the slowest part.
pub const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// The command line tool.
#[derive(Clone, Debug)]
pub struct Tool {
    program: PathBuf,
}

impl Tool {
    /// The tool whose executable is `program`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Its executable.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The workspace that the tool builds in.
    pub fn workspace(&self) -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().nth(2).unwrap_or(here).to_owned()
    }

    /// Runs the tool with `arguments` to its end.
    ///
    /// # Errors
    ///
    /// What happened where it does not start or does not end.
    pub fn run<A: Into<OsString>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Finished, String> {
        self.start(arguments, &[])?.finish()
    }

    /// Starts the tool with `arguments` and, in its environment, `variables`.
    ///
    /// # Errors
    ///
    /// What happened where it does not start.
    pub fn start<A: Into<OsString>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        variables: &[(&str, &Path)],
    ) -> Result<Running, String> {
        self.start_program(&self.program, arguments, variables)
    }

    /// Runs another program to its end, tied to this process as the tool is.
    ///
    /// # Errors
    ///
    /// What happened where it does not start or does not end.
    pub fn run_program<A: Into<OsString>>(
        &self,
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
        variables: &[(&str, &Path)],
    ) -> Result<Finished, String> {
        self.start_program(program, arguments, variables)?.finish()
    }

    /// Starts another program, tied to this process as the tool is.
    ///
    /// # Errors
    ///
    /// What happened where it does not start.
    pub fn start_program<A: Into<OsString>>(
        &self,
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
        variables: &[(&str, &Path)],
    ) -> Result<Running, String> {
        let program = program.as_ref().to_owned();
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let mut command = Command::new(&self.program);
        command.args(["bound", &std::process::id().to_string(), "terminate", "--"]).arg(&program).args(&arguments);
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        let stdout = lines_of(child.stdout.take());
        let stderr = lines_of(child.stderr.take());
        let deadline = Instant::now() + DEADLINE;
        Ok(Running { child, program, arguments, stdout, stderr, seen: String::new(), deadline })
    }
}

/// A channel of the lines of `stream`, read by a thread of its own.
fn lines_of(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stream) = stream {
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// A tool that runs; killed when dropped.
pub struct Running {
    child: Child,
    program: PathBuf,
    arguments: Vec<OsString>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    /// Standard output read so far.
    seen: String,
    deadline: Instant,
}

impl Running {
    /// Waits for a line of standard output of which `wanted` makes something, and gives that.
    ///
    /// # Errors
    ///
    /// All output where the tool ends, or the deadline passes, without such a line.
    pub fn await_line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        loop {
            match self.stdout.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let _ = writeln!(self.seen, "{line}");
                    if let Some(found) = wanted(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(format!("no such line in time:\n{}", self.seen)),
                Err(RecvTimeoutError::Disconnected) => {
                    let errors: Vec<_> = self.stderr.iter().collect();
                    return Err(format!("ended without such a line:\n{}{}", self.seen, errors.join("\n")));
                }
            }
        }
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    ///
    /// `what` did not come true before the tool ended or the deadline passed.
    pub fn await_condition(&mut self, what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
        while !condition() {
            if Instant::now() >= self.deadline {
                return Err(format!("{what}: not in time"));
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let errors: Vec<_> = self.stderr.iter().collect();
                return Err(format!("{what}: the tool ended before, {status}\n{}", errors.join("\n")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether the tool has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && Instant::now() < self.deadline
    }

    /// Sends a signal to the tool alone.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("no process number")?;
        rustix::process::kill_process(pid, signal).map_err(|error| format!("cannot send a signal: {error}"))
    }

    /// Waits for the tool's end.
    ///
    /// # Errors
    ///
    /// What it printed where it does not end in time.
    pub fn finish(mut self) -> Result<Finished, String> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    let mut stdout = std::mem::take(&mut self.seen);
                    self.stdout.iter().for_each(|line| stdout.extend([line.as_str(), "\n"]));
                    let stderr = self.stderr.iter().fold(String::new(), |text, line| text + &line + "\n");
                    let (program, arguments) = (self.program.clone(), self.arguments.clone());
                    return Ok(Finished { program, arguments, status, stdout, stderr });
                }
                Ok(None) if Instant::now() < self.deadline => std::thread::sleep(Duration::from_millis(10)),
                Ok(None) => {
                    self.stdout.try_iter().for_each(|line| self.seen.extend([line.as_str(), "\n"]));
                    return Err(format!("{:?} does not end; so far:\n{}", self.arguments, self.seen));
                }
                Err(error) => return Err(format!("cannot wait for the tool: {error}")),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.signal(Signal::TERM);
            let patience = Instant::now() + Duration::from_secs(20);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A tool that has ended, and all it printed.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The executable.
    pub program: PathBuf,
    /// What it was asked.
    pub arguments: Vec<OsString>,
    /// How it ended.
    pub status: ExitStatus,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

impl Finished {
    /// Checks the exit status.
    ///
    /// # Errors
    ///
    /// Both statuses and all output.
    pub fn expect_status(&self, wanted: i32) -> Result<&Self, String> {
        if self.status.code() == Some(wanted) {
            return Ok(self);
        }
        let came = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "nothing".to_owned(),
        };
        Err(self.explain(&format!("exit status {wanted}"), &format!("exit status {came}")))
    }

    /// Checks that standard output contains `text`.
    ///
    /// # Errors
    ///
    /// The text and all output.
    pub fn expect_output(&self, text: &str) -> Result<&Self, String> {
        if self.stdout.contains(text) {
            return Ok(self);
        }
        Err(self.explain(&format!("{text:?} on standard output"), "this"))
    }

    /// Checks that standard output has a line that `wanted` accepts; `what` describes it.
    ///
    /// # Errors
    ///
    /// The description and all output.
    pub fn expect_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<&Self, String> {
        if self.stdout.lines().any(wanted) {
            return Ok(self);
        }
        Err(self.explain(&format!("a line with {what}"), "this"))
    }

    /// Checks that the tool refused: one line on standard error with every one of `texts`, nothing on standard output.
    ///
    /// # Errors
    ///
    /// What is missing and all output.
    pub fn expect_refusal(&self, texts: &[&str]) -> Result<&Self, String> {
        self.expect_status(2)?;
        let one_line = self.stderr.lines().count() == 1 && self.stderr.starts_with("error: ");
        if one_line && self.stdout.is_empty() && texts.iter().all(|text| self.stderr.contains(text)) {
            return Ok(self);
        }
        Err(self.explain(&format!("one line of error with {texts:?}"), "this"))
    }

    fn explain(&self, wanted: &str, came: &str) -> String {
        let words: Vec<_> = self.arguments.iter().map(|word| word.to_string_lossy()).collect();
        format!(
            "{} {}\nexpected {wanted}, got {came}\n-- standard output --\n{}-- standard error --\n{}",
            self.program.display(),
            words.join(" "),
            self.stdout,
            self.stderr
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(code: i32, stdout: &str, stderr: &str) -> Finished {
        Finished {
            program: "xtask".into(),
            arguments: vec!["run".into()],
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn refusal_is_one_line_and_nothing_else() {
        assert!(finished(2, "", "error: no such port\n").expect_refusal(&["port"]).is_ok());
        assert!(finished(2, "", "error: no such port\nhint\n").expect_refusal(&["port"]).is_err());
        assert!(finished(2, "started", "error: no such port\n").expect_refusal(&["port"]).is_err());
        assert!(finished(1, "", "error: no such port\n").expect_refusal(&["port"]).is_err());
        assert!(finished(2, "", "error: no such port\n").expect_refusal(&["share"]).is_err());
    }

    #[test]
    fn wrong_status_is_explained_with_the_output() {
        let reason = finished(3, "hello\n", "").expect_status(0).unwrap_err();
        assert!(reason.contains("exit status 0") && reason.contains("exit status 3") && reason.contains("hello"));
    }
}
