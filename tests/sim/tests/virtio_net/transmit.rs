//! Sending.

use crate::card::*;

#[test]
fn net_8_9_10_14_the_header_of_a_sent_frame_is_zero() {
    for bus in BUSES {
        let mut nic = Setup { bus, ..Setup::default() }.nic();
        assert!(nic.fill(5, 1).is_empty());
        let wire = nic.on_the_wire();
        let (header, frame) = wire[0].split_at(HEADER_LEN);
        assert_eq!(header, [0; HEADER_LEN], "flags, GSO_NONE, num_buffers");
        assert_eq!(frame, numbered(5));
        assert_eq!(nic.sent[0].readable.len(), 1, "header and frame are one descriptor");
    }
}

#[test]
fn net_8_9_10_a_header_left_from_an_earlier_use_is_cleared() {
    let mut nic = Setup::small(4).nic();
    // A received frame that is sent on: the card's header is in front of it.
    let mut bytes = vec![0xff; HEADER_LEN];
    bytes.extend(numbered(1));
    nic.deliver_raw(&bytes, None);
    let mut burst = nic.received();
    assert_eq!(burst.len(), 1);
    nic.net.transmit(&mut burst).expect("an obedient card");
    assert_eq!(nic.on_the_wire()[0], [vec![0; HEADER_LEN], numbered(1)].concat());
    // A card that writes where it may only read: the next use of the buffer clears it.
    for round in 0..200 {
        let (address, _) = nic.sent[0].readable[0];
        let header = PoppedChain { writable: vec![(address, HEADER_LEN as u32)], ..PoppedChain::default() };
        nic.transmit.write(&header, &[round as u8 | 1; HEADER_LEN]);
        nic.complete(1);
        assert!(nic.fill(round, 1).is_empty());
        assert_eq!(nic.on_the_wire()[0], [vec![0; HEADER_LEN], numbered(round)].concat());
    }
}

#[test]
fn frames_that_cannot_be_sent_are_counted_and_do_not_hold_up_the_others() {
    let mut nic = Setup::default().nic();
    let mut foreign = DmaPool::new(nic.memory, 1, 2048).expect("memory");
    let mut without_headroom = foreign.take().expect("it has one");
    without_headroom.extend(&numbered(9)).expect("it fits");
    let mut burst = Burst::new();
    for frame in [
        nic.frame(&numbered(1)),
        nic.frame(&[1; ETHERNET_HEADER_LEN - 1]),
        nic.frame(&[]),
        Frame::from_buffer(without_headroom),
        nic.frame(&numbered(2)),
    ] {
        burst.push(frame).expect("there is room");
    }
    nic.net.transmit(&mut burst).expect("an obedient card");
    let numbers: Vec<_> = nic.on_the_wire().iter().map(|bytes| number(&bytes[HEADER_LEN..])).collect();
    assert_eq!((numbers, nic.net.counters().refused), (vec![1, 2], 3));
    assert_eq!(foreign.available(), 1, "a refused frame goes back to its pool");
}

#[test]
fn a_burst_is_sent_in_order_with_one_kick() {
    for bus in BUSES {
        for features in [0, EVENT_IDX] {
            let mut nic = Setup { bus, features, ..Setup::default() }.nic();
            nic.kicks();
            for round in 0..20 {
                let _ = nic.transmit.enable_kicks();
                assert!(nic.fill(round * BURST, BURST).is_empty());
                assert_eq!(nic.kicks(), [1], "one for {BURST} frames");
                let wire = nic.on_the_wire();
                assert_eq!(wire.len(), BURST);
                for (i, bytes) in wire.iter().enumerate() {
                    assert_eq!(number(&bytes[HEADER_LEN..]), round * BURST + i);
                }
                nic.complete(BURST);
            }
        }
    }
}

#[test]
fn an_empty_burst_kicks_nobody() {
    let mut nic = Setup::default().nic();
    nic.kicks();
    nic.net.transmit(&mut Burst::new()).expect("an obedient card");
    assert_eq!(nic.kicks(), []);
}

#[test]
fn a_full_ring_leaves_frames_in_the_burst_in_their_order() {
    let mut nic = Setup::small(16).nic();
    assert_eq!(nic.net.limits().transmit_slots, 16);
    let mut burst = nic.fill(0, 40);
    assert_eq!(burst.len(), 24);
    let mut numbers = Vec::new();
    for _ in 0..20 {
        numbers.extend(nic.on_the_wire().iter().map(|bytes| number(&bytes[HEADER_LEN..])));
        let done = nic.sent.len().min(5);
        nic.complete(done);
        nic.net.transmit(&mut burst).expect("an obedient card");
    }
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    assert_eq!(nic.net.counters(), Counters::default());
}

#[test]
fn hd_net_14_the_length_of_a_transmit_completion_is_ignored() {
    let mut nic = Setup::small(4).nic();
    for round in 0..100 {
        assert!(nic.fill(round, 4).is_empty());
        nic.on_the_wire();
        for (chain, len) in nic.sent.drain(..).zip([1, 72, 1 << 20, u32::MAX]) {
            nic.transmit.push(u32::from(chain.head), len);
        }
    }
}
