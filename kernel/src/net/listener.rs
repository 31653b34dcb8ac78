//! [`Listener`]: a port that connections may be opened to.
//!
//! The backlog bounds how many connections may be on their way to the application: those whose handshake is not
//! complete, and those that nobody has accepted yet. A SYN beyond it is dropped, not refused: the peer tries again
//! a second later, and by then there may be room.
//!
//! A listener without a backlog is a port that is taken and not listened to: to peers it is closed.

use alloc::collections::VecDeque;
use core::net::IpAddr;

use super::limits::Limits;

/// Whether a socket that is bound to one address serves another one of ours. `0.0.0.0` stands for all of IPv4, and `[::]`
/// for all of both families, as on Linux unless it is told otherwise.
pub(super) fn takes_in(bound: IpAddr, address: IpAddr) -> bool {
    match bound {
        IpAddr::V4(bound) if bound.is_unspecified() => address.is_ipv4(),
        IpAddr::V6(bound) if bound.is_unspecified() => true,
        bound => bound == address,
    }
}

/// A port that connections may be opened to.
pub(super) struct Listener<S> {
    /// Which of our addresses it is bound to; see [`takes_in`] for those that are unspecified.
    pub(super) address: IpAddr,
    pub(super) signal: S,
    backlog: usize,
    half_open: usize,
    most_half_open: usize,
    /// Established connections in the order of their handshakes.
    queue: VecDeque<u32>,
}

impl<S> Listener<S> {
    /// A port that is taken and not listened to.
    pub(super) fn new(address: IpAddr, signal: S) -> Self {
        Self { address, signal, backlog: 0, half_open: 0, most_half_open: 0, queue: VecDeque::new() }
    }

    /// Begins to listen, or changes the backlog, which is at least one.
    pub(super) fn listen(&mut self, backlog: usize, limits: &Limits) {
        self.backlog = backlog.clamp(1, limits.backlog.max(1));
        self.most_half_open = limits.half_open.max(1);
    }

    pub(super) fn listens_to(&self, address: IpAddr) -> bool {
        self.backlog > 0 && takes_in(self.address, address)
    }

    /// Whether somebody waits to be accepted.
    pub(super) fn is_ready(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether another connection may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.half_open + self.queue.len() < self.backlog && self.half_open < self.most_half_open
    }

    /// A handshake has begun.
    pub(super) fn opened(&mut self) {
        self.half_open += 1;
    }

    /// A handshake has failed.
    pub(super) fn failed(&mut self) {
        self.half_open -= 1;
    }

    /// A handshake is complete.
    pub(super) fn completed(&mut self, key: u32) {
        self.half_open -= 1;
        self.queue.push_back(key);
    }

    /// The connection that has waited longest.
    pub(super) fn next(&mut self) -> Option<u32> {
        self.queue.pop_front()
    }

    /// A waiting connection is no more.
    pub(super) fn lost(&mut self, key: u32) {
        self.queue.retain(|&waiting| waiting != key);
    }
}
