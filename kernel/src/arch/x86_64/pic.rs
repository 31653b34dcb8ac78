//! The legacy 8259 interrupt controllers, which are moved out of the way of the exceptions and masked for good.
//!
//! A machine without them (Firecracker without a PIC, microvm with `pic=off`) ignores the writes.

use x86_64::instructions::port::PortWriteOnly;

const FIRST_COMMAND: u16 = 0x20;
const FIRST_DATA: u16 = 0x21;
const SECOND_COMMAND: u16 = 0xA0;
const SECOND_DATA: u16 = 0xA1;

/// Remaps both controllers to vectors 0x20-0x2F, where a spurious interrupt does no harm, and masks all their lines.
pub fn mask_all() {
    let initialisation = [
        (FIRST_COMMAND, 0x11),
        (SECOND_COMMAND, 0x11),
        (FIRST_DATA, 0x20),
        (SECOND_DATA, 0x28),
        (FIRST_DATA, 4),
        (SECOND_DATA, 2),
        (FIRST_DATA, 1),
        (SECOND_DATA, 1),
        (FIRST_DATA, 0xFF),
        (SECOND_DATA, 0xFF),
    ];
    for (port, value) in initialisation {
        // SAFETY: these ports belong to the interrupt controllers alone, interrupts are disabled, and the sequence is
        // the controllers' documented initialisation with every line masked.
        unsafe { PortWriteOnly::<u8>::new(port).write(value) };
    }
}
