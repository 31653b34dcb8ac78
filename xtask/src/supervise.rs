//! Running other programs' tests without waiting for ever and without leaving any behind.
//!
//! A test that hangs must not take the whole run with it, and an interrupted run must not leave the hung test behind:
//! cargo does not end the test programs that it started. So each command gets a process group of its own, and the
//! supervisor ends the group: when a signal asks the tool to stop, and when the command takes longer than anything
//! reasonable.
//!
//! ```text
//!   xtask test --> [ cargo test --> test program --> ... ]    one group, ended as a whole
//! ```
//!
//! Commands of which each keeps one processor busy run beside each other, in lanes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::child;
use crate::exit::{Failure, FailureKind};
use crate::signals::StopSignals;

/// How long one command may take before it counts as hung.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// The same for tests that are known to take long.
const LONG_DEADLINE: Duration = Duration::from_secs(6 * 60 * 60);
/// How long the programs of a group may take to obey a request to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs commands.
pub struct Supervisor {
    sender: Sender<Event>,
    events: Receiver<Event>,
    deadline: Duration,
    _signals: StopSignals,
}

enum Event {
    /// The command with this process number wrote a line.
    Line(u32, String),
    /// The output of the command with this process number ended.
    OutputEnd(u32),
    Signal(i32),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With status 0.
    Well,
    /// With another status, by a signal, or not started at all.
    Badly,
    /// Not by itself within the deadline.
    Hung,
}

/// Commands with names, to run one after the other.
pub type Lane<'a> = VecDeque<(&'a str, &'a mut Command)>;

/// What happens to a command of a lane, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// It begins.
    Begin,
    /// It wrote a line.
    Line(&'a str),
    /// It ended.
    End(Ended),
}

/// A command that runs.
struct Running<'a> {
    name: &'a str,
    child: Child,
    deadline: Instant,
    has_output_ended: bool,
}

impl Running<'_> {
    /// How it ended, if it has; it is ended if it takes too long.
    fn ended(&mut self) -> Option<Ended> {
        if self.has_output_ended
            && let Ok(Some(status)) = self.child.try_wait()
        {
            return Some(if status.success() { Ended::Well } else { Ended::Badly });
        }
        (Instant::now() >= self.deadline).then(|| {
            end_group(&mut self.child);
            Ended::Hung
        })
    }
}

impl Supervisor {
    /// A supervisor; from now on, stop signals end the command that runs.
    ///
    /// # Errors
    ///
    /// A machine failure where the system refuses to deliver signals.
    pub fn new() -> Result<Self, Failure> {
        Self::with_deadline(DEADLINE)
    }

    /// The same, for commands that take hours.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn patient() -> Result<Self, Failure> {
        Self::with_deadline(LONG_DEADLINE)
    }

    fn with_deadline(deadline: Duration) -> Result<Self, Failure> {
        let (sender, events) = mpsc::channel();
        let signals = StopSignals::forward(sender.clone(), Event::Signal)
            .map_err(|error| Failure::machine(format!("cannot catch signals: {error}")))?;
        Ok(Self { sender, events, deadline, _signals: signals })
    }

    /// Runs `command` to its end and gives each line of its standard output to `each_line`.
    ///
    /// # Errors
    ///
    /// A signal failure when a signal asks the tool to stop; the command has ended then.
    pub fn run(&self, command: &mut Command, mut each_line: impl FnMut(&str)) -> Result<Ended, Failure> {
        let mut ended = Ended::Badly;
        let lane = Lane::from([("", command)]);
        self.run_lanes(vec![lane], |_, progress| match progress {
            Progress::Begin => {}
            Progress::Line(line) => each_line(line),
            Progress::End(how) => ended = how,
        })?;
        Ok(ended)
    }

    /// Runs the commands of all lanes, those of one lane one after the other, and says what happens as it does.
    ///
    /// # Errors
    ///
    /// A signal failure when a signal asks the tool to stop; all commands have ended then.
    pub fn run_lanes(&self, lanes: Vec<Lane<'_>>, mut tell: impl FnMut(&str, Progress<'_>)) -> Result<(), Failure> {
        let mut lanes: Vec<(Lane<'_>, Option<Running<'_>>)> = lanes.into_iter().map(|lane| (lane, None)).collect();
        loop {
            for (lane, running) in &mut lanes {
                if let Some(ended) = running.as_mut().and_then(Running::ended)
                    && let Some(Running { name, .. }) = running.take()
                {
                    tell(name, Progress::End(ended));
                }
                while running.is_none()
                    && let Some((name, command)) = lane.pop_front()
                {
                    tell(name, Progress::Begin);
                    *running = self.start(name, command);
                    if running.is_none() {
                        tell(name, Progress::End(Ended::Badly));
                    }
                }
            }
            if lanes.iter().all(|(_, running)| running.is_none()) {
                return Ok(());
            }
            let mut all = lanes.iter_mut().filter_map(|(_, running)| running.as_mut());
            match self.events.recv_timeout(Duration::from_millis(100)) {
                Ok(Event::Line(from, line)) => {
                    // Else it is of a straggler of an earlier command.
                    if let Some(running) = all.find(|running| running.child.id() == from) {
                        tell(running.name, Progress::Line(&line));
                    }
                }
                Ok(Event::OutputEnd(from)) => {
                    if let Some(running) = all.find(|running| running.child.id() == from) {
                        running.has_output_ended = true;
                    }
                }
                Ok(Event::Signal(signal)) => {
                    all.for_each(|running| end_group(&mut running.child));
                    return Err(Failure::new(FailureKind::Signal(signal), format!("stopped by signal {signal}")));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Starts a command; `None` if that cannot be done, which is said.
    fn start<'a>(&self, name: &'a str, command: &mut Command) -> Option<Running<'a>> {
        match command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
            Ok(mut child) => {
                self.read(&mut child);
                Some(Running { name, child, deadline: Instant::now() + self.deadline, has_output_ended: false })
            }
            Err(error) => {
                eprintln!("xtask: cannot run {}: {error}", command.get_program().to_string_lossy());
                None
            }
        }
    }

    /// Reads the child's output on a thread of its own.
    fn read(&self, child: &mut Child) {
        let (id, sender) = (child.id(), self.sender.clone());
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                    let _ = sender.send(Event::Line(id, String::from_utf8_lossy(&line).into_owned()));
                }
                let _ = sender.send(Event::OutputEnd(id));
            });
        }
    }
}

/// Ends every process in the group that `child` leads: first by request, then by force.
fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let send = |signal| group.map(|group| rustix::process::kill_process_group(group, signal));
    send(Signal::TERM);
    let _ = child::wait_until(child, Instant::now() + PATIENCE);
    // The leader may be gone and its number with it, but the group exists as long as anyone is in it.
    let deadline = Instant::now() + PATIENCE;
    while group.is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok()) {
        if Instant::now() >= deadline {
            send(Signal::KILL);
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        let _ = child.try_wait();
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::shell;
    use crate::signals::ALONE;

    #[test]
    fn lines_and_status_of_a_command_are_told() {
        let _alone = ALONE.lock();
        let supervisor = Supervisor::new().unwrap();
        let mut lines = Vec::new();
        let ended = supervisor.run(&mut shell("echo one; echo two; exit 3"), |line| lines.push(line.to_owned()));
        assert_eq!((ended, lines), (Ok(Ended::Badly), vec!["one".to_owned(), "two".to_owned()]));
        assert_eq!(supervisor.run(&mut shell("true"), |_| ()), Ok(Ended::Well));
        assert_eq!(supervisor.run(&mut Command::new("/no/such/program"), |_| ()), Ok(Ended::Badly));
    }

    #[test]
    fn lanes_run_beside_each_other_and_each_in_its_order() {
        let _alone = ALONE.lock();
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        // Each end of the pipe waits for the other to be opened.
        let mut one = shell(&format!("mkfifo {0} && echo x > {0}", pipe.display()));
        let mut other = shell(&format!("until [ -p {0} ]; do sleep 0.01; done; cat {0}", pipe.display()));
        let mut last = shell("exit 1");
        let lanes = vec![Lane::from([("writer", &mut one), ("last", &mut last)]), Lane::from([("reader", &mut other)])];
        let mut told = Vec::new();
        let tell = |name: &str, progress: Progress<'_>| told.push(format!("{name} {progress:?}"));
        Supervisor::new().unwrap().run_lanes(lanes, tell).unwrap();
        let place =
            |what: &str| told.iter().position(|line| line == what).unwrap_or_else(|| panic!("{what}: {told:?}"));
        assert!(place("reader Begin") < place("reader Line(\"x\")"));
        assert!(place("writer End(Well)") < place("last Begin") && place("last Begin") < place("last End(Badly)"));
        assert!(place("reader Line(\"x\")") < place("reader End(Well)"));
        assert_eq!(told.len(), 7, "{told:?}");
    }

    #[test]
    fn hung_command_is_ended_with_its_children() {
        let _alone = ALONE.lock();
        let supervisor = Supervisor::with_deadline(Duration::from_millis(300)).unwrap();
        let mut lines = Vec::new();
        // The grandchild holds the pipe and would outlive the shell.
        let script = "sleep 600 & echo $!; wait";
        assert_eq!(supervisor.run(&mut shell(script), |line| lines.push(line.to_owned())), Ok(Ended::Hung));
        let grandchild = Pid::from_raw(lines[0].parse().unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::fs::read_to_string(format!("/proc/{grandchild}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            assert!(Instant::now() < deadline, "the grandchild still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
