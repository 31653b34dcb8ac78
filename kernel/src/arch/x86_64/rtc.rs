//! The wall clock: KVM's where there is one, else the real-time clock in CMOS memory.

use core::time::Duration;

use x86_64::instructions::port::{PortReadOnly, PortWriteOnly};

use super::{cpu, kvm_clock};
use crate::calendar::{self, Registers};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
const STATUS_A: u8 = 10;
const STATUS_B: u8 = 11;
const UPDATE_IN_PROGRESS: u8 = 1 << 7;
/// An update takes about 2 ms, so this many ticks are patience enough (at least 10 ms).
const PATIENCE: u64 = 50_000_000;

fn read(register: u8) -> u8 {
    // Bit 7 of the index keeps the non-maskable interrupt as it is on reset: enabled.
    // SAFETY: selects a register; the ports belong to this module alone.
    unsafe { PortWriteOnly::new(INDEX).write(register) };
    // SAFETY: reads the selected register. Of those that this module reads none is changed by that.
    unsafe { PortReadOnly::new(DATA).read() }
}

fn registers() -> Registers {
    Registers {
        second: read(0),
        minute: read(2),
        hour: read(4),
        day: read(7),
        month: read(8),
        year: read(9),
        status_b: read(STATUS_B),
    }
}

/// Reads the clock outside an update, twice, until both readings agree.
fn consistent_registers() -> Option<Registers> {
    let start = cpu::time_stamp();
    let mut last = None;
    while cpu::time_stamp().wrapping_sub(start) < PATIENCE {
        if read(STATUS_A) & UPDATE_IN_PROGRESS != 0 {
            last = None;
            core::hint::spin_loop();
            continue;
        }
        let now = registers();
        if last == Some(now) {
            return last;
        }
        last = Some(now);
    }
    None
}

/// Unix time, if anything in the machine knows it. `cmos` says whether there may be a
/// real-time clock to ask.
pub fn unix_time(cmos: Cmos) -> Option<Duration> {
    kvm_clock::unix_time().or_else(|| match cmos {
        Cmos::Possible => consistent_registers().and_then(|registers| calendar::unix_time(&registers)),
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
