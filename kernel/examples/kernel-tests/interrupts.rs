//! Interrupts preserve every register, wherever they strike, and a device's line ends a halt.

use core::arch::{asm, naked_asm};

use toro::acpi;
use toro::arch::{apic, interrupt, ioapic};

/// Rounds with one timer interrupt each.
const ROUNDS: u32 = 300;
/// Turns of the spin loop per round; far more than the timer takes.
const TURNS: u64 = 100_000;
/// The pattern of register number `n` is this times `n + 1`.
const PATTERN: u64 = 0x0123_4567_89AB_CDEF;

/// Fills the registers with patterns, spins `turns` times with interrupts enabled, counting down in `r15`, and stores
/// what the registers hold then at `result`: rax rbx rcx rdx rsi rdi rbp r8-r15.
///
/// # Safety
///
/// `result` is valid for writes. Interrupts are enabled on return.
#[unsafe(naked)]
unsafe extern "sysv64" fn spin(result: *mut [u64; 15], turns: u64) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "mov r15, rsi",
        "mov rax, {pattern}",
        "mov rbx, rax",
        "add rbx, rax",
        "lea rcx, [rbx + rax]",
        "lea rdx, [rcx + rax]",
        "lea rsi, [rdx + rax]",
        "lea rdi, [rsi + rax]",
        "lea rbp, [rdi + rax]",
        "lea r8, [rbp + rax]",
        "lea r9, [r8 + rax]",
        "lea r10, [r9 + rax]",
        "lea r11, [r10 + rax]",
        "lea r12, [r11 + rax]",
        "lea r13, [r12 + rax]",
        "lea r14, [r13 + rax]",
        "2:",
        "sti",
        "dec r15",
        "jnz 2b",
        "cli",
        "push rax",
        "mov rax, [rsp + 8]",
        "mov [rax + 8], rbx",
        "pop rbx",
        "mov [rax], rbx",
        "mov [rax + 16], rcx",
        "mov [rax + 24], rdx",
        "mov [rax + 32], rsi",
        "mov [rax + 40], rdi",
        "mov [rax + 48], rbp",
        "mov [rax + 56], r8",
        "mov [rax + 64], r9",
        "mov [rax + 72], r10",
        "mov [rax + 80], r11",
        "mov [rax + 88], r12",
        "mov [rax + 96], r13",
        "mov [rax + 104], r14",
        "mov [rax + 112], r15",
        "pop rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "sti",
        "ret",
        pattern = const PATTERN,
    )
}

pub fn run() {
    registers_survive();
    line_ends_a_halt();
}

/// Lets the serial port raise its line, which goes through the I/O APIC to a vector of its own.
fn line_ends_a_halt() {
    const SERIAL_IRQ: u8 = 4;
    const INTERRUPT_ENABLE: u16 = 0x3F9;
    let set = |mask: u8| {
        // SAFETY: the serial port's interrupt mask; its interrupts do nothing but set a flag.
        unsafe { asm!("out dx, al", in("dx") INTERRUPT_ENABLE, in("al") mask, options(nomem, nostack)) };
    };
    let vector = interrupt::allocate_vector().expect("vectors are left");
    let other = interrupt::allocate_vector().expect("vectors are left");
    ioapic::route(acpi::isa_line(SERIAL_IRQ), vector, 0).expect("the serial port has a line");
    assert!(!vector.take_raised());
    // "Transmitter empty" is true at once. Should the line not work, the timer ends the halt.
    interrupt::admit_none();
    apic::set_timer(Some(100_000_000));
    set(2);
    interrupt::halt();
    interrupt::admit_urgent();
    assert!(vector.take_raised() && !vector.take_raised() && !other.take_raised());
    set(0);
    let nowhere = acpi::Line { gsi: 5000, ..acpi::isa_line(SERIAL_IRQ) };
    assert_eq!(ioapic::route(nowhere, other, 0), Err(ioapic::RouteError::NoSuchLine));
}

fn registers_survive() {
    let before = interrupt::count();
    let mut expected = [0; 15];
    for (number, value) in (1u64..).zip(expected.iter_mut().take(14)) {
        *value = PATTERN.wrapping_mul(number);
    }
    for round in 0..ROUNDS {
        // Different times, so that different instructions are struck.
        apic::set_timer(Some(20_000 + u64::from(round) * 7));
        let mut found = [0; 15];
        // SAFETY: `found` can be written; threads run with interrupts enabled.
        unsafe { spin(&mut found, TURNS) };
        assert_eq!(found, expected, "an interrupt has changed a register in round {round}");
    }
    let taken = interrupt::count() - before;
    toro::println!("{taken} interrupts in {ROUNDS} rounds");
    assert!(taken >= u64::from(ROUNDS) / 2, "too few interrupts for a test");
}
