//! Asking KVM for the time: frequency of the counter and wall clock.
//!
//! KVM writes each structure to a guest address that is put into a model specific register. Both are read once; then
//! the time structure is disabled again, so that the hypervisor writes nothing behind our back afterwards.

use core::cell::UnsafeCell;
use core::time::Duration;

use x86_64::registers::model_specific::Msr;

use super::cpu;
use crate::pvclock;

const WALL_CLOCK_MSR: u32 = 0x4B56_4D00;
const SYSTEM_TIME_MSR: u32 = 0x4B56_4D01;
const ENABLE: u64 = 1;
/// KVM feature bit of these two registers.
const FEATURE_CLOCK: u32 = 1 << 3;

/// Where the hypervisor writes; never referenced, only read volatilely.
#[repr(C, align(64))]
struct Shared<const N: usize>(UnsafeCell<[u8; N]>);

// SAFETY: accessed on the boot core only, by volatile reads of single bytes, any value of which is valid.
unsafe impl<const N: usize> Sync for Shared<N> {}

impl<const N: usize> Shared<N> {
    fn read(&self) -> [u8; N] {
        // SAFETY: in bounds and aligned; volatile because the hypervisor writes it.
        unsafe { self.0.get().read_volatile() }
    }
}

static TIME: Shared<32> = Shared(UnsafeCell::new([0; 32]));
static WALL: Shared<12> = Shared(UnsafeCell::new([0; 12]));

fn is_available() -> bool {
    cpu::hypervisor().is_some_and(|(signature, highest)| {
        &signature == b"KVMKVMKVM\0\0\0"
            && (highest == 0 || highest >= 0x4000_0001)
            && core::arch::x86_64::__cpuid(0x4000_0001).eax & FEATURE_CLOCK != 0
    })
}

/// Lets the hypervisor write `cell`'s contents by way of `register`.
fn ask<const N: usize>(register: u32, cell: &'static Shared<N>, flags: u64) {
    let address = cell.0.get().addr() as u64;
    // SAFETY: KVM has the register (checked by the callers); it writes at most 32 bytes at the address, which is static
    // memory of that size, identity mapped, 64-byte aligned and accessed as `Shared` says.
    unsafe { Msr::new(register).write(address | flags) };
}

fn time_information() -> [u8; 32] {
    ask(SYSTEM_TIME_MSR, &TIME, ENABLE);
    let information = TIME.read();
    // SAFETY: as in `ask`; a cleared enable bit makes KVM forget the address.
    unsafe { Msr::new(SYSTEM_TIME_MSR).write(0) };
    information
}

/// The time-stamp counter's frequency in Hz, under KVM.
pub(super) fn counter_frequency() -> Option<u64> {
    is_available().then(time_information).and_then(|information| pvclock::counter_frequency(&information))
}

/// Whether KVM keeps the counters of all processors together.
pub(super) fn is_counter_common() -> bool {
    is_available() && pvclock::is_counter_common(&time_information())
}

/// Unix time, under KVM.
pub(super) fn unix_time() -> Option<Duration> {
    if !is_available() {
        return None;
    }
    let information = time_information();
    ask(WALL_CLOCK_MSR, &WALL, 0);
    pvclock::unix_time(&WALL.read(), &information, cpu::time_stamp())
}
