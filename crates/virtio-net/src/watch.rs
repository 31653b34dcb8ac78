//! [`Watch`]: what changes about an interface while it runs, noticed without a look at registers each time.
//!
//! A register costs a few thousand instructions where the device is a hypervisor's, so that it is read when there is
//! reason to:
//!
//! | signalled by | reason |
//! |---|---|
//! | a line, as of register blocks | the interrupt status says that the configuration has changed: it is looked at at once |
//! | messages, which do not say why | the owner has slept and is awake again |
//! | nothing: the owner polls | a hundred milliseconds have passed, which is looked at in every thousandth call |
//!
//! Where messages also announce frames, most who wake do so for a frame. So looks are rationed: a few per
//! [`WINDOW`] where frames have come, and a few more where none has, for which there is hardly another reason. Changes beyond
//! that are noticed by the first call in the next window.
//!
//! The link is everybody's, but one message alone tells of changes: the owner of the first pair looks, and the others are
//! told by an atomic.
//!
//! # Hostile devices
//!
//! The ration bounds what a link costs that is never the same twice, and a wish for an announcement that never goes away
//! (HD-NET-16).

use alloc::sync::Arc;
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use toro_core::driver::net::{Changes, LinkState};
use toro_core::{Clock, Instant};
use virtio_queue_rt::transport::Signalling;
use virtio_queue_rt::{Running, Transport};

use crate::features;
use crate::wire::config;

/// The time for which a ration is meant.
pub(crate) const WINDOW: Duration = Duration::from_millis(100);
/// Looks per window after waking for frames.
const LOOKS: u8 = 4;
/// Looks per window altogether.
const MOST_LOOKS: u8 = 12;
/// Calls without a reason between two looks at the clock.
const CALLS: u16 = 1024;

/// The link as the first pair's owner saw it last.
#[derive(Debug)]
pub(crate) struct Link(AtomicBool);

impl Link {
    pub fn new(state: LinkState) -> Self {
        Self(AtomicBool::new(state == LinkState::Up))
    }

    // Relaxed, both: nothing else is told by it.
    fn state(&self) -> LinkState {
        if self.0.load(Ordering::Relaxed) { LinkState::Up } else { LinkState::Down }
    }

    fn set(&self, state: LinkState) {
        self.0.store(state == LinkState::Up, Ordering::Relaxed);
    }
}

/// What one pair knows about the interface.
#[derive(Debug)]
pub(crate) struct Watch {
    link: Arc<Link>,
    /// What its owner was told last.
    told: LinkState,
    /// What is left to be told.
    is_announcement_wanted: bool,
    /// `None` for pairs that are told by the first.
    looking: Option<Looking>,
}

/// When to look.
struct Looking {
    clock: &'static dyn Clock,
    is_due: bool,
    has_frames: bool,
    calls: u16,
    window: Instant,
    looks: u8,
    announced: Option<Instant>,
}

impl core::fmt::Debug for Looking {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Looking(due: {}, {} looks)", self.is_due, self.looks)
    }
}

/// The status of the interface as its registers say it; without the feature the link is up.
pub(crate) fn status<T: Transport>(running: &Running<T>) -> u16 {
    if !running.features().contains(features::STATUS) {
        return config::LINK_UP;
    }
    // What cannot be read is as down.
    running.config(|registers| registers.read16(config::STATUS)).unwrap_or(0)
}

/// What it says about the link.
pub(crate) fn link_of(status: u16) -> LinkState {
    if status & config::LINK_UP != 0 { LinkState::Up } else { LinkState::Down }
}

impl Watch {
    /// For the pair whose owner looks.
    pub fn first(link: Arc<Link>, clock: &'static dyn Clock) -> Self {
        let looking = Looking {
            clock,
            is_due: true,
            has_frames: false,
            calls: 0,
            window: clock.now(),
            looks: 0,
            announced: None,
        };
        Self { looking: Some(looking), ..Self::other(link) }
    }

    /// For the others.
    pub fn other(link: Arc<Link>) -> Self {
        Self { told: link.state(), link, is_announcement_wanted: false, looking: None }
    }

    /// Frames have come.
    #[inline]
    pub fn saw_frames(&mut self) {
        if let Some(looking) = &mut self.looking {
            looking.has_frames = true;
        }
    }

    /// The owner is about to sleep. What wakes him may be a change, unless that is said otherwise.
    #[inline]
    pub fn sleeps(&mut self, signalling: Signalling) {
        if let Some(looking) = &mut self.looking
            && signalling != Signalling::Line
        {
            (looking.is_due, looking.has_frames) = (true, false);
        }
    }

    /// The device says that its configuration has changed. Whether there is something to tell now.
    pub fn is_changed<T: Transport>(&mut self, running: &Running<T>) -> bool {
        if let Some(looking) = &mut self.looking {
            (looking.is_due, looking.has_frames) = (true, false);
        }
        self.look(running);
        self.is_announcement_wanted || self.told != self.link.state()
    }

    /// Whether a look is due; mostly it is not.
    #[inline]
    fn is_due(&mut self) -> bool {
        let Some(looking) = &mut self.looking else { return false };
        looking.calls = looking.calls.wrapping_add(1) % CALLS;
        looking.is_due || (looking.calls == 0 && looking.clock.now().saturating_since(looking.window) >= WINDOW)
    }

    /// What has changed since the last call.
    #[inline]
    pub fn changes<T: Transport>(&mut self, running: &Running<T>) -> Changes {
        if self.is_due() {
            self.look(running);
        }
        let link = self.link.state();
        let is_new = mem::replace(&mut self.told, link) != link;
        Changes { link: is_new.then_some(link), announce: mem::take(&mut self.is_announcement_wanted) }
    }

    /// Looks, if the ration allows it; else it stays due.
    fn look<T: Transport>(&mut self, running: &Running<T>) {
        let Some(looking) = &mut self.looking else { return };
        if !running.features().contains(features::STATUS) {
            looking.is_due = false;
            return;
        }
        let now = looking.clock.now();
        if now.saturating_since(looking.window) >= WINDOW {
            (looking.window, looking.looks) = (now, 0);
        }
        if looking.looks >= if looking.has_frames { LOOKS } else { MOST_LOOKS } {
            looking.is_due = true;
            return;
        }
        looking.looks += 1;
        let status = status(running);
        self.link.set(link_of(status));
        let is_wished = status & config::ANNOUNCE != 0 && running.features().contains(features::GUEST_ANNOUNCE);
        let is_new = looking.announced.is_none_or(|at| now.saturating_since(at) >= WINDOW);
        if is_wished && is_new {
            looking.announced = Some(now);
            self.is_announcement_wanted = true;
        }
        // A wish that comes too early is looked at again.
        looking.is_due = is_wished && !is_new;
    }
}
