//! A boot loader that enters an ELF kernel by Linux' 64-bit boot protocol, in the state in which Firecracker does.
//!
//! QEMU has no loader of this kind, and Firecracker wants hardware virtualization. So QEMU starts this program by PVH, with the
//! kernel as its module and the kernel's command line as its own:
//!
//! ```text
//!   qemu-system-x86_64 -kernel linux-loader -initrd KERNEL -append "COMMAND LINE"
//!
//!   boot       QEMU's jump --> long mode --> main
//!   start      PVH start information: memory map, command line, root pointer, module
//!   elf        the module's segments to where they belong
//!   handover   zero page, page tables, descriptors, registers --> e_entry
//! ```
//!
//! Whatever cannot be done ends the machine with a line and [`FAILED`]: the program is used by tests, and never goes on with half
//! of it. There is no allocator, and no memory but what is written to below.
#![no_std]
#![no_main]

mod boot;
mod elf;
mod handover;
mod machine;
mod start;

/// What QEMU's `isa-debug-exit` is told where the kernel could not be entered.
const FAILED: u32 = 0x2f;

/// Called once, by the boot code, with the address of the start information.
fn main(start_info: u64) -> ! {
    let trouble = match start::read(start_info).and_then(|start| elf::load(start.kernel).map(|entry| (start, entry))) {
        Ok((start, entry)) => handover::enter(&start, entry),
        Err(trouble) => trouble,
    };
    say!("linux-loader: {trouble}");
    machine::end(FAILED)
}
