//! Devices that lie in their rings and registers.

use e1000::Options;
use toro_core::driver::net::{Burst, NetDevice};
use toro_core::driver::{Armed, DeviceFault};
use virtio_sim::e1000::{Delivery, Pace};

use crate::rig::{Rig, bytes, options, ordinary};

const DD: u64 = 1 << 32;
const EOP: u64 = 1 << 33;

#[test]
fn hd_e1k_1_lengths_that_no_frame_has_are_dropped_and_counted() {
    let mut rig = Rig::new();
    for (count, len) in (1..).zip([0, 1, 3, 13, 1515, 2048, 2049, 0xffff]) {
        rig.nic.chip().put(&ordinary(1, 60), len | DD | EOP);
        assert!(rig.receive().is_empty(), "{len}");
        assert_eq!(rig.net.counters().malformed, count);
    }
    for len in [14, 1514] {
        rig.nic.chip().put(&ordinary(1, 1514), len | DD | EOP);
        assert_eq!(bytes(&rig.receive())[0].len(), len as usize);
    }
}

#[test]
fn hd_e1k_2_what_the_device_says_of_descriptors_that_are_not_its_own_is_not_seen() {
    let mut rig = Rig::with_options(&Options { receive_spare: 4, ..options() }, |nic| nic.be_lenient());
    // All of them, at once: those with buffers count, each once.
    (0..16).for_each(|index| rig.nic.chip().scribble(index, 60 | DD | EOP));
    let held = rig.receive();
    assert_eq!(held.len(), 15);
    // The pool had five more than the ring: those are all that can be in it now.
    (0..16).for_each(|index| rig.nic.chip().scribble(index, 60 | DD | EOP));
    let more = rig.receive();
    assert_eq!(more.len(), 5);
    (0..16).for_each(|index| rig.nic.chip().scribble(index, 60 | DD | EOP));
    assert!(rig.receive().is_empty());
    assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    let mut addresses: Vec<_> = held.iter().chain(&more).map(|frame| frame.as_ptr()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 20, "no buffer is given out twice");
}

#[test]
fn hd_e1k_2_frame_without_an_end_is_one_loss_and_no_loop() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        rig.nic.chip().put(&ordinary(1, 60), 60 | DD);
        assert!(rig.receive().is_empty());
    }
    assert_eq!(rig.net.counters().malformed, 1);
    rig.nic.chip().put(&ordinary(1, 60), 60 | DD | EOP);
    assert!(rig.receive().is_empty(), "the end of it");
    rig.deliver(1);
    assert_eq!(rig.receive().len(), 1);
}

#[test]
fn hd_e1k_3_heads_and_tails_are_never_read() {
    let mut rig = Rig::with(|nic| nic.chip().lies.indices = Some(0xdead_beef));
    for number in 0..40 {
        rig.deliver(3);
        assert_eq!(rig.receive().len(), 3);
        let frame = rig.frame(&ordinary(number, 60));
        rig.transmit([frame]);
    }
    for register in [0x2810, 0x2818, 0x3810, 0x3818] {
        assert_eq!(rig.nic.take_accesses(register).0, 0, "{register:#x}");
    }
}

#[test]
fn hd_e1k_3_completions_of_what_was_not_given_are_not_seen() {
    let mut rig = Rig::with(|nic| nic.chip().pace = Pace::Slow);
    (0..16).for_each(|index| rig.nic.chip().scribble_transmit(index, DD));
    rig.nic.be_lenient();
    let mut burst = Burst::new();
    for number in 0..11 {
        let frame = rig.frame(&ordinary(number, 60));
        burst.push(frame).expect("there is room");
    }
    rig.net.transmit(&mut burst).expect("no fault");
    assert!(burst.is_empty());
    // Of all that it says is sent, only what reports counts: everything up to the last.
    (0..16).for_each(|index| rig.nic.chip().scribble_transmit(index, DD));
    let frame = rig.frame(&ordinary(99, 60));
    burst.push(frame).expect("there is room");
    rig.net.transmit(&mut burst).expect("no fault");
    assert!(burst.is_empty(), "there is room, as far as can be known");
}

#[test]
fn hd_e1k_5_causes_of_all_ones_are_nobody() {
    let mut rig = Rig::new();
    rig.nic.chip().lies.stuck_causes = u32::MAX;
    assert_eq!(rig.net.arm(), Err(DeviceFault::Gone));
}

#[test]
fn hd_e1k_5_interrupts_for_nothing_end_in_a_reset_and_then_in_a_fault() {
    let mut rig = Rig::new();
    rig.nic.chip().lies.stuck_causes = 1 << 7;
    let mut arms = 0_u32;
    let fault = loop {
        match rig.net.arm() {
            Ok(Armed::Idle) => arms += 1,
            Ok(Armed::WorkPending) => {
                let _ = rig.net.changes();
            }
            Err(fault) => break fault,
        }
        assert!(arms < 100_000);
    };
    assert_eq!(fault, DeviceFault::NeedsReset);
    assert_eq!(rig.net.counters().resets, 3);
    assert!(arms > 2000);
}

#[test]
fn hd_e1k_5_many_interrupts_with_work_are_no_storm() {
    let mut rig = Rig::new();
    for _ in 0..3000 {
        assert_eq!(rig.nic.deliver(&ordinary(1, 60)), Delivery::Taken);
        assert_eq!(rig.receive().len(), 1);
        assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    }
    // Nor are those of others on the line, of which the device knows nothing.
    for _ in 0..3000 {
        assert_eq!(rig.net.arm(), Ok(Armed::Idle));
    }
    assert_eq!(rig.net.counters().resets, 0);
}
