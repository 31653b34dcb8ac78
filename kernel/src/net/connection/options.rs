//! What can be asked of a connection beside bytes: its readiness, its error, and options.

use core::num::NonZeroU8;
use core::time::Duration;

use smoltcp::socket::tcp::State;
use toro_core::Instant;

use super::Connection;
use crate::net::error::NetError;
use crate::net::readiness::Readiness;
use crate::net::signal::Signal;

/// How an idle peer is asked whether it still lives (RFC 9293 §3.8.4).
///
/// Of the three numbers that other systems have, the time before the first question and the time between questions are
/// one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long nothing may be heard before the peer is asked, and asked again.
    pub interval: Duration,
    /// How many questions may go unanswered before the connection ends with [`NetError::TimedOut`].
    pub probes: NonZeroU8,
}

impl KeepAlive {
    /// Nine questions, as on Linux, at this distance.
    pub const fn every(interval: Duration) -> Self {
        Self { interval, probes: NonZeroU8::new(9).expect("nine is not zero") }
    }

    /// How long the peer may be silent altogether.
    fn patience(&self) -> Duration {
        self.interval.saturating_mul(u32::from(self.probes.get()) + 1)
    }
}

/// The watch over an idle peer.
///
/// smoltcp counts a peer's silence from the last segment, which may have come long before somebody asked for keep-alive.
/// So until something is heard again the time is ours to count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    keep_alive: KeepAlive,
    state: WatchState,
}

#[derive(Clone, Copy, Debug)]
enum WatchState {
    /// It has just begun.
    Fresh,
    /// Nothing has been heard since; the end of the patience.
    Unheard(Instant),
    /// smoltcp counts.
    Heard,
}

impl Watch {
    /// Something has been heard.
    pub(super) fn hear(&mut self) {
        self.state = WatchState::Heard;
    }

    /// Until when something has to be heard, where we count.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            WatchState::Unheard(until) => Some(until),
            WatchState::Fresh | WatchState::Heard => None,
        }
    }

    /// How long smoltcp lets the peer be silent, where it counts.
    pub(super) fn patience(&mut self, now: Instant) -> Option<Duration> {
        match self.state {
            WatchState::Heard => return Some(self.keep_alive.patience()),
            WatchState::Fresh => self.state = WatchState::Unheard(now.saturating_add(self.keep_alive.patience())),
            WatchState::Unheard(_) => {}
        }
        None
    }
}

impl<S: Signal> Connection<S> {
    /// What could be done with it without waiting.
    pub(in crate::net) fn readiness(&self) -> Readiness {
        let socket = self.socket.get();
        let state = socket.state();
        let is_opening = matches!(state, State::SynSent | State::SynReceived);
        let is_read_closed = self.discards
            || matches!(
                state,
                State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed | State::Listen
            );
        let is_write_closed = !is_opening && !socket.may_send();
        Readiness::READABLE.when(self.discards || socket.can_recv() || (!is_opening && !socket.may_recv()))
            | Readiness::WRITABLE.when(is_write_closed || socket.can_send())
            | Readiness::READ_CLOSED.when(is_read_closed)
            | Readiness::HANG_UP.when(is_read_closed && is_write_closed)
            | Readiness::ERROR.when(self.unreported().is_some())
    }

    /// Why the connection broke, if it did and this is the first to ask.
    pub(in crate::net) fn take_error(&mut self) -> Option<NetError> {
        let error = self.unreported();
        self.reported = self.end;
        error
    }

    fn unreported(&self) -> Option<NetError> {
        self.end.filter(|_| self.reported.is_none())
    }

    /// Copies received bytes and leaves them.
    pub(in crate::net) fn peek(&mut self, into: &mut [u8]) -> Result<usize, NetError> {
        if !self.discards && self.tcp().can_recv() {
            // This one knows both halves of the ring.
            return self.tcp().peek_slice(into).map_err(|_| NetError::NotConnected);
        }
        // The rest is as for reading, and uses nothing up.
        self.receive_with(|_| (0, 0))
    }

    /// How many received bytes can be read.
    pub(in crate::net) fn received(&self) -> usize {
        if self.discards { 0 } else { self.socket.get().recv_queue() }
    }

    /// Whether the peer has acknowledged all that was sent and the end of it, or the connection is over.
    pub(in crate::net) fn is_finished(&self) -> bool {
        matches!(self.state(), State::FinWait2 | State::TimeWait | State::Closed)
    }

    /// Asks an idle peer from time to time whether it still lives, first at once, or not.
    pub(in crate::net) fn set_keep_alive(&mut self, keep_alive: Option<KeepAlive>) {
        self.watch = keep_alive.map(|keep_alive| Watch { keep_alive, state: WatchState::Fresh });
        self.tcp().set_keep_alive(keep_alive.map(|keep_alive| keep_alive.interval.into()));
    }

    /// How an idle peer is asked, if it is.
    pub(in crate::net) fn keep_alive(&self) -> Option<KeepAlive> {
        self.watch.map(|watch| watch.keep_alive)
    }

    /// How many routers its packets may pass; `None`: 64.
    pub(in crate::net) fn set_hop_limit(&mut self, limit: Option<NonZeroU8>) {
        self.tcp().set_hop_limit(limit.map(NonZeroU8::get));
    }

    /// How many routers its packets may pass, if somebody has said.
    pub(in crate::net) fn hop_limit(&self) -> Option<NonZeroU8> {
        self.socket.get().hop_limit().and_then(NonZeroU8::new)
    }

    /// The sizes of its buffers: what may arrive before it is read, and what may be written before it is acknowledged.
    pub(in crate::net) fn capacities(&self) -> (usize, usize) {
        let socket = self.socket.get();
        (socket.recv_capacity(), socket.send_capacity())
    }
}
