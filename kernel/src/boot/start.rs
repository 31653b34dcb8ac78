//! From the entry code to the application.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use toro_core::driver::Driver;

use super::information::{BootError, Protocol, parse};
use super::{modules, timer};
use crate::arch::milestone::reach;
use crate::arch::{self, clock, smp};
use crate::core::CoreId;
use crate::sched::core::run_core;
use crate::sched::thread::Builder;
use crate::{acpi, console, drivers, env, logger, mm, mp_table, parts, shutdown};

/// Stack of the application's main thread.
const MAIN_STACK_SIZE: usize = 256 * 1024;

// Declared here and defined by `toro::entry!`, with the same signature.
#[allow(unsafe_code)]
unsafe extern "Rust" {
    /// The application, as `toro::entry!` defines it; returns the exit status.
    safe fn toro_application_main() -> u8;
    /// The application's own drivers.
    safe fn toro_application_drivers() -> &'static [&'static dyn Driver];
    /// What the application says of whose a device shall be.
    safe fn toro_application_owners(device: &str) -> Option<Vec<CoreId>>;
}

/// Boots. Called by the entry code once, on the boot stack, with the early identity map of 4 GiB, the magic number of the
/// boot protocol and the physical address of what the boot loader says.
pub(crate) fn start(magic: u32, address: u64) -> ! {
    reach!(Rust);
    clock::start();
    console::initialise();
    arch::initialise_traps();
    reach!(Traps);

    let protocol = require(Protocol::from_magic(magic).ok_or(BootError::Loader), "boot loader");
    let (rsdp, modules) = read_information(protocol, address);
    reach!(Memory);
    require(mm::initialise_address_space(), "page tables");
    modules.map();
    reach!(PageTables);

    acpi::initialise(rsdp);
    reach!(FirmwareTables);
    require(arch::initialise_interrupts(), "interrupts");
    reach!(Interrupts);
    let source = clock::calibrate(acpi::tables().and_then(|tables| tables.pm_timer));
    log::debug!("clock: {} kHz by {source}", clock::frequency() / 1000);
    log::debug!("memory: {} KiB free", mm::free_memory() / 1024);
    reach!(Clock);
    smp::start_others(processors());
    log::debug!("cores: {}", smp::count());
    reach!(Cores);

    let main = Builder::new().name(String::from("main")).stack_size(MAIN_STACK_SIZE).spawn(main_thread);
    require(main, "main thread");
    run_core()
}

/// The rest of the boot of another core, which the boot core has prepared: there is nothing to do but what it is sent.
pub(crate) fn start_core() -> ! {
    run_core()
}

/// The processors as the firmware's tables list them, by APIC id; none where there are no tables, which makes one core.
fn processors() -> &'static [u32] {
    match acpi::tables() {
        Some(tables) => &tables.processors,
        None => mp_table::table().map_or(&[], |table| &table.processors),
    }
}

/// Everything that needs the early identity map: after this the frame allocator and the heap work, and the command line
/// has been copied. Returns where the ACPI root pointer is, and the modules.
fn read_information(protocol: Protocol, address: u64) -> (Option<u64>, modules::Found) {
    let memory = mm::EarlyMemory;
    let information = require(parse(protocol, &memory, address), "boot information");
    require(mm::initialise_frames(&information.memory_map, information.reserved()), "memory");

    env::initialise(Box::leak(String::from_utf8_lossy(information.command_line.bytes).into_owned().into_boxed_str()));
    logger::initialise();
    log::debug!("boot: {protocol}, {} KiB of memory", information.memory_map.total() / 1024);
    let modules = modules::Found::new(&information.modules, &memory);
    let rsdp = information.rsdp.or_else(|| acpi::parse::find_rsdp(&memory));
    if rsdp.is_none() {
        mp_table::initialise(&memory);
    }
    (rsdp, modules)
}

/// The first thread: devices, then the application, then the end.
fn main_thread() {
    reach!(Threads);
    attach_devices();
    reach!(FileSystems);
    log::debug!("application starts");
    timer::ring();
    let code = toro_application_main();
    log::debug!("application ends with {code}");
    crate::process::exit(code)
}

/// The one place where devices come to life: the buses are scanned, drivers attached, file systems mounted. Runs in the main thread, so it may wait for a device.
fn attach_devices() {
    drivers::attach_all(toro_application_drivers(), toro_application_owners);
    reach!(Devices);
    parts::start();
}

/// Ends the machine with a message where the kernel cannot go on.
fn require<T, E: Display>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            crate::println!("[toro] cannot boot: {what}: {error}");
            shutdown::exit(shutdown::BOOT_FAILURE)
        }
    }
}
