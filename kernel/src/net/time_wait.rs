//! TIME-WAIT: connections that are over, and whose last acknowledgement may have been lost (RFC 9293 §3.6.1).
//!
//! Whoever closes first has to remember the connection for a while, to acknowledge the other side's FIN again. A
//! server closes first quite often. So nothing of the socket is kept: its buffers go back to their pool at once,
//! and what remains is a [`TimeWait`] of a few words in the flow table and a place in a queue.
//!
//! | segment | answer |
//! |---|---|
//! | SYN beyond what we have seen | the peer opens anew: the entry makes room (RFC 9293 §3.10.7.4, MAY-2) |
//! | RST at the expected place | the peer has forgotten: so do we, as Linux does; RFC 1337 would not |
//! | FIN | acknowledged; the time starts again |
//! | other data, or an older SYN | acknowledged |
//! | bare acknowledgement | none, else two of us would acknowledge each other for ever |

use alloc::collections::VecDeque;
use core::time::Duration;

use smoltcp::wire::EthernetFrame;
use toro_core::Instant;

use super::acknowledgement::Acknowledgement;
use super::dispatch::{Segment, SegmentKind};
use super::flow::Flow;
use super::offload::Sent;
use super::port::Port;

/// How long a connection is remembered: as smoltcp does, enough for a few retransmissions of a FIN.
pub(super) const TIME_WAIT: Duration = Duration::from_secs(10);
/// How many connections are remembered at most; beyond that the oldest is forgotten early.
pub(super) const CAPACITY: usize = 8_192;

/// What is left of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeWait {
    pub(super) sent: Sent,
    pub(super) until: Instant,
}

/// What a segment for such a connection deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Ignore,
    /// What was acknowledged before, again.
    Acknowledge,
    /// The same, and the time starts again.
    Refresh,
    /// The end of the entry.
    Forget,
    /// The end of the entry, and then to be treated as if it had never been.
    Reopen,
}

impl TimeWait {
    /// Decides what to do about an intact segment.
    pub(super) fn judge(&self, segment: &Segment) -> Verdict {
        match segment.kind {
            SegmentKind::Open if segment.sequence > self.sent.acknowledged => Verdict::Reopen,
            SegmentKind::Reset if segment.sequence == self.sent.acknowledged => Verdict::Forget,
            SegmentKind::Reset => Verdict::Ignore,
            SegmentKind::Finish => Verdict::Refresh,
            SegmentKind::Open | SegmentKind::Answer => Verdict::Acknowledge,
            SegmentKind::Other if segment.len > 0 => Verdict::Acknowledge,
            SegmentKind::Other => Verdict::Ignore,
        }
    }
}

/// When which entry ends, in order. An entry that was refreshed or replaced leaves an outdated place behind.
pub(super) struct TimeWaitQueue {
    ends: VecDeque<(Instant, Flow)>,
}

impl TimeWaitQueue {
    pub(super) const fn new() -> Self {
        Self { ends: VecDeque::new() }
    }

    pub(super) fn push(&mut self, until: Instant, flow: Flow) {
        self.ends.push_back((until, flow));
    }

    /// When the first place is due.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.ends.front().map(|end| end.0)
    }

    /// Takes a place that is due, or the oldest one while there are too many.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Flow)> {
        let due = self.earliest().is_some_and(|until| until <= now) || self.ends.len() > CAPACITY;
        if due { self.ends.pop_front() } else { None }
    }
}

/// Answers a segment with a bare acknowledgement, to where the frame came from. The frame is one that
/// [`classify`](super::dispatch::classify) understood.
pub(super) fn acknowledge(port: &mut Port, frame: &[u8], flow: &Flow, sent: Sent) {
    let Ok(received) = EthernetFrame::new_checked(frame) else { return };
    if !received.src_addr().is_unicast() {
        return;
    }
    let acknowledgement = Acknowledgement {
        source: flow.local,
        destination: flow.remote,
        sequence: sent.next,
        acknowledged: sent.acknowledged,
        window: u16::MAX,
    };
    acknowledgement.emit(received.dst_addr(), received.src_addr(), |len, fill| port.write(len, |bytes| fill(bytes)));
}
