//! I/O interrupt controllers: from a device's interrupt line to a vector of a core.
//!
//! Each has two registers in memory, an index and a window; behind the index are two words per pin. A controller is
//! mapped when the first line of it is routed. Without ACPI there is one, at the usual address, with lines from 0 on.
//!
//! Level-triggered lines need no masking in the handler, but a vector of their own kind: see [`super::interrupt`].

use core::fmt;

use super::interrupt::Vector;
use super::smp;
use crate::acpi::{self, IoApic, Line, Polarity, Trigger};
use crate::mm;

/// Where a PC has its first I/O APIC.
const DEFAULT: IoApic = IoApic { address: 0xFEC0_0000, first_gsi: 0 };
const WINDOW: usize = 0x10;
const VERSION: u32 = 1;
const FIRST_ENTRY: u32 = 0x10;
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL_TRIGGERED: u32 = 1 << 15;

/// Serialises the pair of accesses that one register takes.
static LOCK: spin::Mutex<()> = spin::Mutex::new(());

/// Why a line could not be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No controller has such a line.
    NoSuchLine,
    /// The controller's registers cannot be mapped.
    Unmappable,
}

impl fmt::Display for RouteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSuchLine => "no interrupt controller has such a line",
            Self::Unmappable => "the interrupt controller cannot be mapped",
        })
    }
}

impl core::error::Error for RouteError {}

/// The registers of one controller. Invariant: the pointer is that of a mapped I/O APIC.
struct Registers(*mut u8);

impl Registers {
    fn map(address: u64) -> Result<Self, RouteError> {
        mm::map_mmio(address, 0x20).map(Self).map_err(|_| RouteError::Unmappable)
    }

    fn select(&self, register: u32) -> *mut u32 {
        // SAFETY: the index register of a mapped I/O APIC (type invariant); it only selects.
        unsafe { self.0.cast::<u32>().write_volatile(register) };
        self.0.wrapping_add(WINDOW).cast()
    }

    fn read(&self, register: u32) -> u32 {
        let _guard = LOCK.lock();
        let window = self.select(register);
        // SAFETY: the window register, 16 bytes behind the index, inside the mapping.
        unsafe { window.read_volatile() }
    }

    fn write(&self, register: u32, value: u32) {
        let _guard = LOCK.lock();
        let window = self.select(register);
        // SAFETY: as above. What is written routes an interrupt to a vector whose handler only sets a flag.
        unsafe { window.write_volatile(value) };
    }

    /// Pins of the controller; 0 where there is none, as its version register then reads as all ones or zeroes.
    fn pins(&self) -> u32 {
        match self.read(VERSION) {
            0 | u32::MAX => 0,
            version => (version >> 16 & 0xFF) + 1,
        }
    }
}

/// Lets `line` raise `vector` on the core with number `core`.
///
/// # Errors
///
/// See [`RouteError`].
pub fn route(line: Line, vector: Vector, core: usize) -> Result<(), RouteError> {
    let listed = acpi::tables().map_or(&[][..], |tables| &tables.io_apics);
    let controllers = if listed.is_empty() { &[DEFAULT][..] } else { listed };
    for controller in controllers {
        let Some(pin) = line.gsi.checked_sub(controller.first_gsi) else { continue };
        let registers = Registers::map(controller.address)?;
        if pin >= registers.pins() {
            continue;
        }
        let polarity = if line.polarity == Polarity::Low { ACTIVE_LOW } else { 0 };
        let trigger = if line.trigger == Trigger::Level { LEVEL_TRIGGERED } else { 0 };
        let entry = FIRST_ENTRY + 2 * pin;
        // The destination first: the low word unmasks the pin.
        registers.write(entry + 1, smp::apic_id(core) << 24);
        registers.write(entry, u32::from(vector.number()) | polarity | trigger);
        return Ok(());
    }
    Err(RouteError::NoSuchLine)
}
