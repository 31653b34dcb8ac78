//! The monotonic clock: the time-stamp counter, and how fast it runs.
//!
//! What tells the frequency differs from machine to machine, so several ways are tried, the exact and free ones first:
//!
//! | way | where | cost |
//! |---|---|---|
//! | hypervisor leaf 0x40000010 | KVM with `vmware-cpuid-freq` and others | none |
//! | kvm-clock | KVM: Firecracker, Cloud Hypervisor, QEMU with KVM | two model specific registers |
//! | leaf 0x15 | processors that know their crystal | none |
//! | local APIC timer at 1 GHz | QEMU's emulator (TCG), all machine types, microvm included | usually none |
//! | ACPI power management timer | PCs | 1 ms |
//! | interval timer (8254), channel 0 | PCs | 1 ms |
//! | leaf 0x16 | processors that know their nominal frequency | none |
//!
//! Measuring brackets each look at the reference between two readings of the counter and keeps the tightest bracket of
//! several, so that a host that takes the CPU away in the middle does not spoil it. A reference that does not advance is
//! given up after `PATIENCE` ticks. The local APIC's timer is looked at for the first time when the kernel begins, and for
//! the second time when the rate is needed, some milliseconds later under emulation: nobody waits, and the longer way makes
//! the rate more exact.

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use x86_64::instructions::port::{PortReadOnly, PortWriteOnly};

use super::{apic, cpu, kvm_clock};
use crate::core_local;

const NANOSECONDS: u64 = 1_000_000_000;
const PM_TIMER_FREQUENCY: u64 = 3_579_545;
const PIT_FREQUENCY: u64 = 1_193_182;
const PIT_CHANNEL_0: u16 = 0x40;
const PIT_COMMAND: u16 = 0x43;
/// What QEMU's emulator lets the local APIC's timer count in a second.
const TCG_TIMER_FREQUENCY: u64 = 1_000_000_000;
/// Ticks without progress after which a reference is dead: at least 10 ms on any processor.
const PATIENCE: u64 = 50_000_000;
/// The least time between two looks at it, in its counts: a millisecond.
const TCG_TIMER_WINDOW: u64 = TCG_TIMER_FREQUENCY / 1000;
/// Looks per sample.
const LOOKS: usize = 8;

/// Counter value at boot.
static ORIGIN: AtomicU64 = AtomicU64::new(0);
/// The first look at the local APIC's timer, where it is the reference: the counter's value, and the timer's. 0 and 0 where
/// there was none.
static EARLY: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// Ticks per second; 0 until known.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick, times 2^32.
static SCALE: AtomicU64 = AtomicU64::new(0);

/// Whether all cores are known to have the same counter.
static IS_COMMON: AtomicBool = AtomicBool::new(false);

core_local! {
    /// What this core's counter lacks to the boot core's; see [`super::step`].
    static LAG: Cell<u64> = Cell::new(0);
}

/// How the frequency became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The hypervisor's timing leaf.
    HypervisorLeaf,
    /// kvm-clock.
    KvmClock,
    /// The processor's crystal leaf.
    CrystalLeaf,
    /// Measured against the local APIC's timer.
    ApicTimer,
    /// Measured against the ACPI power management timer.
    PmTimer,
    /// Measured against the interval timer.
    IntervalTimer,
    /// The processor's nominal frequency.
    NominalLeaf,
    /// Nothing worked: 1 GHz is assumed.
    Assumed,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::HypervisorLeaf => "hypervisor leaf",
            Self::KvmClock => "kvm-clock",
            Self::CrystalLeaf => "crystal leaf",
            Self::ApicTimer => "local APIC timer",
            Self::PmTimer => "ACPI PM timer",
            Self::IntervalTimer => "interval timer",
            Self::NominalLeaf => "nominal frequency leaf",
            Self::Assumed => "assumption",
        })
    }
}

/// Notes the moment from which the clock counts, and under emulation begins to measure. Called first thing at boot, on the
/// early page tables.
pub(crate) fn start() {
    ORIGIN.store(cpu::time_stamp(), Ordering::Relaxed);
    if is_emulated() && apic::start_counting_early() {
        let (ticks, count) = sample(&read_apic_timer);
        EARLY[0].store(ticks, Ordering::Relaxed);
        EARLY[1].store(count, Ordering::Relaxed);
    }
}

/// Whether QEMU's emulator executes this. Its processors have no counters of their own: all read the host's.
pub(super) fn is_emulated() -> bool {
    cpu::hypervisor().is_some_and(|(signature, _)| &signature == b"TCGTCGTCGTCG")
}

fn read_apic_timer() -> u64 {
    u64::from(apic::counted())
}

/// Lets this core's clock agree with the boot core's, whose counter is ahead by `lag` ticks.
pub(super) fn set_lag(lag: u64) {
    LAG.get().set(lag);
}

/// Whether the counters of all cores are known to be the same, without a comparison.
pub(super) fn is_common() -> bool {
    IS_COMMON.load(Ordering::Relaxed)
}

/// Nanoseconds since boot; 0 until the clock has been calibrated. The same on all cores.
#[inline]
pub fn nanoseconds() -> u64 {
    let ticks = cpu::time_stamp().wrapping_add(LAG.get().get()).wrapping_sub(ORIGIN.load(Ordering::Relaxed));
    ((u128::from(ticks) * u128::from(SCALE.load(Ordering::Relaxed))) >> 32) as u64
}

/// The counter's frequency in Hz; 0 until known.
pub fn frequency() -> u64 {
    FREQUENCY.load(Ordering::Relaxed)
}

/// Ticks in `nanoseconds`.
pub(super) fn to_ticks(nanoseconds: u64) -> u64 {
    (u128::from(nanoseconds) * u128::from(frequency()) / u128::from(NANOSECONDS)) as u64
}

/// Finds out how fast the counter runs and prepares the core's timer. `pm_timer` is the port of the ACPI power
/// management timer, where there is one. Needs the local APIC.
pub(crate) fn calibrate(pm_timer: Option<u16>) -> Source {
    let (frequency, source) = counter_frequency(pm_timer);
    FREQUENCY.store(frequency, Ordering::Relaxed);
    IS_COMMON.store(is_emulated() || kvm_clock::is_counter_common(), Ordering::Relaxed);
    SCALE.store(((u128::from(NANOSECONDS) << 32) / u128::from(frequency)) as u64, Ordering::Relaxed);

    let timer = match source {
        _ if cpu::features().tsc_deadline => None,
        Source::ApicTimer => Some(TCG_TIMER_FREQUENCY),
        _ => Some(timer_frequency(frequency)),
    };
    apic::set_timer_frequency(timer);
    apic::prepare_timer();
    source
}

fn counter_frequency(pm_timer: Option<u16>) -> (u64, Source) {
    let nonzero = |frequency: &u64| *frequency != 0;
    let leaf = |number| cpu::cpuid(number);
    let hypervisor = cpu::hypervisor();

    let from_hypervisor = hypervisor
        .filter(|&(_, highest)| highest >= 0x4000_0010)
        .and_then(|_| leaf(0x4000_0010))
        .map(|leaf| u64::from(leaf.eax) * 1000);
    if let Some(frequency) = from_hypervisor.filter(nonzero) {
        return (frequency, Source::HypervisorLeaf);
    }
    if let Some(frequency) = kvm_clock::counter_frequency().filter(nonzero) {
        return (frequency, Source::KvmClock);
    }
    let from_crystal = leaf(0x15)
        .filter(|leaf| leaf.eax != 0)
        .map(|leaf| u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
    if let Some(frequency) = from_crystal.filter(nonzero) {
        return (frequency, Source::CrystalLeaf);
    }
    if is_emulated()
        && let Some(frequency) = measure_apic_timer()
    {
        return (frequency, Source::ApicTimer);
    }
    if let Some(port) = pm_timer {
        let read = || {
            // SAFETY: the power management timer's port, as the FADT gives it; reading it has no effect.
            let count: u32 = unsafe { PortReadOnly::new(port).read() };
            u64::from(count)
        };
        if let Some(frequency) = measure(read, PM_TIMER_FREQUENCY, 0xFF_FFFF, PM_TIMER_FREQUENCY / 1000) {
            return (frequency, Source::PmTimer);
        }
    }
    start_interval_timer();
    if let Some(frequency) = measure(read_interval_timer, PIT_FREQUENCY, 0xFFFF, PIT_FREQUENCY / 1000) {
        return (frequency, Source::IntervalTimer);
    }
    if let Some(frequency) = leaf(0x16).map(|leaf| u64::from(leaf.eax & 0xFFFF) * 1_000_000).filter(nonzero) {
        return (frequency, Source::NominalLeaf);
    }
    (NANOSECONDS, Source::Assumed)
}

/// Measures the counter against the local APIC's timer, from the first look on if there has been one.
fn measure_apic_timer() -> Option<u64> {
    let (rate, mask) = (TCG_TIMER_FREQUENCY, u64::from(u32::MAX));
    let [ticks, count] = EARLY.each_ref().map(|word| word.load(Ordering::Relaxed));
    // A machine that was held up for four seconds finds that the timer has arrived.
    if ticks != 0 && read_apic_timer() < mask / 2 {
        return measure_from((ticks, count), read_apic_timer, rate, mask, TCG_TIMER_WINDOW);
    }
    apic::start_counting();
    measure(read_apic_timer, rate, mask, TCG_TIMER_WINDOW)
}

/// Measures the counter against a reference that counts up at `rate` Hz, modulo `mask + 1`, over `window` counts.
fn measure(read: impl Fn() -> u64, rate: u64, mask: u64, window: u64) -> Option<u64> {
    measure_from(sample(&read), read, rate, mask, window)
}

/// The same, where the first look was at `start`: the counter's value and the reference's.
fn measure_from(start: (u64, u64), read: impl Fn() -> u64, rate: u64, mask: u64, window: u64) -> Option<u64> {
    let (start_ticks, start_count) = start;
    let mut last_progress = cpu::time_stamp();
    let mut last_count = read();
    while (last_count.wrapping_sub(start_count)) & mask < window {
        let count = read();
        let now = cpu::time_stamp();
        if count != last_count {
            last_count = count;
            last_progress = now;
        } else if now.wrapping_sub(last_progress) > PATIENCE {
            return None;
        }
        core::hint::spin_loop();
    }
    let (end_ticks, end_count) = sample(&read);
    let counts = end_count.wrapping_sub(start_count) & mask;
    let ticks = end_ticks.wrapping_sub(start_ticks);
    u64::try_from(u128::from(ticks) * u128::from(rate) / u128::from(counts.max(1)))
        .ok()
        .filter(|&frequency| frequency > 1_000_000)
}

/// A look at the reference with the counter's value in its middle: the tightest of several.
fn sample(read: &impl Fn() -> u64) -> (u64, u64) {
    let mut best = (0, 0);
    let mut tightest = u64::MAX;
    for _ in 0..LOOKS {
        let before = cpu::time_stamp();
        let count = read();
        let width = cpu::time_stamp().wrapping_sub(before);
        if width < tightest {
            tightest = width;
            best = (before.wrapping_add(width / 2), count);
        }
    }
    best
}

/// The counting rate of the local APIC's timer, measured over 0.2 ms against the counter.
fn timer_frequency(counter_frequency: u64) -> u64 {
    apic::start_counting();
    let read = || u64::from(apic::counted());
    let (start_ticks, start_count) = sample(&read);
    while cpu::time_stamp().wrapping_sub(start_ticks) < counter_frequency / 5000 {
        core::hint::spin_loop();
    }
    let (end_ticks, end_count) = sample(&read);
    let counts = u128::from(end_count.wrapping_sub(start_count));
    let ticks = u128::from(end_ticks.wrapping_sub(start_ticks)).max(1);
    ((counts * u128::from(counter_frequency) / ticks) as u64).max(1)
}

/// Lets channel 0 count down from 65,536 again and again (mode 2). Its interrupt line is masked.
fn start_interval_timer() {
    for (port, value) in [(PIT_COMMAND, 0x34), (PIT_CHANNEL_0, 0), (PIT_CHANNEL_0, 0)] {
        // SAFETY: the interval timer's ports, used by nothing else; the counter affects nothing but a masked line.
        unsafe { PortWriteOnly::<u8>::new(port).write(value) };
    }
}

/// Channel 0's count, turned round to count up.
fn read_interval_timer() -> u64 {
    // SAFETY: latches the count, which affects nothing else.
    unsafe { PortWriteOnly::<u8>::new(PIT_COMMAND).write(0) };
    let mut channel = PortReadOnly::<u8>::new(PIT_CHANNEL_0);
    // SAFETY: reads the low byte of the latched count.
    let low = unsafe { channel.read() };
    // SAFETY: reads the high byte of the latched count.
    let high = unsafe { channel.read() };
    0xFFFF - u64::from(u16::from_le_bytes([low, high]))
}
