//! A guest that runs, whichever monitor runs it: followed until it ends, or is to be ended.
//!
//! ```text
//!   the guest's output ---------+
//!   the monitor's messages -----+--> events --> one loop --> standard output, and in the end a status
//!   web server that answers ----+                  |
//!   signals --------------------+                  `--> the monitor is stopped, however the loop ended
//! ```
//!
//! One loop on the main thread owns the machine; other threads only read from something and send events to it. No wait of
//! it is longer than a moment, so that a monitor that ends without a word is noticed.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::backlog;
use crate::child;
use crate::exit::{Failure, FailureKind};
use crate::symbolize::Symbolizer;

mod web;

/// How long the monitor may take to obey a request to end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often the loop looks whether the monitor still runs when nothing happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What can happen while a guest runs.
pub enum Event {
    /// The guest wrote a line, here without its end.
    Line(Vec<u8>),
    /// The guest's output ended.
    OutputEnd,
    /// The monitor itself said something.
    Message(String),
    /// The guest answered an HTTP request at this address.
    WebAnswer(SocketAddr),
    /// A signal asks the tool to stop.
    Signal(i32),
}

/// The program that runs a guest.
#[derive(Clone, Copy)]
pub struct Monitor {
    /// Its name.
    pub name: &'static str,
    /// What its own exit status and the guest's last line say of the guest's.
    pub status: fn(ExitStatus, &str) -> Result<u8, Failure>,
}

/// What is to be done for a guest while it runs.
pub struct Supervision<'a> {
    /// What runs it.
    pub monitor: Monitor,
    /// Its image, for the names of its functions, where it was built here.
    pub image: Option<&'a Path>,
    /// Where it answers HTTP requests, if it does.
    pub web: &'a [SocketAddr],
    /// How many seconds it may take.
    pub timeout: Option<u64>,
}

/// A guest that runs.
pub struct Guest {
    child: Child,
    monitor: Monitor,
    /// For an application that was built, whose names are known.
    symbolizer: Option<Symbolizer>,
    /// What the guest wrote last.
    last_line: String,
    /// Whether the guest has said that it listens.
    serving: Arc<AtomicBool>,
    /// When to give up, and the number of seconds that the user gave.
    deadline: Option<(Instant, u64)>,
}

impl Guest {
    /// Takes charge of the monitor `child`, whose output becomes events.
    pub fn new(child: Child, supervision: &Supervision<'_>, sender: &Sender<Event>) -> Self {
        let mut guest = Self {
            child,
            monitor: supervision.monitor,
            symbolizer: supervision.image.map(Symbolizer::new),
            last_line: String::new(),
            serving: Arc::new(AtomicBool::new(false)),
            deadline: supervision.timeout.map(|seconds| (Instant::now() + Duration::from_secs(seconds), seconds)),
        };
        guest.forward_output(sender);
        guest
    }

    /// Follows the guest until it ends or is to be ended, and makes sure that the monitor has ended then. `first` is a line
    /// for the user.
    ///
    /// # Errors
    ///
    /// What the monitor says of the guest's end, and the user's or the clock's wish to stop.
    pub fn supervise(
        mut self,
        supervision: &Supervision<'_>,
        sender: &Sender<Event>,
        events: &Receiver<Event>,
        first: Option<&str>,
    ) -> Result<u8, Failure> {
        for &address in supervision.web {
            if address.ip().is_loopback() {
                let pid = self.child.id();
                std::thread::spawn(move || backlog::lengthen(pid, address.port()));
            }
            let (serving, sender) = (Arc::clone(&self.serving), sender.clone());
            std::thread::spawn(move || web::announce(address, &serving, &sender));
        }
        let result = first.map_or(Ok(()), print_line).and_then(|()| self.follow(events));
        self.stop();
        result
    }

    /// Starts the threads that turn the monitor's output into events.
    fn forward_output(&mut self, sender: &Sender<Event>) {
        if let Some(stdout) = self.child.stdout.take() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                    if sender.send(Event::Line(line)).is_err() {
                        return;
                    }
                }
                let _ = sender.send(Event::OutputEnd);
            });
        }
        if let Some(stderr) = self.child.stderr.take() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    let _ = sender.send(Event::Message(String::from_utf8_lossy(&line).into_owned()));
                }
            });
        }
    }

    /// Handles events until the guest ends, or is to be ended.
    fn follow(&mut self, events: &Receiver<Event>) -> Result<u8, Failure> {
        let mut output_ended = false;
        loop {
            match events.recv_timeout(self.patience()) {
                Ok(Event::Line(line)) => self.show(&line)?,
                Ok(Event::OutputEnd) => output_ended = true,
                Ok(Event::Message(message)) => eprintln!("{message}"),
                Ok(Event::WebAnswer(address)) => print_line(&format!("http://{address}/"))?,
                Ok(Event::Signal(signal)) => {
                    return Err(Failure::new(FailureKind::Signal(signal), stop_message(signal)));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => output_ended = true,
            }
            // The last lines come before the status: look at it only when there is no more output.
            if output_ended && let Some(status) = self.child.try_wait().map_err(|error| self.cannot_wait(&error))? {
                for event in events.try_iter() {
                    if let Event::Message(message) = event {
                        eprintln!("{message}");
                    }
                }
                return (self.monitor.status)(status, &self.last_line);
            }
            if let Some((deadline, seconds)) = self.deadline
                && Instant::now() >= deadline
            {
                return Err(Failure::new(
                    FailureKind::Timeout,
                    format!("the guest did not end within {seconds} seconds"),
                ));
            }
        }
    }

    /// How long to wait for the next event.
    fn patience(&self) -> Duration {
        match self.deadline {
            Some((deadline, _)) => deadline.saturating_duration_since(Instant::now()).min(LOOK_INTERVAL),
            None => LOOK_INTERVAL,
        }
    }

    /// Shows a line of the guest, with names where it is part of a backtrace.
    fn show(&mut self, line: &[u8]) -> Result<(), Failure> {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        let annotated = self.symbolizer.as_mut().and_then(|symbolizer| symbolizer.annotate(&line));
        self.last_line = line.into_owned();
        if self.last_line.starts_with("listening on ") {
            self.serving.store(true, Ordering::Relaxed);
        }
        print_line(annotated.as_deref().unwrap_or(&self.last_line))
    }

    fn cannot_wait(&self, error: &std::io::Error) -> Failure {
        Failure::machine(format!("cannot wait for {}: {error}", self.monitor.name))
    }

    /// Makes sure that the monitor has ended.
    fn stop(&mut self) {
        let _ = child::stop(&mut self.child, STOP_PATIENCE);
    }
}

/// Prints a line at once, also into a pipe.
fn print_line(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    // A reader that has gone wants no more: the same wish as Ctrl-C.
    written.map_err(|error| Failure::new(FailureKind::Signal(13), format!("cannot write to standard output: {error}")))
}

fn stop_message(signal: i32) -> String {
    match signal {
        2 => "stopped by Ctrl-C".to_owned(),
        other => format!("stopped by signal {other}"),
    }
}
