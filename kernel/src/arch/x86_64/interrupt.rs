//! Interrupts: the vector table, entry code for all 256 vectors, and vectors for devices.
//!
//! # Entry
//!
//! Each vector has a stub of 8 bytes that pushes its number and jumps to common code, which puts a zero where the processor
//! has pushed no error code, saves **all fifteen general registers**, calls Rust, restores them and returns. What an
//! interrupt may strike in between is any instruction of any build, so nothing is left to what some compiler happened
//! not to use. The kernel's target has neither SSE nor a red zone, so there is no more state to save.
//!
//! ```text
//!   ss  rsp  rflags  cs  rip | error  vector | rax rbx rcx rdx rsi rdi rbp r8 ... r15     <- TrapFrame, high to low
//!   pushed by the processor  | stub          | common
//! ```
//!
//! # Which interrupts come when
//!
//! While a core runs code, only its urgent vectors get through, the timer and the wake-up by another core: the task
//! priority keeps all others waiting, in the local APIC. Their handlers do next to nothing: a wake-up that comes while
//! the core is awake is ignored, and the timer looks whether one thread has been running for too long.
//!
//! A core that [`halt`]s admits all vectors. The handler of a device's [`Vector`] sets the vector's flag, acknowledges
//! the local APIC and returns **with interrupts disabled**, so one interrupt ends a halt. It never touches a driver,
//! takes no lock and allocates nothing. So a level-triggered line that stays asserted until its driver runs cannot storm:
//! at most one of its interrupts is taken per halt. Nor is it taken twice: an interrupt of a level-triggered line is
//! acknowledged only when the core halts again. By then the driver has taken the line down, or there is more to do.
//!
//! # Ordering
//!
//! Flags are set by an interrupt on the core that reads them, hence in program order; the atomics only keep the
//! compiler from caching them.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::core_local;

use toro_core::pci::msix::MsiMessage;
use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::idt::Entry;

use super::{apic, cpu, gdt, smp, trap};

/// The first vector that is not an exception.
const FIRST_DEVICE: u8 = 0x30;
/// The last vector for devices.
const LAST_DEVICE: u8 = 0xEF;
/// The local APIC's timer.
pub const TIMER: u8 = 0xF0;
/// Another core has put something where this one looks for work.
pub(super) const WAKE: u8 = 0xF1;
/// Vectors from 16 times this on get through while code runs.
const URGENT_CLASS: u64 = 0xF;
const VECTORS: usize = 256;
/// Vectors below this are exceptions.
const EXCEPTIONS: usize = 32;
const NMI: usize = 2;
const DOUBLE_FAULT: usize = 8;
const MACHINE_CHECK: usize = 18;
/// What the local APIC raises where an interrupt went away; needs no acknowledgement.
pub const SPURIOUS: u8 = 0xFF;

/// The registers of the interrupted code, as the entry code lays them out.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "these are the processor's own names")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// A stub's bytes: an instruction of two and one of five.
const STUB_SIZE: usize = 8;
const INTERRUPTS_ENABLED: u64 = 1 << 9;

global_asm!(
    r#"
    .pushsection .text.toro_interrupts, "ax"
    .balign 16
toro_interrupt_stubs:
    .set vector, 0
    .rept 256
    .balign {stub_size}
    # `push` with a byte, which also for the vectors that it takes for negative is the one that `dispatch` looks at.
    .byte 0x6A, vector
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    jmp toro_interrupt_common
    .else
    jmp toro_interrupt_without_error
    .endif
    .set vector, vector + 1
    .endr

    .balign 16
toro_interrupt_without_error:
    # The vector once more, and a zero where the error code is to be.
    push [rsp]
    mov qword ptr [rsp + 8], 0
toro_interrupt_common:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    # The processor aligned rsp to 16 and 22 words have been pushed since, so it is aligned for the call.
    mov rdi, rsp
    call {dispatch}
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16
    iretq
    .popsection
"#,
    stub_size = const STUB_SIZE,
    dispatch = sym dispatch,
);

unsafe extern "C" {
    #[link_name = "toro_interrupt_stubs"]
    static STUBS: u8;
}

/// The vector table as the processor reads it; one entry is 16 bytes, which it likes to be aligned.
#[repr(align(16))]
struct Gates([Entry<()>; VECTORS]);

/// The vector table. Written once by [`initialise_table`] before it is loaded, read by the processor only.
struct Table(UnsafeCell<Option<Gates>>);

// SAFETY: written by `initialise_table` alone, which runs once, at boot, while there is one core; afterwards only its
// address is used.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new(None));

/// The stack of an exception's handler; interrupts keep the one that they come upon.
fn stack(vector: usize) -> Option<u16> {
    match vector {
        NMI => Some(gdt::NMI_STACK),
        DOUBLE_FAULT => Some(gdt::DOUBLE_FAULT_STACK),
        MACHINE_CHECK => Some(gdt::MACHINE_CHECK_STACK),
        0..EXCEPTIONS => Some(gdt::EXCEPTION_STACK),
        _ => None,
    }
}

/// Fills and loads the vector table. Runs once at boot.
pub(super) fn initialise_table() {
    // SAFETY: runs once, before anything else knows of the table (the one caller is the boot sequence).
    let slot = unsafe { &mut *TABLE.0.get() };
    let table = slot.insert(Gates([const { Entry::missing() }; VECTORS]));
    let stubs = (&raw const STUBS).addr();
    for (vector, entry) in table.0.iter_mut().enumerate() {
        let stub = VirtAddr::new_truncate((stubs + vector * STUB_SIZE) as u64);
        // SAFETY: the address is that of this vector's stub, which saves all registers, knows whether the processor pushes
        // an error code and ends with `iretq`.
        let options = unsafe { entry.set_handler_addr(stub) };
        if let Some(stack) = stack(vector) {
            // SAFETY: the index names a stack of the loaded task state that no other handler can be running on, or
            // whose handler never returns.
            unsafe { options.set_stack_index(stack) };
        }
    }
    load_table();
}

/// Loads the vector table on the calling core. Needs [`initialise_table`].
pub(super) fn load_table() {
    // SAFETY: written once, at boot, before there was a second core or a first load.
    let table = unsafe { &*TABLE.0.get() };
    if let Some(table) = table {
        let pointer =
            DescriptorTablePointer { limit: (size_of::<Gates>() - 1) as u16, base: VirtAddr::from_ptr(table) };
        // SAFETY: the table is static and not written again.
        unsafe { lidt(&pointer) };
    }
}

/// One flag per vector: an interrupt has come since somebody last asked.
static RAISED: [AtomicBool; 256] = [const { AtomicBool::new(false) }; 256];

/// Which vectors are those of level-triggered lines.
static IS_LEVEL: [AtomicBool; 256] = [const { AtomicBool::new(false) }; 256];

/// What handlers and the code that they interrupt tell each other.
struct State {
    /// The core halts, and one interrupt ends that.
    is_halting: AtomicBool,
    /// The timer has fired since somebody last asked.
    timer_fired: AtomicBool,
    /// The interrupt of a level-triggered line has not been acknowledged yet.
    owes_end: AtomicBool,
    /// Interrupts taken.
    taken: AtomicU64,
}

core_local! {
    static STATE: State = State {
        is_halting: AtomicBool::new(false),
        timer_fired: AtomicBool::new(false),
        owes_end: AtomicBool::new(false),
        taken: AtomicU64::new(0),
    };
}

/// Called by the entry code with the interrupted registers.
extern "sysv64" fn dispatch(frame: &mut TrapFrame) {
    let vector = frame.vector as u8;
    if usize::from(vector) == NMI {
        smp::stop_if_asked();
    }
    if usize::from(vector) < EXCEPTIONS {
        trap::report(frame);
    }
    if vector == SPURIOUS {
        return;
    }
    RAISED[usize::from(vector)].store(true, Ordering::Relaxed);
    let state = STATE.get();
    state.taken.store(state.taken.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    if vector == TIMER {
        state.timer_fired.store(true, Ordering::Relaxed);
    }
    if IS_LEVEL[usize::from(vector)].load(Ordering::Relaxed) {
        // One interrupt ends a halt, so there is no other that is owed.
        state.owes_end.store(true, Ordering::Relaxed);
    } else {
        apic::end_of_interrupt();
    }
    let is_urgent = u64::from(vector >> 4) >= URGENT_CLASS;
    if state.is_halting.load(Ordering::Relaxed) || !is_urgent {
        // One interrupt ends a halt; see the module documentation.
        frame.rflags &= !INTERRUPTS_ENABLED;
    } else if vector == TIMER {
        crate::sched::watchdog::tick(frame.rip, frame.rbp);
    }
}

/// How many interrupts this core has taken since boot.
pub fn count() -> u64 {
    STATE.get().taken.load(Ordering::Relaxed)
}

/// Whether this core's timer has fired since the last call.
pub fn take_timer_fired() -> bool {
    STATE.get().timer_fired.swap(false, Ordering::Relaxed)
}

/// Lets urgent interrupts through from now on.
pub fn admit_urgent() {
    cpu::set_task_priority(URGENT_CLASS - 1);
    x86_64::instructions::interrupts::enable();
}

/// Lets no interrupt through from now on: what comes stays pending.
pub fn admit_none() {
    x86_64::instructions::interrupts::disable();
}

/// Halts until an interrupt of any kind has come; one that is pending already ends the halt at once. To be called, and
/// returns, with no interrupts admitted: so nothing that came since the caller's last look for work is missed.
pub fn halt() {
    let state = STATE.get();
    // Not of an urgent one that came meanwhile: it would be in service before this, and has been acknowledged.
    if state.owes_end.swap(false, Ordering::Relaxed) {
        apic::end_of_interrupt();
    }
    state.is_halting.store(true, Ordering::Relaxed);
    cpu::set_task_priority(0);
    cpu::wait_for_interrupt();
    cpu::set_task_priority(URGENT_CLASS - 1);
    state.is_halting.store(false, Ordering::Relaxed);
}

/// A vector that belongs to one device (or one queue of it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(u8);

/// All device vectors are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfVectors;

impl fmt::Display for OutOfVectors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no interrupt vector left")
    }
}

impl core::error::Error for OutOfVectors {}

/// Takes an unused vector for a device. It is never given back, as devices do not go away.
///
/// # Errors
///
/// [`OutOfVectors`] after 192 of them.
pub fn allocate_vector() -> Result<Vector, OutOfVectors> {
    static NEXT: AtomicU8 = AtomicU8::new(FIRST_DEVICE);
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| (next <= LAST_DEVICE).then(|| next + 1))
        .map(Vector)
        .map_err(|_| OutOfVectors)
}

/// The same for a level-triggered line.
///
/// # Errors
///
/// As [`allocate_vector`].
pub fn allocate_level_vector() -> Result<Vector, OutOfVectors> {
    let vector = allocate_vector()?;
    IS_LEVEL[usize::from(vector.0)].store(true, Ordering::Relaxed);
    Ok(vector)
}

impl Vector {
    /// The number, for an interrupt controller.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether the vector's interrupt has come since the last call.
    pub fn take_raised(self) -> bool {
        RAISED[usize::from(self.0)].swap(false, Ordering::Relaxed)
    }

    /// What a device has to write where in order to raise this vector on the core with number `core`: edge triggered,
    /// fixed delivery (Intel SDM volume 3, "Message Signalled Interrupts").
    pub fn message(self, core: usize) -> MsiMessage {
        // The destination field has 8 bits; machines with more cores than that have interrupt remapping, and the kernel
        // uses no more than 64 of them.
        let address = 0xFEE0_0000 | u64::from(smp::apic_id(core) & 0xFF) << 12;
        // SAFETY: the address is that of the local APICs' message window; the data names this vector, whose handler does
        // nothing but set a flag.
        unsafe { MsiMessage::new(address, u32::from(self.0)) }
    }
}
