//! How the virtual machine ends, and how the host learns with which exit status.
//!
//! # Exit status
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the application's `main` returned |
//! | 1 | `main` returned an error |
//! | [`PANIC`] = 101 | a panic (as for an ordinary Rust program), out of memory included |
//! | [`CPU_FAULT`] = 102 | a processor exception, stack overflow included |
//! | [`BOOT_FAILURE`] = 103 | the machine lacks something that the kernel cannot do without |
//! | others | `toro::process::exit(code)` |
//!
//! The only channel that carries a number is QEMU's `-device isa-debug-exit,iobase=0xf4`: QEMU exits with
//! `value << 1 | 1` for the value written. Toro writes
//!
//! ```text
//!   value = 0x10 + code     for code <= 110           host:  code = (status >> 1) - 0x10
//!   value = 0x7f            for every greater code           status 255 = "code > 110"
//! ```
//!
//! so the status is odd and at least 33 (0x21): code 0 gives 33, 1 gives 35, 101 gives 235, 102 gives 237. QEMU's own
//! statuses, 0 for a power-off and 1 for an error, mean that the machine ended without saying anything.
//!
//! Everywhere a nonzero code is also the last line on the console, `[toro] exit status N`. Where the command line has the
//! word `exit=print`, so is 0: a host without such a device, as Firecracker's, then tells a guest that has ended well from
//! one that has vanished.
//!
//! # Ways out
//!
//! After the debug exit comes what the machine's tables say, in the order of [`plan`].

pub mod plan;

#[cfg(target_os = "none")]
use self::plan::{Plan, Way};
#[cfg(target_os = "none")]
use crate::arch::{cpu, power};

/// Exit status after a panic.
pub const PANIC: u8 = 101;
/// Exit status after a processor exception.
pub const CPU_FAULT: u8 = 102;
/// Exit status of a kernel that could not start.
pub const BOOT_FAILURE: u8 = 103;

const DEBUG_EXIT_BASE: u8 = 0x10;
/// The greatest value whose status fits the eight bits that the host's shell sees.
const DEBUG_EXIT_MAX: u8 = 0x7F;

/// What is written to the debug exit device for `code`.
pub const fn debug_exit_value(code: u8) -> u8 {
    if code > DEBUG_EXIT_MAX - DEBUG_EXIT_BASE - 1 { DEBUG_EXIT_MAX } else { DEBUG_EXIT_BASE + code }
}

/// Ends the machine with exit status `code`.
#[cfg(target_os = "none")]
pub fn exit(code: u8) -> ! {
    if code != 0 || crate::env::option("exit") == Some("print") {
        crate::println!("[toro] exit status {code}");
    }
    execute(plan::power_off(crate::acpi::tables()), code)
}

/// Starts the machine again, where the monitor lets a guest do that: see [`crate::process::reboot`].
#[cfg(target_os = "none")]
pub(crate) fn reboot() -> ! {
    execute(plan::reboot(crate::acpi::tables()), 0)
}

/// Tries one way after the other.
#[cfg(target_os = "none")]
fn execute(plan: Plan, code: u8) -> ! {
    for way in plan.ways() {
        match way {
            Way::DebugExit => power::debug_exit(debug_exit_value(code)),
            Way::Pm1 { control, sleep_type } => power::sleep_pm1(control, sleep_type),
            Way::Register { location, value } => power::write_register(location, value),
            Way::Keyboard => power::keyboard_reset(),
            Way::TripleFault => power::triple_fault(),
            Way::Halt => cpu::halt(),
        }
    }
    cpu::halt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_values_are_distinct_from_each_other_and_from_qemus_own_statuses() {
        let status = |code| (u32::from(debug_exit_value(code)) << 1 | 1) & 0xFF;
        assert_eq!([0, 1, PANIC, CPU_FAULT, 110].map(status), [33, 35, 235, 237, 253]);
        assert_eq!([111, 200, 255].map(status), [255; 3]);
        for code in 0..=110 {
            assert_eq!((status(code) >> 1) - 0x10, u32::from(code));
        }
    }
}
