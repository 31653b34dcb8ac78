//! x86-64.

pub mod apic;
pub mod clock;
pub(crate) mod context;
pub mod core_local;
pub mod cpu;
mod entry;
mod gdt;
pub mod interrupt;
pub mod ioapic;
mod kvm_clock;
pub(crate) mod milestone;
pub mod pci_ports;
mod pic;
pub mod port;
pub mod power;
pub(crate) mod ready;
pub mod rtc;
pub mod serial;
pub mod smp;
mod step;
pub mod trap;

pub use core_local::core_index;

/// Makes faults visible: descriptor tables, fault stacks, the interrupt table. Needs nothing but the image.
pub(crate) fn initialise_traps() {
    gdt::initialise_boot_core();
    interrupt::initialise_table();
}

/// Silences the legacy interrupt controller and starts the local one. Needs the final page tables.
///
/// # Errors
///
/// Says what the processor lacks.
pub(crate) fn initialise_interrupts() -> Result<(), apic::ApicError> {
    pic::mask_all();
    apic::initialise()
}
