//! A running guest: a QEMU process whose serial console is read with a clock in hand.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client;
use crate::machine::{QEMU, Setup, System};

/// Whether command lines are printed before they are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Printed to standard error.
    Printed,
    /// Not printed.
    Silent,
}

/// One line of the serial console.
struct Line {
    /// Since QEMU was started.
    at: Duration,
    text: String,
}

/// A running guest. Dropping it ends QEMU.
pub struct Guest {
    name: &'static str,
    qemu: Child,
    started: Instant,
    lines: Receiver<Line>,
    console: String,
    ready_line: Option<&'static str>,
}

impl Guest {
    /// Starts QEMU.
    ///
    /// # Errors
    ///
    /// QEMU cannot be executed. That it dislikes its arguments shows only when something is awaited.
    pub fn start(name: &'static str, system: &System, setup: &Setup<'_>, echo: Echo) -> Result<Self> {
        let arguments = setup.arguments(system);
        if echo == Echo::Printed {
            let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
            eprintln!("+ {QEMU} {}", words.join(" "));
        }
        let started = Instant::now();
        let mut qemu = Command::new(QEMU)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {QEMU} (Debian: apt install qemu-system-x86)"))?;
        let (sender, lines) = channel();
        let stdout = qemu.stdout.take().expect("stdout was requested as a pipe above");
        let stderr = qemu.stderr.take().expect("stderr was requested as a pipe above");
        for source in [Box::new(stdout) as Box<dyn std::io::Read + Send>, Box::new(stderr)] {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut source = BufReader::new(source);
                let mut bytes = Vec::new();
                while matches!(source.read_until(b'\n', &mut bytes), Ok(1..)) {
                    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    if sender.send(Line { at: started.elapsed(), text }).is_err() {
                        return;
                    }
                    bytes.clear();
                }
            });
        }
        Ok(Self { name, qemu, started, lines, console: String::new(), ready_line: system.ready_line })
    }

    /// Time from the start of QEMU until the console shows a line that contains `text`.
    ///
    /// # Errors
    ///
    /// The guest ended first, or `limit` (counted from the start of QEMU) passed; with the last lines.
    pub fn wait_line(&mut self, text: &str, limit: Duration) -> Result<Duration> {
        loop {
            let left = limit.saturating_sub(self.started.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.console.push_str(&line.text);
                    self.console.push('\n');
                    if line.text.contains(text) {
                        return Ok(line.at);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{}: no \"{text}\" within {limit:?}; it printed:\n{}", self.name, self.tail())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{}: ended before it printed \"{text}\"; it printed:\n{}", self.name, self.tail())
                }
            }
        }
    }

    /// Time from the start of QEMU until it has ended by itself.
    ///
    /// # Errors
    ///
    /// `limit` (counted from the start of QEMU) passed first; with the last lines.
    pub fn wait_end(&mut self, limit: Duration) -> Result<Duration> {
        loop {
            match self.lines.recv_timeout(limit.saturating_sub(self.started.elapsed())) {
                Ok(line) => {
                    self.console.push_str(&line.text);
                    self.console.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{}: has not ended within {limit:?}; it printed:\n{}", self.name, self.tail())
                }
                // Its outputs are closed, so it is about to be gone.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.qemu.wait().context("waiting for QEMU")?;
        Ok(self.started.elapsed())
    }

    /// What the console has shown up to the last line that was waited for.
    pub fn console(&self) -> &str {
        &self.console
    }

    /// Time from the start of QEMU until `path` was fetched completely from `address`.
    ///
    /// A new attempt starts every 20 ms while earlier ones still wait, because a SYN that comes too early is repeated
    /// only after a second. Nothing is tried before the line with which the system says that it is ready, if it has one.
    ///
    /// # Errors
    ///
    /// `limit` (counted from the start of QEMU) passed without a `200` with this body.
    pub fn wait_answer(&mut self, address: SocketAddr, path: &str, body: &[u8], limit: Duration) -> Result<Duration> {
        let body = body.to_vec();
        self.wait_served(address, path, move |answer| answer == body, limit)
    }

    /// The same for a body that is only known by a property.
    ///
    /// # Errors
    ///
    /// As [`wait_answer`](Self::wait_answer).
    pub fn wait_served(
        &mut self,
        address: SocketAddr,
        path: &str,
        is_right: impl Fn(&[u8]) -> bool + Clone + Send + 'static,
        limit: Duration,
    ) -> Result<Duration> {
        if let Some(line) = self.ready_line {
            self.wait_line(line, limit)?;
        }
        let (sender, answers) = channel();
        while self.started.elapsed() < limit {
            let (sender, path, is_right, started) = (sender.clone(), path.to_owned(), is_right.clone(), self.started);
            thread::spawn(move || {
                let answer = client::fetch(address, &path, Duration::from_secs(2));
                if answer.is_ok_and(|answer| answer.status == 200 && is_right(&answer.body)) {
                    // The receiver is gone when an earlier attempt has won.
                    let _ = sender.send(started.elapsed());
                }
            });
            if let Ok(at) = answers.recv_timeout(Duration::from_millis(20)) {
                return Ok(at);
            }
            if let Some(status) = self.qemu.try_wait()? {
                self.drain();
                bail!("{}: QEMU ended ({status}) before it answered; it printed:\n{}", self.name, self.tail());
            }
        }
        self.drain();
        bail!("{}: no right answer to GET {path} within {limit:?}; it printed:\n{}", self.name, self.tail())
    }

    /// Waits until somebody in the guest accepts connections.
    ///
    /// # Errors
    ///
    /// `limit` (counted from the start of QEMU) passed without that.
    pub fn wait_connection(&mut self, address: SocketAddr, limit: Duration) -> Result<()> {
        if let Some(line) = self.ready_line {
            self.wait_line(line, limit)?;
        }
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            self.drain();
            if let Some(status) = self.qemu.try_wait()? {
                bail!("{}: QEMU ended ({status}) before it accepted; it printed:\n{}", self.name, self.tail());
            }
            if self.started.elapsed() > limit {
                bail!("{}: nobody accepts at {address} within {limit:?}; it printed:\n{}", self.name, self.tail());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Processor time that QEMU has used so far, all threads.
    pub fn cpu_time(&self) -> Result<Duration> {
        /// Ticks per second of the times in /proc, fixed by the kernel's interface to user space.
        const TICKS: u32 = 100;
        let path = format!("/proc/{}/stat", self.qemu.id());
        let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        // utime and stime are fields 14 and 15; the name (field 2) may contain spaces but ends at the last ')'.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: Option<u32> =
            after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().ok()).sum();
        let ticks = ticks.with_context(|| format!("{path}: not understood"))?;
        Ok(Duration::from_secs(1) * ticks / TICKS)
    }

    /// Everything that has arrived since the last look.
    fn drain(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.console.push_str(&line.text);
            self.console.push('\n');
        }
    }

    /// The last lines of the console.
    fn tail(&self) -> String {
        let lines: Vec<_> = self.console.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after the wait.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
