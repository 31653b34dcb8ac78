//! Which ways out a machine has, in the order in which they are tried: a pure function of its tables.
//!
//! ```text
//!   machine                      says                          power-off                          reboot
//!   QEMU pc, q35                 \_S5, PM1 control             debug exit, PM1, halt              reset register, i8042, fault
//!   QEMU microvm, ACPI           \_S5, sleep register          debug exit, sleep register, halt   reset register, i8042, fault
//!   QEMU microvm, no ACPI        nothing                       debug exit, i8042, fault           i8042, fault
//!   Firecracker                  neither \_S5 nor reset        debug exit, i8042, fault           i8042, fault
//!   Cloud Hypervisor             \_S5, sleep register 0x600    debug exit, sleep register, halt   reset register, i8042, fault
//! ```
//!
//! # One rule
//!
//! A machine that says how it is powered off is never reset instead. Cloud Hypervisor starts the guest again after a reset,
//! through the keyboard controller too, so a power-off that fell through to one would be a guest that runs for ever. If such
//! a machine does not go off, its processor halts. One that says nothing of the kind can only be reset: that ends Firecracker,
//! and QEMU with `-no-reboot`.
//!
//! # No waiting
//!
//! A monitor may let the processor run on for a moment after a request. Nothing has to wait for that: behind a power-off
//! comes only the halt, and any two resets are worth the same.

use crate::acpi::{Location, SleepControl, Tables};

/// One way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// QEMU's debug exit device, which takes the exit status along. Where there is none, nobody hears.
    DebugExit,
    /// State S5 by a PM1 control register: its port and the sleep type.
    Pm1 {
        /// The register.
        control: u16,
        /// Sleep type.
        sleep_type: u8,
    },
    /// A byte to a register that the tables name: the sleep control register, or the reset register.
    Register {
        /// The register.
        location: Location,
        /// What is written.
        value: u8,
    },
    /// The keyboard controller pulses the reset line.
    Keyboard,
    /// A fault that cannot be delivered. It always works.
    TripleFault,
    /// Nothing else may be tried.
    Halt,
}

/// Ways in order. The last one never returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    ways: [Option<Way>; Self::MOST],
}

impl Plan {
    const MOST: usize = 4;

    /// The ways, first to last.
    pub fn ways(&self) -> impl Iterator<Item = Way> {
        self.ways.into_iter().flatten()
    }
}

/// In the sleep control register of hardware-reduced ACPI (ACPI 6.5 §4.8.3.7): the sleep type's place, and the bit that
/// starts it.
const SLEEP_TYPE_SHIFT: u8 = 2;
const SLEEP_ENABLE: u8 = 1 << 5;

/// How a machine with these tables is powered off; `None` for one without.
pub fn power_off(tables: Option<&Tables>) -> Plan {
    let Some(sleep) = tables.and_then(|tables| tables.sleep) else {
        let [first, second, third] = resets(tables);
        return Plan { ways: [Some(Way::DebugExit), first, second, third] };
    };
    let (first, second) = match sleep {
        SleepControl::Pm1 { control_a, control_b, type_a, type_b } => (
            Way::Pm1 { control: control_a, sleep_type: type_a },
            control_b.map(|control| Way::Pm1 { control, sleep_type: type_b }),
        ),
        SleepControl::Register { location, sleep_type } => {
            (Way::Register { location, value: sleep_type << SLEEP_TYPE_SHIFT | SLEEP_ENABLE }, None)
        }
    };
    Plan { ways: [Some(Way::DebugExit), Some(first), second, Some(Way::Halt)] }
}

/// How a machine with these tables is started again; `None` for one without.
pub fn reboot(tables: Option<&Tables>) -> Plan {
    let [first, second, third] = resets(tables);
    Plan { ways: [first, second, third, None] }
}

fn resets(tables: Option<&Tables>) -> [Option<Way>; 3] {
    let register = tables.and_then(|tables| tables.reset).map(|(location, value)| Way::Register { location, value });
    [register, Some(Way::Keyboard), Some(Way::TripleFault)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(plan: Plan) -> Vec<Way> {
        plan.ways().collect()
    }

    fn pm1(control_b: Option<u16>) -> Option<SleepControl> {
        Some(SleepControl::Pm1 { control_a: 0x604, control_b, type_a: 0, type_b: 5 })
    }

    #[test]
    fn a_machine_without_tables_is_reset() {
        assert_eq!(list(power_off(None)), [Way::DebugExit, Way::Keyboard, Way::TripleFault]);
        assert_eq!(list(reboot(None)), [Way::Keyboard, Way::TripleFault]);
    }

    #[test]
    fn both_registers_are_written_before_the_halt() {
        let first = Way::Pm1 { control: 0x604, sleep_type: 0 };
        let tables = Tables { sleep: pm1(None), ..Tables::default() };
        assert_eq!(list(power_off(Some(&tables))), [Way::DebugExit, first, Way::Halt]);
        let tables = Tables { sleep: pm1(Some(0x704)), ..Tables::default() };
        let second = Way::Pm1 { control: 0x704, sleep_type: 5 };
        assert_eq!(list(power_off(Some(&tables))), [Way::DebugExit, first, second, Way::Halt]);
    }

    #[test]
    fn the_reset_register_comes_before_other_resets() {
        let tables = Tables { reset: Some((Location::Port(0xCF9), 0x0F)), ..Tables::default() };
        let register = Way::Register { location: Location::Port(0xCF9), value: 0x0F };
        let resets = [register, Way::Keyboard, Way::TripleFault];
        assert_eq!(list(power_off(Some(&tables)))[1..], resets);
        assert_eq!(list(reboot(Some(&tables))), resets);
    }

    #[test]
    fn every_plan_ends_with_what_does_not_return_and_no_power_off_falls_through_to_a_reset() {
        let location = Location::Port(0x600);
        for sleep in [None, pm1(None), pm1(Some(1)), Some(SleepControl::Register { location, sleep_type: 5 })] {
            for reset in [None, Some((location, 1))] {
                let tables = Tables { sleep, reset, ..Tables::default() };
                let power_off = list(power_off(Some(&tables)));
                for plan in [&power_off, &list(reboot(Some(&tables)))] {
                    let is_last = |way: &Way| matches!(way, Way::TripleFault | Way::Halt);
                    assert_eq!(plan.iter().position(is_last), Some(plan.len() - 1), "{plan:?}");
                }
                let is_reset = |way: &Way| {
                    matches!(way, Way::Keyboard | Way::TripleFault) || *way == Way::Register { location, value: 1 }
                };
                assert!(sleep.is_none() || !power_off.iter().any(is_reset), "{power_off:?}");
            }
        }
    }
}
