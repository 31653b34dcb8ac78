//! Whether the counters of two cores are in step, and by how much one has to be corrected if not.
//!
//! ```text
//!   starting core            boot core
//!   reads t0, asks  ------>
//!                            reads b, answers
//!   reads t1      <--------                         t0 <= the moment of b <= t1, on either clock:
//!                                                   b - t1 <= lag <= b - t0
//! ```
//!
//! Usually one round is enough, a few microseconds. Each narrows the interval in which the lag of this core's counter behind
//! the boot core's must lie. If 0 is in the interval that is left when it is narrow, or after all rounds, the counters are in
//! step as far as anybody could tell. If not, the middle of the interval is added to every reading of this core's clock, and
//! a warning says so. A host that takes a processor away in the middle only makes a round useless.
//!
//! Such a host also makes a round as long as the time for which it takes processors away, tens of milliseconds for each core
//! on a busy one. So nothing is compared where the counters cannot differ: QEMU's emulator has a single one, and KVM says so
//! of processors whose counters it keeps together.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{clock, core_local, cpu, smp};

/// The most rounds.
const ROUNDS: u32 = 8;
/// An interval of this part of a second is narrow.
const NARROW: u64 = 50_000;

/// The round that the starting core asks in; 0 when nobody asks.
static ASKED: AtomicU32 = AtomicU32::new(0);
/// The round that has been answered.
static ANSWERED: AtomicU32 = AtomicU32::new(0);
/// The boot core's counter.
static READING: AtomicU64 = AtomicU64::new(0);

/// Answers a core that compares; called by the boot core while it waits for one to start.
pub(super) fn answer() {
    let round = ASKED.load(Ordering::Acquire);
    if round != 0 && ANSWERED.load(Ordering::Relaxed) != round {
        READING.store(cpu::ordered_time_stamp(), Ordering::Relaxed);
        ANSWERED.store(round, Ordering::Release);
    }
}

/// Compares this core's counter with the boot core's, which has to be in a loop that calls [`answer`].
pub(super) fn compare() {
    if clock::is_common() {
        return;
    }
    let (mut least, mut most) = (i64::MIN, i64::MAX);
    for round in 1..=ROUNDS {
        let before = cpu::ordered_time_stamp();
        ASKED.store(round, Ordering::Release);
        while ANSWERED.load(Ordering::Acquire) != round {
            if smp::is_forsaken() {
                cpu::halt();
            }
            core::hint::spin_loop();
        }
        let reading = READING.load(Ordering::Relaxed);
        let after = cpu::ordered_time_stamp();
        least = least.max(reading.wrapping_sub(after) as i64);
        most = most.min(reading.wrapping_sub(before) as i64);
        if most.abs_diff(least) < clock::frequency() / NARROW {
            break;
        }
    }
    ASKED.store(0, Ordering::Relaxed);
    ANSWERED.store(0, Ordering::Release);

    let core = core_local::core_index();
    if least <= 0 && 0 <= most {
        log::debug!("clock: core {core} is in step, within {} ticks", most.saturating_sub(least));
        return;
    }
    let lag = least / 2 + most / 2;
    log::warn!("clock: the counter of core {core} is {lag} ticks behind the boot core's; corrected");
    clock::set_lag(lag as u64);
}
