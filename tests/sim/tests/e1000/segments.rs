//! TCP segments that the device cuts.

use std::num::NonZeroU16;

use toro_core::driver::net::{Burst, Checksum, NetDevice, Notes, SegmentationKind};
use virtio_sim::e1000::{Nature, Pace};

use crate::packets::{Over, long, partial, pattern, payload};
use crate::rig::Rig;

fn cut(rig: &mut Rig, over: Over, content: &[u8], size: u16) -> Vec<Vec<u8>> {
    let (bytes, notes) = long(over, content, size);
    let mut frame = rig.frame(&bytes);
    frame.set_notes(notes);
    rig.transmit([frame]);
    rig.nic.take_sent()
}

#[test]
fn e1_19_segments_are_whole_and_in_order() {
    for nature in [Nature::Emulated, Nature::Hardware] {
        let mut rig = Rig::with(|nic| nic.chip().nature = nature);
        for over in [Over::Ipv4, Over::Ipv6, Over::Ipv6Extended(16)] {
            for (len, size) in [(1, 536), (1400, 1400), (1401, 1400), (4000, 1000), (60_000, 1400), (65_400, 1001)] {
                let content = pattern(len);
                let sent = cut(&mut rig, over, &content, size);
                assert_eq!(sent.len(), len.div_ceil(usize::from(size)), "{over:?} {len} by {size}");
                let mut joined = Vec::new();
                for (number, frame) in sent.iter().enumerate() {
                    let sequence = &frame[over.start() + 4..over.start() + 8];
                    let sequence = u32::from_be_bytes(sequence.try_into().expect("four bytes"));
                    assert_eq!(sequence, 0xffff_ff00_u32.wrapping_add(joined.len() as u32));
                    let is_last = number + 1 == sent.len();
                    assert_eq!(frame[over.start() + 13] & 9, if is_last { 9 } else { 0 }, "FIN and PSH");
                    joined.extend(payload(frame, over, 6));
                }
                assert_eq!(joined, content, "{over:?} {len} by {size}");
            }
        }
        assert_eq!(rig.net.counters().refused, 0);
    }
}

#[test]
fn e1_19_contexts_change_with_the_kind_of_frame() {
    // The model refuses a frame whose kind is not that of the last context.
    for nature in [Nature::Emulated, Nature::Hardware] {
        let mut rig = Rig::with(|nic| nic.chip().nature = nature);
        for _ in 0..5 {
            assert_eq!(cut(&mut rig, Over::Ipv4, &pattern(3000), 1400).len(), 3);
            let (bytes, notes) = partial(Over::Ipv4, 6, &pattern(10));
            let mut frame = rig.frame(&bytes);
            frame.set_notes(notes);
            rig.transmit([frame]);
            assert_eq!(payload(&rig.nic.take_sent()[0], Over::Ipv4, 6), pattern(10));
        }
        assert_eq!(rig.nic.chip().contexts, 10);
    }
}

#[test]
fn e1_20_pieces_are_short_enough_for_every_device() {
    // The model refuses those of more than 16 KiB.
    let mut rig = Rig::new();
    let content = pattern(65_535 - 54);
    let sent = cut(&mut rig, Over::Ipv4, &content, 1460);
    assert_eq!(sent.len(), 45);
    assert_eq!(sent.concat().len(), content.len() + 45 * 54);
}

#[test]
fn a_long_frame_waits_until_all_of_its_descriptors_fit() {
    let mut rig = Rig::with(|nic| nic.chip().pace = Pace::Slow);
    let mut burst = Burst::new();
    for _ in 0..2 {
        let (bytes, notes) = long(Over::Ipv4, &pattern(60_000), 1400);
        let mut frame = rig.frame(&bytes);
        frame.set_notes(notes);
        burst.push(frame).expect("there is room");
    }
    let (bytes, notes) = partial(Over::Ipv4, 6, &pattern(700));
    for _ in 0..10 {
        let mut frame = rig.frame(&bytes);
        frame.set_notes(notes);
        burst.push(frame).expect("there is room");
    }
    let mut rounds = 0;
    while !burst.is_empty() {
        rig.net.transmit(&mut burst).expect("no fault");
        rig.nic.run();
        rounds += 1;
        assert!(rounds < 10);
    }
    assert!(rounds > 1);
    assert_eq!(rig.nic.take_sent().len(), 2 * 43 + 10);
}

#[test]
fn segments_that_do_not_fit_their_frame_are_refused() {
    let (bytes, notes) = long(Over::Ipv4, &pattern(3000), 1400);
    let cut = notes.segmentation.expect("it is to be cut");
    let with = |change: &dyn Fn(&mut Vec<u8>, &mut Notes)| {
        let (mut bytes, mut notes) = (bytes.clone(), notes);
        change(&mut bytes, &mut notes);
        (bytes, notes)
    };
    let header = |len| Some(toro_core::driver::net::Segmentation { header_len: len, ..cut });
    let wrong: Vec<(Vec<u8>, Notes)> = vec![
        with(&|_, notes| notes.checksum = Checksum::Plain),
        with(&|_, notes| notes.checksum = Checksum::Partial { start: 34, offset: 6 }),
        with(&|_, notes| notes.checksum = Checksum::Partial { start: 38, offset: 16 }),
        with(&|_, notes| notes.checksum = Checksum::Partial { start: 60_000, offset: 16 }),
        with(&|_, notes| notes.segmentation = header(0)),
        with(&|_, notes| notes.segmentation = header(53)),
        with(&|_, notes| notes.segmentation = header(58)),
        with(&|_, notes| notes.segmentation = header(256)),
        with(&|_, notes| {
            let size = NonZeroU16::new(1461).expect("not zero");
            notes.segmentation = Some(toro_core::driver::net::Segmentation { segment_size: size, ..cut });
        }),
        with(&|_, notes| {
            let over = SegmentationKind::Tcp6;
            notes.segmentation = Some(toro_core::driver::net::Segmentation { over, ..cut });
        }),
        with(&|bytes, _| bytes[12] = 9),
        with(&|bytes, _| bytes[14] = 0x46),
        with(&|bytes, _| bytes[14] = 0x65),
        with(&|bytes, _| bytes[23] = 17),
        with(&|bytes, _| bytes[46] = 0x60),
        with(&|bytes, _| bytes.truncate(54)),
        with(&|bytes, _| bytes.truncate(33)),
        with(&|_, notes| notes.continues = true),
    ];
    let mut rig = Rig::new();
    for (number, (bytes, notes)) in wrong.iter().enumerate() {
        let mut frame = rig.frame(bytes);
        frame.set_notes(*notes);
        rig.transmit([frame]);
        assert_eq!(rig.net.counters().refused, number as u64 + 1, "number {number}");
    }
    assert!(rig.nic.take_sent().is_empty());
    assert_eq!(cut_again(&mut rig), 3);
}

fn cut_again(rig: &mut Rig) -> usize {
    cut(rig, Over::Ipv4, &pattern(3000), 1400).len()
}
