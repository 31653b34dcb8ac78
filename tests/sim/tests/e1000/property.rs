//! Frames of all kinds, in any order and number, at any pace: each comes out once, as it should.

use proptest::prelude::*;
use toro_core::driver::net::{Burst, NetDevice};
use virtio_sim::e1000::{Delivery, Nature, Pace};

use crate::packets::{Over, long, partial, pattern, payload};
use crate::rig::{Rig, bytes, ordinary};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Plain(usize),
    Partial { over: u8, protocol: bool, len: usize },
    Long { over: u8, len: usize, size: u16 },
    Flush,
    Run,
    Deliver(u8),
    Receive,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (14..=1514_usize).prop_map(Step::Plain),
        (0..3_u8, any::<bool>(), 0..1200_usize).prop_map(|(over, protocol, len)| Step::Partial { over, protocol, len }),
        (0..3_u8, 1..60_000_usize, 500..1380_u16).prop_map(|(over, len, size)| Step::Long { over, len, size }),
        Just(Step::Flush),
        Just(Step::Run),
        (1..12_u8).prop_map(Step::Deliver),
        Just(Step::Receive),
    ]
}

fn over(number: u8) -> Over {
    [Over::Ipv4, Over::Ipv6, Over::Ipv6Extended(24)][usize::from(number)]
}

/// What has to go out.
enum Expected {
    Plain(Vec<u8>),
    Content(Over, u8, Vec<u8>, usize),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn every_frame_goes_its_way_once(
        steps in proptest::collection::vec(step(), 1..60),
        slow in any::<bool>(),
        emulated in any::<bool>(),
    ) {
        let mut rig = Rig::with(|nic| {
            nic.chip().nature = if emulated { Nature::Emulated } else { Nature::Hardware };
            nic.chip().pace = if slow { Pace::Slow } else { Pace::Quick };
        });
        let (mut burst, mut expected) = (Burst::new(), Vec::new());
        let (mut delivered, mut received) = (Vec::new(), Vec::new());
        let mut number = 0_u8;
        for step in steps {
            let packet = match step {
                Step::Plain(len) => {
                    number = number.wrapping_add(1);
                    let bytes = ordinary(number, len);
                    Some((bytes.clone(), Default::default(), Expected::Plain(bytes)))
                }
                Step::Partial { over: kind, protocol, len } => {
                    let (content, protocol) = (pattern(len), if protocol { 6 } else { 17 });
                    let (bytes, notes) = partial(over(kind), protocol, &content);
                    Some((bytes, notes, Expected::Content(over(kind), protocol, content, 1)))
                }
                Step::Long { over: kind, len, size } => {
                    let content = pattern(len);
                    let (bytes, notes) = long(over(kind), &content, size);
                    let count = len.div_ceil(usize::from(size));
                    Some((bytes, notes, Expected::Content(over(kind), 6, content, count)))
                }
                Step::Flush => {
                    rig.net.transmit(&mut burst).expect("no fault");
                    None
                }
                Step::Run => {
                    rig.nic.run();
                    None
                }
                Step::Deliver(count) => {
                    for _ in 0..count {
                        number = number.wrapping_add(1);
                        let frame = ordinary(number, 60 + usize::from(number));
                        if rig.nic.deliver(&frame) == Delivery::Taken {
                            delivered.push(frame);
                        }
                    }
                    None
                }
                Step::Receive => {
                    received.extend(bytes(&rig.receive()));
                    None
                }
            };
            if let Some((bytes, notes, outcome)) = packet
                && let Some(mut frame) = rig.net.frame(bytes.len())
            {
                frame.set_len(bytes.len()).expect("as long as was asked for");
                frame.copy_from_slice(&bytes);
                frame.set_notes(notes);
                burst.push(frame).expect("fewer than a burst holds");
                expected.push(outcome);
            }
        }
        while !burst.is_empty() {
            rig.net.transmit(&mut burst).expect("no fault");
            rig.nic.run();
        }
        rig.nic.run();
        received.extend(bytes(&rig.receive()));
        prop_assert_eq!(received, delivered);
        let mut sent = rig.nic.take_sent().into_iter();
        for outcome in expected {
            match outcome {
                Expected::Plain(mut bytes) => {
                    bytes.resize(bytes.len().max(60), 0);
                    prop_assert_eq!(sent.next(), Some(bytes));
                }
                Expected::Content(over, protocol, content, count) => {
                    let pieces: Vec<_> = sent.by_ref().take(count).map(|frame| payload(&frame, over, protocol)).collect();
                    prop_assert_eq!(pieces.concat(), content);
                }
            }
        }
        prop_assert!(sent.next().is_none());
        prop_assert_eq!(rig.net.counters(), Default::default());
    }
}
