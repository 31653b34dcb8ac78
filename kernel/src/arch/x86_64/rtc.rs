//! The wall clock: KVM's where there is one, else the real-time clock in CMOS memory.

use core::time::Duration;

use x86_64::instructions::port::{PortReadOnly, PortWriteOnly};

use super::{cpu, kvm_clock};
use crate::calendar::{self, Registers};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
/// An update takes about 2 ms, so this many ticks are patience enough (at least 10 ms).
const PATIENCE: u64 = 50_000_000;

fn read(register: u8) -> u8 {
    // Bit 7 of the index keeps the non-maskable interrupt as it is on reset: enabled.
    // SAFETY: selects a register; the ports belong to this module alone.
    unsafe { PortWriteOnly::new(INDEX).write(register) };
    // SAFETY: reads the selected register. Of those that this module reads none is changed by that.
    unsafe { PortReadOnly::new(DATA).read() }
}

/// The registers, if there is a clock that stands still for a moment.
fn registers() -> Option<Registers> {
    let start = cpu::time_stamp();
    Registers::read(read, || cpu::time_stamp().wrapping_sub(start) < PATIENCE)
}

/// Unix time, if anything in the machine knows it. `cmos` says whether there may be a
/// real-time clock to ask.
pub fn unix_time(cmos: Cmos) -> Option<Duration> {
    kvm_clock::unix_time().or_else(|| match cmos {
        Cmos::Possible => registers().and_then(|registers| calendar::unix_time(&registers)),
        Cmos::Absent => None,
    })
}

/// Whether there may be a real-time clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmos {
    /// Nothing is known against it.
    Possible,
    /// The firmware says that there is none.
    Absent,
}
