//! In place of `neighbors` in an image without IPv6: nobody is listened to, and nobody told anything.

use toro_core::Instant;
use toro_core::driver::net::Frame;

use super::Stack;
use crate::net::neighbor::Neighbor;
use crate::net::signal::Signal;

impl<S: Signal> Stack<S> {
    pub(super) fn discover(&mut self, _now: Instant) -> Option<Instant> {
        None
    }

    pub(super) fn neighbor_ingress(&mut self, _now: Instant, _frame: Frame, _neighbor: Neighbor) {}

    pub(super) fn router_ingress(&mut self, _now: Instant, _frame: &[u8]) {}
}
