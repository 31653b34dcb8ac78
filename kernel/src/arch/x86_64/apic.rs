//! The local APIC: acknowledging interrupts, interrupting other cores, and the core's one-shot timer.
//!
//! Its registers are reached through model specific registers where the processor has x2APIC, else through a page of
//! memory (xAPIC). The timer takes a deadline on the time-stamp counter where the processor can do that; else it counts
//! down at a frequency that [`super::clock`] has measured.

use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use x86_64::registers::model_specific::Msr;

use super::{cpu, interrupt};
use crate::mm;

/// Register offsets of the memory-mapped form; an x2APIC register is `0x800 + offset / 16`.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Register {
    Id = 0x020,
    TaskPriority = 0x080,
    EndOfInterrupt = 0x0B0,
    SpuriousVector = 0x0F0,
    CommandLow = 0x300,
    CommandHigh = 0x310,
    TimerEntry = 0x320,
    Line0Entry = 0x350,
    Line1Entry = 0x360,
    TimerInitialCount = 0x380,
    TimerCurrentCount = 0x390,
    TimerDivide = 0x3E0,
}

const BASE_MSR: u32 = 0x1B;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
const DEADLINE_MSR: u32 = 0x6E0;
const ENTRY_MASKED: u32 = 1 << 16;
const ENTRY_DEADLINE: u32 = 2 << 17;
const SPURIOUS_ENABLE: u32 = 1 << 8;
const DIVIDE_BY_1: u32 = 0b1011;
/// Interrupt command: the target has not taken the last one yet (memory-mapped form only).
const COMMAND_PENDING: u32 = 1 << 12;
const COMMAND_ASSERT: u32 = 1 << 14;
const COMMAND_NMI: u32 = 0b100 << 8;
const COMMAND_INIT: u32 = 0b101 << 8;
const COMMAND_STARTUP: u32 = 0b110 << 8;
/// Looks at [`COMMAND_PENDING`] before a command is sent all the same.
const COMMAND_PATIENCE: u32 = 1_000_000;

/// The page of registers; null while uninitialised and with x2APIC.
static REGISTERS: AtomicPtr<u32> = AtomicPtr::new(ptr::null_mut());
/// Timer counts per second; 0 where the timer takes deadlines.
static TIMER_FREQUENCY: AtomicU64 = AtomicU64::new(0);

/// Why there are no interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicError {
    /// The processor has no local APIC.
    Missing,
    /// Its registers cannot be mapped.
    Unmappable,
}

impl fmt::Display for ApicError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "the processor has no local APIC",
            Self::Unmappable => "the local APIC cannot be mapped",
        })
    }
}

impl core::error::Error for ApicError {}

fn read(register: Register) -> u32 {
    let registers = REGISTERS.load(Ordering::Relaxed);
    if registers.is_null() {
        // SAFETY: without a page of registers the processor is in x2APIC mode (see `initialise`), where this MSR exists.
        return unsafe { Msr::new(0x800 + register as u32 / 16).read() } as u32;
    }
    // SAFETY: `registers` is the mapped, page-aligned register page; every offset is aligned and inside it.
    unsafe { registers.wrapping_byte_add(register as usize).read_volatile() }
}

fn write(register: Register, value: u32) {
    let registers = REGISTERS.load(Ordering::Relaxed);
    if registers.is_null() {
        // SAFETY: x2APIC mode as above; the registers written by this module affect interrupts only, and those do
        // nothing but set flags.
        unsafe { Msr::new(0x800 + register as u32 / 16).write(u64::from(value)) };
        return;
    }
    // SAFETY: in bounds and aligned as above; effects as above.
    unsafe { registers.wrapping_byte_add(register as usize).write_volatile(value) }
}

/// Finds the local APIC's registers and enables the boot core's.
pub(super) fn initialise() -> Result<(), ApicError> {
    let features = cpu::features();
    if !features.local_apic {
        return Err(ApicError::Missing);
    }
    if features.x2apic {
        REGISTERS.store(ptr::null_mut(), Ordering::Relaxed);
    } else {
        // SAFETY: every processor with a local APIC has this register.
        let state = unsafe { Msr::new(BASE_MSR).read() };
        let page = mm::map_mmio(state & BASE_ADDRESS, mm::PAGE_SIZE).map_err(|_| ApicError::Unmappable)?;
        REGISTERS.store(page.cast(), Ordering::Relaxed);
    }
    enable();
    Ok(())
}

/// Enables the calling core's local APIC with its timer and both lines masked. Needs [`initialise`] on the boot core.
pub(super) fn enable() {
    let mode = if REGISTERS.load(Ordering::Relaxed).is_null() { BASE_X2APIC } else { 0 };
    let mut base = Msr::new(BASE_MSR);
    // SAFETY: every processor with a local APIC has this register.
    let state = unsafe { base.read() };
    // SAFETY: enables the APIC where it is, in the mode that the processors have; no interrupt is unmasked yet.
    unsafe { base.write(state | BASE_ENABLE | mode) };
    write(Register::TaskPriority, 0);
    write(Register::Line0Entry, ENTRY_MASKED);
    write(Register::Line1Entry, ENTRY_MASKED);
    write(Register::TimerEntry, ENTRY_MASKED);
    write(Register::TimerDivide, DIVIDE_BY_1);
    write(Register::SpuriousVector, SPURIOUS_ENABLE | u32::from(interrupt::SPURIOUS));
}

/// This core's APIC id.
pub fn id() -> u32 {
    let id = read(Register::Id);
    if REGISTERS.load(Ordering::Relaxed).is_null() { id } else { id >> 24 }
}

/// Says that the current interrupt has been handled.
pub(super) fn end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

/// Sends the core with APIC id `target` an interrupt command.
fn command(target: u32, command: u32) {
    if REGISTERS.load(Ordering::Relaxed).is_null() {
        let value = u64::from(target) << 32 | u64::from(command);
        // Writing this register orders nothing, and what the target is to see has been written before (Intel SDM
        // volume 3, "x2APIC Register Accesses").
        core::sync::atomic::fence(Ordering::SeqCst);
        // SAFETY: x2APIC mode; the commands of this module interrupt, stop or start a core of this kernel.
        unsafe { Msr::new(0x800 + Register::CommandLow as u32 / 16).write(value) };
        return;
    }
    for _ in 0..COMMAND_PATIENCE {
        if read(Register::CommandLow) & COMMAND_PENDING == 0 {
            break;
        }
        core::hint::spin_loop();
    }
    write(Register::CommandHigh, target << 24);
    write(Register::CommandLow, command);
}

/// Whether interrupt commands can name the core with APIC id `target`: the memory-mapped form has eight bits for it, all
/// ones being everybody.
pub(super) fn can_reach(target: u32) -> bool {
    target < 0xFF || REGISTERS.load(Ordering::Relaxed).is_null()
}

/// Raises [`interrupt::WAKE`] on the core with APIC id `target`.
pub(super) fn send_wake(target: u32) {
    command(target, COMMAND_ASSERT | u32::from(interrupt::WAKE));
}

/// Raises a non-maskable interrupt on the core with APIC id `target`.
pub(super) fn send_nmi(target: u32) {
    command(target, COMMAND_ASSERT | COMMAND_NMI);
}

/// Resets the core with APIC id `target`, which then waits for [`send_startup`].
pub(super) fn send_init(target: u32) {
    command(target, COMMAND_ASSERT | COMMAND_INIT);
}

/// Lets the core with APIC id `target` start in real mode at the page with number `page`.
pub(super) fn send_startup(target: u32, page: u8) {
    command(target, COMMAND_ASSERT | COMMAND_STARTUP | u32::from(page));
}

/// Lets the timer count down from its maximum, masked, as a reference for [`super::clock`].
pub(super) fn start_counting() {
    write(Register::TimerEntry, ENTRY_MASKED);
    write(Register::TimerInitialCount, u32::MAX);
}

/// The same before [`initialise`], on the early page tables, which map the first 4 GiB. False where there is no page of
/// registers yet.
pub(super) fn start_counting_early() -> bool {
    if !cpu::features().local_apic {
        return false;
    }
    // SAFETY: every processor with a local APIC has this register.
    let state = unsafe { Msr::new(BASE_MSR).read() };
    let address = state & BASE_ADDRESS;
    if state & (BASE_ENABLE | BASE_X2APIC) != BASE_ENABLE || address >> 32 != 0 {
        return false;
    }
    REGISTERS.store(ptr::with_exposed_provenance_mut(address as usize), Ordering::Relaxed);
    write(Register::TimerDivide, DIVIDE_BY_1);
    start_counting();
    true
}

/// How far the timer has counted down since [`start_counting`]; `u32::MAX` once it has arrived at 0, where it stays.
pub(super) fn counted() -> u32 {
    u32::MAX - read(Register::TimerCurrentCount)
}

/// Says how the timers of all cores count: at this rate in Hz, or not at all but against deadlines on the time-stamp
/// counter.
pub(super) fn set_timer_frequency(frequency: Option<u64>) {
    TIMER_FREQUENCY.store(frequency.unwrap_or(0), Ordering::Relaxed);
}

/// Prepares the calling core's one-shot timer. Needs [`set_timer_frequency`].
pub(super) fn prepare_timer() {
    write(Register::TimerInitialCount, 0);
    let mode = if TIMER_FREQUENCY.load(Ordering::Relaxed) == 0 { ENTRY_DEADLINE } else { 0 };
    write(Register::TimerEntry, mode | u32::from(interrupt::TIMER));
    // The mode must be in force before the first deadline is written (Intel SDM volume 3, "TSC-Deadline Mode").
    core::sync::atomic::fence(Ordering::SeqCst);
}

/// Sets the timer to raise its interrupt `nanoseconds` from now, or not at all. It may come early, for the counter's
/// range is limited; so who waits for a time looks at the clock.
pub fn set_timer(nanoseconds: Option<u64>) {
    let frequency = TIMER_FREQUENCY.load(Ordering::Relaxed);
    if frequency == 0 {
        let deadline =
            nanoseconds.map_or(0, |wait| cpu::time_stamp().saturating_add(super::clock::to_ticks(wait)).max(1));
        // SAFETY: the processor has the deadline timer, else a frequency would have been set.
        unsafe { Msr::new(DEADLINE_MSR).write(deadline) };
        return;
    }
    let count = nanoseconds.map_or(0, |wait| {
        let count = u128::from(wait) * u128::from(frequency) / 1_000_000_000;
        u32::try_from(count).unwrap_or(u32::MAX).max(1)
    });
    write(Register::TimerInitialCount, count);
}
