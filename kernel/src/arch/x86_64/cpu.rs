//! Single instructions of the processor behind safe names.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc, CpuidResult};

use x86_64::registers::control::{Cr3, Cr3Flags, Efer, EferFlags};
use x86_64::structures::paging::{PhysFrame, Size4KiB};
use x86_64::{PhysAddr, VirtAddr};

/// Features that the kernel makes use of.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Pages can be made non-executable.
    pub no_execute: bool,
    /// Pages of 1 GiB.
    pub gigabyte_pages: bool,
    /// The local APIC is there.
    pub local_apic: bool,
    /// The local APIC can be reached by model specific registers.
    pub x2apic: bool,
    /// The local APIC's timer can be set to a time-stamp.
    pub tsc_deadline: bool,
    /// A hypervisor says that it is there.
    pub hypervisor: bool,
}

/// `cpuid` with `leaf`, where the processor has that leaf.
pub fn cpuid(leaf: u32) -> Option<CpuidResult> {
    let base = leaf & 0xFFFF_0000;
    (__cpuid(base).eax >= leaf).then(|| __cpuid_count(leaf, 0))
}

/// Asks the processor what it can do.
pub fn features() -> Features {
    let basic = __cpuid(1);
    let extended = cpuid(0x8000_0001).map_or(0, |leaf| leaf.edx);
    let has = |register: u32, bit: u32| register & (1 << bit) != 0;
    Features {
        no_execute: has(extended, 20),
        gigabyte_pages: has(extended, 26),
        local_apic: has(basic.edx, 9),
        x2apic: has(basic.ecx, 21),
        tsc_deadline: has(basic.ecx, 24),
        hypervisor: has(basic.ecx, 31),
    }
}

/// How many bits the processor's physical addresses have. Page tables that name more of them fault.
pub fn physical_address_bits() -> u32 {
    /// Of processors that do not say it.
    const LEAST: u32 = 36;
    cpuid(0x8000_0008).map_or(LEAST, |leaf| leaf.eax & 0xFF)
}

/// The hypervisor's signature and its highest leaf.
pub fn hypervisor() -> Option<([u8; 12], u32)> {
    if !features().hypervisor {
        return None;
    }
    let leaf = __cpuid(0x4000_0000);
    let mut signature = [0; 12];
    let words = [leaf.ebx, leaf.ecx, leaf.edx];
    for (bytes, word) in signature.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Some((signature, leaf.eax))
}

/// The time-stamp counter.
#[inline]
pub fn time_stamp() -> u64 {
    // SAFETY: `rdtsc` reads a counter; it faults only outside ring 0 with CR4.TSD set, and the kernel is in ring 0.
    unsafe { _rdtsc() }
}

/// The time-stamp counter, read after everything before and before everything after it.
pub fn ordered_time_stamp() -> u64 {
    let stamp: u64;
    // SAFETY: fences and a counter; nothing is written but the registers that are named.
    unsafe {
        asm!("mfence", "lfence", "rdtsc", "shl rdx, 32", "or rax, rdx", "lfence",
            out("rax") stamp, out("rdx") _, options(nostack));
    }
    stamp
}

/// Lets interrupts of classes above `class` (vectors from `16 * (class + 1)` on) through, when interrupts are enabled.
pub(super) fn set_task_priority(class: u64) {
    // SAFETY: decides when interrupts come; handlers preserve every register and touch only atomics. Declared to touch
    // memory, so that no access moves across it.
    unsafe { asm!("mov cr8, {}", in(reg) class, options(nostack, preserves_flags)) }
}

/// Enables interrupts, halts until one has been handled, and disables them again.
///
/// To be called with interrupts disabled. `sti` takes effect after the following instruction, so an interrupt that
/// became pending since the caller last looked for work ends the halt: no wake-up is lost between the look and the halt.
pub(super) fn wait_for_interrupt() {
    // SAFETY: changes no register but the interrupt flag, which is restored; handlers preserve every register and touch
    // only atomics. Declared to touch memory, because what handlers flag is read afterwards.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) }
}

/// Halts for good.
pub fn halt() -> ! {
    loop {
        // SAFETY: with interrupts off a halted core does nothing; nothing else is affected.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// Forgets the translations of all pages.
pub fn flush_all_pages() {
    x86_64::instructions::tlb::flush_all();
}

/// Forgets the translation of the page that contains `address`.
pub fn flush_page(address: u64) {
    x86_64::instructions::tlb::flush(VirtAddr::new_truncate(address));
}

/// Makes the page tables under `root` the current ones, with non-executable pages enabled where the processor has them.
///
/// # Safety
///
/// `root` is the physical address of a level-4 table that maps everything in use at its present address, with
/// sufficient rights, and that is never freed.
pub unsafe fn activate_page_tables(root: u64) {
    if features().no_execute {
        // SAFETY: the processor has the bit, and no entry of the current (early) tables has it set.
        unsafe { Efer::update(|flags| flags.insert(EferFlags::NO_EXECUTE_ENABLE)) };
    }
    let root: PhysFrame<Size4KiB> = PhysFrame::containing_address(PhysAddr::new_truncate(root));
    // SAFETY: this function's contract.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
}

/// The current stack pointer and frame pointer.
#[inline(always)]
pub fn stack_registers() -> (u64, u64) {
    let (stack, frame): (u64, u64);
    // SAFETY: copies two registers, nothing else.
    unsafe {
        asm!("mov {}, rsp", "mov {}, rbp", out(reg) stack, out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    (stack, frame)
}

/// Executes an undefined instruction: a fault on purpose, for the kernel's own tests.
pub fn undefined_instruction() -> ! {
    // SAFETY: the fault is reported and ends the machine.
    unsafe { asm!("ud2", options(noreturn)) }
}
