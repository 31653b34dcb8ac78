//! The end of a DMA command, as bus master and drive tell it.
//!
//! | INTR | ACTIVE | BSY | |
//! |---|---|---|---|
//! | 0 | 1 | | it runs |
//! | 1 | | 1 | an interrupt that came too early |
//! | 1 | 0 | 0 | the end: what counts is what both say about errors |
//! | 1 | 1 | 0 | the table is longer than what the drive had |
//! | 0 | 0 | 1 | memory is done, the drive is not |
//! | 0 | 0 | 0 | the end, with an interrupt on its way; or without, and then nobody knows how it went |
//!
//! As long as the master runs, the drive's registers are left alone: some controllers mix the two up.

use core::sync::atomic::{Ordering, fence};
use core::time::Duration;

use toro_core::{Instant, Registers};

use super::{Active, Engine, Outcome, Phase, Trouble};
use crate::registers::{Direction, Master, NIEN, Status, Stopped};

/// How much later than the end of a DMA transfer the interrupt may be noticed.
const GRACE: Duration = Duration::from_millis(10);

impl<R: Registers> Engine<R> {
    /// Looks at the bus master, and at the drive only when it has ended.
    pub(super) fn master(
        &mut self,
        active: &mut Active,
        direction: Direction,
        grace: Option<Instant>,
        now: Instant,
    ) -> Outcome {
        let master = self.ports.master_status();
        if master.bits() == u8::MAX {
            return Outcome::Over(Err(Trouble::Gone));
        }
        if master.contains(Master::ERROR) {
            return self.end_master(Err(Trouble::Master));
        }
        let is_signalled = master.contains(Master::INTR);
        if !is_signalled && master.contains(Master::ACTIVE) {
            return if now < active.until { Outcome::Waiting } else { self.end_master(Err(Trouble::Silent)) };
        }
        let status = self.ports.alternate();
        if status.is_floating() {
            return self.end_master(Err(Trouble::Gone));
        }
        if status.contains(Status::BSY) {
            if is_signalled {
                // Too early, and so not the end: take it back, for the true one to be heard.
                self.ports.status();
                self.ports.clear_master();
            }
            return if now < active.until { Outcome::Waiting } else { self.end_master(Err(Trouble::Silent)) };
        }
        if !is_signalled && self.control & NIEN == 0 {
            // It may be on its way. If not, the transfer has ended without one, and nobody knows how.
            let end = grace.unwrap_or(now.saturating_add(GRACE)).min(active.until);
            active.phase = Phase::Dma { direction, grace: Some(end) };
            return if now < end { Outcome::Waiting } else { self.end_master(Err(Trouble::Master)) };
        }
        let is_longer = master.contains(Master::ACTIVE);
        let stopped = self.ports.stop_master();
        let status = self.ports.status();
        let master = self.ports.master_status();
        self.ports.clear_master();
        // What the device wrote to memory is read after this.
        fence(Ordering::Acquire);
        let result = if stopped == Stopped::No {
            Err(Trouble::Master)
        } else if status.has_failed() {
            Err(self.failure(&active.command))
        } else if is_longer || master.contains(Master::ERROR) {
            Err(Trouble::Master)
        } else if status.contains(Status::DRQ) {
            Err(Trouble::Extra)
        } else {
            Ok(())
        };
        Outcome::Over(result)
    }

    /// Stops the bus master in the middle.
    fn end_master(&mut self, result: Result<(), Trouble>) -> Outcome {
        self.ports.stop_master();
        self.ports.clear_master();
        Outcome::Over(result)
    }
}
