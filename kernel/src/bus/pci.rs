//! PCI: every function behind the host bridge, by memory-mapped configuration space (ECAM) where the firmware's
//! tables name one, else by the ports 0xCF8 and 0xCFC.
//!
//! Addresses are taken as the firmware assigned them, wherever in the address space that is: Firecracker's BARs begin at
//! 256 GiB, Cloud Hypervisor's end just below 1 TiB. Neither switches memory space on in the command register; drivers do.
//! [`pci_tree`](super::pci_tree) walks the buses. The word `pci=off` of the command line, which Firecracker says where it has no PCI, spares that.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use toro_core::driver::{DeviceId, Location, PciFunction, Resources};
use toro_core::io::{IoWindow, Mmio};
use toro_core::pci::ConfigSpace;
use toro_core::pci::access::{ConfigPorts, Ecam, FunctionAddress};
use toro_core::pci::bar::{Bar, bars};
use toro_core::pci::capability::{MSI, MSI_X, capabilities};

use super::{BusError, Found, Owners, ide, lines, pci_tree as tree, resources};
use crate::core::CoreId;
use crate::{acpi, arch, env, mm};

/// The configuration space of one function.
enum Config {
    /// Its part of the memory-mapped one.
    Mapped(Ecam<Mmio>),
    /// By the ports.
    Ports(FunctionAddress),
}

/// Serialises pairs of accesses to the two ports.
static PORTS: spin::Mutex<()> = spin::Mutex::new(());

impl Config {
    fn of(address: FunctionAddress) -> Option<Self> {
        match tree::ecam(acpi::tables(), address) {
            Some(ecam) => {
                let registers = mm::device_registers(ecam.address + address.ecam_offset(), Ecam::<Mmio>::LEN as u64);
                registers.ok().map(|registers| Self::Mapped(Ecam::new(registers)))
            }
            None => Some(Self::Ports(address)),
        }
    }

    /// Calls `access` with whichever it is, alone with the ports if it is by those.
    fn with<V>(&self, access: impl FnOnce(&dyn ConfigSpace) -> V) -> V {
        match self {
            Self::Mapped(ecam) => access(ecam),
            Self::Ports(address) => {
                let _guard = PORTS.lock();
                access(&ConfigPorts::new(arch::pci_ports::configuration_ports(), *address))
            }
        }
    }
}

impl ConfigSpace for Config {
    fn read32(&self, offset: u16) -> u32 {
        self.with(|config| config.read32(offset))
    }

    fn write32(&self, offset: u16, value: u32) {
        self.with(|config| config.write32(offset, value));
    }

    fn write16(&self, offset: u16, value: u16) {
        self.with(|config| config.write16(offset, value));
    }
}

/// Whether there is a PCI bus at all: memory-mapped configuration space, or a host bridge behind the ports.
fn is_present() -> bool {
    if acpi::tables().is_some_and(|tables| !tables.ecam.is_empty()) {
        return true;
    }
    let _guard = PORTS.lock();
    ConfigPorts::is_present(&arch::pci_ports::configuration_ports())
}

/// A function that was found.
struct Function {
    address: FunctionAddress,
    id: DeviceId,
}

/// Calls `visit` for every function that is not a bridge.
pub(crate) fn scan(mut visit: impl FnMut(&dyn Found)) {
    if env::option("pci") != Some("off") && is_present() {
        tree::walk(Config::of, |address, id| visit(&Function { address, id }));
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PCI {}", self.address)
    }
}

impl Found for Function {
    fn id(&self) -> DeviceId {
        self.id
    }

    fn resources(&self, owners: &Owners) -> Result<Resources, BusError> {
        let config = Config::of(self.address).ok_or(BusError::Registers(mm::MapMmioError::Range))?;
        let mut windows = [const { None }; 6];
        for (window, bar) in windows.iter_mut().zip(bars(&config)) {
            *window = match bar {
                // What the firmware did not assign is not there.
                None | Some(Bar::Memory { address: 0, .. } | Bar::Io { port: 0, .. }) => None,
                Some(Bar::Memory { address, size, .. }) => {
                    let registers = mm::device_registers(address, size).map_err(BusError::Registers)?;
                    Some(IoWindow::Mmio(registers))
                }
                Some(Bar::Io { port, size }) => {
                    let range = u16::try_from(port).ok().zip(u16::try_from(size).ok());
                    range.and_then(|(port, size)| arch::port::device_registers(port, size)).map(IoWindow::Port)
                }
            };
        }
        if let DeviceId::Pci { class, .. } = self.id
            && ide::is_compatible(class)
        {
            ide::add_channels(class, &mut windows, owners)?;
            let function = PciFunction { config: Box::new(config), bars: windows, messages: Vec::new() };
            return Ok(resources(Location::Pci(function), owners));
        }
        let messages = if capabilities(&config).any(|capability| matches!(capability.id, MSI | MSI_X)) {
            let message = |core: &CoreId| {
                let vector = arch::interrupt::allocate_vector().map_err(|_| BusError::OutOfVectors)?;
                Ok(vector.message(core.index()))
            };
            owners.cores().iter().map(message).collect::<Result<_, _>>()?
        } else {
            lines::route(&config, owners.first())?;
            Vec::new()
        };
        let function = PciFunction { config: Box::new(config), bars: windows, messages };
        Ok(resources(Location::Pci(function), owners))
    }
}
