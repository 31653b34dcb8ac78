//! Segments, as far as long mode still has them, and the stacks on which faults are handled.
//!
//! A fault may be a stack overflow, so no fault handler runs on the stack it interrupted. Exceptions share one stack of
//! the interrupt stack table; those that may strike while another is being handled have one each:
//!
//! | stack | for |
//! |---|---|
//! | 1 | every exception without a stack of its own |
//! | 2 | double fault |
//! | 3 | non-maskable interrupt |
//! | 4 | machine check |

use core::cell::UnsafeCell;
use core::ops::Range;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// Stack table index of the stack that exceptions share.
pub const EXCEPTION_STACK: u16 = 0;
/// Stack table index for double faults.
pub const DOUBLE_FAULT_STACK: u16 = 1;
/// Stack table index for non-maskable interrupts.
pub const NMI_STACK: u16 = 2;
/// Stack table index for machine checks.
pub const MACHINE_CHECK_STACK: u16 = 3;

/// Enough for a report with formatting in an unoptimised build.
const FAULT_STACK_SIZE: usize = 32 * 1024;
const FAULT_STACKS: usize = 4;

/// Memory for fault stacks, written only by the processor and the handlers that run on them.
#[repr(C, align(16))]
struct FaultStacks(UnsafeCell<[[u8; FAULT_STACK_SIZE]; FAULT_STACKS]>);

// SAFETY: nobody makes a reference to the contents; only the address is taken.
unsafe impl Sync for FaultStacks {}

static STACKS: FaultStacks = FaultStacks(UnsafeCell::new([[0; FAULT_STACK_SIZE]; FAULT_STACKS]));
static TASK_STATE: Once<TaskStateSegment> = Once::new();
static TABLE: Once<(GlobalDescriptorTable, SegmentSelector, SegmentSelector)> = Once::new();

/// The addresses of all fault stacks.
pub fn fault_stacks() -> Range<u64> {
    let start = STACKS.0.get().addr() as u64;
    start..start + (FAULT_STACK_SIZE * FAULT_STACKS) as u64
}

/// Builds and loads the segment table and the task state with its fault stacks.
pub fn initialise() {
    let task_state = TASK_STATE.call_once(|| {
        let mut task_state = TaskStateSegment::new();
        // The structure is packed, so the table is set as a whole.
        let mut tops = [VirtAddr::zero(); 7];
        for (top, number) in tops.iter_mut().zip(1..=FAULT_STACKS) {
            *top = VirtAddr::new_truncate(fault_stacks().start + (number * FAULT_STACK_SIZE) as u64);
        }
        task_state.interrupt_stack_table = tops;
        task_state
    });
    let (table, code, task) = TABLE.call_once(|| {
        let mut table = GlobalDescriptorTable::new();
        let code = table.append(Descriptor::kernel_code_segment());
        let task = table.append(Descriptor::tss_segment(task_state));
        (table, code, task)
    });
    table.load();
    // SAFETY: the selector is that of the 64-bit ring 0 code segment in the table just loaded, which is static.
    unsafe { CS::set_reg(*code) };
    // SAFETY: long mode at ring 0 permits null data segments.
    unsafe { SS::set_reg(SegmentSelector::NULL) };
    // SAFETY: as above.
    unsafe { DS::set_reg(SegmentSelector::NULL) };
    // SAFETY: as above.
    unsafe { ES::set_reg(SegmentSelector::NULL) };
    // SAFETY: the selector is that of the task state segment in the table just loaded; both are static.
    unsafe { load_tss(*task) };
}
