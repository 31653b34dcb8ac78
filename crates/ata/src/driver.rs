//! The entries for a kernel's list of drivers, and how a PCI function is set up (PCI IDE Controller Specification 1.0).
//!
//! | programming interface | meaning |
//! |---|---|
//! | bit 0, bit 2 | primary, secondary channel in native mode: its ports are BARs 0 and 1, 2 and 3 |
//! | bit 7 | there is a bus master, in BAR 4 |
//!
//! A channel in compatibility mode has the ports and the interrupt lines that it always had, 0x1F0, 0x3F6 and 14, or 0x170,
//! 0x376 and 15; the bus gives windows for those in the places of the BARs, and routes the lines. A native-mode channel
//! shares a PCI interrupt line, which no bus here routes: it is polled.

use alloc::boxed::Box;

use toro_core::driver::{AttachError, Attached, DeviceId, Driver, Location, Resources};
use toro_core::io::IoWindow;
use toro_core::pci::{self, Command};

use crate::device::{Ata, Options};
use crate::drive::Transfer;
use crate::engine::Interrupts;
use crate::registers::{ChannelRegisters, DataWidth};

/// Class and sub-class of IDE controllers.
const CLASS: u32 = 0x0101;
const BUS_MASTER: u8 = 1 << 7;
/// Native mode, by channel.
const NATIVE: [u8; 2] = [1 << 0, 1 << 2];

struct AtaDriver(Transfer);

/// The entry for a kernel's list of drivers.
pub static DRIVER: &dyn Driver = &AtaDriver(Transfer::Dma);

/// The same without DMA.
pub static PIO_DRIVER: &dyn Driver = &AtaDriver(Transfer::Pio);

impl Driver for AtaDriver {
    fn name(&self) -> &'static str {
        "ata"
    }

    fn matches(&self, id: &DeviceId) -> bool {
        matches!(id, DeviceId::Pci { class, .. } if class >> 8 == CLASS)
    }

    fn attach(&self, resources: Resources) -> Result<Attached, AttachError> {
        let Resources { location, memory, clock, .. } = resources;
        let Location::Pci(function) = location else {
            return Err(AttachError::Resources("an IDE controller is a PCI function"));
        };
        let interface = (function.config.read32(pci::REVISION_AND_CLASS) >> 8) as u8;
        pci::enable(&function.config, Command::IO_SPACE | Command::BUS_MASTER);
        let [primary, primary_control, secondary, secondary_control, master, _] = function.bars;
        let master = master.filter(|_| interface & BUS_MASTER != 0);
        let channel = |command: Option<IoWindow>, control: Option<IoWindow>| {
            Some(ChannelRegisters { command: command?, control: control?, bus_master: master.clone() })
        };
        let channels = [channel(primary, primary_control), channel(secondary, secondary_control)];
        let interrupts =
            NATIVE.map(|native| if interface & native != 0 { Interrupts::Polled } else { Interrupts::Line });
        let options = Options { transfer: self.0, data_width: DataWidth::Bits32, interrupts };
        let ata = Ata::new(channels, memory, clock, &options);
        // A controller that nothing is connected to is normal.
        Ok(if ata.has_drives() { Attached::Block(Box::new(ata)) } else { Attached::Other })
    }
}
