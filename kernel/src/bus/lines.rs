//! Interrupt lines of PCI functions that cannot send messages (PCI Local Bus 3.0 §2.2.6).
//!
//! ```text
//!   pin A-D --> router in the chipset --> ISA interrupt --> I/O APIC --> vector of a core
//!               set by the firmware,       may be shared
//!               noted at 0x3c
//! ```
//!
//! How lines would lead to the I/O APIC without the router, only AML says. The firmware's note is right where the router
//! feeds both controllers, as those of PIIX3, ICH9 and their emulations do.
//!
//! # Sharing
//!
//! A line is up while any of its devices wants something. It is routed level triggered, so that a device which raises
//! it while it is up is not missed. It leads to one vector of one core, which polls what it owns after any interrupt: all
//! devices on a line have to have the same owner. By default they have, the boot core; the command line says otherwise
//! at its own risk, and a device on another's line is then refused.

use toro_core::pci::{self, ConfigSpace};

use super::BusError;
use crate::core::CoreId;
use crate::{acpi, arch};

/// What the firmware notes at most; beyond are "unknown" and "not connected".
const LINES: usize = 16;

/// To whom each line leads.
static OWNERS: spin::Mutex<[Option<CoreId>; LINES]> = spin::Mutex::new([None; LINES]);

/// Lets the line of a function interrupt `core`. A function without one is left alone; its driver is polled.
///
/// # Errors
///
/// It cannot, or interrupts another core.
pub(super) fn route(config: &dyn ConfigSpace, core: CoreId) -> Result<(), BusError> {
    let (line, pin) = (config.read8(pci::INTERRUPT_LINE), config.read8(pci::INTERRUPT_PIN));
    let mut owners = OWNERS.lock();
    let Some(owner) = owners.get_mut(usize::from(line)).filter(|_| pin != 0) else { return Ok(()) };
    match *owner {
        Some(owner) if owner == core => Ok(()),
        Some(owner) => Err(BusError::SharedLine(owner)),
        None => {
            let vector = arch::interrupt::allocate_level_vector().map_err(|_| BusError::OutOfVectors)?;
            let line = acpi::Line { trigger: acpi::Trigger::Level, ..acpi::isa_line(line) };
            arch::ioapic::route(line, vector, core.index()).map_err(BusError::Route)?;
            *owner = Some(core);
            Ok(())
        }
    }
}
