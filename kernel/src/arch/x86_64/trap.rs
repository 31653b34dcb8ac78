//! Processor exceptions, all of which end the machine with a report, and walking stacks for it.

use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::registers::control::Cr2;

use super::core_local::core_index;
use super::interrupt::TrapFrame;
use super::{context, gdt};
use crate::mm::{image, stack};
use crate::{core_local, panic, shutdown};

const PAGE_FAULT: u64 = 14;
const DOUBLE_FAULT: u64 = 8;

core_local! {
    /// The stack of the core's loop, both 0 on the boot core, whose loop has the boot stack.
    static LOOP_STACK: (AtomicU64, AtomicU64) = (AtomicU64::new(0), AtomicU64::new(0));
}

/// Notes on which stack the calling core's loop runs, for reports.
pub(super) fn set_loop_stack(range: Range<u64>) {
    let (start, end) = LOOP_STACK.get();
    start.store(range.start, Ordering::Relaxed);
    end.store(range.end, Ordering::Relaxed);
}

/// The stack of the core's loop and the unmapped bytes below it.
fn loop_stack() -> (Range<u64>, Range<u64>) {
    let (start, end) = LOOP_STACK.get();
    let range = start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed);
    if range.is_empty() {
        return (image::boot_stack(), image::boot_stack_guard());
    }
    let guard = range.start - stack::GUARD_SIZE..range.start;
    (range, guard)
}

fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        DOUBLE_FAULT => "double fault",
        10 => "invalid task state segment",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => "general protection fault",
        PAGE_FAULT => "page fault",
        16 => "x87 floating-point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point error",
        _ => "exception",
    }
}

/// Whether `address` lies in the guard of the stack that was in use.
fn is_stack_overflow(address: u64) -> bool {
    match context::current_stack() {
        Some(stack) => (stack.start - stack::GUARD_SIZE..stack.start).contains(&address),
        None => loop_stack().1.contains(&address),
    }
}

/// Reports an exception and ends the machine.
pub(super) fn report(frame: &TrapFrame) -> ! {
    panic::begin_report();
    let (thread, core) = (crate::sched::current_name(), core_index());
    let TrapFrame { vector, error, rip, .. } = *frame;
    crate::print!("fault in thread `{thread}` on core {core}: {}", name(vector));
    crate::print!(" (vector {vector}, error {error:#x}) at {rip:#018x}");
    // A double fault is what becomes of a page fault whose own delivery failed.
    if vector == PAGE_FAULT || vector == DOUBLE_FAULT {
        let address = Cr2::read_raw();
        crate::println!(", address {address:#018x}");
        if is_stack_overflow(address) {
            crate::println!("stack overflow in thread `{thread}`");
        }
    } else {
        crate::println!();
    }
    let TrapFrame { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, .. } = *frame;
    let TrapFrame { r8, r9, r10, r11, r12, r13, r14, r15, rflags, cs, .. } = *frame;
    let rows = [
        [("rax", rax), ("rbx", rbx), ("rcx", rcx), ("rdx", rdx)],
        [("rsi", rsi), ("rdi", rdi), ("rbp", rbp), ("rsp", rsp)],
        [("r8 ", r8), ("r9 ", r9), ("r10", r10), ("r11", r11)],
        [("r12", r12), ("r13", r13), ("r14", r14), ("r15", r15)],
    ];
    for row in rows {
        crate::print!(" ");
        for (name, value) in row {
            crate::print!(" {name}={value:#018x}");
        }
        crate::println!();
    }
    crate::println!("  rflags={rflags:#x} cs={cs:#x}");
    panic::print_backtrace(Some(rip), rbp);
    shutdown::exit(shutdown::CPU_FAULT)
}

/// The return addresses of the chain of frames from frame pointer `frame` on, validated as the module
/// `panic` describes.
pub fn return_addresses(frame: u64) -> impl Iterator<Item = u64> {
    let stacks = [context::current_stack().unwrap_or(0..0), loop_stack().0, gdt::fault_stacks()];
    let stack = stacks.into_iter().find(|stack| stack.contains(&frame)).unwrap_or(0..0);
    let mut frame = frame;
    let mut lowest = stack.start;
    core::iter::from_fn(move || {
        let is_valid =
            frame >= lowest && frame.is_multiple_of(8) && frame.checked_add(16).is_some_and(|end| end <= stack.end);
        if !is_valid {
            return None;
        }
        lowest = frame + 16;
        let words: *const [u64; 2] = ptr::with_exposed_provenance(frame as usize);
        // SAFETY: aligned and inside a stack that the kernel knows and has mapped; volatile, as the words may belong to
        // anything.
        let [next, address] = unsafe { words.read_volatile() };
        frame = next;
        image::text().contains(&address).then_some(address)
    })
}
