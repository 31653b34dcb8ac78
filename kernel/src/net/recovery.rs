//! [`Recovery`]: several segments of a window are lost, and each is sent again without waiting for a timeout.
//!
//! smoltcp sends the first missing segment again after three duplicate acknowledgements (RFC 5681 §3.2). The next one that
//! is missing makes no duplicates any more, where the window lets nothing new be sent; smoltcp waits for its timeout, a
//! second at least, twice as long after each, and then sends the whole window again. NewReno (RFC 6582) knows better: what
//! acknowledges a part of the window names the next missing segment. So does this:
//!
//! ```text
//!   the peer    ack 3  ack 3  ack 3  ack 3     ack 7                  ack 20
//!                        1      2      3 = an episode until 20 begins   | it is over
//!   smoltcp                             sends 3 |      sends 7          |
//!   we                                          "ack 7" once more, x 3
//! ```
//!
//! smoltcp has no door for it but duplicate acknowledgements. So it is told once more what the peer has said, as often as it
//! counts ([`Recovery::repetitions`]). Another window goes before, which makes it count from the beginning.
//!
//! What is sent again may be lost again, and the last segments of all make no duplicates. So if what was sent is not
//! acknowledged in time, the same is done: a little before smoltcp's first timeout, and much earlier in an episode. This is
//! what RFC 8985 §7 calls a tail loss probe. Twice or so; who has then said nothing gets smoltcp's timeouts.
//!
//! # Limits
//!
//! The time that it takes there and back is not known here. Where it is longer than the patience, a segment of an episode may
//! arrive twice.

use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::wire::{EthernetAddress, TcpSeqNumber};
use toro_core::Instant;
use toro_core::driver::net::MacAddress;

use super::acknowledgement::Acknowledgement;
use super::dispatch::{Segment, SegmentKind};
use super::flow::Flow;
use super::offload::Sent;

/// How many duplicates mean a loss.
const ENOUGH: u8 = 3;
/// How long to wait for an acknowledgement: less than smoltcp does.
const PATIENCE: Duration = Duration::from_millis(950);
/// The same in an episode: the shortest timeout of other stacks.
const PATIENCE_IN_EPISODE: Duration = Duration::from_millis(200);
/// Whoever is silent for longer is left to smoltcp, whose patience with him must end.
const LONGEST_PATIENCE: Duration = Duration::from_secs(2);

/// What the account of a connection's acknowledgements says.
#[derive(Default)]
pub(super) struct Recovery {
    /// What was acknowledged last, and the window that came with it.
    last: Option<(TcpSeqNumber, u16)>,
    duplicates: u8,
    /// What had been sent when the last loss was noticed, until it is acknowledged.
    episode: Option<TcpSeqNumber>,
    /// Runs while something waits for its acknowledgement.
    timer: Option<Timer>,
}

#[derive(Clone, Copy)]
struct Timer {
    at: Instant,
    patience: Duration,
}

impl Timer {
    fn new(now: Instant, patience: Duration) -> Self {
        Self { at: now.saturating_add(patience), patience }
    }
}

/// What else to do about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Nothing: smoltcp processes it.
    Nothing,
    /// Then tell smoltcp again.
    Repeat,
    /// It says nothing new, as others before, and nothing can be sent again.
    Pass,
}

/// What waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Bytes, and perhaps a FIN after them.
    Bytes,
    /// A FIN at most. smoltcp would look for bytes to send again, find none, and stop the timer of the FIN.
    Fin,
}

impl Recovery {
    /// Takes note of a segment that smoltcp processes as well. `sent` is the end of all that has been sent.
    pub(super) fn hear(&mut self, now: Instant, segment: &Segment, sent: TcpSeqNumber, waiting: Waiting) -> Advice {
        let says = matches!(segment.kind, SegmentKind::Other | SegmentKind::Finish);
        let Some(acknowledged) = segment.acknowledged.filter(|&number| says && number <= sent) else {
            return Advice::Nothing;
        };
        let (before, window) = *self.last.get_or_insert((acknowledged, segment.window));
        if acknowledged < before {
            return Advice::Nothing;
        }
        self.last = Some((acknowledged, segment.window));
        if acknowledged == before {
            // As smoltcp counts.
            let is_duplicate = segment.len == 0 && segment.window == window && acknowledged < sent;
            self.duplicates = if is_duplicate { self.duplicates.saturating_add(1) } else { 0 };
            if waiting == Waiting::Fin {
                return if self.duplicates >= ENOUGH { Advice::Pass } else { Advice::Nothing };
            }
            if self.duplicates == ENOUGH && self.episode.is_none() {
                self.episode = Some(sent);
                self.timer = Some(Timer::new(now, PATIENCE_IN_EPISODE));
            }
            return Advice::Nothing;
        }
        self.duplicates = 0;
        self.timer = None;
        self.episode = self.episode.filter(|&until| acknowledged < until);
        self.watch(now, sent);
        if self.episode.is_some() { Advice::Repeat } else { Advice::Nothing }
    }

    /// What the peer has acknowledged last, if it has since it was first listened to. Nothing in an episode.
    pub(super) fn acknowledged(&self) -> Option<TcpSeqNumber> {
        if self.episode.is_some() { None } else { self.last.map(|(acknowledged, _)| acknowledged) }
    }

    /// Takes note of what has been sent.
    pub(super) fn watch(&mut self, now: Instant, sent: TcpSeqNumber) {
        if self.timer.is_none() && self.last.is_some_and(|(acknowledged, _)| acknowledged < sent) {
            let patience = if self.episode.is_some() { PATIENCE_IN_EPISODE } else { PATIENCE };
            self.timer = Some(Timer::new(now, patience));
        }
    }

    /// When the patience ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timer.filter(|timer| timer.patience <= LONGEST_PATIENCE).map(|timer| timer.at)
    }

    /// Whether it has ended; the next one is longer.
    pub(super) fn is_due(&mut self, now: Instant, sent: TcpSeqNumber) -> bool {
        let Some(timer) = self.timer.filter(|_| self.deadline().is_some_and(|at| at <= now)) else { return false };
        self.timer = Some(Timer::new(now, timer.patience * 2));
        self.episode.get_or_insert(sent);
        true
    }

    /// The frames that make smoltcp send the first missing segment of `flow` again: acknowledgements from `mac` to itself.
    pub(super) fn repetitions(
        &self,
        flow: &Flow,
        sent: Sent,
        mac: MacAddress,
    ) -> impl Iterator<Item = Vec<u8>> + use<> {
        // With no window, nothing is sent.
        let last = self.last.filter(|&(_, window)| window > 1);
        let (acknowledged, window) = last.unwrap_or((sent.next, 0));
        let count = if last.is_some() { 2 + usize::from(ENOUGH) } else { 0 };
        let (flow, mac) = (*flow, EthernetAddress(mac.0));
        (0..count).map(move |number| {
            // The second is another window again, and counts as none.
            let window = if number == 0 { window - 1 } else { window };
            let sequence = sent.acknowledged;
            let (source, destination) = (flow.remote, flow.local);
            let acknowledgement = Acknowledgement { source, destination, sequence, acknowledged, window };
            acknowledgement.emit(mac, mac, |len, fill| {
                let mut bytes = alloc::vec![0; len];
                fill(&mut bytes);
                bytes
            })
        })
    }
}
