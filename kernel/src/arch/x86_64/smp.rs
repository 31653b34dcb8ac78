//! Starting the other cores, one after the other, and reaching them.
//!
//! ```text
//!   boot core                                        core n
//!   copies the trampoline to a page below 640 KiB
//!   offers stack and statics, INIT, STARTUP ------>  real mode -> long mode, on the final page tables
//!   lets it compare counters (step.rs) <---------->  takes the stack; statics, tables, APIC, timer
//!   waits for it to say that it is there <---------  online; the core's loop
//! ```
//!
//! A core is started by INIT and STARTUP interrupts (Intel SDM volume 3, "Multiple-Processor Management"): it begins in
//! real mode at a page whose number is the interrupt's vector. The code there has to be below 1 MiB, so it is copied to
//! a page of low memory that is unmapped again once all cores are up; it is writable first and executable afterwards,
//! never both. Cores are numbered in the order in which they come. One that does not take its stack in time is left
//! behind, and halts if it comes later: numbers have no holes.
//!
//! # Ordering
//!
//! What the boot core wrote before it offers a stack is seen by the core that takes it, as both use an atomic exchange;
//! what a core wrote before it is online is seen by whoever reads [`count`].

use alloc::boxed::Box;
use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use x86_64::registers::control::{Cr3, Efer};

use super::core_local::{self, MAX_CORES};
use super::{apic, clock, cpu, gdt, interrupt, step};
use crate::mm;
use crate::mm::stack::Stack;

/// The stack of a core's loop, which runs pollers: the network stack among them.
const LOOP_STACK_SIZE: usize = 128 * 1024;
/// How long a core may take from STARTUP to its first instruction here, before STARTUP is repeated, and after that. A
/// virtual machine's processors may have to wait for their turn on the host.
const FIRST_PATIENCE: u64 = 200_000_000;
const SECOND_PATIENCE: u64 = 5_000_000_000;
/// Pauses between two looks at a core that is on its way: a microsecond or less.
const PAUSES: u32 = 8;
/// How long a core that has begun may take to come to its loop.
const LAST_PATIENCE: u64 = 60_000_000_000;

/// Of the core that is being started: it has not come yet.
const EXPECTED: u8 = 0;
/// It has come to its loop.
const ARRIVED: u8 = 1;
/// It has been given up, and must not go on.
const FORSAKEN: u8 = 2;

global_asm!(
    r#"
    .pushsection .rodata.toro_trampoline, "a"
    .balign 16
    .globl toro_trampoline_start
toro_trampoline_start:
    .code16
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movl $0x20, %eax                                      # PAE
    movl %eax, %cr4
    movl (toro_trampoline_root - toro_trampoline_start), %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx                                # EFER, as the boot core has it
    rdmsr
    orl (toro_trampoline_efer - toro_trampoline_start), %eax
    wrmsr
    lgdtl (toro_trampoline_gdt_pointer - toro_trampoline_start)
    movl $0x80010011, %eax                                # PG, WP, ET, PE
    movl %eax, %cr0
    ljmpl *(toro_trampoline_target - toro_trampoline_start)

    .code64
toro_trampoline_long:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movq ${offer}, %rdx
    xchgq %rax, (%rdx)
    testq %rax, %rax
    jz 3f
    movq %rax, %rsp
    popq %rdi
    popq %rsi
    xorl %ebp, %ebp
    movq ${entry}, %rax
    callq *%rax
3:  cli
    hlt
    jmp 3b

    .balign 16
toro_trampoline_gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF                              # 64-bit code, ring 0
toro_trampoline_gdt_pointer:
    .word 15
    .long toro_trampoline_gdt - toro_trampoline_start     # plus the page's address
toro_trampoline_target:
    .long toro_trampoline_long - toro_trampoline_start    # plus the page's address
    .word 8
    .balign 4
toro_trampoline_root:
    .long 0
toro_trampoline_efer:
    .long 0
    .globl toro_trampoline_end
toro_trampoline_end:
    .popsection
"#,
    offer = sym OFFER,
    entry = sym enter,
    options(att_syntax)
);

unsafe extern "C" {
    static toro_trampoline_start: u8;
    static toro_trampoline_end: u8;
    static toro_trampoline_gdt_pointer: u8;
    static toro_trampoline_target: u8;
    static toro_trampoline_root: u8;
    static toro_trampoline_efer: u8;
}

/// The stack pointer for the core that is being started; who takes it leaves 0. Two words lie there: what
/// [`enter`] gets.
static OFFER: AtomicU64 = AtomicU64::new(0);
/// How far the core that is being started is.
static PROGRESS: AtomicU8 = AtomicU8::new(EXPECTED);
/// Cores that are there, the boot core among them.
static COUNT: AtomicUsize = AtomicUsize::new(1);
/// By number.
static APIC_IDS: [AtomicU32; MAX_CORES] = [const { AtomicU32::new(0) }; MAX_CORES];
/// Set when a report has begun: a non-maskable interrupt means to stop from then on.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// Cores that have stopped.
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// How many cores there are. Numbers go from 0, the boot core, to this less one.
#[inline]
pub fn count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// The APIC id of the core with this number.
pub(super) fn apic_id(core: usize) -> u32 {
    APIC_IDS[core].load(Ordering::Relaxed)
}

/// What the next core gets; it outlives the start, in case the core comes late.
struct Offer {
    /// Its loop's stack.
    stack: Stack,
    /// Its fault stacks.
    faults: Stack,
    /// Its statics.
    statics: *mut u8,
}

/// Why a core was not started.
enum Trouble {
    Unreachable,
    OutOfMemory,
    Silent,
}

/// Starts the cores with these APIC ids; the boot core's own may be among them. Returns when each is in its loop or has
/// been given up, which is logged.
pub(crate) fn start_others(ids: &[u32]) {
    APIC_IDS[0].store(apic::id(), Ordering::Relaxed);
    if ids.iter().all(|&id| id == apic::id()) {
        return;
    }
    let Some(page) = mm::low_page() else {
        log::warn!("smp: one core only: there is no memory below 640 KiB");
        return;
    };
    if let Err(error) = prepare_trampoline(page) {
        log::warn!("smp: one core only: {error}");
        return;
    }
    let mut is_page_in_use = false;
    for &id in ids {
        let number = count();
        // A processor may be listed twice, under both kinds of APIC.
        if (0..number).any(|core| apic_id(core) == id) {
            continue;
        }
        if number == MAX_CORES {
            log::warn!("smp: cores beyond {MAX_CORES} are not used");
            break;
        }
        match start(id, number, page) {
            Ok(()) => COUNT.store(number + 1, Ordering::Release),
            Err(Trouble::Unreachable) => log::warn!("smp: interrupts cannot reach the core with APIC id {id}"),
            Err(Trouble::OutOfMemory) => log::warn!("smp: no memory for the core with APIC id {id}"),
            Err(Trouble::Silent) => {
                log::warn!("smp: the core with APIC id {id} does not start");
                is_page_in_use = true;
            }
        }
    }
    // A core that comes late has to find what makes it halt.
    if !is_page_in_use {
        mm::unmap_low_page();
    }
}

/// Copies the trampoline to `page`, fills in what it needs, and makes the page executable.
fn prepare_trampoline(page: u64) -> Result<(), mm::MapMmioError> {
    let start = (&raw const toro_trampoline_start).addr();
    let length = (&raw const toro_trampoline_end).addr() - start;
    let mut code = alloc::vec![0; length];
    let source: *const u8 = ptr::with_exposed_provenance(start);
    // SAFETY: the trampoline's bytes in the image's constants, which never change.
    unsafe { ptr::copy_nonoverlapping(source, code.as_mut_ptr(), length) };

    let mut patch = |symbol: *const u8, skip: usize, change: &dyn Fn(u32) -> u32| {
        let offset = symbol.addr() - start + skip;
        if let Some(place) = code.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *place = change(u32::from_le_bytes(*place)).to_le_bytes();
        }
    };
    // Page tables are made of the lowest frames, and the page is below 1 MiB: both fit.
    let root = Cr3::read().0.start_address().as_u64() as u32;
    let efer = Efer::read_raw() as u32 & !(1 << 10);
    patch(&raw const toro_trampoline_gdt_pointer, 2, &|offset| offset + page as u32);
    patch(&raw const toro_trampoline_target, 0, &|offset| offset + page as u32);
    patch(&raw const toro_trampoline_root, 0, &|_| root);
    patch(&raw const toro_trampoline_efer, 0, &|_| efer);
    mm::place_low_code(&code)
}

/// Starts one core and waits until it is in its loop.
fn start(id: u32, number: usize, page: u64) -> Result<(), Trouble> {
    if !apic::can_reach(id) {
        return Err(Trouble::Unreachable);
    }
    let offer = prepare().ok_or(Trouble::OutOfMemory)?;
    let top = offer.stack.range().end - 16;
    let words: *mut [u64; 2] = ptr::with_exposed_provenance_mut(top as usize);
    // A core that comes late still needs what it was offered.
    let offer: &'static Offer = Box::leak(Box::new(offer));
    // SAFETY: the last two words of a stack that nobody else has.
    unsafe { words.write([(&raw const *offer).expose_provenance() as u64, number as u64]) };
    PROGRESS.store(EXPECTED, Ordering::Relaxed);
    APIC_IDS[number].store(id, Ordering::Relaxed);
    OFFER.store(top, Ordering::Release);

    apic::send_init(id);
    for patience in [FIRST_PATIENCE, SECOND_PATIENCE] {
        apic::send_startup(id, (page >> 12) as u8);
        if has_arrived(patience) {
            return Ok(());
        }
    }
    // Whoever has taken the offer is on its way, and gets its time.
    if OFFER.swap(0, Ordering::AcqRel) == 0 && has_arrived(LAST_PATIENCE) {
        return Ok(());
    }
    match PROGRESS.compare_exchange(EXPECTED, FORSAKEN, Ordering::AcqRel, Ordering::Acquire) {
        Err(ARRIVED) => Ok(()),
        _ => Err(Trouble::Silent),
    }
}

/// Waits up to `patience` nanoseconds for the core that is being started, and lets it compare counters meanwhile.
fn has_arrived(patience: u64) -> bool {
    let deadline = clock::nanoseconds() + patience;
    while clock::nanoseconds() < deadline {
        step::answer();
        if PROGRESS.load(Ordering::Acquire) == ARRIVED {
            return true;
        }
        (0..PAUSES).for_each(|_| core::hint::spin_loop());
    }
    false
}

/// Whether the core that is being started has been given up.
pub(super) fn is_forsaken() -> bool {
    PROGRESS.load(Ordering::Acquire) == FORSAKEN
}

fn prepare() -> Option<Offer> {
    let stack = Stack::allocate(LOOP_STACK_SIZE)?;
    let faults = Stack::allocate(gdt::FAULT_STACKS_SIZE)?;
    let statics = mm::allocate_for_ever(core_local::size())?;
    Some(Offer { stack, faults, statics })
}

/// The first Rust code of a core, on its own stack, which has the last two words taken off.
unsafe extern "sysv64" fn enter(offer: *const Offer, number: usize) -> ! {
    // SAFETY: the boot core leaked the offer for the one core that takes it, before it showed the stack.
    let offer = unsafe { &*offer };
    // SAFETY: fresh memory of that size and page-aligned, for this core alone; what follows is not inlined.
    unsafe { core_local::install_on(offer.statics, number) };
    run(offer)
}

#[inline(never)]
fn run(offer: &'static Offer) -> ! {
    // SAFETY: a mapped stack of the right size, page-aligned, for this core alone and for ever.
    unsafe { gdt::initialise(offer.faults.range().start) };
    interrupt::load_table();
    apic::enable();
    apic::prepare_timer();
    step::compare();
    super::trap::set_loop_stack(offer.stack.range());
    if PROGRESS.compare_exchange(EXPECTED, ARRIVED, Ordering::AcqRel, Ordering::Acquire).is_err() {
        cpu::halt();
    }
    crate::boot::start_core()
}

/// Interrupts the core with this number, which is asleep or about to be.
pub(crate) fn wake(core: usize) {
    apic::send_wake(apic_id(core));
}

/// Stops all other cores, whatever they are doing, and waits a moment for it.
pub(crate) fn stop_others() {
    STOPPING.store(true, Ordering::SeqCst);
    let (me, count) = (core_local::core_index(), count());
    for core in (0..count).filter(|&core| core != me) {
        apic::send_nmi(apic_id(core));
    }
    let start = cpu::time_stamp();
    // 100 ms at 2 GHz; a core that the host does not run cannot do anything either.
    while STOPPED.load(Ordering::Relaxed) + 1 < count && cpu::time_stamp().wrapping_sub(start) < 200_000_000 {
        core::hint::spin_loop();
    }
}

/// Called when a non-maskable interrupt has come: does not return if it was [`stop_others`].
pub(super) fn stop_if_asked() {
    if STOPPING.load(Ordering::SeqCst) {
        STOPPED.fetch_add(1, Ordering::Relaxed);
        cpu::halt();
    }
}
