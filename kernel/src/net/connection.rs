//! [`Connection`]: a TCP socket of smoltcp and what the stack has to know besides.
//!
//! ```text
//!   SYN for a listener --> HalfOpen --handshake--> Queued --accept--> Application --close--> Orphan --> gone
//!   connect -------------------------------------------------------------^
//! ```
//!
//! The state machine of the protocol is smoltcp's; the one above says who holds the connection. An orphan sends
//! what is queued, then its FIN, reads and discards what the peer still says, and is reset when there is no
//! progress for a while.
//!
//! # Detached connections
//!
//! A connection that is over, but that the application still holds, is taken off the wire: it has no entry in the
//! flow table and no timer, and smoltcp never sees it again. What it received can still be read. (smoltcp would
//! clear the receive buffer at the end of TIME-WAIT.)

use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::socket::tcp::{RecvError, Socket, State};
use smoltcp::time::Duration as SmolDuration;
use toro_core::Instant;
use toro_core::driver::net::MacAddress;

use super::config::Config;
use super::dispatch::{Segment, SegmentKind};
use super::error::NetError;
use super::flow::Flow;
use super::offload::Sent;
use super::pool::PooledSocket;
use super::port::Wish;
use super::recovery::{Advice, Recovery, Waiting};
use super::signal::Signal;

mod options;

pub use options::KeepAlive;
use options::Watch;

/// At most this often an unexpected SYN is answered (RFC 5961 §7).
const CHALLENGE_INTERVAL: Duration = Duration::from_secs(1);
/// A TIME-WAIT socket whose next deadline is at least this far away has acknowledged everything.
const QUIET: Duration = Duration::from_secs(1);

/// What a peer takes in one segment that says nothing about it (RFC 9293 §3.7.1), and the least that smoltcp believes.
const DEFAULT_SEGMENT_SIZE: u16 = 536;
const LEAST_SEGMENT_SIZE: u16 = 48;
/// How long an acknowledgement waits for an answer to ride on: smoltcp's own choice.
const ACKNOWLEDGEMENT_DELAY: SmolDuration = SmolDuration::from_millis(10);

/// Who holds a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The listener of this port, until the handshake is complete.
    HalfOpen(u16),
    /// The listener of this port, until somebody accepts it.
    Queued(u16),
    /// Somebody with a [`ConnectionId`](super::ConnectionId).
    Application,
    /// Nobody.
    Orphan,
}

/// Whether segments can reach a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Attached,
    Detached,
}

/// Which way a connection's segments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Through the device.
    Wire,
    /// Back to where they came from: both ends are here.
    Loopback,
}

/// What becomes of a connection after its turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It goes on.
    Stay,
    /// It is over, and a TIME-WAIT entry remains.
    Remember(Sent),
    /// It is over.
    Gone,
}

/// What of a socket decides whether anybody has to be told.
#[derive(Clone, Copy)]
pub(super) struct Snapshot {
    pub(super) state: State,
    received: usize,
    queued: usize,
}

#[derive(Clone, Copy)]
struct Linger {
    until: Instant,
    /// How much was queued when the patience began.
    queued: usize,
}

/// A connection.
pub(super) struct Connection<S> {
    pub(super) socket: PooledSocket,
    pub(super) flow: Flow,
    pub(super) owner: Owner,
    pub(super) wire: Wire,
    pub(super) path: Path,
    pub(super) signal: S,
    /// Why it ended, unless in good order.
    end: Option<NetError>,
    /// What of this somebody has asked for, who will not be told again.
    reported: Option<NetError>,
    watch: Option<Watch>,
    sent: Option<Sent>,
    /// Somebody waits until all has been acknowledged.
    awaits_acknowledgement: bool,
    recovery: Recovery,
    /// How many bytes the peer takes in one segment, if it has said so.
    segment_size: u16,
    discards: bool,
    linger: Option<Linger>,
    next_challenge: Option<Instant>,
}

impl<S: Signal> Connection<S> {
    pub(super) fn new(socket: PooledSocket, flow: Flow, owner: Owner, signal: S) -> Self {
        Self {
            socket,
            flow,
            owner,
            wire: Wire::Attached,
            path: Path::Wire,
            signal,
            end: None,
            reported: None,
            watch: None,
            sent: None,
            awaits_acknowledgement: false,
            recovery: Recovery::default(),
            segment_size: DEFAULT_SEGMENT_SIZE,
            discards: false,
            linger: None,
            next_challenge: None,
        }
    }

    fn tcp(&mut self) -> &mut Socket<'static> {
        self.socket.get_mut()
    }

    pub(super) fn state(&self) -> State {
        self.socket.get().state()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let socket = self.socket.get();
        Snapshot { state: socket.state(), received: socket.recv_queue(), queued: socket.send_queue() }
    }

    /// Whether both sides know each other's sequence numbers.
    pub(super) fn is_synchronized(&self) -> bool {
        !matches!(self.state(), State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    /// Whether it is over, as far as the peer is concerned: one that connects again from the same end gets another.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state(), State::Closed | State::Listen)
    }

    /// Remembers what was sent last. Retransmissions say less than what was sent before.
    pub(super) fn note_sent(&mut self, sent: Sent) {
        if self.sent.is_none_or(|last| sent.next >= last.next && sent.acknowledged >= last.acknowledged) {
            self.sent = Some(sent);
        }
    }

    /// Takes note of what a segment acknowledges, before smoltcp does.
    pub(super) fn hear(&mut self, now: Instant, segment: &Segment) -> Advice {
        let waiting = self.waiting();
        self.sent.map_or(Advice::Nothing, |sent| self.recovery.hear(now, segment, sent.next, waiting))
    }

    /// Begins to wait for the acknowledgement of what was sent.
    pub(super) fn await_acknowledgement(&mut self, now: Instant) {
        if let Some(sent) = self.sent {
            self.recovery.watch(now, sent.next);
        }
    }

    /// Whether the first segment that was sent has to be sent again, because nobody has acknowledged it for long.
    pub(super) fn is_overdue(&mut self, now: Instant) -> bool {
        let sent = self.sent.filter(|_| self.is_synchronized());
        sent.is_some_and(|sent| self.recovery.is_due(now, sent.next))
    }

    fn waiting(&self) -> Waiting {
        if self.socket.get().send_queue() > 0 { Waiting::Bytes } else { Waiting::Fin }
    }

    /// The frames that have smoltcp send it again, unless it is a FIN.
    pub(super) fn repetitions(&self, mac: MacAddress) -> impl Iterator<Item = Vec<u8>> + use<S> {
        let sent = self.sent.filter(|_| self.waiting() == Waiting::Bytes);
        sent.map(|sent| self.recovery.repetitions(&self.flow, sent, mac)).into_iter().flatten()
    }

    /// Learns what the peer's SYN says about its segments.
    pub(super) fn set_segment_size(&mut self, stated: Option<u16>) {
        // As smoltcp does, zero counts as not stated.
        let stated = stated.filter(|&size| size != 0).unwrap_or(DEFAULT_SEGMENT_SIZE);
        self.segment_size = stated.max(LEAST_SEGMENT_SIZE);
    }

    /// What its turn may bring.
    pub(super) fn wish(&self) -> Wish {
        Wish { queued: self.socket.get().send_queue(), segment_size: self.segment_size }
    }

    /// Has the next segment acknowledged at once: it stands for several, after each second of which an acknowledgement
    /// is due (RFC 9293 §3.8.6.3), and smoltcp counts it as one.
    pub(super) fn hurry(&mut self) {
        self.tcp().set_ack_delay(Some(SmolDuration::ZERO));
    }

    /// The end of [`hurry`](Self::hurry).
    pub(super) fn take_time(&mut self) {
        self.tcp().set_ack_delay(Some(ACKNOWLEDGEMENT_DELAY));
    }

    /// What to answer an unexpected SYN with, if it is time for an answer (RFC 9293 §3.10.7.4, RFC 5961 §4).
    pub(super) fn challenge(&mut self, now: Instant) -> Option<Sent> {
        if self.next_challenge.is_some_and(|at| now < at) {
            return None;
        }
        self.next_challenge = Some(now.saturating_add(CHALLENGE_INTERVAL));
        self.sent
    }

    /// Whether it is closed and has nobody left to tell.
    pub(super) fn is_silent(&self) -> bool {
        let socket = self.socket.get();
        socket.state() == State::Closed && socket.remote_endpoint().is_none()
    }

    /// Whether an acknowledgement leaves it nothing to do: all is acknowledged, and no patience depends on it. Deadlines
    /// that have been asked for come up all the same, and are set anew then.
    pub(super) fn is_at_rest(&self) -> bool {
        self.state() == State::Established && self.is_drained() && self.watch.is_none()
    }

    /// Whether what a bare acknowledgement says can wait until the next segment says it, too: all that was written has been
    /// sent, this acknowledges the rest of it, for the first time, and nobody waits for room to write.
    pub(super) fn can_wait_for(&self, segment: &Segment) -> bool {
        let (Some(sent), Some(acknowledged)) = (self.sent, segment.acknowledged) else { return false };
        let Some(before) = self.recovery.acknowledged() else { return false };
        let socket = self.socket.get();
        let queued = socket.send_queue();
        acknowledged == sent.next
            && before < acknowledged
            && queued == acknowledged - before
            && queued <= socket.send_capacity() / 2
            && socket.state() == State::Established
            && self.owner == Owner::Application
            && self.path == Path::Wire
            && self.watch.is_none()
            && !self.awaits_acknowledgement
    }

    /// Draws conclusions from a segment that smoltcp has processed.
    pub(super) fn after_ingress(&mut self, before: Snapshot, kind: SegmentKind) {
        let mut after = self.snapshot();
        if after.state == State::Closed && before.state != State::Closed && kind == SegmentKind::Reset {
            let refused = before.state == State::SynSent;
            self.end = Some(if refused { NetError::ConnectionRefused } else { NetError::ConnectionReset });
        }
        if let Some(watch) = &mut self.watch {
            watch.hear();
        }
        if self.discards || self.owner == Owner::Orphan {
            self.discard();
            after = self.snapshot();
        }
        self.report(before, after);
    }

    /// Prepares for a turn to send: which patience applies.
    pub(super) fn before_egress(&mut self, now: Instant, config: &Config) {
        let socket = self.socket.get();
        let (state, queued) = (socket.state(), socket.send_queue());
        // smoltcp's timeout would also end an idle connection, so it is set only while an answer is due.
        let patience = match state {
            State::SynSent => Some(config.connect_timeout),
            State::SynReceived => Some(config.handshake_timeout),
            _ if queued > 0 => Some(config.peer_timeout),
            _ => self.watch.as_mut().and_then(|watch| watch.patience(now)),
        };
        if state != State::Closed && self.watch.and_then(|watch| watch.until()).is_some_and(|until| now >= until) {
            self.watch = None;
            self.fail(NetError::TimedOut);
        }
        self.tcp().set_timeout(patience.map(Into::into));
        if self.owner != Owner::Orphan {
            return;
        }
        match self.linger {
            Some(linger) if now < linger.until => {}
            Some(linger) if queued >= linger.queued => self.tcp().abort(),
            _ => self.linger = Some(Linger { until: now.saturating_add(config.linger), queued }),
        }
    }

    /// Draws conclusions from a turn to send. `error` is why smoltcp would have closed the socket by itself.
    pub(super) fn after_egress(&mut self, before: Snapshot, error: NetError) {
        let after = self.snapshot();
        if after.state == State::Closed && before.state != State::Closed {
            self.end.get_or_insert(error);
        }
        self.report(before, after);
    }

    /// When a patience ends of which smoltcp does not know: that with an orphan, with a peer not heard again, or with a
    /// loss.
    pub(super) fn patience_until(&self) -> Option<Instant> {
        let linger = self.linger.map(|linger| linger.until);
        let watch = self.watch.and_then(|watch| watch.until());
        [linger, watch, self.recovery.deadline()].into_iter().flatten().min()
    }

    /// What becomes of it after a turn in which there was room to send, if its next deadline is `next`. A closed
    /// socket has then sent its reset, or cannot.
    pub(super) fn fate(&self, now: Instant, next: Option<Instant>) -> Fate {
        match self.state() {
            State::Closed | State::Listen => Fate::Gone,
            State::TimeWait if next.is_none_or(|next| next >= now.saturating_add(QUIET)) => {
                self.sent.map_or(Fate::Gone, Fate::Remember)
            }
            _ => Fate::Stay,
        }
    }

    /// Ends it from outside.
    pub(super) fn fail(&mut self, error: NetError) {
        self.end.get_or_insert(error);
        self.tcp().abort();
        self.signal.readable();
        self.signal.writable();
    }

    /// Whether the peer has answered a connection attempt.
    pub(super) fn established(&self) -> Result<(), NetError> {
        match (self.end, self.state()) {
            (Some(error), _) => Err(error),
            (None, State::SynSent | State::SynReceived) => Err(NetError::WouldBlock),
            (None, _) => Ok(()),
        }
    }

    /// Lets `take` look at received bytes, without a copy; it says how many it has used up.
    pub(super) fn receive_with<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, NetError> {
        if self.discards {
            return Ok(take(&[]).1);
        }
        let waits = matches!(self.state(), State::SynSent | State::SynReceived);
        let end = self.end;
        let socket = self.tcp();
        if !socket.can_recv() {
            return match socket.recv(|_| (0, ())) {
                Ok(()) => Err(NetError::WouldBlock),
                Err(RecvError::InvalidState) if waits => Err(NetError::WouldBlock),
                Err(RecvError::InvalidState) if end.is_some() => Err(end.unwrap_or(NetError::ConnectionReset)),
                // The peer has finished, or there never will be more: the end of the stream.
                Err(RecvError::Finished | RecvError::InvalidState) => Ok(take(&[]).1),
            };
        }
        socket
            .recv(|bytes| {
                let (used, result) = take(bytes);
                (used.min(bytes.len()), result)
            })
            .map_err(|_| NetError::NotConnected)
    }

    /// Lets `fill` write into free space of the transmit buffer, without a copy; it says how many bytes it wrote.
    pub(super) fn send_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, NetError> {
        let waits = matches!(self.state(), State::SynSent | State::SynReceived);
        let end = self.end;
        let socket = self.tcp();
        if !socket.may_send() {
            return Err(if waits { NetError::WouldBlock } else { end.unwrap_or(NetError::BrokenPipe) });
        }
        if !socket.can_send() {
            return Err(NetError::WouldBlock);
        }
        socket
            .send(|space| {
                let (used, result) = fill(space);
                (used.min(space.len()), result)
            })
            .map_err(|_| NetError::BrokenPipe)
    }

    /// Closes the sending half: FIN follows what is queued.
    pub(super) fn finish(&mut self) {
        self.tcp().close();
    }

    /// Breaks it off: RST instead of FIN.
    pub(super) fn abort(&mut self) {
        self.tcp().abort();
    }

    /// Whether nothing more will be queued and the peer has acknowledged all.
    pub(super) fn is_drained(&self) -> bool {
        self.socket.get().send_queue() == 0
    }

    /// The same for somebody who waits for it, who is then told at once.
    pub(super) fn drained(&mut self) -> bool {
        self.awaits_acknowledgement = !self.is_drained();
        !self.awaits_acknowledgement
    }

    /// From now on received bytes are thrown away and reading finds the end of the stream.
    pub(super) fn stop_reading(&mut self) {
        self.discards = true;
        self.discard();
        self.signal.readable();
    }

    fn discard(&mut self) {
        let socket = self.tcp();
        // Twice at most: the buffer is a ring.
        while socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok() {}
    }

    fn report(&self, before: Snapshot, after: Snapshot) {
        let changed = after.state != before.state;
        if changed || after.received > before.received {
            self.signal.readable();
        }
        // Waking a writer for each acknowledged segment would make it write in tiny pieces.
        let has_room = before.queued > after.queued && after.queued <= self.socket.get().send_capacity() / 2;
        if changed || has_room {
            self.signal.writable();
        }
    }
}
