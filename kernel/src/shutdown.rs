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
//! Everywhere a nonzero code is also the last line on the console, `[toro] exit status N`.
//!
//! # Ways out
//!
//! After the debug exit come, each where the machine has it: ACPI S5 as the tables say (or QEMU's port 0x604 where there
//! are no tables), ACPI reset, keyboard controller reset, triple fault.

#[cfg(target_os = "none")]
use crate::acpi::SleepControl;
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
    if code != 0 {
        crate::println!("[toro] exit status {code}");
    }
    power::debug_exit(debug_exit_value(code));

    match crate::acpi::tables() {
        Some(tables) => {
            match tables.sleep {
                Some(SleepControl::Pm1 { control_a, control_b, type_a, type_b }) => {
                    power::sleep_pm1(control_a, type_a);
                    if let Some(control_b) = control_b {
                        power::sleep_pm1(control_b, type_b);
                    }
                    settle();
                }
                Some(SleepControl::Register { location, sleep_type }) => {
                    power::write_register(location, sleep_type << 2 | 1 << 5);
                    settle();
                }
                None => {}
            }
            if let Some((location, value)) = tables.reset {
                power::write_register(location, value);
                settle();
            }
        }
        None => {
            if power::sleep_qemu() {
                settle();
            }
        }
    }
    power::keyboard_reset();
    settle();
    power::triple_fault()
}

/// Gives the monitor time to act on the last request: some tens of milliseconds on any processor.
#[cfg(target_os = "none")]
fn settle() {
    let start = cpu::time_stamp();
    while cpu::time_stamp().wrapping_sub(start) < 200_000_000 {
        core::hint::spin_loop();
    }
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
