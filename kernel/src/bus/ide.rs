//! IDE controllers whose channels are in compatibility mode: their ports and interrupt lines are older than PCI, and no
//! base address register has them (PCI IDE Controller Specification 1.0).
//!
//! ```text
//!   class 0x0101xx   bit 0 of xx: the primary channel is in native mode; bit 2: the secondary one
//!   primary          0x1F0-0x1F7, 0x3F6   line 14     in the places of BAR 0 and 1
//!   secondary        0x170-0x177, 0x376   line 15     in the places of BAR 2 and 3
//! ```

use toro_core::io::IoWindow;

use super::{BusError, Owners};
use crate::{acpi, arch};

/// Class and sub-class.
const CLASS: u32 = 0x0101;

/// The two channels: which bit says that it is in native mode, and its interrupt line.
const CHANNELS: [(u32, u8); 2] = [(1 << 0, 14), (1 << 2, 15)];

/// Whether a function is such a controller, and at least one of its channels is in compatibility mode.
pub(super) fn is_compatible(class: u32) -> bool {
    class >> 8 == CLASS && CHANNELS.iter().any(|(native, _)| class & native == 0)
}

/// Gives the ports of such channels in the places of the BARs, whatever those say, and routes their lines to the owner.
///
/// # Errors
///
/// What could not be had.
pub(super) fn add_channels(class: u32, windows: &mut [Option<IoWindow>; 6], owners: &Owners) -> Result<(), BusError> {
    let vector = arch::interrupt::allocate_vector().map_err(|_| BusError::OutOfVectors)?;
    let ports = arch::port::ide_channels();
    for (number, ((native, irq), (command, control))) in CHANNELS.into_iter().zip(ports).enumerate() {
        if class & native != 0 {
            continue;
        }
        // One vector for both: all that it does is to wake the owner, who looks at both.
        arch::ioapic::route(acpi::isa_line(irq), vector, owners.first().index()).map_err(BusError::Route)?;
        windows[2 * number] = Some(IoWindow::Port(command));
        windows[2 * number + 1] = Some(IoWindow::Port(control));
    }
    Ok(())
}
