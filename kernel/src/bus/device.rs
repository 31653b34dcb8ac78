//! What the buses have in common: a device that was found, and what every driver gets from this platform.

use core::fmt;
use core::num::NonZeroU16;

use toro_core::driver::{DeviceId, Resources};

use super::owners::Owners;
use crate::core::CoreId;
use crate::mm::dma::DMA;
use crate::time::CLOCK;

/// A device that was found.
pub(crate) trait Found: fmt::Display {
    /// What it is.
    fn id(&self) -> DeviceId;

    /// Maps its registers and routes its interrupts to the cores that shall own it: to the first one, where the device
    /// cannot tell them apart.
    ///
    /// # Errors
    ///
    /// What could not be had.
    fn resources(&self, owners: &Owners) -> Result<Resources, BusError>;
}

/// Why a device could not be made ready for its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BusError {
    /// Its registers could not be mapped.
    Registers(crate::mm::MapMmioError),
    /// All interrupt vectors are taken.
    OutOfVectors,
    /// Its interrupt line leads nowhere.
    Route(crate::arch::ioapic::RouteError),
    /// Its interrupt line leads to this core already, which owns another device on it.
    SharedLine(CoreId),
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registers(error) => write!(f, "registers: {error}"),
            Self::OutOfVectors => f.write_str("no interrupt vector left"),
            Self::Route(error) => write!(f, "interrupt line: {error}"),
            Self::SharedLine(core) => write!(f, "its interrupt line is shared with a device of core {core}"),
        }
    }
}

/// What every device gets from this platform.
pub(crate) fn resources(location: toro_core::driver::Location, owners: &Owners) -> Resources {
    let owners = u16::try_from(owners.cores().len()).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN);
    Resources { location, memory: DMA, clock: &CLOCK, owners }
}
