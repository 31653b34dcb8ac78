//! What a stack does when its device says that something about the link has changed.
//!
//! The device is asked before the core sleeps, for an interrupt that was about a change has then been answered by a
//! [`poll`](super::Stack::poll), and otherwise about once a second while the stack is polled anyhow. A link that comes up
//! may lead to another network than before, and a guest that was migrated has another place in the same one: in both cases
//! the neighbours are told where our addresses are now, at most once a second. A link that goes down is no fault, only
//! time in which frames are lost: connections survive it as they survive loss.

use core::time::Duration;

use toro_core::Instant;
use toro_core::driver::net::{Changes, LinkState};

use super::{SYSTEM, Stack};
use crate::net::signal::Signal;

/// How often the device is asked while the core does not sleep, and the neighbours are told at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is known about changes, and not yet acted on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    ask_at: Instant,
    /// When the neighbours may be told again.
    tell_at: Instant,
    pending: Changes,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self { ask_at: now, tell_at: now, pending: Changes::default() }
    }

    fn is_pending(&self) -> bool {
        self.pending != Changes::default()
    }

    /// When there is something to act on.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.is_pending().then_some(self.tell_at)
    }
}

impl<S: Signal> Stack<S> {
    /// Asks the device for changes; answers whether there is something to act on.
    pub(super) fn ask_for_changes(&mut self) -> bool {
        let Changes { link, announce } = self.link.port.changes();
        let pending = &mut self.watch.pending;
        pending.link = link.or(pending.link);
        pending.announce |= announce;
        link.is_some() || announce
    }

    /// Acts on changes, if it is time.
    pub(super) fn follow_changes(&mut self, now: Instant) {
        if self.watch.ask_at <= now {
            self.watch.ask_at = now.saturating_add(INTERVAL);
            self.ask_for_changes();
        }
        if !self.watch.is_pending() || now < self.watch.tell_at {
            return;
        }
        let Changes { link, announce } = core::mem::take(&mut self.watch.pending);
        if let Some(state) = link {
            log::info!("net: the link is {}", if state == LinkState::Up { "up" } else { "down" });
        }
        if link == Some(LinkState::Down) {
            return;
        }
        self.watch.tell_at = now.saturating_add(INTERVAL);
        if link == Some(LinkState::Up)
            && let Some(discovery) = &mut self.discovery
        {
            discovery.restart(now);
            self.dirty.push(SYSTEM);
        }
        if link == Some(LinkState::Up) || announce {
            self.announce();
        }
    }

    /// Tells the neighbours where our addresses are.
    fn announce(&mut self) {
        for address in self.configuration.addresses() {
            self.link.announce(address);
        }
    }
}
