//! The watchdog: says which thread does not let go of its core.
//!
//! Threads are cooperative: while one runs, no other thread of its core does, and no packet is received. The core's timer
//! fires once in a while also when nobody has asked for it. If it finds the same thread running that it found long ago,
//! with no switch in between, it prints where that thread is: once per stretch. Nothing is ended: the thread may be
//! right, and know what it does.
//!
//! The command line word `watchdog=SECONDS` sets the limit, `watchdog=off` switches it off; it is
//! [`DEFAULT_LIMIT`] without. The report comes up to a fourth of the limit late.
//!
//! # In an interrupt handler
//!
//! The handler reads and prints, and writes nothing but this module's atomics.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::core::Core;
use crate::arch::{apic, core_index, interrupt};
use crate::time::Instant;
use crate::{console, core_local, env, panic};

/// How long a thread may hold its core without being reported.
const DEFAULT_LIMIT: Duration = Duration::from_secs(10);
/// The longest time between two looks.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);
/// The shortest: what the timer can be set to without being a burden.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// What the last look has seen. Written by the handler alone, but for `start`.
struct Watch {
    /// Nanoseconds; 0 is off.
    limit: AtomicU64,
    /// [`Core::switches`] then.
    switches: AtomicU64,
    /// When that number was first seen; `u64::MAX` once it has been reported.
    since: AtomicU64,
}

core_local! {
    static WATCH: Watch =
        Watch { limit: AtomicU64::new(0), switches: AtomicU64::new(0), since: AtomicU64::new(0) };
}

fn period() -> Option<Duration> {
    let limit = Duration::from_nanos(WATCH.get().limit.load(Ordering::Relaxed));
    (!limit.is_zero()).then(|| (limit / 4).clamp(SHORTEST_PERIOD, LONGEST_PERIOD))
}

fn set_timer() {
    if let Some(period) = period() {
        apic::set_timer(Some(period.as_nanos() as u64));
    }
}

/// Begins to watch this core, as the command line says.
pub(super) fn start() {
    let limit = match env::option("watchdog") {
        None => DEFAULT_LIMIT,
        Some("off") => Duration::ZERO,
        Some(word) => word.parse().map(Duration::from_secs).unwrap_or_else(|_| {
            log::warn!("watchdog={word}: neither a number of seconds nor `off`");
            DEFAULT_LIMIT
        }),
    };
    WATCH.get().limit.store(u64::try_from(limit.as_nanos()).unwrap_or(0), Ordering::Relaxed);
    set_timer();
}

/// How long the core may sleep that wants to sleep for `wait`: so that the timer is set when it wakes up.
pub(super) fn limit(wait: Option<Duration>) -> Option<Duration> {
    wait.into_iter().chain(period()).min()
}

/// The core has slept: if the timer has woken it, it has to be set again.
pub(super) fn wake_up() {
    if interrupt::take_timer_fired() {
        set_timer();
    }
}

/// The timer has fired while something ran that was at `rip` with frame pointer `rbp`.
pub(crate) fn tick(rip: u64, rbp: u64) {
    set_timer();
    let (watch, now) = (WATCH.get(), Instant::now().as_nanos());
    let switches = Core::current().switches();
    if watch.switches.swap(switches, Ordering::Relaxed) != switches {
        watch.since.store(now, Ordering::Relaxed);
        return;
    }
    let since = watch.since.load(Ordering::Relaxed);
    let held = now.saturating_sub(since);
    if since == u64::MAX || held < watch.limit.load(Ordering::Relaxed) {
        return;
    }
    watch.since.store(u64::MAX, Ordering::Relaxed);
    let tenths = held / 100_000_000;
    let thread = super::current_name();
    console::begin_line();
    crate::println!("watchdog: thread `{thread}` has held core {} for {}.{} s", core_index(), tenths / 10, tenths % 10);
    panic::print_backtrace(Some(rip), rbp);
}
