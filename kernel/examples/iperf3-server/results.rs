//! What is counted, and how it is told.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};
use core::fmt;

use serde_json::{Value, json};
use toro::io;
use toro::thread;
use toro::time::{Duration, Instant};

use crate::parameters::{Direction, Parameters, Transport};

/// What a stream has moved. Its thread counts, the session reads.
#[derive(Default)]
pub struct Counts {
    pub bytes: Cell<u64>,
    pub datagrams: Cell<u64>,
    /// Datagrams that were missing when the next one came, less those that came later.
    pub lost: Cell<u64>,
    /// In seconds, as RFC 1889 §6.3.1 has it.
    pub jitter: Cell<f64>,
    /// Bytes of the beginning, which does not count.
    omitted: Cell<u64>,
    /// When the last bytes came, if that is of interest.
    pub last: Cell<Option<Instant>>,
    /// Why it could not go on.
    pub failure: OnceCell<io::Error>,
}

impl Counts {
    /// One more block of so many bytes.
    pub fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    /// Nothing so far counts.
    pub fn omit(&self) {
        self.omitted.set(self.bytes.get());
    }

    /// Bytes that count.
    pub fn counted(&self) -> u64 {
        self.bytes.get() - self.omitted.get()
    }
}

/// Whether streams go on.
#[derive(Default)]
pub struct Course(Cell<bool>);

impl Course {
    /// They end as soon as they notice.
    pub fn end(&self) {
        self.0.set(true);
    }

    pub fn goes_on(&self) -> bool {
        !self.0.get()
    }
}

/// Holds a sender to its rate.
pub struct Pace {
    start: Instant,
    rate: u64,
    burst: u64,
    blocks: u64,
    bits: u128,
}

impl Pace {
    pub fn new(parameters: &Parameters) -> Self {
        let Parameters { rate, burst, .. } = *parameters;
        Self { start: Instant::now(), rate, burst, blocks: 0, bits: 0 }
    }

    /// Waits until the next block is due.
    pub fn wait(&self) {
        if self.rate == 0 || !self.blocks.is_multiple_of(self.burst) {
            return;
        }
        let nanoseconds = self.bits * 1_000_000_000 / u128::from(self.rate);
        let due = self.start.saturating_add(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)));
        if Instant::now() < due {
            thread::sleep_until(due);
        }
    }

    /// A block has been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.blocks += 1;
        self.bits += 8 * bytes as u128;
    }
}

/// All streams of a test that has ended, in the order in which they were made.
pub struct Results {
    pub parameters: Parameters,
    pub counts: Vec<Rc<Counts>>,
    /// When that which counts began.
    pub start: Instant,
    /// When the client ended it.
    pub end: Instant,
}

impl Results {
    /// What the client wants to know of us.
    pub fn to_json(&self) -> Value {
        let streams: Vec<_> =
            self.counts.iter().enumerate().map(|(place, counts)| self.stream(place, counts)).collect();
        // -1: we are not the sender. 0: we are, and do not know how often we sent something again.
        let retransmits = if self.parameters.sending > 0 { 0 } else { -1 };
        json!({
            "cpu_util_total": 0.0,
            "cpu_util_user": 0.0,
            "cpu_util_system": 0.0,
            "sender_has_retransmits": retransmits,
            "streams": streams,
        })
    }

    fn stream(&self, place: usize, counts: &Counts) -> Value {
        // iperf3 counts 1, 3, 4, 5 and so on.
        let id = if place == 0 { 1 } else { place + 2 };
        json!({
            "id": id,
            "bytes": counts.counted(),
            "retransmits": -1,
            "jitter": counts.jitter.get(),
            "errors": counts.lost.get(),
            "packets": counts.datagrams.get(),
            "start_time": 0.0,
            "end_time": self.time(counts).as_secs_f64(),
        })
    }

    /// How long a stream took: until the client's end, or until the last of what was under way came.
    fn time(&self, counts: &Counts) -> Duration {
        self.end.max(counts.last.get().unwrap_or(self.end)).saturating_duration_since(self.start)
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.counts.iter().map(|counts| self.time(counts)).max();
        let seconds = longest.unwrap_or_default().as_secs_f64();
        let transport = match self.parameters.transport {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        };
        write!(f, "{transport}, {seconds:.2} s")?;
        for (direction, verb) in [(Direction::Receive, "received"), (Direction::Send, "sent")] {
            let streams = self.parameters.directions().zip(&self.counts).filter(|(one, _)| *one == direction);
            let counts: Vec<_> = streams.map(|(_, counts)| counts).collect();
            if counts.is_empty() {
                continue;
            }
            let bytes: u64 = counts.iter().map(|counts| counts.counted()).sum();
            let rate = if seconds > 0.0 { 8e-6 * bytes as f64 / seconds } else { 0.0 };
            write!(
                f,
                ", {} {} {verb} {bytes} bytes ({rate:.1} Mbit/s)",
                counts.len(),
                if counts.len() == 1 { "stream" } else { "streams" }
            )?;
            if self.parameters.transport == Transport::Udp && direction == Direction::Receive {
                let lost: u64 = counts.iter().map(|counts| counts.lost.get()).sum();
                let all: u64 = counts.iter().map(|counts| counts.datagrams.get()).sum();
                write!(f, ", lost {lost} of {all} datagrams")?;
            }
        }
        Ok(())
    }
}
