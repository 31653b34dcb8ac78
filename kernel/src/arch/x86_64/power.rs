//! Ways for a virtual machine to end, one function each. The order in which they are tried is in [`crate::shutdown`].

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::port::{PortReadOnly, PortWriteOnly};

use crate::acpi::Location;
use crate::mm;

/// QEMU's `-device isa-debug-exit,iobase=0xf4`.
const DEBUG_EXIT: u16 = 0xF4;
/// The keyboard controller's command register.
const KEYBOARD_COMMAND: u16 = 0x64;
/// Pulses the processor's reset line.
const KEYBOARD_RESET: u8 = 0xFE;
/// PM1a control of QEMU's PC chipsets, for when there are no tables that say so.
const QEMU_PM1A_CONTROL: u16 = 0x604;
const SLEEP_ENABLE: u16 = 1 << 13;

fn write_byte(port: u16, value: u8) {
    // SAFETY: the callers in this module write to ports that end or reset the machine, or that nothing listens to;
    // no memory is affected that anybody looks at afterwards.
    unsafe { PortWriteOnly::new(port).write(value) }
}

fn write_word(port: u16, value: u16) {
    // SAFETY: as for `write_byte`.
    unsafe { PortWriteOnly::new(port).write(value) }
}

/// Writes to QEMU's exit device; the host sees the exit status `value << 1 | 1`. Returns where there is no such device.
pub fn debug_exit(value: u8) {
    write_byte(DEBUG_EXIT, value);
}

/// Enters ACPI state S5 by the PM1 control registers. Returns where that did not work.
pub fn sleep_pm1(control: u16, sleep_type: u8) {
    write_word(control, u16::from(sleep_type) << 10 | SLEEP_ENABLE);
}

/// Enters S5 on QEMU's PC chipsets, whose sleep type 0 is S5. False where the register is not there, so that nobody has to
/// wait for it to act.
pub fn sleep_qemu() -> bool {
    /// What QEMU answers for a port without a device.
    const NOBODY: u16 = 0xFFFF;
    // SAFETY: reading the register has no effect, nor has reading a port without a device.
    let is_there = unsafe { PortReadOnly::<u16>::new(QEMU_PM1A_CONTROL).read() } != NOBODY;
    if is_there {
        sleep_pm1(QEMU_PM1A_CONTROL, 0);
    }
    is_there
}

/// Addresses of registers in memory that are mapped, 0 for none: sleep and reset.
static PREPARED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Maps the register at `location`, if it lies in memory, so that [`write_register`] can reach it when the page tables
/// cannot be changed any more. A register that cannot be mapped is skipped then.
pub fn prepare_register(location: Location) {
    if let Location::Memory(address) = location
        && mm::map_mmio(address, 1).is_ok()
        && let Some(place) = PREPARED.iter().find(|place| place.load(Ordering::Relaxed) == 0)
    {
        place.store(address, Ordering::Relaxed);
    }
}

/// Writes a byte to one of ACPI's sleep or reset registers.
pub fn write_register(location: Location, value: u8) {
    match location {
        Location::Port(port) => write_byte(port, value),
        Location::Memory(address) => {
            if address != 0 && PREPARED.iter().any(|place| place.load(Ordering::Relaxed) == address) {
                // SAFETY: `prepare_register` has mapped the byte at the address equal to its physical one, and it is not
                // RAM; the firmware says that it is a sleep or reset register.
                unsafe { ptr::with_exposed_provenance_mut::<u8>(address as usize).write_volatile(value) };
            }
        }
    }
}

/// Resets the machine by way of the keyboard controller. Firecracker ends the machine then.
pub fn keyboard_reset() {
    write_byte(KEYBOARD_COMMAND, KEYBOARD_RESET);
}

/// Resets the machine by a fault that cannot be delivered.
pub fn triple_fault() -> ! {
    let empty = [0u8; 10];
    // SAFETY: loads an interrupt table of limit 0, so that the following exception becomes a double and then a triple
    // fault, which resets the machine; nothing runs afterwards.
    unsafe { asm!("lidt [{}]", "int3", "2: hlt", "jmp 2b", in(reg) empty.as_ptr(), options(noreturn)) }
}
