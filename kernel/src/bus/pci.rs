//! PCI: every function behind the host bridge, by memory-mapped configuration space (ECAM) where the firmware's
//! tables name one, else by the ports 0xCF8 and 0xCFC.
//!
//! Addresses are taken as the firmware assigned them. The scan starts at bus 0 and follows bridges; each bus is
//! visited at most once, so that bridges which point at each other end it too.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use toro_core::driver::{DeviceId, Location, PciFunction, Resources};
use toro_core::io::{IoWindow, Mmio};
use toro_core::pci::access::{ConfigPorts, Ecam, FunctionAddress};
use toro_core::pci::bar::{Bar, bars};
use toro_core::pci::capability::{MSI, MSI_X, capabilities};
use toro_core::pci::{self, ConfigSpace};

use super::{BusError, Found, Owners, ide, lines, resources};
use crate::core::CoreId;
use crate::{acpi, arch, mm};

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
        let ecam = acpi::tables().and_then(|tables| {
            tables.ecam.iter().find(|ecam| ecam.segment == 0 && ecam.buses.contains(&address.bus()))
        });
        match ecam {
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
    if !is_present() {
        return;
    }
    let mut seen = [false; 256];
    let mut waiting = vec![0_u8];
    while let Some(bus) = waiting.pop() {
        if core::mem::replace(&mut seen[usize::from(bus)], true) {
            continue;
        }
        for device in 0..32 {
            scan_device(bus, device, &mut waiting, &mut visit);
        }
    }
}

/// Visits the functions of a device; buses behind bridges are added to `waiting`.
fn scan_device(bus: u8, device: u8, waiting: &mut Vec<u8>, visit: &mut impl FnMut(&dyn Found)) {
    const MULTIFUNCTION: u8 = 0x80;
    const SECONDARY_BUS: u16 = 0x19;
    let mut functions = 1;
    let mut function = 0;
    while function < functions {
        let address = FunctionAddress::new(bus, device, function);
        function += 1;
        let Some((address, config)) = address.and_then(|address| Some((address, Config::of(address)?))) else {
            continue;
        };
        let vendor = config.read16(pci::VENDOR_ID);
        if vendor == u16::MAX {
            continue;
        }
        let header = config.read8(pci::HEADER_TYPE);
        if address.function() == 0 && header & MULTIFUNCTION != 0 {
            functions = 8;
        }
        match header & !MULTIFUNCTION {
            0 => {
                let class = config.read32(pci::REVISION_AND_CLASS) >> 8;
                let id = DeviceId::Pci { vendor, device: config.read16(pci::DEVICE_ID), class };
                visit(&Function { address, id });
            }
            1 => waiting.push(config.read8(SECONDARY_BUS)),
            _ => {}
        }
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
