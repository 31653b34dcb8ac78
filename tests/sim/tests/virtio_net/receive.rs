//! Receiving.

use crate::card::*;

#[test]
fn net_16_receive_buffers_hold_the_longest_frame_and_fill_the_queue() {
    // Where frames are longer there are fewer buffers, which take as much memory.
    for (mtu, count, len) in [(68, 256, 1526), (1500, 256, 1526), (9000, 57, 9026), (9216, 56, 9242)] {
        let mut nic = Setup { config: config(MAC, 1, mtu), ..Setup::default() }.nic();
        assert_eq!(nic.kicks(), [0], "one for all of them");
        let chains: Vec<_> = std::iter::from_fn(|| nic.receive.pop()).collect();
        assert!((count..=count + 64).contains(&chains.len()), "{} buffers for units of {mtu}", chains.len());
        for chain in chains {
            assert_eq!((chain.readable.len(), chain.writable.len()), (0, 1));
            assert!(chain.writable_len() >= len);
        }
    }
}

#[test]
fn net_32_a_frame_is_what_was_written_behind_the_header() {
    for bus in BUSES {
        let mut nic = Setup { bus, ..Setup::default() }.nic();
        for len in [ETHERNET_HEADER_LEN, 15, 60, 590, LONGEST - 1, LONGEST] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8 ^ len as u8).collect();
            nic.deliver(&bytes);
            let frame = nic.received().pop().expect("it arrived");
            assert_eq!(&frame[..], bytes);
        }
        assert_eq!(nic.net.counters(), Counters::default());
    }
}

#[test]
fn frames_come_out_in_the_order_of_their_arrival_in_bursts() {
    for features in [0, EVENT_IDX] {
        let mut nic = Setup { features, ..Setup::default() }.nic();
        nic.kicks();
        let mut expected = 0;
        for round in 0..12 {
            for i in 0..BURST + 6 {
                nic.deliver(&numbered(round * (BURST + 6) + i));
            }
            // The burst is full before the ring is empty: the rest comes with the next call.
            for count in [BURST, 6] {
                let frames = drained(&mut nic.received());
                assert_eq!(frames.len(), count);
                for frame in frames {
                    assert_eq!(number(&frame), expected);
                    expected += 1;
                }
            }
            // With EVENT_IDX the card has buffers left and asked for nothing.
            let kicks = if features == 0 { vec![0, 0] } else { vec![] };
            assert_eq!(nic.kicks(), kicks, "one for each refill, if the card wants to hear of it");
            assert!(nic.received().is_empty());
            assert_eq!(nic.kicks(), [], "nothing taken, nothing given");
        }
    }
}

#[test]
fn a_burst_that_is_not_empty_is_filled_up_from_behind() {
    let mut nic = Setup::default().nic();
    let mut burst = Burst::new();
    for i in 0..BURST {
        nic.deliver(&numbered(i));
    }
    nic.net.receive(&mut burst).expect("an obedient card");
    for _ in 0..3 {
        burst.pop();
        nic.deliver(&numbered(0));
        nic.net.receive(&mut burst).expect("an obedient card");
    }
    assert_eq!(burst.len(), BURST);
    assert_eq!(number(&burst.pop().expect("it is full")), 3);
}

#[test]
fn hd_net_1_2_3_hd_vq_5_impossible_lengths_are_dropped_and_counted() {
    let mut nic = Setup::small(8).nic();
    let blocks = nic.memory.blocks();
    let short = (0..(HEADER_LEN + ETHERNET_HEADER_LEN) as u32).collect::<Vec<_>>();
    let long = [1527, 1535, 1536, 1537, 4096, 0xffff, 0x1_0000 + 100, u32::MAX];
    let mut malformed = 0;
    for round in 0..40 {
        for &claimed in short.iter().chain(&long) {
            nic.deliver_raw(&[0x5a; 100], Some(claimed));
            assert!(nic.received().is_empty(), "{claimed} bytes are no frame");
            malformed += 1;
            assert_eq!(nic.net.counters(), Counters { malformed, refused: 0, ..Counters::default() });
        }
        // Every buffer went back to the card, and the next good frame comes through.
        nic.deliver(&numbered(round));
        assert_eq!(number(&nic.received().pop().expect("it arrived")), round);
    }
    assert_eq!(nic.memory.blocks(), blocks);
    assert_eq!(std::iter::from_fn(|| nic.receive.pop()).count(), 8, "the ring is full again");
}

#[test]
fn hd_net_4_6_9_10_11_12_fields_of_a_received_header_are_not_believed() {
    let mut nic = Setup::default().nic();
    // Flags, type of segmentation, lengths, checksum offsets and number of buffers, none of them negotiated.
    let headers = [[0x00; HEADER_LEN], [0xff; HEADER_LEN], [1, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]];
    for (i, header) in headers.iter().enumerate() {
        nic.deliver_raw(&[&header[..], &numbered(i)].concat(), None);
    }
    let frames = drained(&mut nic.received());
    assert_eq!(frames.len(), 3, "each is one plain frame");
    assert!(frames.iter().enumerate().all(|(i, frame)| frame[..] == numbered(i)[..]));
}

#[test]
fn a_flood_of_malformed_buffers_ends_a_call_to_receive() {
    let mut nic = Setup::small(8).nic();
    for _ in 0..8 {
        nic.deliver_raw(&[], Some(0));
    }
    assert!(nic.received().is_empty());
    assert_eq!(nic.net.counters().malformed, 8);
}

#[test]
fn frames_dropped_elsewhere_come_home_and_the_ring_is_refilled() {
    let options = Options { receive_spare: 4, ..Options::default() };
    let mut nic = Setup { options, ..Setup::small(8) }.nic();
    let mut held = Vec::new();
    for i in 0..12 {
        nic.deliver(&numbered(i));
        held.extend(drained(&mut nic.received()));
    }
    assert_eq!(held.len(), 12, "the ring's and the spare ones");
    assert!(nic.receive.pop().is_none(), "the card has no buffer left");
    nic.kicks();
    let _ = nic.receive.enable_kicks();
    // The last user is another thread.
    thread::spawn(move || drop(held)).join().expect("dropping does not panic");
    assert!(nic.received().is_empty());
    assert_eq!(nic.kicks(), [0]);
    for i in 0..50 {
        nic.deliver(&numbered(i));
        assert_eq!(number(&nic.received().pop().expect("it arrived")), i);
    }
}

#[test]
fn a_few_frames_that_come_home_are_given_to_the_card_with_the_next_ones() {
    let options = Options { receive_spare: 0, ..Options::default() };
    let mut nic = Setup { features: 0, options, ..Setup::small(8) }.nic();
    nic.deliver(&numbered(0));
    let held = nic.received();
    nic.kicks();
    drop(held);
    assert!(nic.received().is_empty());
    assert_eq!(nic.kicks(), [], "seven buffers are enough for now");
    nic.deliver(&numbered(1));
    drop(nic.received());
    assert_eq!(nic.kicks(), [0]);
}
