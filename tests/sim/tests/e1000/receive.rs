//! Frames from the device.

use e1000::Options;
use toro_core::driver::net::{Burst, Checksum, NetDevice};
use virtio_sim::e1000::{Delivery, Nature};

use crate::packets::{Over, partial, pattern};
use crate::rig::{MAC, Rig, bytes, options, ordinary};

const RDT: usize = 0x2818;
const DD: u64 = 1 << 32;
const EOP: u64 = 1 << 33;

#[test]
fn e1_7_one_descriptor_always_stays_the_drivers() {
    // The model refuses a tail that makes a full ring look like an empty one.
    let mut rig = Rig::new();
    for round in 0..40 {
        rig.deliver(15);
        assert_eq!(rig.nic.deliver(&ordinary(9, 60)), Delivery::Refused, "the sixteenth");
        assert_eq!(rig.receive().len(), 15, "round {round}");
    }
}

#[test]
fn e1_9_check_sequence_is_not_part_of_a_frame() {
    let mut rig = Rig::new();
    let frame = ordinary(1, 1514);
    rig.nic.deliver(&frame);
    assert_eq!(bytes(&rig.receive()), [frame]);
}

#[test]
fn e1_10_frames_come_in_their_order_and_the_tail_is_written_once_for_many() {
    let mut rig = Rig::new();
    for round in 0..20 {
        let frames: Vec<_> = (0..12).map(|number| ordinary(round + number, 60 + usize::from(number))).collect();
        frames.iter().for_each(|frame| assert_eq!(rig.nic.deliver(frame), Delivery::Taken));
        assert_eq!(bytes(&rig.receive()), frames);
        assert_eq!(rig.nic.take_accesses(RDT), (0, 1));
    }
    assert_eq!(rig.nic.take_all_accesses(), 0, "nothing else is read or written");
}

#[test]
fn e1_10_few_frames_leave_the_tail_where_it_is() {
    let mut rig = Rig::new();
    rig.deliver(3);
    assert_eq!(rig.receive().len(), 3);
    assert_eq!(rig.nic.take_all_accesses(), 0);
    rig.deliver(1);
    assert_eq!(rig.receive().len(), 1);
    assert_eq!(rig.nic.take_accesses(RDT), (0, 1), "a quarter is missing");
}

#[test]
fn e1_10_damaged_frames_are_dropped_and_counted() {
    let mut rig = Rig::new();
    for error in [0, 1, 2, 4, 7] {
        rig.nic.chip().put(&ordinary(1, 100), 100 | DD | EOP | 1 << (40 + error));
    }
    rig.deliver(1);
    assert_eq!(rig.receive().len(), 1);
    assert_eq!(rig.net.counters().damaged, 5);
}

#[test]
fn e1_11_pieces_of_a_long_frame_are_dropped_up_to_its_end() {
    let mut rig = Rig::new();
    for (status, number) in [(EOP, 1), (0, 2), (0, 3), (EOP, 4), (EOP, 5)] {
        rig.nic.chip().put(&ordinary(number, 100), 100 | DD | status);
    }
    let received = bytes(&rig.receive());
    assert_eq!(received, [ordinary(1, 100), ordinary(5, 100)]);
    assert_eq!(rig.net.counters().malformed, 1);
}

#[test]
fn e1_12_after_an_overrun_reception_goes_on() {
    let mut rig = Rig::with_options(&Options { receive_spare: 4, ..options() }, |_| {});
    // Frames that are held leave the ring without buffers: there are 4 more than the ring has descriptors.
    rig.deliver(15);
    let held = rig.receive();
    rig.deliver(5);
    let more = rig.receive();
    assert_eq!(rig.nic.deliver(&ordinary(1, 60)), Delivery::Refused);
    assert!(rig.nic.line(), "it says so");
    drop(held);
    assert!(rig.receive().is_empty());
    rig.deliver(15);
    assert_eq!(rig.receive().len(), 15);
    drop(more);
}

#[test]
fn e1_13_no_descriptor_names_address_0() {
    // The model looks at each one that it is given.
    let mut rig = Rig::new();
    for _ in 0..10 {
        rig.deliver(7);
        assert_eq!(rig.receive().len(), 7);
    }
}

#[test]
fn e1_14_sums_are_verified_where_the_device_says_that_it_has_looked() {
    let (mut good, _) = partial(Over::Ipv4, 6, &pattern(100));
    good[..6].copy_from_slice(&MAC);
    let sum = u32::from(u16::from_be_bytes([good[50], good[51]]));
    let words: u32 = good[34..].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>() - sum;
    let total = words + sum;
    let folded = (total & 0xffff) + (total >> 16);
    let folded = ((folded & 0xffff) + (folded >> 16)) as u16;
    good[50..52].copy_from_slice(&(!folded).to_be_bytes());
    let mut bad = good.clone();
    bad[70] ^= 1;
    for (nature, expected) in [
        (Nature::Emulated, [Checksum::Plain; 3]),
        (Nature::Hardware, [Checksum::Verified, Checksum::Plain, Checksum::Plain]),
    ] {
        let mut rig = Rig::with(|nic| nic.chip().nature = nature);
        for frame in [&good, &bad, &ordinary(1, 100)] {
            assert_eq!(rig.nic.deliver(frame), Delivery::Taken);
        }
        let frames = rig.receive();
        let found: Vec<_> = frames.iter().map(|frame| frame.notes().checksum).collect();
        assert_eq!(found, expected, "{nature:?}");
    }
}

#[test]
fn a_full_burst_leaves_the_rest_for_the_next_call() {
    let mut rig = Rig::new();
    rig.deliver(10);
    let mut burst = Burst::new();
    let filler = rig.frame(&ordinary(0, 60));
    burst.push(filler).expect("it is empty");
    for _ in 1..60 {
        let mut pool = toro_core::DmaPool::new(rig.memory, 1, 64).expect("memory");
        burst.push(toro_core::driver::net::Frame::from_buffer(pool.take().expect("one"))).expect("there is room");
    }
    rig.net.receive(&mut burst).expect("no fault");
    assert_eq!(burst.room(), 0);
    drop(burst);
    let rest: Vec<u8> = rig.receive().iter().map(|frame| frame[20]).collect();
    assert_eq!(rest, [4, 5, 6, 7, 8, 9]);
}

#[test]
fn e1_14_what_is_to_be_ignored_about_sums_is_ignored() {
    const IXSM: u64 = 1 << 34;
    const TCPCS: u64 = 1 << 37;
    const TCPE: u64 = 1 << 45;
    let mut rig = Rig::new();
    for status in [TCPCS, TCPCS | IXSM, IXSM, TCPCS | TCPE] {
        rig.nic.chip().put(&ordinary(1, 100), 100 | DD | EOP | status);
    }
    let found: Vec<_> = rig.receive().iter().map(|frame| frame.notes().checksum).collect();
    assert_eq!(found, [Checksum::Verified, Checksum::Plain, Checksum::Plain, Checksum::Plain]);
}
