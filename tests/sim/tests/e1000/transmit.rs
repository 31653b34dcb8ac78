//! Frames to the device.

use toro_core::DmaPool;
use toro_core::driver::net::{Burst, Checksum, Frame, NetDevice, Notes};
use virtio_sim::e1000::{Nature, Pace};

use crate::packets::{Over, partial, pattern, payload};
use crate::rig::{Rig, ordinary};

const TDT: usize = 0x3818;

#[test]
fn e1_15_a_burst_is_one_access_and_its_end_is_reported() {
    let mut rig = Rig::new();
    for round in 0..30 {
        let frames: Vec<_> = (0..8).map(|number| ordinary(round + number, 60 + usize::from(number))).collect();
        let burst: Vec<_> = frames.iter().map(|bytes| rig.frame(bytes)).collect();
        rig.transmit(burst);
        assert_eq!(rig.nic.take_sent(), frames);
        assert_eq!(rig.nic.take_accesses(TDT), (0, 1));
        assert_eq!(rig.nic.take_all_accesses(), 0, "nothing else is read or written");
    }
    assert_eq!(rig.nic.chip().reports, 30, "one for each burst");
}

#[test]
fn e1_15_long_bursts_are_reported_in_between() {
    let (nic, memory, clock) = crate::rig::device();
    let options = e1000::Options { transmit_slots: 128, ..crate::rig::options() };
    let net = e1000::E1000::new(e1000::Model::I82540Em, nic.clone(), nic.config(), memory, clock, &options);
    let mut rig = Rig { net: net.expect("it works"), nic, clock, memory };
    let burst: Vec<_> = (0..50).map(|number| rig.frame(&ordinary(number, 60))).collect();
    rig.transmit(burst);
    assert_eq!(rig.nic.take_sent().len(), 50);
    assert_eq!(rig.nic.chip().reports, 4, "16, 32, 48, and the last");
}

#[test]
fn e1_15_full_ring_leaves_frames_with_the_caller_and_none_is_lost() {
    let mut rig = Rig::with(|nic| nic.chip().pace = Pace::Slow);
    let mut burst = Burst::new();
    for number in 0..14 {
        let frame = rig.frame(&ordinary(number, 60));
        burst.push(frame).expect("there is room");
    }
    rig.net.transmit(&mut burst).expect("no fault");
    assert_eq!(burst.len(), 3, "the promised number was taken");
    rig.net.transmit(&mut burst).expect("no fault");
    assert_eq!(burst.len(), 3);
    rig.nic.run();
    rig.net.transmit(&mut burst).expect("no fault");
    assert!(burst.is_empty());
    rig.nic.run();
    let sent: Vec<_> = rig.nic.take_sent().iter().map(|frame| frame[20]).collect();
    assert_eq!(sent, (0..14).collect::<Vec<_>>());
}

#[test]
fn e1_15_buffers_come_back_when_they_run_low() {
    let mut rig = Rig::new();
    for number in 0..100 {
        let frame = rig.frame(&ordinary(number, 60));
        rig.transmit([frame]);
    }
    assert_eq!(rig.nic.take_sent().len(), 100);
}

#[test]
fn frames_of_other_pools_go_out_as_well_and_go_home() {
    let mut rig = Rig::new();
    let mut pool = DmaPool::new(rig.memory, 2, 256).expect("memory");
    for number in 0..20 {
        let mut buffer = pool.take().expect("the last but one came home");
        buffer.extend(&ordinary(number, 100)).expect("256 bytes hold it");
        rig.transmit([Frame::from_buffer(buffer)]);
        rig.clock.advance(std::time::Duration::from_secs(2));
    }
    assert_eq!(rig.nic.take_sent().len(), 20);
}

#[test]
fn e1_16_short_frames_are_padded_with_zeros() {
    let mut rig = Rig::new();
    let mut old = rig.frame(&[0xff; 60]);
    old.set_len(14).expect("shorter");
    old[..14].copy_from_slice(&ordinary(1, 14));
    rig.transmit([old]);
    let mut expected = ordinary(1, 14);
    expected.resize(60, 0);
    assert_eq!(rig.nic.take_sent(), [expected]);
}

#[test]
fn e1_17_checksums_are_never_asked_for_by_legacy_descriptors() {
    // The model refuses those.
    let mut rig = Rig::new();
    let (bytes, notes) = partial(Over::Ipv4, 17, &pattern(300));
    let mut frame = rig.frame(&bytes);
    frame.set_notes(notes);
    let plain = rig.frame(&ordinary(1, 60));
    rig.transmit([frame, plain]);
    assert_eq!(rig.nic.take_sent().len(), 2);
}

#[test]
fn e1_18_device_puts_checksums_in() {
    for nature in [Nature::Emulated, Nature::Hardware] {
        let mut rig = Rig::with(|nic| nic.chip().nature = nature);
        for over in [Over::Ipv4, Over::Ipv6, Over::Ipv6Extended(8), Over::Ipv6Extended(160)] {
            for protocol in [6, 17] {
                for len in [0, 1, 2, 100, 1001] {
                    let content = pattern(len);
                    let (bytes, notes) = partial(over, protocol, &content);
                    let mut frame = rig.frame(&bytes);
                    frame.set_notes(notes);
                    rig.transmit([frame]);
                    let sent = rig.nic.take_sent().remove(0);
                    assert_eq!(payload(&sent, over, protocol), content, "{over:?}, protocol {protocol}, {len}");
                }
            }
        }
    }
}

#[test]
fn e1_18_context_in_force_is_not_sent_again() {
    let mut rig = Rig::new();
    let mut send = |over, protocol| {
        let (bytes, notes) = partial(over, protocol, &pattern(64));
        let mut frame = rig.frame(&bytes);
        frame.set_notes(notes);
        rig.transmit([frame]);
        std::mem::take(&mut rig.nic.chip().contexts)
    };
    assert_eq!([6, 6, 6, 17, 17, 6].map(|protocol| send(Over::Ipv4, protocol)), [1, 0, 0, 1, 0, 1]);
    assert_eq!([6, 6].map(|protocol| send(Over::Ipv6, protocol)), [1, 0]);
}

#[test]
fn a_checksum_beyond_the_devices_reach_is_put_in_by_the_driver() {
    let mut rig = Rig::new();
    let over = Over::Ipv6Extended(248);
    for protocol in [6, 17] {
        let content = pattern(501);
        let (bytes, notes) = partial(over, protocol, &content);
        let mut frame = rig.frame(&bytes);
        frame.set_notes(notes);
        rig.transmit([frame]);
        assert_eq!(payload(&rig.nic.take_sent()[0], over, protocol), content);
    }
    assert_eq!(rig.nic.chip().contexts, 0);
}

#[test]
fn notes_that_make_no_sense_are_refused_and_counted() {
    let mut rig = Rig::new();
    let at = |start, offset| Notes { checksum: Checksum::Partial { start, offset }, ..Notes::default() };
    let senseless = [
        at(13, 0),
        at(14, 85),
        at(99, 0),
        at(0, 20),
        at(u16::MAX, u16::MAX),
        Notes { continues: true, ..Notes::default() },
    ];
    for (count, notes) in (1..).zip(senseless) {
        let mut frame = rig.frame(&ordinary(1, 100));
        frame.set_notes(notes);
        rig.transmit([frame]);
        assert_eq!(rig.net.counters().refused, count, "{notes:?}");
    }
    let short = rig.frame(&[1; 13]);
    let mut pool = DmaPool::new(rig.memory, 1, 2048).expect("memory");
    let mut long = pool.take().expect("a buffer");
    long.set_len(1515).expect("shorter than the buffer");
    rig.transmit([short, Frame::from_buffer(long)]);
    assert_eq!(rig.net.counters().refused, 8);
    assert!(rig.nic.take_sent().is_empty());
    let good = rig.frame(&ordinary(1, 100));
    rig.transmit([good]);
    assert_eq!(rig.nic.take_sent().len(), 1);
}

#[test]
fn frames_as_long_as_they_are_asked_for_or_none() {
    let mut rig = Rig::new();
    for len in [0, 14, 60, 1514, 1515, 9000, 65_535] {
        assert!(rig.net.frame(len).is_some_and(|frame| frame.capacity() >= len && frame.is_empty()), "{len}");
    }
    assert!([65_536, usize::MAX].iter().all(|&len| rig.net.frame(len).is_none()));
    let large: Vec<_> = std::iter::from_fn(|| rig.net.frame(40_000)).collect();
    assert_eq!(large.len(), 2, "there are two");
    assert!(rig.net.frame(1514).is_some());
}

#[test]
fn more_than_the_ring_holds_goes_out_in_one_call_where_the_device_is_quick() {
    let mut rig = Rig::new();
    let mut pool = DmaPool::new(rig.memory, 40, 64).expect("memory");
    let burst = (0..40).map(|number| {
        let mut buffer = pool.take().expect("there are forty");
        buffer.extend(&ordinary(number, 60)).expect("64 bytes hold it");
        Frame::from_buffer(buffer)
    });
    let burst: Vec<_> = burst.collect();
    rig.transmit(burst);
    let sent: Vec<_> = rig.nic.take_sent().iter().map(|frame| frame[20]).collect();
    assert_eq!(sent, (0..40).collect::<Vec<_>>());
    assert_eq!(rig.net.arm(), Ok(toro_core::driver::Armed::Idle), "nobody waits for room");
}
