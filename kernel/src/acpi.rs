//! ACPI tables: what the firmware says about interrupt controllers, PCI configuration space and power.
//!
//! ```text
//!   RSDP --> XSDT or RSDT --+--> "APIC" MADT    local and I/O APICs, interrupt source overrides
//!                           +--> "MCFG"         memory-mapped PCI configuration space
//!                           +--> "FACP" FADT    power management timer, reset, --> DSDT: \_S5, virtio-mmio devices
//! ```
//!
//! The tables are read once at boot, into [`Tables`], by the total functions of [`parse`]: whatever the tables say, the
//! result is a value, never a panic, an endless loop or a read outside them. A table with a wrong checksum is ignored.
//! No AML is interpreted; in the DSDT the package `\_S5` and virtio-mmio devices are looked for, by their encoding.
//!
//! The `acpi` crate is not used, because it was written for tables that are right: in 5.2 a header length below 36
//! underflows, a MADT entry's own length moves a raw pointer unchecked, and mapping cannot fail.

pub mod parse;

use alloc::vec::Vec;
use core::num::NonZeroU64;
use core::ops::RangeInclusive;

/// Everything the kernel wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// I/O interrupt controllers.
    pub io_apics: Vec<IoApic>,
    /// Where ISA interrupts go that do not go to the pin of the same number.
    pub overrides: Vec<Override>,
    /// APIC ids of the processors that can be used, the boot processor's among them.
    pub processors: Vec<u32>,
    /// Memory-mapped PCI configuration space.
    pub ecam: Vec<Ecam>,
    /// I/O port of the power management timer.
    pub pm_timer: Option<u16>,
    /// How to power the machine off.
    pub sleep: Option<SleepControl>,
    /// Register and value that reset the machine.
    pub reset: Option<(Location, u8)>,
    /// Whether the firmware says that there is no real-time clock in CMOS memory.
    pub cmos_absent: bool,
    /// Virtio devices with registers in memory.
    pub virtio_mmio: Vec<VirtioMmio>,
}

/// A virtio device with registers in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioMmio {
    /// Physical address of the registers.
    pub base: u64,
    /// Their length in bytes.
    pub size: NonZeroU64,
    /// Its interrupt.
    pub gsi: u32,
}

/// An I/O interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Physical address of its registers.
    pub address: u64,
    /// Global system interrupt of its first pin.
    pub first_gsi: u32,
}

/// How an interrupt line signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By changing.
    Edge,
    /// By staying at its active level.
    Level,
}

/// The active level of an interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// Active high.
    High,
    /// Active low.
    Low,
}

/// One interrupt line into the I/O APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Global system interrupt number.
    pub gsi: u32,
    /// How it signals.
    pub trigger: Trigger,
    /// Its active level.
    pub polarity: Polarity,
}

/// An ISA interrupt that differs from the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// ISA interrupt number.
    pub irq: u8,
    /// Where it really goes.
    pub line: Line,
}

/// A range of buses with memory-mapped configuration space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecam {
    /// Physical address of the configuration space of bus 0 of the segment, mapped or not.
    pub address: u64,
    /// PCI segment group.
    pub segment: u16,
    /// The buses that are there.
    pub buses: RangeInclusive<u8>,
}

/// Where a register lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// At a physical address.
    Memory(u64),
    /// At an I/O port.
    Port(u16),
}

/// How to enter state S5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SleepControl {
    /// By the PM1 control registers.
    Pm1 {
        /// Port of PM1a control.
        control_a: u16,
        /// Port of PM1b control.
        control_b: Option<u16>,
        /// Sleep type for PM1a.
        type_a: u8,
        /// Sleep type for PM1b.
        type_b: u8,
    },
    /// By the sleep control register of hardware-reduced ACPI.
    Register {
        /// The register.
        location: Location,
        /// Sleep type.
        sleep_type: u8,
    },
}

impl Tables {
    /// The line of an ISA interrupt: as overridden, else the pin of the same number, edge triggered, active high.
    pub fn isa_line(&self, irq: u8) -> Line {
        let default = Line { gsi: u32::from(irq), trigger: Trigger::Edge, polarity: Polarity::High };
        self.overrides.iter().find(|entry| entry.irq == irq).map_or(default, |entry| entry.line)
    }
}

#[cfg(target_os = "none")]
static TABLES: spin::Once<Option<Tables>> = spin::Once::new();

/// Reads the tables. `rsdp` is where the monitor says the root pointer is, or where a scan has found it.
#[cfg(target_os = "none")]
pub(crate) fn initialise(rsdp: Option<u64>) {
    TABLES.call_once(|| rsdp.and_then(|rsdp| parse::tables(&crate::mm::FirmwareMemory, rsdp)));
    if let Some(tables) = tables() {
        use crate::arch::power::prepare_register;
        if let Some(SleepControl::Register { location, .. }) = tables.sleep {
            prepare_register(location);
        }
        if let Some((location, _)) = tables.reset {
            prepare_register(location);
        }
    }
}

/// The machine's tables; `None` on a machine without ACPI.
#[cfg(target_os = "none")]
pub fn tables() -> Option<&'static Tables> {
    TABLES.get()?.as_ref()
}

/// The line of an ISA interrupt on this machine.
#[cfg(target_os = "none")]
pub fn isa_line(irq: u8) -> Line {
    tables().map_or_else(|| Tables::default().isa_line(irq), |tables| tables.isa_line(irq))
}

/// Whether there may be a real-time clock.
#[cfg(target_os = "none")]
pub(crate) fn cmos() -> crate::arch::rtc::Cmos {
    use crate::arch::rtc::Cmos;
    if tables().is_some_and(|tables| tables.cmos_absent) { Cmos::Absent } else { Cmos::Possible }
}
